"""An SMTP client that sends exactly the bytes it is given, to submit mail and to be hostile."""

import re
import socket


class Client:
    """A connection to `address` ((host, port), or the path of a unix socket), with the greeting read. `first`: octets before all else, such as a PROXY header;
    `tls`: an ssl.SSLContext, under which it begins, for the server's `name`."""

    def __init__(self, address, source=None, timeout=30.0, greeting=True, first=b"", tls=None, name=None):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout, source_address=(source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if first:
            self.sock.sendall(first)
        if tls:
            self.start_tls(tls, name)
        self.greeting = self.reply() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.sock.close()

    def start_tls(self, context, name=None):
        """The handshake; from here on everything is under TLS."""
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name)
        except (OSError, ValueError):
            self.sock.close()
            raise

    def send(self, data):
        """These bytes, as they are."""
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("utf-8"))

    def reply(self):
        """The next reply as (code, text with its lines); (0, "") when the connection has ended."""
        lines = []
        while True:
            line = self._line()
            if line is None:
                return 0, ""
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)

    def command(self, line):
        """One command, its reply."""
        self.send(f"{line}\r\n")
        return self.reply()

    def hello(self, name="client.example"):
        """EHLO; the keywords as a dictionary of their parameters."""
        code, text = self.command(f"EHLO {name}")
        assert code == 250, (code, text)
        words = [line.split(" ") for line in text.split("\n")[1:]]
        return {word[0].upper(): word[1:] for word in words}

    def envelope(self, sender, recipients, args=""):
        """MAIL and RCPT; fails unless all are taken."""
        code, text = self.command(f"MAIL FROM:<{sender}>{args}")
        assert code == 250, (code, text)
        for recipient in recipients:
            code, text = self.command(f"RCPT TO:<{recipient}>")
            assert code == 250, (recipient, code, text)

    def data(self, message):
        """DATA with the message (CRLF line ends), dots stuffed; the final reply."""
        code, text = self.command("DATA")
        assert code == 354, (code, text)
        wire = re.sub(rb"(?m)^\.", b"..", message)
        self.send(wire + (b"" if wire.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()

    def ended(self):
        """True once the other side has closed the connection, with nothing more to read."""
        try:
            return not self.buffer and not self.sock.recv(1)
        except ConnectionResetError:
            return True

    def _line(self):
        while b"\r\n" not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace")


def queue_id(reply):
    """The identifier out of "Ok: queued as ID"."""
    code, text = reply
    found = re.search(r"queued as (\S+)", text)
    assert code == 250 and found, reply
    return found.group(1)


def message(subject="hello", body="Hello, world.\r\n", headers=""):
    """A small complete message, as bytes."""
    return (f"From: Ann <ann@sender.example>\r\nTo: list:;\r\nSubject: {subject}\r\n"
            f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{subject}@sender.example>\r\n"
            f"{headers}\r\n{body}").encode("utf-8")


def submit(address, recipients, data=None, sender="ann@sender.example", args=""):
    """Hands one message over and returns its queue identifier."""
    if isinstance(recipients, str):
        recipients = [recipients]
    with Client(address) as client:
        client.hello()
        client.envelope(sender, recipients, args)
        identifier = queue_id(client.data(message() if data is None else data))
        client.command("QUIT")
        return identifier
