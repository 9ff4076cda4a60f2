"""What stands between the relay and the resolver: a DNS proxy that can break single answers.

It passes bytes through unchanged, over UDP and TCP, and keeps a list of the questions asked; for a name
and type with a fault set, it does what the fault says instead.
"""

import socket
import socketserver
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from lab.process import wait_until

SERVFAIL, REFUSED, NXDOMAIN = "servfail", "refused", "nxdomain"
SILENCE, GARBAGE, TRUNCATE, STRIP_AD, WRONG_ID = "silence", "garbage", "truncate", "strip-ad", "wrong-id"
RCODES = {SERVFAIL: dns.rcode.SERVFAIL, REFUSED: dns.rcode.REFUSED, NXDOMAIN: dns.rcode.NXDOMAIN}


class Tap:
    """A DNS proxy on `address`, port 53, in front of `upstream`."""

    def __init__(self, upstream, address="127.0.0.1"):
        self.upstream = upstream
        self.address = address
        self.faults = {}
        self.questions = []             # (name, type, time) in order of arrival
        self.slow_s = 0.0
        tap = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                query, sock = self.request
                answer = tap.answer(query, over_tcp=False)
                if answer is not None:
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                while True:
                    head = receive(self.request, 2)
                    query = receive(self.request, struct.unpack("!H", head)[0]) if head else None
                    if not query:
                        return
                    answer = tap.answer(query, over_tcp=True)
                    if answer is None:
                        return
                    self.request.sendall(struct.pack("!H", len(answer)) + answer)

        self.servers = [UdpServer((address, 53), Udp), TcpServer((address, 53), Tcp)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def break_name(self, name, kind, fault):
        """Sets the fault for that name and type ("*" as name is any name, "ANY" as type any type)."""
        self.faults[(name.rstrip(".").lower(), kind)] = fault

    def mend(self, name=None):
        """Takes the faults away: those of one name, or all."""
        gone = [key for key in self.faults if name is None or key[0] == name.rstrip(".").lower()]
        for key in gone:
            del self.faults[key]
        self.slow_s = 0.0

    def asked(self, name, kind):
        """How often this was asked."""
        name = name.rstrip(".").lower()
        return sum(1 for n, k, _ in list(self.questions) if (n, k) == (name, kind))

    def wait_asked(self, name, kind, times=1, timeout=15.0):
        wait_until(lambda: self.asked(name, kind) >= times, timeout, f"{times} questions for {name} {kind}")

    def answer(self, query, over_tcp):
        """The answer's bytes, or None for silence."""
        try:
            message = dns.message.from_wire(query)
            name = message.question[0].name.to_text().rstrip(".").lower()          # "" is the root
            kind = dns.rdatatype.to_text(message.question[0].rdtype)
        except (dns.exception.DNSException, IndexError):
            return None
        self.questions.append((name, kind, time.monotonic()))
        fault = self._fault(name, kind)
        if self.slow_s:
            time.sleep(self.slow_s)
        if fault is None:
            return self._forward(query, over_tcp)
        if fault in RCODES:
            answer = dns.message.make_response(message, recursion_available=True)
            answer.set_rcode(RCODES[fault])
            return answer.to_wire()
        if fault == SILENCE:
            return None
        if fault == GARBAGE:
            return query[:2] + b"\x81\x80" + b"\xff" * 40
        answer = self._forward(query, over_tcp)
        if answer is None:
            return None
        flags = struct.unpack("!H", answer[2:4])[0]
        if fault == STRIP_AD:
            return answer[:2] + struct.pack("!H", flags & ~dns.flags.AD) + answer[4:]
        if fault == TRUNCATE and not over_tcp:
            return answer[:2] + struct.pack("!H", flags | dns.flags.TC) + query[4:6] + b"\0" * 6 + query[12:]
        if fault == WRONG_ID:
            return bytes([answer[0] ^ 0xFF]) + answer[1:]
        return answer

    def _fault(self, name, kind):
        for key in ((name, kind), (name, "ANY"), ("*", kind), ("*", "ANY")):
            if key in self.faults:
                return self.faults[key]
        return None

    def _forward(self, query, over_tcp):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM if over_tcp else socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.connect((self.upstream, 53))
                if not over_tcp:
                    sock.send(query)
                    return sock.recv(65535)
                sock.sendall(struct.pack("!H", len(query)) + query)
                head = receive(sock, 2)
                return receive(sock, struct.unpack("!H", head)[0]) if head else None
        except OSError:
            return None


class UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    allow_reuse_address = True
    max_packet_size = 65535


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def receive(sock, size):
    """Exactly `size` bytes, or None at the end of the stream."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            return None
        data += part
    return data
