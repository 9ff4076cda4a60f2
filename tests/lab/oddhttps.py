"""An HTTPS server that misbehaves as told, for what nginx cannot be made to do.

What it does for a host name is one function from the connection to nothing; `answer` and the functions under it make
the usual ones.
"""

import socket
import ssl
import threading
import time


class OddHttps:
    """Listens on port 443 of `address`; behaviour and certificate are chosen by SNI."""

    def __init__(self, address="127.0.0.81"):
        self.address = address
        self.behaviours = {}
        self.contexts = {}
        self.requests = []              # (name, request head as bytes)
        self.connections = 0
        self.stopping = threading.Event()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, 443), family=family, backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, domain, behaviour, certificate):
        """From now on `behaviour(connection, stopping)` answers requests for the policy of `domain`."""
        name = f"mta-sts.{domain}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.pem_file)
        self.contexts[name] = context
        self.behaviours[name] = behaviour

    def asked(self, domain):
        """How many requests came for the domain's policy."""
        return sum(1 for name, _ in list(self.requests) if name == f"mta-sts.{domain}")

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        seen = {}

        def choose(tls, name, _context):
            seen["name"] = name
            if name not in self.contexts:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            tls.context = self.contexts[name]
            return None

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = choose
        sock.settimeout(90)
        try:
            with context.wrap_socket(sock, server_side=True) as connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(4096)
                    if not part:
                        return
                    head += part
                self.requests.append((seen["name"], head))
                self.behaviours[seen["name"]](connection, self.stopping)
        except (OSError, ValueError):
            pass                        # the client gave up, as it often should
        finally:
            sock.close()


def answer(body=b"", status="200 OK", kind="text/plain", headers=(), version="HTTP/1.1", length=True):
    """A plain answer; `length=False` leaves Content-Length out and ends with the connection."""
    lines = [f"{version} {status}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if length:
        lines.append(f"Content-Length: {len(body)}")
    lines += [*headers, "Connection: close"]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def behave(connection, _stopping):
        connection.sendall(data)
        connection.unwrap()             # close_notify: without it nobody knows that the end is the end
    return behave


def redirect(location, status="301 Moved Permanently"):
    return answer(b"moved", status, headers=(f"Location: {location}",))


def chunked(body, size=7):
    """The body in small chunks."""
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    return lambda connection, stopping: connection.sendall(head + data)


def endless(piece=b"mx: mx.example.com\r\n" * 100):
    """A body that does not end."""
    def behave(connection, stopping):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not stopping.is_set():
            connection.sendall(piece)
    return behave


def drip(data=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nversion: STSv1\r\n", gap_s=0.5):
    """A byte now and then: each arrives in good time, all of them never do."""
    def behave(connection, stopping):
        for i in range(len(data)):
            if stopping.wait(gap_s):
                return
            connection.sendall(data[i:i + 1])
    return behave


def hang():
    """Takes the request and says nothing."""
    def behave(_connection, stopping):
        stopping.wait(90)
    return behave


def raw(data):
    """Exactly these bytes, then the end of the connection, without a close_notify."""
    return lambda connection, stopping: connection.sendall(data)


def slow(seconds, then):
    def behave(connection, stopping):
        time.sleep(seconds)
        then(connection, stopping)
    return behave
