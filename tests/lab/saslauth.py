"""What Postfix asks whether a password is right: the server's side of Dovecot's authentication protocol, over a unix socket, for PLAIN and LOGIN."""

import base64
import os
import socket
import threading


class SaslAuth:
    """Listens at `path` for these accounts (name: password)."""

    def __init__(self, path, accounts):
        self.path = path
        self.accounts = accounts
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.listener.close()
        os.unlink(self.path)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rw", encoding="utf-8", newline="\n") as stream:
            stream.write("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
            stream.flush()
            for line in stream:
                words = line.rstrip("\n").split("\t")
                if words[0] == "AUTH":
                    self._log_in(stream, words[1], words[2], dict(w.partition("=")[::2] for w in words[3:]).get("resp"))

    def _log_in(self, stream, number, mechanism, response):
        if mechanism == "PLAIN":
            if response is None:
                response = self._ask(stream, number, "")
            _, name, password = base64.b64decode(response).decode().split("\0")
        else:
            name = base64.b64decode(response or self._ask(stream, number, "Username:")).decode()
            password = base64.b64decode(self._ask(stream, number, "Password:")).decode()
        good = self.accounts.get(name) == password
        stream.write(f"{'OK' if good else 'FAIL'}\t{number}\tuser={name}\n")
        stream.flush()

    @staticmethod
    def _ask(stream, number, what):
        stream.write(f"CONT\t{number}\t{base64.b64encode(what.encode()).decode()}\n")
        stream.flush()
        return stream.readline().rstrip("\n").split("\t")[2]
