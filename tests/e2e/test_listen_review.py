"""Listeners against clients that mean harm."""

import socket
import time

import pytest

from lab.client import Client

ADDRESS = ("127.0.0.1", 2525)


@pytest.mark.parametrize("header", [b"From: ann@sender.example\r", b"From: ann@sender.example\r\n\r", b"Subject: x\r\n\r\n\r"])
def test_a_binary_message_that_ends_in_half_a_line_end(world, relay, header):
    """BODY=BINARYMIME: what we add at the end may be what breaks the header section. It is refused, and the relay lives."""
    domain = world.domain("inbox")
    domain.mx()
    with Client(ADDRESS) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()], " BODY=BINARYMIME")
        client.send(b"BDAT %d LAST\r\n" % len(header) + header)
        assert client.reply()[0] in (250, 550)
        assert client.command("NOOP")[0] == 250
    with Client(ADDRESS) as client:
        assert client.greeting[0] == 220


def test_a_header_without_its_end_is_looked_at_whole(world, start_relay):
    """RFC 8689 5: the field asks for the same where the message ends behind it."""
    relay = start_relay(delivery={"tls_required_no": "refuse"})
    domain = world.domain("inbox")
    domain.mx()
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        reply = client.data(b"From: ann@sender.example\r\nTLS-Required: No\r\n")
        assert reply[0] == 550 and "TLS-Required" in reply[1], reply


def test_a_client_that_does_not_read_is_not_answered_without_end(world, make_plain):
    """Commands in small pieces, each answered by many times its length, and no answer ever read: the relay stops listening to it."""
    relay = make_plain(shards=1).start()

    def memory():
        with open(f"/proc/{relay.process.popen.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(relay.address)
        sock.settimeout(1)
        before, sent, ends = memory(), 0, time.monotonic() + 20
        try:
            while sent < 2_000_000 and time.monotonic() < ends:
                sent += sock.send(b"EHLO a\r\n" * 30)
                time.sleep(0.0003)
        except TimeoutError:
            pass                                        # it does not take more: good
        assert memory() - before < 16384, f"{memory() - before} KiB more after {sent} octets"
