"""Accepting mail: what a client may do, and what happens to one that does what it may not."""

import re
import time

import pytest

from evidence import same_message
from lab.client import Client, message, queue_id, submit


@pytest.fixture
def client(relay):
    """A connection to the relay, EHLO said."""
    with Client(relay.address) as connection:
        connection.hello()
        yield connection


@pytest.fixture
def inbox(world):
    """A domain whose host takes everything: (domain, host)."""
    domain = world.domain("inbox")
    return domain, domain.mx()


def code(reply, *wanted):
    """The reply has this code, and this enhanced status when one is wanted."""
    assert reply[0] == wanted[0] and all(text in reply[1] for text in wanted[1:]), (reply, wanted)
    return True


def test_ehlo_offers_what_is_there(relay):
    with Client(relay.address) as client:
        assert client.greeting[0] == 220 and client.greeting[1].startswith("relay.example ESMTP")
        keywords = client.hello()
        assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "LIMITS"} <= keywords.keys()
        assert keywords["SIZE"] in (["50000000"], ["52428800"]) and "RCPTMAX=1000" in keywords["LIMITS"]
        assert "VRFY" not in keywords or client.command("VRFY bob")[0] == 252


def test_commands_in_their_places(client, inbox):
    domain, _ = inbox
    assert code(client.command("RCPT TO:<bob@a.example>"), 503)
    assert code(client.command("DATA"), 503)
    assert code(client.command("MAIL FROM:<ann@a.example>"), 250, "2.1.0")
    assert code(client.command("MAIL FROM:<ann@a.example>"), 503)
    assert code(client.command("DATA"), 503) or code(client.command("DATA"), 554)
    assert code(client.command(f"RCPT TO:<{domain.user()}>"), 250, "2.1.5")
    assert code(client.command("RSET"), 250)
    assert code(client.command(f"RCPT TO:<{domain.user()}>"), 503)
    assert code(client.command("NOOP"), 250)
    assert code(client.command("noop with words"), 250)
    assert code(client.command("HELP"), 214)
    assert code(client.command("VRFY bob"), 252)
    assert client.command("EXPN list")[0] in (500, 502, 550, 252)
    assert code(client.command("XYZZY"), 500)
    assert code(client.command("QUIT"), 221)
    assert client.ended()


@pytest.mark.parametrize("line, status", [
    ("MAIL FROM:ann@a.example", 501), ("MAIL FROM:<ann@a.example", 501), ("MAIL ann@a.example", 501), ("MAIL FROM:<ann@>", 501),
    ("MAIL FROM:<ann@a.example> SIZE=x", 501), ("MAIL FROM:<ann@a.example> BODY=9BIT", 501), ("MAIL FROM:<ann@a.example> FOO=bar", 555),
    ("MAIL FROM:<ann@a..example>", 501), ("MAIL FROM:<" + "a" * 65 + "@a.example>", 501), ("EHLO", 501),
    ("MAIL FROM:<ann@a.example> SIZE=99999999999", 552)])
def test_malformed_commands(client, line, status):
    reply = client.command(line)
    assert reply[0] == status or (reply[0], status) in ((553, 501), (500, 501)), reply


def test_forbidden_client_is_told_at_rcpt(world, relay, inbox):
    domain, host = inbox
    with Client(relay.address, source="127.0.0.9") as client:
        client.hello()
        assert client.command("MAIL FROM:<ann@a.example>")[0] == 250
        assert code(client.command(f"RCPT TO:<{domain.user()}>"), 550, "5.7.1")
        assert client.command("DATA")[0] in (503, 554)
    assert not host.sessions


def test_pipelined_transaction(world, client, inbox):
    domain, host = inbox
    client.send(f"MAIL FROM:<ann@a.example>\r\nRCPT TO:<{domain.user('a')}>\r\nRCPT TO:<{domain.user('b')}>\r\nDATA\r\n")
    assert [client.reply()[0] for _ in range(4)] == [250, 250, 250, 354]
    client.send(b"Subject: x\r\n\r\nbody\r\n.\r\nMAIL FROM:<ann@a.example>\r\nNOOP\r\n")
    assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
    assert len(host.wait_messages()[0].rcpt_to) == 2


def test_octet_by_octet(world, client, inbox):
    domain, host = inbox
    wire = f"MAIL FROM:<ann@a.example>\r\nRCPT TO:<{domain.user()}>\r\n".encode()
    for i in range(len(wire)):
        client.send(wire[i:i + 1])
    assert [client.reply()[0], client.reply()[0]] == [250, 250]
    identifier = queue_id(client.data(message()))
    assert same_message(host.wait_messages()[0].data, message(), identifier)


# Content.

@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n\r.\r\n"],
                         ids=lambda e: repr(e)[2:-1])
def test_only_crlf_dot_crlf_ends_a_message(world, relay, inbox, ending):
    """Smuggling: what follows any other ending is never taken for commands."""
    domain, host = inbox
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@a.example", [domain.user()])
        assert client.command("DATA")[0] == 354
        client.send(b"Subject: outer\r\n\r\nbody" + ending +
                    f"MAIL FROM:<evil@a.example>\r\nRCPT TO:<{domain.user('victim')}>\r\nDATA\r\n".encode() +
                    b"Subject: smuggled\r\n\r\nevil\r\n.\r\n")
        replies = []
        client.sock.settimeout(3)
        try:
            while (reply := client.reply())[0]:
                replies.append(reply[0])
        except TimeoutError:
            pass
        assert len(replies) == 1 and replies[0] in (250, 500, 501, 550, 554, 451), replies
    with Client(relay.address) as client:           # a message behind it, so that there is something to wait for
        client.hello()
        client.envelope("ann@a.example", [domain.user("last")])
        queue_id(client.data(message()))
    host.wait_messages(2 if replies == [250] else 1)
    assert all(m.mail_from != b"evil@a.example" and domain.user("victim").encode() not in m.rcpt_to for m in host.messages)
    assert all(not re.search(rb"(?<!\r)\n|\r(?!\n)", m.wire) for m in host.messages)     # never passed on as it came


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"\n\r\n", b"x\r\r\n"], ids=lambda b: repr(b)[2:-1])
def test_bare_line_ends_are_refused(world, client, inbox, body):
    domain, host = inbox
    client.envelope("ann@a.example", [domain.user()])
    reply = client.data(b"Subject: x\r\n\r\n" + body)
    assert reply[0] in (550, 554, 500), reply
    assert client.command("NOOP")[0] in (250, 0, 421)
    assert not host.messages


def test_dots_are_transparent(world, client, inbox):
    domain, host = inbox
    data = message(body=".\r\n..\r\n...\r\n.x\r\n")
    client.envelope("ann@a.example", [domain.user()])
    identifier = queue_id(client.data(data))
    assert same_message(host.wait_messages()[0].data, data, identifier)


def test_bdat(world, client, inbox):
    domain, host = inbox
    data = message(body="one\r\n.\r\ntwo\r\n")
    client.envelope("ann@a.example", [domain.user()])
    client.send(b"BDAT 10\r\n" + data[:10])
    assert client.reply()[0] == 250
    client.send(b"BDAT %d LAST\r\n" % (len(data) - 10) + data[10:])
    identifier = queue_id(client.reply())
    assert same_message(host.wait_messages()[0].data, data, identifier)


def test_bdat_zero_last(world, client, inbox):
    domain, host = inbox
    data = message()
    client.envelope("ann@a.example", [domain.user()])
    client.send(b"BDAT %d\r\n" % len(data) + data + b"BDAT 0 LAST\r\n")
    assert client.reply()[0] == 250
    identifier = queue_id(client.reply())
    assert same_message(host.wait_messages()[0].data, data, identifier)


def test_data_after_bdat_is_out_of_place(client, inbox):
    client.envelope("ann@a.example", [inbox[0].user()])
    client.send(b"BDAT 3\r\nabc")
    assert client.reply()[0] == 250
    assert client.command("DATA")[0] == 503
    assert client.command("RSET")[0] == 250


def test_bdat_without_recipients_swallows_its_octets(client):
    client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert client.reply()[0] in (503, 554)
    assert client.reply()[0] == 250


def test_nul_has_a_defined_outcome(world, client, inbox):
    domain, host = inbox
    client.envelope("ann@a.example", [domain.user()])
    reply = client.data(b"Subject: x\r\n\r\na\0b\r\n")
    assert reply[0] in (250, 550, 554)
    if reply[0] == 250:
        assert host.wait_messages()[0].data.endswith(b"a\0b\r\n")


def test_message_too_large(world, start_relay, inbox):
    relay = start_relay(limits={"message_size": "100K"})
    domain, host = inbox
    with Client(relay.address) as client:
        client.hello()
        assert code(client.command("MAIL FROM:<a@a.example> SIZE=200000"), 552, "5.3.4")
        client.envelope("ann@a.example", [domain.user()])
        assert code(client.data(message(body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 3000)), 552, "5.3.4")
        client.envelope("ann@a.example", [domain.user()])
        client.send(b"BDAT 200000 LAST\r\n" + b"z" * 200000)
        assert code(client.reply(), 552, "5.3.4")
        client.envelope("ann@a.example", [domain.user()])       # and goes on
        queue_id(client.data(message()))
    host.wait_messages()


def test_recipient_limit_keeps_the_earlier_ones(world, start_relay, inbox):
    relay = start_relay(limits={"recipients": 100})
    domain, host = inbox
    with Client(relay.address) as client:
        assert "RCPTMAX=100" in client.hello()["LIMITS"]
        client.envelope("ann@a.example", [domain.user(f"u{i}") for i in range(100)])
        assert code(client.command(f"RCPT TO:<{domain.user('more')}>"), 452, "4.5.3")
        queue_id(client.data(message()))
    assert sum(len(m.rcpt_to) for m in host.wait_messages()) == 100


def test_too_many_received_fields_are_a_loop(client, inbox):
    hop = "Received: from a.example by b.example; Sun, 22 Nov 2026 12:00:00 +0000\r\n"
    client.envelope("ann@a.example", [inbox[0].user()])
    assert code(client.data(message(headers=hop * 101)), 554, "5.4.6")


def test_header_section_too_large(client, inbox):
    client.envelope("ann@a.example", [inbox[0].user()])
    assert code(client.data(message(headers=("X-Fill: " + "y" * 900 + "\r\n") * 1300)), 552, "5.3.4")


def test_header_section_of_64_kib_is_fine(world, client, inbox):
    domain, host = inbox
    data = message(headers=("X-Fill: " + "y" * 900 + "\r\n") * 72)
    client.envelope("ann@a.example", [domain.user()])
    identifier = queue_id(client.data(data))
    assert same_message(host.wait_messages()[0].data, data, identifier)


# What is added.

def header(data):
    return data.split(b"\r\n\r\n")[0].decode()


@pytest.mark.parametrize("hello, word", [("EHLO client.example", "ESMTP"), ("HELO client.example", "SMTP")])
def test_received_field(world, relay, inbox, hello, word):
    domain, host = inbox
    with Client(relay.address) as client:
        assert client.command(hello)[0] == 250
        client.envelope("ann@a.example", [domain.user()])
        identifier = queue_id(client.data(message()))
    field = " ".join(header(host.wait_messages()[0].data).split("From:")[0].split())
    assert re.match(rf"Received: from client\.example \(.*127\.0\.0\.1.*\) by relay\.example .*with {word} id {identifier}\b.*; "
                    r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", field), field


def test_message_id_and_date_are_added_where_missing(world, client, inbox):
    domain, host = inbox
    client.envelope("ann@a.example", [domain.user()])
    queue_id(client.data(b"From: ann@a.example\r\n\r\nno more\r\n"))
    text = header(host.wait_messages()[0].data)
    assert len(re.findall(r"(?mi)^Message-ID: <[^<>@ ]+@relay\.example>", text)) == 1
    assert len(re.findall(r"(?mi)^Date: \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r?$", text)) == 1


# Limits.

def test_long_command_line(client):
    assert client.command("NOOP " + "x" * 2000)[0] == 250
    assert code(client.command("NOOP " + "x" * 9000), 500, "5.5.2")
    assert client.command("NOOP")[0] == 250


def test_endless_command_line_is_cut_off(relay):
    with Client(relay.address) as client:
        client.hello()
        try:
            for _ in range(100):
                client.send(b"x" * 4096)
        except OSError:
            pass                        # it has closed already
        codes = []
        while (reply := client.reply())[0]:
            codes.append(reply[0])
        assert codes in ([421], [500, 421], [])


def test_errors_are_limited(client):
    codes = []
    for _ in range(25):
        reply = client.command("XYZZY")
        codes.append(reply[0])
        if reply[0] in (421, 0):
            break
    assert codes[:19] == [500] * 19 and codes[-1] == 421 and len(codes) <= 22


def test_connections_are_limited(start_relay):
    relay = start_relay(limits={"connections": 5}, shards=1)
    clients = [Client(relay.address) for _ in range(5)]
    with Client(relay.address) as late:
        assert code(late.greeting, 421, "4.7.0")
    clients.pop().close()
    time.sleep(0.3)
    with Client(relay.address) as again:
        assert again.greeting[0] == 220
    for client in clients:
        client.close()


def test_connections_of_one_client_are_limited(start_relay):
    relay = start_relay(limits={"connections_per_client": 2}, shards=1)
    with Client(relay.address), Client(relay.address), Client(relay.address) as late:
        assert code(late.greeting, 421, "4.7.0")


def test_client_that_leaves_in_the_middle_leaves_nothing(world, relay, inbox):
    domain, host = inbox
    for _ in range(20):
        with Client(relay.address) as client:
            client.hello()
            client.envelope("ann@a.example", [domain.user()])
            client.command("DATA")
            client.send(b"Subject: never\r\n\r\n" + b"half of it\r\n" * 20000)
    submit(relay.address, domain.user())
    assert [m.data.count(b"half of it") for m in host.wait_messages()] == [0]
    relay.wait_empty()


def test_ipv6_listener(world, start_relay, inbox):
    domain, host = inbox
    relay = start_relay(listen=[{"address": "[::1]:2525", "allow": ["::1/128"]}])
    submit(("::1", 2525), domain.user())
    assert b"[IPv6:::1]" in host.wait_messages()[0].data or b"::1" in host.wait_messages()[0].data


def test_listeners_have_their_own_lists(world, start_relay, inbox):
    domain, host = inbox
    start_relay(listen=[{"address": "127.0.0.1:2525", "allow": ["127.0.0.7/32"]},
                        {"address": "127.0.0.1:2526", "allow": ["127.0.0.1/32"]}])
    with Client(("127.0.0.1", 2525)) as client:
        client.hello()
        client.command("MAIL FROM:<>")
        assert client.command(f"RCPT TO:<{domain.user()}>")[0] == 550
    submit(("127.0.0.1", 2526), domain.user())
    host.wait_messages()


def test_loopback_only_by_default(make_relay, world, inbox):
    """Without a listen section: 127.0.0.1:2525 for 127.0.0.0/8 and ::1."""
    relay = make_relay()
    del relay.config["listen"]
    relay.write_config()
    relay.start()
    submit(("127.0.0.1", 2525), inbox[0].user())
    inbox[1].wait_messages()
