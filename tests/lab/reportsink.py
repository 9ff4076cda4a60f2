"""An https endpoint for TLS reports: keeps whatever is posted, and answers as told.

What it does for a path is one of the functions that tests/lab/oddhttps.py makes (an answer, a redirect, silence, ...), or several of
them in turn. A path that nobody spoke of gets the usual: 201.
"""

import dataclasses
import gzip
import json
import socket
import ssl
import threading
import time

from lab.behaviour import Turns
from lab.oddhttps import answer

CREATED = answer(status="201 Created", kind=None)


@dataclasses.dataclass
class Post:
    """One request, as it came; the names of `headers` are in lower case."""
    host: str
    method: str
    path: str
    headers: dict
    body: bytes
    at: float = dataclasses.field(default_factory=time.monotonic)

    def json(self):
        """The report."""
        return json.loads(gzip.decompress(self.body))


class ReportSink:
    """Listens on port 443 of `address`; the certificate is chosen by SNI, the behaviour by path."""

    def __init__(self, address="127.0.0.82"):
        self.address = address
        self.contexts = {}
        self.behaviours = {}
        self.posts = []                 # complete ones, whatever their answer
        self.arrived = threading.Condition()
        self.connections = 0
        self.stopping = threading.Event()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, 443), family=family, backlog=256)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.sni_callback = self._choose
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, host, certificate):
        """From now on it is `host`, and shows that certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.pem_file)
        self.contexts[host] = context

    def script(self, path, *behaviours):
        """What comes of requests for `path`, one after the other; the last one for ever."""
        self.behaviours[path] = Turns(*behaviours)

    def posted(self, path=None):
        """What came, all of it or for one path."""
        return [post for post in list(self.posts) if path in (None, post.path)]

    def wait_posts(self, count=1, path=None, timeout=20.0):
        """The same, once there are at least `count`."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.posted(path)) >= count, timeout):
                raise AssertionError(f"{len(self.posted(path))} of {count} reports for {path} within {timeout} s")
            return self.posted(path)

    def _choose(self, tls, name, _context):
        if name not in self.contexts:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = self.contexts[name]
        tls.sni = name
        return None

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(90)
        try:
            with self.context.wrap_socket(sock, server_side=True) as connection:
                post = read_request(connection)
                if post is None:
                    return
                with self.arrived:
                    self.posts.append(post)
                    self.arrived.notify_all()
                turns = self.behaviours.get(post.path)
                (turns.next() if turns else CREATED)(connection, self.stopping)
        except (OSError, ValueError):
            pass                        # the client gave up, as it often should
        finally:
            sock.close()


def read_request(connection):
    """One whole request, or None when the client went away before its end."""
    head, end, body = b"", b"\r\n\r\n", b""
    while end not in head:
        part = connection.recv(65536)
        if not part:
            return None
        head += part
    head, _, body = head.partition(end)
    first, *fields = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    size = int(headers.get("content-length", 0))
    while len(body) < size:
        part = connection.recv(65536)
        if not part:
            return None
        body += part
    return Post(getattr(connection, "sni", None), method, path, headers, body)
