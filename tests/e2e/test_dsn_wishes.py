"""What the envelope asks for: who is told of what (RFC 3461, 6533), held mail (RFC 4865), mail with a time limit (RFC 2852), and the order (RFC 6710)."""

import email
import email.policy
import subprocess
import time

import pytest

from lab import spool
from lab.behaviour import Close, by_recipient
from lab.client import Client, message, queue_id
from lab.postfix import postfix_client

KEYWORDS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")
DSN = (*KEYWORDS, "DSN")
QUIET_S = 1.5                                   # nothing came for so long: nothing comes


class Wishful:
    """Hands in mail with parameters: one (address, parameters) a recipient."""

    def __init__(self, relay):
        self.relay = relay

    def __call__(self, recipients, data=None, sender="ann@sender.example", args=""):
        with Client(self.relay.address) as client:
            client.hello()
            code, text = client.command(f"MAIL FROM:<{sender}>{args and ' ' + args}")
            assert code == 250, (code, text)
            for address, wish in recipients:
                code, text = client.command(f"RCPT TO:<{address}>{wish and ' ' + wish}")
                assert code == 250, (address, code, text)
            identifier = queue_id(client.data(message() if data is None else data))
            client.command("QUIT")
            return identifier


@pytest.fixture
def ask(relay):
    return Wishful(relay)


class Notice:
    """A notification taken apart."""

    def __init__(self, got):
        assert got.mail_from == b""
        self.data = got.data
        mail = email.message_from_bytes(got.data, policy=email.policy.default.clone(utf8=True))
        assert mail.get_content_type() == "multipart/report" and mail["Auto-Submitted"] == "auto-replied"
        self.mail = mail
        self.text, self.status, *rest = mail.get_payload()
        self.original = rest[0] if rest else None
        self.message, *self.recipients = fields(self.status)
        [self.action] = {r["Action"] for r in self.recipients}


def fields(part):
    """The groups of fields of a status part, in whatever type it is."""
    raw = part.as_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2].decode("utf-8")
    groups = [group for group in raw.strip("\n").split("\n\n") if group]
    return [dict(line.split(": ", 1) for line in group.replace("\n ", " ").split("\n")) for group in groups]


def notices(home, count, timeout=15):
    """Exactly so many come."""
    got = home.host.wait_messages(count, timeout) if count else []
    time.sleep(QUIET_S)
    assert len(home.host.messages) == count
    return [Notice(one) for one in got]


# Wish, ability, outcome: and what the sender hears.

FAIL, TAKE, LATER = "550 5.1.1 no such user", None, "450 4.2.1 busy"


@pytest.mark.parametrize("notify, keywords, reply, action", [
    ("", KEYWORDS, TAKE, None), ("", KEYWORDS, FAIL, "failed"), ("", DSN, TAKE, None), ("", DSN, FAIL, "failed"),
    ("SUCCESS", KEYWORDS, TAKE, "relayed"), ("SUCCESS", KEYWORDS, FAIL, None), ("SUCCESS", DSN, TAKE, None), ("SUCCESS", DSN, FAIL, None),
    ("FAILURE", KEYWORDS, TAKE, None), ("FAILURE", KEYWORDS, FAIL, "failed"), ("FAILURE", DSN, FAIL, "failed"),
    ("NEVER", KEYWORDS, TAKE, None), ("NEVER", KEYWORDS, FAIL, None), ("NEVER", DSN, TAKE, None), ("NEVER", DSN, FAIL, None),
    ("DELAY", KEYWORDS, TAKE, None), ("DELAY", KEYWORDS, FAIL, None),
    ("SUCCESS,FAILURE,DELAY", KEYWORDS, TAKE, "relayed"), ("SUCCESS,FAILURE,DELAY", DSN, TAKE, None), ("SUCCESS,FAILURE", DSN, FAIL, "failed")])
def test_who_is_told(world, relay, ask, home, notify, keywords, reply, action):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=keywords, on={"RCPT": reply}))
    wish = f"NOTIFY={notify} " if notify else ""
    ask([(domain.user(), f"{wish}ORCPT=rfc822;bob+2Btag@old.example")], sender=home.user(), args="ENVID=QQ+2B1")
    found = notices(home, 1 if action else 0)
    relay.wait_empty()
    commands = [line for session in host.sessions for line, _ in session.commands]
    [mail] = [line for line in commands if line.startswith(b"MAIL")]
    [rcpt] = [line for line in commands if line.startswith(b"RCPT")]
    passed_on = "DSN" in keywords
    assert (b"ENVID=QQ+2B1" in mail) == passed_on
    assert (b"ORCPT=rfc822;bob+2Btag@old.example" in rcpt) == passed_on
    assert (f"NOTIFY={notify}".encode() in rcpt) == (passed_on and bool(notify))
    if action:
        [notice] = found
        assert notice.action == action and notice.message["Original-Envelope-Id"] == "QQ+1"
        [recipient] = notice.recipients
        assert recipient["Original-Recipient"] == "rfc822; bob+tag@old.example"
        assert recipient["Final-Recipient"] == f"rfc822; {domain.user()}"
        assert recipient["Status"] == ("2.0.0" if action == "relayed" else "5.1.1")
        assert ("250 2.0.0 taken" if action == "relayed" else "550 5.1.1") in recipient["Diagnostic-Code"]


@pytest.mark.parametrize("notify, count", [("", 1), ("DELAY", 1), ("FAILURE", 0), ("NEVER", 0)])
def test_delay_is_told_where_it_is_asked_for(world, start_relay, home, notify, count):
    relay = start_relay(delivery={"delay_notice": "1s"})
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": LATER}))
    Wishful(relay)([(domain.user(), f"NOTIFY={notify}" if notify else "")], sender=home.user())
    relay.wait_delivery(domain.name, result="deferred", count=3)
    for notice in notices(home, count):
        assert notice.action == "delayed" and notice.recipients[0]["Status"] == "4.2.1"
        assert notice.original.get_content_type() == "text/rfc822-headers"      # RFC 3461 4.3: no failure, so no more than the header


def test_several_kinds_of_notices_at_once(world, start_relay, home):
    """One transaction in which one recipient is taken, one refused for good, one for now: three notices, each with one of them."""
    relay = start_relay(delivery={"delay_notice": "1s"})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "451 4.3.0 not yet"}))
    ann, bob, eve = (domain.user(name) for name in ("ann", "bob", "eve"))
    Wishful(relay)([(ann, "NOTIFY=SUCCESS"), (bob, "NOTIFY=FAILURE"), (eve, "NOTIFY=DELAY")], sender=home.user())
    relay.wait_delivery(domain.name, result="deferred", count=3)
    time.sleep(1.1)
    host.behaviour = host.behaviour.but(on={"RCPT": by_recipient({bob: FAIL, eve: LATER})})
    told = {notice.action: notice.recipients for notice in notices(home, 3)}
    assert {action: [r["Final-Recipient"] for r in group] for action, group in told.items()} == {
        "relayed": [f"rfc822; {ann}"], "failed": [f"rfc822; {bob}"], "delayed": [f"rfc822; {eve}"]}


@pytest.mark.parametrize("ret, size, kind", [
    ("", 100, "message/rfc822"), ("HDRS", 100, "text/rfc822-headers"), ("FULL", 100, "message/rfc822"),
    ("", 90000, "text/rfc822-headers"), ("FULL", 90000, "message/rfc822"), ("FULL", 400000, "message/rfc822"),
    ("HDRS", 400000, "text/rfc822-headers"), ("FULL", 1200000, "text/rfc822-headers")])
def test_what_is_returned(world, ask, home, ret, size, kind):
    """In memory, and past limits.inline_body (128 KiB) in a file."""
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={".": "554 5.6.0 no"}))
    data = message(body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * (size // 72))
    ask([(domain.user(), "")], data, sender=home.user(), args=f"RET={ret}" if ret else "")
    [notice] = notices(home, 1)
    assert notice.original.get_content_type() == kind
    assert (b"\r\n" + b"x" * 70 + b"\r\n" in notice.data) == (kind == "message/rfc822")
    assert b"Subject: hello\r\n" in notice.data
    if kind == "message/rfc822":
        assert data in notice.data


# RFC 6533.

def test_internationalized_notice(world, ask, home):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(keywords=(*KEYWORDS, "SMTPUTF8"), on={"RCPT": FAIL}))
    data = "From: Ann <ann@sender.example>\r\nSubject: grüße\r\n\r\nhi\r\n".encode()
    ask([(f"büb@{domain}", "ORCPT=utf-8;b\\x{FC}b@old.example")], data, sender=home.user(), args="SMTPUTF8 BODY=8BITMIME")
    [notice] = notices(home, 1)
    assert notice.status.get_content_type() == "message/global-delivery-status"
    assert notice.original.get_content_type() in ("message/global", "message/global-headers")
    [recipient] = notice.recipients
    assert recipient["Final-Recipient"] == f"utf-8; büb@{domain}"
    assert recipient["Original-Recipient"] == "utf-8; büb@old.example"
    [got] = home.host.messages
    assert b"SMTPUTF8" not in got.mail_args             # its envelope and header are ASCII


# RFC 8689 5.

def test_bounce_is_not_lost_for_want_of_requiretls(world, make_relay, home):
    """The way back offers no REQUIRETLS: the bounce, which has headers only, goes all the same, once."""
    relay = make_relay().start()
    relay.stop()
    domain = world.domain()
    host = domain.mx()
    spool.put(relay, domain.user(), spool.REQUIRE_TLS, sender=home.user())
    relay.start()
    [notice] = notices(home, 1)
    assert notice.recipients[0]["Status"] == "5.7.30" and notice.original.get_content_type() == "text/rfc822-headers"
    assert b"REQUIRETLS" not in home.host.messages[0].mail_args and not host.messages
    relay.wait_empty()


# RFC 4865.

def hold(seconds):
    return f"HOLDFOR={seconds}"


@pytest.fixture
def held_relay(start_relay):
    return start_relay(limits={"hold": "1h"}, delivery={"delay_notice": "1s"})


def test_held_mail_goes_at_its_time_and_is_not_late(world, held_relay, home):
    domain = world.domain()
    host = domain.mx()
    began = time.monotonic()
    Wishful(held_relay)([(domain.user(), "")], sender=home.user(), args=hold(4))
    assert len(held_relay.queued()) == 1
    [got] = host.wait_messages(timeout=20)
    assert 3.9 < got.at - began < 8
    notices(home, 0)                                    # waiting was what it asked for
    held_relay.wait_empty()


def test_notice_tells_of_the_hold(world, held_relay, home):
    """RFC 4865 5.1.2."""
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": FAIL}))
    Wishful(held_relay)([(domain.user(), "")], sender=home.user(), args=hold(1))
    [notice] = notices(home, 1, timeout=20)
    assert notice.message["Future-Release-Request"] == "for;1" and "Arrival-Date" in notice.message


def test_killed_while_it_holds(world, held_relay, home):
    domain = world.domain()
    host = domain.mx()
    began = time.monotonic()
    Wishful(held_relay)([(domain.user(), "")], sender=home.user(), args=hold(6))
    held_relay.expect_failure = True
    held_relay.kill()
    held_relay.start()
    [got] = host.wait_messages(timeout=30)
    assert got.at - began > 5.9
    held_relay.wait_empty()
    assert len(host.messages) == 1


def test_clock_that_jumps_over_the_hold(world, make_plain):
    relay = make_plain(limits={"hold": "10h"})
    relay.set_clock(time.time())
    relay.start()
    domain = world.domain()
    host = domain.mx()
    Wishful(relay)([(domain.user(), "")], args=hold(20000))
    time.sleep(QUIET_S)
    assert not host.messages
    relay.set_clock(relay.clock() - 40000)              # back: it waits, and is not lost
    time.sleep(QUIET_S)
    assert not host.messages and relay.queued()
    relay.set_clock(relay.clock() + 70000)
    host.wait_messages(timeout=20)
    relay.wait_empty()


# RFC 2852.

def test_too_late_is_returned_without_an_attempt(world, start_relay, home):
    """The next try would be in an hour: it is the time that ends it."""
    relay = start_relay(delivery={"retry": {"first": "1h", "max": "1h"}})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=(*KEYWORDS, "DELIVERBY"), on={"RCPT": LATER}))
    ask = Wishful(relay)
    ask([(domain.user(), "")], sender=home.user(), args="BY=4;R")
    [notice] = notices(home, 1, timeout=20)
    assert (notice.action, notice.recipients[0]["Status"]) == ("failed", "5.4.7") and "Deliver-By-Date" in notice.message
    assert "450 4.2.1 busy" in notice.recipients[0]["Diagnostic-Code"]
    relay.wait_empty()
    assert host.verbs().count("RCPT") == 1


def test_late_is_told_and_delivery_goes_on(world, start_relay, home):
    relay = start_relay(delivery={"retry": {"first": "9s", "max": "9s"}})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": LATER}))
    Wishful(relay)([(domain.user(), "")], sender=home.user(), args="BY=2;N")
    relay.wait_delivery(domain.name, result="deferred")
    host.behaviour = host.behaviour.but(on={})
    began = time.monotonic()
    home.host.wait_messages(timeout=20)
    [got] = host.wait_messages(timeout=20)
    assert got.at - began > 7                           # the notice is no reason to try again
    found = notices(home, 2)                            # RFC 2852: a hop that knows nothing of the time: relayed, too
    assert sorted(notice.action for notice in found) == ["delayed", "relayed"]
    [delayed] = [notice for notice in found if notice.action == "delayed"]
    assert delayed.recipients[0]["Status"] == "4.4.7"
    relay.wait_empty()


@pytest.mark.parametrize("notify, count", [("", 1), ("NOTIFY=NEVER", 0)])
def test_trace(world, ask, home, notify, count):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(keywords=(*DSN, "DELIVERBY")))
    ask([(domain.user(), notify)], sender=home.user(), args="BY=600;NT")
    for notice in notices(home, count):
        assert notice.action == "relayed"


# RFC 6710.

def test_urgent_mail_goes_first(world, start_relay):
    """All of it waits in the spool while the site refuses sessions; then one session takes it."""
    relay = start_relay(delivery={"concurrency": 1, "retry": {"first": "3s", "max": "3s"}})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": Close("421 4.3.2 not now")}))
    ask = Wishful(relay)
    for number, priority in enumerate((0, -4, 9, 3, 0)):
        ask([(domain.user(), "")], message(f"n{number}"), args=f"MT-PRIORITY={priority}")
    relay.wait_held(domain.name)
    host.behaviour = host.behaviour.but(on={})
    subjects = [email.message_from_bytes(got.data)["Subject"] for got in host.wait_messages(5, timeout=30)]
    assert subjects == ["n2", "n3", "n0", "n4", "n1"]


def test_nobody_is_more_urgent_than_granted(world, start_relay, home):
    """RFC 6710 4.1, 4.6: lowered, and said so in the log and to the next hop; what tells of the mail is as urgent."""
    relay = start_relay(limits={"priority": 4})
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": FAIL}))
    home.host.behaviour = home.host.behaviour.but(keywords=(*KEYWORDS, "MT-PRIORITY"))
    Wishful(relay)([(domain.user(), "")], sender=home.user(), args="MT-PRIORITY=9")
    [notice] = notices(home, 1)
    assert b"PRIORITY 4;" in home.host.messages[0].data and b"MT-PRIORITY=4" in home.host.messages[0].mail_args
    assert relay.events(event="accepted")[0]["priority"] == 4


# Postfix as the client: sendmail -N, -V, -R.

@pytest.fixture(scope="module")
def local_mta(world, lab_dir):
    postfix = postfix_client(f"{lab_dir}/postfix-wishes", "wishes.example", world.address(), "127.0.0.1", 2525)
    yield postfix
    postfix.stop()


@pytest.mark.parametrize("notify, keywords, reply, action", [
    ("success", KEYWORDS, TAKE, "relayed"), ("success", DSN, TAKE, None), ("failure", KEYWORDS, FAIL, "failed"), ("never", KEYWORDS, FAIL, None)])
def test_postfix_hands_on_what_was_asked_for(world, relay, home, local_mta, notify, keywords, reply, action):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(keywords=keywords, on={"RCPT": reply}))
    subprocess.run(["sendmail", "-C", f"{local_mta.folder}/etc", "-N", notify, "-V", "env+id", "-R", "hdrs", "-f", home.user(), domain.user()],
                   input=message().replace(b"\r\n", b"\n"), check=True)
    relay.wait_delivery(domain.name, result="bounced" if reply else "delivered")
    for notice in notices(home, 1 if action else 0):
        assert notice.action == action and notice.message["Original-Envelope-Id"] == "env+id"
        assert notice.original.get_content_type() == "text/rfc822-headers"
        assert notice.recipients[0]["Original-Recipient"].replace(" ", "") == f"rfc822;{domain.user()}"
