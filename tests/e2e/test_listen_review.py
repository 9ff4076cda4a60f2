"""Listeners against clients that mean harm."""

import base64
import socket
import ssl
import time

import pytest

from conftest import BINARY
from lab.accounts import SUBMISSIONS, Accounts, listeners
from lab.client import Client
from lab.relay import ENVIRONMENT

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
    """RFC 8689 3: the field asks for the same where the message ends behind it."""
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


def residue(pid, *secrets):
    """Which of these octets stand in the writable memory of a process."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            place, mode, *_ = line.split()
            begin, end = (int(part, 16) for part in place.split("-"))
            if "w" not in mode:
                continue
            memory.seek(begin)
            text = memory.read(end - begin)
            found |= {secret for secret in secrets if secret in text}
    return found


@pytest.mark.parametrize("way", ["at once", "in two pieces", "LOGIN"])
def test_no_password_stays_in_memory(world, make_plain, way):
    """Neither as it came nor decoded, when its client has been answered; no matter whether it was right."""
    relay = make_plain(shards=1)
    accounts = Accounts(BINARY, f"{relay.folder}/users", ENVIRONMENT)
    accounts.add("ann", "correct-horse-battery")
    relay.write_config(auth={"users_file": accounts.path}, listen=listeners(world.ca.good("relay.example")))
    relay.start()
    secrets = [b"correct-horse-battery", b"wrong-horse-battery-x"]
    for secret in secrets:
        plain, word = base64.b64encode(b"\0ann\0" + secret), base64.b64encode(secret)
        with Client(SUBMISSIONS, tls=ssl.create_default_context(cafile=world.ca.ca_file), name="relay.example") as client:
            client.hello()
            if way == "LOGIN":
                client.command("AUTH LOGIN " + base64.b64encode(b"ann").decode())
                client.send(word + b"\r\n")
            elif way == "at once":
                client.send(b"AUTH PLAIN " + plain + b"\r\n")
            else:
                client.send(b"AUTH PLAIN " + plain[:-4])
                time.sleep(0.2)
                client.send(plain[-4:] + b"\r\n")
            assert client.reply()[0] == (235 if secret == secrets[0] else 535)
            assert not residue(relay.process.popen.pid, secret, plain[6:-4], word[:-4])
