"""What a sender asks for, and what the next hop can do: rows of both, and what must come of them.

What is said is read from the lines that a scripted host wrote down; what a real MTA makes of it, from the notices that it sends.
"""

import re

import pytest
from aiosmtpd.controller import Controller

from lab.client import Client, message, queue_id
from lab.postfix import postfix_mx

BASE = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")
UMLAUT = "j\u00f6rg"


def hand_in(relay, recipients, data=None, mail="", chunked=False, sender="ann@sender.example"):
    """Hands a message over; `recipients` are addresses or (address, parameters). Returns its queue identifier."""
    data = message() if data is None else data
    with Client(relay.address) as client:
        client.hello()
        code, text = client.command(f"MAIL FROM:<{sender}> {mail}".rstrip())
        assert code == 250, (mail, code, text)
        for recipient in recipients:
            address, args = recipient if isinstance(recipient, tuple) else (recipient, "")
            code, text = client.command(f"RCPT TO:<{address}> {args}".rstrip())
            assert code == 250, (recipient, code, text)
        if not chunked:
            return queue_id(client.data(data))
        client.send(b"BDAT %d LAST\r\n" % len(data) + data)
        return queue_id(client.reply())


def lines(host, verb):
    """The commands of this verb that came to `host`, as text."""
    return [line.decode("utf-8") for session in host.sessions for line, _ in session.commands if line.upper().startswith(verb.encode())]


def words(host, verb):
    """The parameters of the only command of this verb."""
    [line] = lines(host, verb)
    return line.partition("> ")[2].split()


def peer(world, *keywords, without=()):
    """A domain with a host that offers these keywords besides the usual ones."""
    domain = world.domain()
    offered = tuple(word for word in BASE if word not in without) + keywords
    return domain, domain.mx(world.honest(f"mx1.{domain}").but(keywords=offered))


def bounced(relay, domain, status):
    """The event of a mail that was given up with this status, before anything of it was said."""
    event = relay.wait_delivery(domain.name, result="bounced")
    assert event["status"] == status, event
    return event


# DSN: RFC 3461.

ASKED = ("RET=HDRS ENVID=QQ+2B314159", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B1@old.example")
DSN = [
    # label, sender's MAIL and RCPT, next hop's keywords, what it is told with MAIL and with RCPT ({to}: the address)
    ("all goes on", *ASKED, ("DSN",), "RET=HDRS ENVID=QQ+2B314159", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B1@old.example"),
    ("by BDAT too", *ASKED, ("DSN", "CHUNKING"), "RET=HDRS ENVID=QQ+2B314159", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2B1@old.example"),
    ("nothing to a host without", *ASKED, (), "", ""),
    ("never", "", "NOTIFY=NEVER", ("DSN",), "", "NOTIFY=NEVER ORCPT=rfc822;{to}"),
    ("an ORCPT alone", "", "ORCPT=rfc822;a@b.example", ("DSN",), "", "ORCPT=rfc822;a@b.example"),
    ("nothing was asked for", "", "", ("DSN",), "", ""),
]


@pytest.mark.parametrize("mail,rcpt,keywords,told_mail,told_rcpt", [row[1:] for row in DSN], ids=[row[0] for row in DSN])
def test_dsn(world, relay, mail, rcpt, keywords, told_mail, told_rcpt):
    domain, host = peer(world, *keywords)
    hand_in(relay, [(domain.user(), rcpt)], mail=mail)
    host.wait_messages()
    assert [w for w in words(host, "MAIL") if w.startswith(("RET", "ENVID"))] == told_mail.split()
    assert words(host, "RCPT") == told_rcpt.format(to=domain.user()).split()


def test_recipients_of_one_mail_ask_for_different_things(world, relay):
    domain, host = peer(world, "DSN")
    hand_in(relay, [(domain.user("a"), "NOTIFY=NEVER"), domain.user("b"), (domain.user("c"), "NOTIFY=FAILURE")])
    host.wait_messages()
    told = {line.partition("<")[2].partition("@")[0]: line.partition("> ")[2].split(" ")[0] for line in lines(host, "RCPT")}
    assert told == {"a": "NOTIFY=NEVER", "b": "", "c": "NOTIFY=FAILURE"}


# SMTPUTF8: RFC 6531.

UTF8 = [
    # label, local part, header, MAIL parameters, does the host offer it, is it said, status of a bounce
    ("an address, to a host with", UMLAUT, "hello", "SMTPUTF8", True, True, None),
    ("an address, to a host without", UMLAUT, "hello", "SMTPUTF8", False, False, "5.6.7"),
    ("a header, to a host with", "bob", "gr\u00fc\u00dfe", "SMTPUTF8 BODY=8BITMIME", True, True, None),
    ("a header, to a host without", "bob", "gr\u00fc\u00dfe", "SMTPUTF8 BODY=8BITMIME", False, False, "5.6.7"),
    ("said, and needed by nothing, to a host with", "bob", "hello", "SMTPUTF8", True, False, None),
    ("said, and needed by nothing, to a host without", "bob", "hello", "SMTPUTF8", False, False, None),
]


@pytest.mark.parametrize("local,subject,mail,offered,said,status", [row[1:] for row in UTF8], ids=[row[0] for row in UTF8])
def test_smtputf8(world, relay, local, subject, mail, offered, said, status):
    domain, host = peer(world, *(["SMTPUTF8"] if offered else []))
    data = message("x").replace(b"Subject: x", f"Subject: {subject}".encode())
    hand_in(relay, [domain.user(local)], data, mail=mail)
    if status:
        bounced(relay, domain, status)
        assert not lines(host, "RCPT")
        return
    [got] = host.wait_messages()
    assert got.rcpt_to == [domain.user(local).encode()] and got.data.endswith(data)
    assert ("SMTPUTF8" in words(host, "MAIL")) == said


def test_a_domain_beyond_ascii_needs_no_smtputf8(world, relay):
    domain = world.domain(name="xn--bcher-kva.example")
    host = domain.mx()
    hand_in(relay, ["bob@b\u00fccher.example"], mail="SMTPUTF8")
    [got] = host.wait_messages()
    assert got.rcpt_to == [b"bob@xn--bcher-kva.example"] and "SMTPUTF8" not in words(host, "MAIL")


def test_smtputf8_by_one_recipient_does_not_hold_up_another(world, relay):
    domain, host = peer(world)
    hand_in(relay, [domain.user(UMLAUT), domain.user("bob")], mail="SMTPUTF8")
    [got] = host.wait_messages()
    assert got.rcpt_to == [domain.user("bob").encode()]
    bounced(relay, domain, "5.6.7")


# Content: RFC 6152, RFC 3030.

BINARY = message("binary", headers="MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n",
                 body="") + bytes(range(256)) * 5 + b"\r\rx\n\n\0 no end"
CONTENT = [
    # label, MAIL parameters, content, by BDAT, more keywords, fewer keywords, BODY= as it is said, status of a bounce
    ("8-bit to a host with 8BITMIME", "BODY=8BITMIME", message(body="gr\u00fc\u00dfe\r\n"), False, (), (), "BODY=8BITMIME", None),
    ("8-bit to a host of 7 bits", "BODY=8BITMIME", message(body="gr\u00fc\u00dfe\r\n"), False, (), ("8BITMIME",), None, "5.6.3"),
    ("binary to a host with BINARYMIME", "BODY=BINARYMIME", BINARY, True, ("BINARYMIME", "CHUNKING"), (), "BODY=BINARYMIME", None),
    ("binary without PIPELINING", "BODY=BINARYMIME", BINARY, True, ("BINARYMIME", "CHUNKING"), ("PIPELINING",), "BODY=BINARYMIME", None),
    ("much of it", "BODY=BINARYMIME", BINARY + bytes(range(256)) * 2000, True, ("BINARYMIME", "CHUNKING"), (), "BODY=BINARYMIME", None),
    ("binary to a host without BINARYMIME", "BODY=BINARYMIME", BINARY, True, ("CHUNKING",), (), None, "5.6.3"),
    ("binary to a host without CHUNKING", "BODY=BINARYMIME", BINARY, True, ("BINARYMIME",), (), None, "5.6.3"),
    ("text that was called binary", "BODY=BINARYMIME", message(), True, (), (), "", None),
]


@pytest.mark.parametrize("mail,data,chunked,more,fewer,said,status", [row[1:] for row in CONTENT], ids=[row[0] for row in CONTENT])
def test_content(world, relay, mail, data, chunked, more, fewer, said, status):
    domain, host = peer(world, *more, without=fewer)
    hand_in(relay, [domain.user()], data, mail=mail, chunked=chunked)
    if status:
        bounced(relay, domain, status)
        assert not lines(host, "MAIL")
        return
    [got] = host.wait_messages()
    assert got.data.endswith(data) and got.data.startswith(b"Received: ")
    assert [w for w in words(host, "MAIL") if w.startswith("BODY=")] == said.split()


# Priorities and times: RFC 6710, RFC 2852.

def test_priority_goes_on_to_a_host_that_knows_it(world, relay):
    domain, host = peer(world, "MT-PRIORITY")
    plain, other = peer(world)
    hand_in(relay, [domain.user(), plain.user()], mail="MT-PRIORITY=-3")
    host.wait_messages()
    other.wait_messages()
    assert "MT-PRIORITY=-3" in words(host, "MAIL")
    assert not [w for w in words(other, "MAIL") if w.startswith("MT-PRIORITY")]


BY = [
    # label, sender's BY, next hop's keywords, what it is told, status of a bounce
    ("return, to a host with", "3600;R", ("DELIVERBY",), r"BY=3[56]\d\d;R", None),
    ("return with trace, above its minimum", "3600;RT", ("DELIVERBY 60",), r"BY=3[56]\d\d;RT", None),
    ("return, below its minimum", "3600;R", ("DELIVERBY 86400",), None, "5.4.7"),
    ("return, to a host without", "3600;R", (), None, "5.4.7"),
    ("notify, below its minimum", "3600;N", ("DELIVERBY 86400",), r"BY=3[56]\d\d;N", None),
    ("notify, to a host without", "3600;N", (), "", None),
]


@pytest.mark.parametrize("by,keywords,told,status", [row[1:] for row in BY], ids=[row[0] for row in BY])
def test_deliver_by(world, relay, by, keywords, told, status):
    domain, host = peer(world, *keywords)
    hand_in(relay, [domain.user()], mail=f"BY={by}")
    if status:
        bounced(relay, domain, status)
        assert not lines(host, "MAIL")
        return
    host.wait_messages()
    assert re.fullmatch(told, " ".join(w for w in words(host, "MAIL") if w.startswith("BY=")))


# Real MTAs.

@pytest.fixture(scope="module")
def postfix_domain(world, lab_dir):
    """A domain whose MX host is a Postfix: DSN, SMTPUTF8, CHUNKING."""
    domain, address = world.domain("dsnfix"), world.address()
    name = f"mx1.{domain}"
    world.set_addresses(name, [address])
    domain.set_mx((10, name))
    domain.host = postfix_mx(f"{lab_dir}/postfix-dsn", name, address, world.ca.good(name), [domain.name])
    yield domain
    domain.host.stop()


def test_postfix_tells_of_success_what_the_sender_asked_for(world, relay, postfix_domain):
    """RFC 3461 5.2.1: ENVID, RET and ORCPT come back in its notice, and it alone makes one."""
    origin = world.domain("origin")
    home = origin.mx()
    before = len(postfix_domain.host.messages())
    hand_in(relay, [(postfix_domain.user(), "NOTIFY=SUCCESS ORCPT=rfc822;Bob@old.example")], mail="RET=HDRS ENVID=QQ314159", sender=origin.user())
    postfix_domain.host.wait_messages(before + 1)
    [notice] = home.wait_messages()
    text = notice.data.decode().lower()
    assert notice.mail_from == b"" and "original-envelope-id: qq314159" in text and "original-recipient: rfc822;bob@old.example" in text
    assert "action: delivered" in text
    relay.wait_empty()
    assert len(home.messages) == 1


def test_postfix_takes_an_address_and_a_header_beyond_ascii(relay, postfix_domain):
    before = len(postfix_domain.host.messages())
    data = message("x").replace(b"Subject: x", "Subject: gr\u00fc\u00dfe".encode())
    hand_in(relay, [(postfix_domain.user(UMLAUT), f"NOTIFY=FAILURE ORCPT=utf-8;{postfix_domain.user(UMLAUT)}")], data, mail="SMTPUTF8 BODY=8BITMIME")
    got = postfix_domain.host.wait_messages(before + 1)[-1]
    assert "Subject: gr\u00fc\u00dfe".encode() in got and b"with UTF8SMTPS" in got
    assert relay.wait_delivery(postfix_domain.name, to=postfix_domain.user(UMLAUT))["result"] == "delivered"


class Kept:
    """What an aiosmtpd was given."""

    def __init__(self):
        self.envelopes = []

    async def handle_DATA(self, server, session, envelope):         # the name is aiosmtpd's
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"


def test_aiosmtpd_takes_an_address_beyond_ascii(world, relay):
    domain, address, kept = world.domain(), world.address(), Kept()
    world.set_addresses(f"mx1.{domain}", [address])
    domain.add_mx(f"mx1.{domain}")
    controller = Controller(kept, hostname=address, port=25, enable_SMTPUTF8=True)
    controller.start()
    try:
        hand_in(relay, [domain.user(UMLAUT)], mail="SMTPUTF8")
        assert relay.wait_delivery(domain.name)["result"] == "delivered"
        [envelope] = kept.envelopes
        assert envelope.rcpt_tos == [domain.user(UMLAUT)] and envelope.smtp_utf8
    finally:
        controller.stop()
