"""Whoever crowds or confuses the admin API does not slow mail, nor end the relay: slow clients by the thousand, and requests that are nearly ones."""

import os
import random
import socket
import statistics
import subprocess
import sys
import time

import pytest

from lab.client import submit
from lab.process import readable, wait_until
from test_admin import Control, ask, socket_of

CROWD = 1000
ROUNDS = 4
MESSAGES = 25                   # of a round


# 1,000 slow clients.

def drip(addresses):
    """Keeps CROWD connections to each address, each of which sends an octet a second of a request that never ends; who is sent away comes again after two."""
    at_door = []                                                # address, socket, when it sends next, octets that it sent
    for address in addresses:
        at_door += [[address, None, time.monotonic() + 2 * i / CROWD, 0] for i in range(CROWD)]
    print("there", flush=True)
    while True:
        now = time.monotonic()
        for client in at_door:
            if client[2] > now:
                continue
            try:
                if client[1] is None:
                    client[1] = socket.socket(socket.AF_UNIX if isinstance(client[0], str) else socket.AF_INET)
                    client[1].setblocking(False)
                    client[1].connect(client[0])
                else:
                    client[1].send(b"GET /"[client[3]:][:1] or b"x")
                    client[3] += 1
                    if client[1].recv(1, socket.MSG_PEEK) is not None:
                        raise ConnectionError("sent away")
            except BlockingIOError:
                pass
            except OSError:
                client[1].close()
                client[1:4] = None, 0, 0
            client[2] = now + (2 if client[1] is None else 1)
        time.sleep(0.05)


class Crowd:
    """The same in a process of its own, so that it does not share an interpreter with who measures."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def __enter__(self):
        self.popen = subprocess.Popen([sys.executable, __file__, *map(repr, self.addresses)], stdout=subprocess.PIPE, text=True,
                                      env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})
        assert self.popen.stdout.readline() == "there\n"
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()


def latencies(relay, domain, host):
    """Seconds from the first octet to the next hop's 250, for each of MESSAGES messages, one after the other."""
    found = []
    for _ in range(MESSAGES):
        before = len(host.messages)
        started = time.monotonic()
        submit(relay.address, domain.user())
        host.wait_messages(before + 1)
        found.append(time.monotonic() - started)
    return found


def test_thousand_slow_clients_do_not_slow_mail(world, start_relay):
    relay = start_relay(admin={"http": "127.0.0.1:8199"})
    domain = world.domain().policy()
    host = domain.mx()
    latencies(relay, domain, host)                               # the policy, the pool
    alone, crowded = [], []
    for _ in range(ROUNDS):                                     # in turn: the machine has other work, too
        alone.append(statistics.median(latencies(relay, domain, host)))
        with Crowd(("127.0.0.1", 8199), socket_of(relay)):
            wait_until(lambda: refused(relay), 10, "the crowd")
            time.sleep(1)
            crowded.append(statistics.median(latencies(relay, domain, host)))
            assert refused(relay)
        wait_until(lambda: not refused(relay), 10, "the crowd gone")
    print(f"median latency: alone {min(alone) * 1000:.1f} ms, crowded {min(crowded) * 1000:.1f} ms")
    assert min(crowded) < 1.5 * min(alone) + 0.002, (alone, crowded)


def refused(relay):
    try:
        return ask(relay, "/livez")[0] == 503
    except OSError:
        return True


# Requests that are nearly ones.

SEEDS = [
    b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /queue/list?limit=1&state=deferred HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /queue/message?id=0G00000001 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /explain/domain?domain=a.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /evidence/sessions?destination=a.example&after=0G00000001 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /policy/history?after=1&weaker=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /report/list?after=2026-11-22%2Fa.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /destinations?top=3 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n",
    b"POST /queue/retry?all=1&reason=fuzz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /queue/hold?domain=nowhere.example&for=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"POST /policy/refresh?domain=nowhere.example HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
    b"DELETE /report/suppressions?address=a%40b.example HTTP/1.1\r\nHost: [::1]:8025\r\n\r\n",
    b"HEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
SPICE = [b"\r\n", b"\n", b"\r", b"\0", b"%", b"%00", b"%zz", b"&", b"=", b"?", b"#", b":", b"\xff\xfe", b"A" * 20000, b"limit=99999999999999999999", b"Host: a\r\n",
         b"Content-Length: 18446744073709551615\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"id=", b"after=", b"domain=" + b"a." * 200, b"-1", b"[", b"'"]


def mutate(rng, text):
    """A request with some octets more, fewer or others; it never asks for what ends the relay or its mail."""
    text = bytearray(text)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            text[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del text[at:at + rng.randrange(1, 12)]
        elif kind == 2 and at < len(text):
            text[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            other = rng.choice(SEEDS)
            text[at:] = other[rng.randrange(len(other)):]
        else:
            text[at:at] = text[at:at + rng.randrange(1, 40)]
    return bytes(text)


def answers_or_closes(address, family, pieces, ends):
    """Sends the pieces; something must come back, or the connection end: the head of what came, or nothing."""
    with socket.socket(family) as sock:
        sock.settimeout(20)
        sock.connect(address)
        try:
            for piece in pieces:
                sock.sendall(piece)
            if ends:
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(65536), b""))
            return sock.recv(65536) if readable(sock, 0.02) else b""    # what is half a request waits for the rest: leave it alone
        except (ConnectionError, BrokenPipeError):
            return b""


@pytest.mark.parametrize("seed", range(3))
def test_fuzzed_http_client_ends_nothing(world, start_relay, seed):
    relay = start_relay(admin={"http": "127.0.0.1:8198"})
    domain = world.domain().policy()
    host = domain.mx()
    rng = random.Random(seed)
    for round_ in range(10):
        for _ in range(60):
            text = mutate(rng, rng.choice(SEEDS)) * rng.choice((1, 1, 1, 2, 5))
            cut = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(3)))
            pieces = [text[a:b] for a, b in zip([0, *cut], [*cut, len(text)])]
            where = ("127.0.0.1", 8198) if rng.random() < 0.5 else socket_of(relay)
            came = answers_or_closes(where, socket.AF_UNIX if isinstance(where, str) else socket.AF_INET, pieces, rng.random() < 0.8)
            assert came == b"" or came.startswith(b"HTTP/1.1 "), (text, came[:200])
        assert relay.running() and ask(relay, "/readyz")[0] == 200
        submit(relay.address, domain.user())
        host.wait_messages(round_ + 1)
    control = Control(relay)
    assert control.ask("/status")[0] == 200 and control.ask("/status")[0] == 200
    control.close()


if __name__ == "__main__":
    drip([eval(address) for address in sys.argv[1:]])       # pylint: disable=eval-used
