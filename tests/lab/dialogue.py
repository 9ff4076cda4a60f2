"""The server's side of one SMTP connection: reads commands and does what the host's behaviour says."""

import socket
import time

from lab.behaviour import Close, Drop, Hang, Raw, Reset, Slow, Turns
from lab.record import Message, Tls


class Gone(Exception):
    """The connection is over."""


class Dialogue:
    """One connection: reads commands, does what the behaviour says."""

    def __init__(self, host, sock, session):
        self.host = host
        self.sock = sock
        self.session = session
        self.buffer = b""
        self.reset()

    @property
    def behaviour(self):
        return self.host.behaviour

    def reset(self):
        self.mail_from = None
        self.mail_args = b""
        self.rcpt_to = []
        self.chunks = b""

    def run(self):
        try:
            if self.behaviour.implicit:
                self.act("HANDSHAKE", b"", lambda: None)
                self.handshake()
            self.act("CONNECT", "", lambda: self.behaviour.banner.format(name=self.host.name))
            while True:
                line = self.line()
                self.session.commands.append((line, self.session.tls is not None))
                verb = line.split(b" ")[0].upper().decode("latin-1")
                handler = getattr(self, f"on_{verb.lower()}", None)
                if handler is None:
                    self.act(verb, line, lambda: "500 5.5.2 what?")
                else:
                    handler(line[len(verb):].strip())
        finally:
            self.sock.close()

    # The commands.

    def on_ehlo(self, argument):
        self.reset()
        self.act("EHLO", argument, self.ehlo_reply)

    def on_helo(self, argument):
        self.reset()
        self.act("HELO", argument, lambda: f"250 {self.host.name}")

    def ehlo_reply(self):
        words = list(self.behaviour.keywords)
        if self.session.tls and self.behaviour.keywords_under_tls is not None:
            words = list(self.behaviour.keywords_under_tls)
        if self.behaviour.starttls and not self.session.tls:
            words.append("STARTTLS")
        lines = [self.host.name, *words]
        return "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{w}" for i, w in enumerate(lines))

    def on_starttls(self, argument):
        reply = self.act("STARTTLS", argument,
                         lambda: "220 2.0.0 go ahead" if self.behaviour.starttls else "502 5.5.1 not here",
                         behind=self.behaviour.inject)
        if not reply.startswith("220"):
            return
        self.session.ahead_of_handshake = self.buffer
        self.buffer = b""
        self.act("HANDSHAKE", b"", lambda: None)
        self.handshake()
        self.reset()

    def handshake(self):
        old = self.sock
        try:
            self.sock = self.host.context(self.behaviour.certificate).wrap_socket(old, server_side=True)
        except OSError as error:
            self.session.handshake_error = str(error)
            raise Gone from None
        self.host.sockets.discard(old)
        self.host.sockets.add(self.sock)
        cipher = self.sock.cipher()
        if cipher is None:                      # the peer has gone already
            raise Gone
        self.session.tls = Tls(self.sock.version(), cipher[0], getattr(self.sock, "sni", None), self.sock.session_reused)

    def on_mail(self, argument):
        def usual():
            path, _, args = argument[len(b"FROM:"):].partition(b">")
            self.reset()
            self.mail_from = path.lstrip(b" <")
            self.mail_args = args.strip()
            return "250 2.1.0 ok"
        self.act("MAIL", argument, usual)

    def on_rcpt(self, argument):
        def usual():
            if self.mail_from is None:
                return "503 5.5.1 MAIL first"
            self.rcpt_to.append(argument[len(b"TO:"):].partition(b">")[0].lstrip(b" <"))
            return "250 2.1.5 ok"
        self.act("RCPT", argument, usual)

    def on_data(self, argument):
        reply = self.act("DATA", argument,
                         lambda: "354 go on" if self.rcpt_to else "554 5.5.1 no valid recipients")
        if not reply.startswith("354"):
            return
        wire = self.body()
        lines = wire.split(b"\r\n")
        data = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
        self.take(data, wire)

    def body(self):
        """The bytes up to CRLF.CRLF, which is not part of them (the CRLF before the dot is)."""
        action = self.action("BODY", b"")
        data = self.buffer
        self.buffer = b""
        if isinstance(action, Slow):
            time.sleep(action.seconds)
        while True:
            if isinstance(action, (Drop, Reset, Hang)) and len(data) >= getattr(action, "after", 0):
                self.do(action, None)
            if data.startswith(b".\r\n"):
                data, self.buffer = b"", data[3:]
                return data
            end = data.find(b"\r\n.\r\n")
            if end >= 0:
                self.buffer = data[end + 5:]
                return data[:end + 2]
            data += self.receive()

    def on_bdat(self, argument):
        words = argument.split()
        size, last = int(words[0]), len(words) > 1
        while len(self.buffer) < size:
            self.buffer += self.receive()
        self.chunks += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if not last:
            self.act("BDAT", argument, lambda: "250 2.0.0 ok")
            return
        data, self.chunks = self.chunks, b""
        self.take(data, data)

    def take(self, data, wire):
        """The message is here: note it down, then answer. (Noted first: a peer that acts on the reply is later.)"""
        message = Message(self.session, self.mail_from, self.mail_args, list(self.rcpt_to), data, wire,
                          self.session.tls, at=time.monotonic())
        self.reset()
        self.host.seen.append(message)

        def sent(reply):
            with self.host.arrived:
                message.reply = reply
                if reply.startswith("2"):
                    self.host.messages.append(message)
                self.host.arrived.notify_all()
        self.act(".", message, lambda: "250 2.0.0 taken", before=sent)

    def on_rset(self, argument):
        self.reset()
        self.act("RSET", argument, lambda: "250 2.0.0 ok")

    def on_noop(self, argument):
        self.act("NOOP", argument, lambda: "250 2.0.0 ok")

    def on_quit(self, argument):
        self.act("QUIT", argument, lambda: "221 2.0.0 bye")
        raise Gone

    # What the behaviour says.

    def action(self, stage, argument):
        action = self.behaviour.on.get(stage)
        if isinstance(action, Turns):
            action = action.next()
        return action(self, argument) if callable(action) else action

    def act(self, stage, argument, usual, before=lambda reply: None, behind=b""):
        """Does what is set for the stage, else the usual; returns the reply."""
        return self.do(self.action(stage, argument), usual, before, behind)

    def do(self, action, usual, before=lambda reply: None, behind=b""):
        while isinstance(action, Slow):
            time.sleep(action.seconds)
            action = action.then
        if isinstance(action, Drop):
            raise Gone
        if isinstance(action, Reset):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise Gone
        if isinstance(action, Hang):
            while True:
                self.receive()                  # until the peer gives up
        if isinstance(action, Raw):
            before(action.data.decode("latin-1"))
            self.sock.sendall(action.data)
            return action.data.decode("latin-1")
        if isinstance(action, Close):
            before(action.reply)
            self.sock.sendall(action.reply.encode("utf-8") + b"\r\n")
            raise Gone
        if isinstance(action, str) and action[0] in "23":
            usual()                             # other words, the same deed
        reply = action if action is not None else usual()
        if reply is None:
            return ""
        before(reply)
        self.sock.sendall(reply.encode("utf-8", "surrogateescape") + b"\r\n" + behind)
        return reply

    # The connection.

    def line(self):
        while b"\n" not in self.buffer:
            self.buffer += self.receive()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        return data
