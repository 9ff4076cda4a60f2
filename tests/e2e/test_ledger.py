"""What the ledger has after each session: the rows that the report of the day is made from, exactly."""

import contextlib
import random
import sqlite3
import threading
import time

import pytest

from evidence import let_dns_age
from lab.behaviour import Drop, Hang, Reset, Slow
from lab.client import message, submit
from lab.oddhttps import answer
from lab.process import NotReady, wait_until
from lab.tap import NXDOMAIN, SERVFAIL
from test_policy_table import make_faulty

DAY = 86400
US = "127.0.0.1"                # where all our sessions come from in the laboratory

# The failure-reason-code of each fault, where TLS is verified (rpt/event.h has the list). They are for machines, and do not change.
REASONS = {
    "no-starttls": "starttls-not-offered", "starttls-refused": "starttls-refused", "handshake-garbage": "wrong-version-number",
    "handshake-dropped": "lost", "old-tls": "alert-protocol-version", "wrong-name": "X509_V_ERR_HOSTNAME_MISMATCH",
    "name-in-cn-only": "X509_V_ERR_HOSTNAME_MISMATCH", "expired": "X509_V_ERR_CERT_HAS_EXPIRED",
    "not-yet-valid": "X509_V_ERR_CERT_NOT_YET_VALID", "self-signed": "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT",
    "other-ca": "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "no-intermediate": "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
}
# Those that leave a session in the clear where nothing forbids that.
CLEAR = ("no-starttls", "starttls-refused", "handshake-garbage", "handshake-dropped")
faulty = pytest.mark.parametrize("fault", REASONS)


@pytest.fixture
def relay(world, start_relay):
    """It tries once, so that sessions can be counted."""
    return start_relay(delivery={"retry": {"first": "1h", "max": "1h"}})


def ledger(relay, domain):
    """What is counted of a domain: {(type, policy's lines, mx patterns): (successes, {failure: count})}."""
    found = {}
    for row in relay.query("SELECT * FROM rpt_policy WHERE domain = ?", str(domain)):
        failures = relay.query("SELECT * FROM rpt_failure WHERE policy = ?", row["id"])
        assert row["failures"] == sum(failure["count"] for failure in failures)
        key = (row["type"], tuple(row["strings"].splitlines()), tuple(row["mx"].splitlines()))
        assert key not in found, "one policy, two rows"
        found[key] = (row["successes"], {tuple(failure[name] for name in (
            "result", "reason", "mx_host", "mx_helo", "mx_ip", "sending_ip")): failure["count"] for failure in failures})
    return found


def wait_ledger(relay, domain, wanted, settle=0.3):
    """Waits until the ledger has this; then nothing more may come."""
    with contextlib.suppress(NotReady):
        wait_until(lambda: ledger(relay, domain) == wanted, 20, "the ledger", interval=0.05)
    time.sleep(settle)
    assert ledger(relay, domain) == wanted


def sts(domain, mode="enforce", mx=("mx1.{domain}",), max_age=86400):
    """A policy as it is reported."""
    patterns = tuple(pattern.format(domain=domain) for pattern in mx)
    return ("sts", ("version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in patterns), f"max_age: {max_age}"), patterns)


NOTHING = ("sts", (), ())               # the policy that could not be had
NONE_FOUND = ("no-policy-found", (), ())


def failed(host, result, reason):
    """A failure with a host that was reached."""
    return (result, reason, host.name, host.name, host.addresses[0], US)


# No record: opportunistic, and a session that ends up in the clear is no success (RFC 8460 4.4: "successfully negotiated TLS connections").

@pytest.mark.parametrize("fault", [None, *CLEAR, "old-tls", "wrong-name", "expired", "self-signed"])
def test_no_policy(world, relay, send, fault):
    domain = world.domain()
    host, result = make_faulty(world, domain, fault) if fault else (domain.mx(), None)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {NONE_FOUND: (0, {failed(host, result, REASONS[fault]): 1}) if fault in CLEAR else (1, {})})


# A record, but no policy is to be had: told as a policy of its own, and only as that.

@pytest.mark.parametrize("kind, result, reason", [
    ("missing", "sts-policy-fetch-error", "http-status-404"), ("unreachable", "sts-policy-fetch-error", "refused"),
    ("no-such-host", "sts-policy-fetch-error", "dns"), ("server-error", "sts-policy-fetch-error", "http-status-503"),
    ("redirect", "sts-policy-fetch-error", "redirect"), ("media-type", "sts-policy-fetch-error", "media-type"),
    ("expired", "sts-webpki-invalid", "X509_V_ERR_CERT_HAS_EXPIRED"), ("wrong-name", "sts-webpki-invalid", "X509_V_ERR_HOSTNAME_MISMATCH"),
    ("not-a-policy", "sts-policy-invalid", "policy-syntax")])
@pytest.mark.parametrize("fault", [None, "no-starttls"])
def test_policy_that_cannot_be_had(world, relay, send, kind, result, reason, fault):
    domain = world.domain()
    if kind == "missing":
        domain.policy()
        world.policy_host.serve(domain.name, None)
    elif kind == "unreachable":
        domain.policy().policy_at(world.address())
    elif kind == "no-such-host":
        domain.txt("v=STSv1; id=1;")
    elif kind == "server-error":
        domain.odd_policy(answer(b"", "503 Service Unavailable"))
    elif kind == "redirect":
        domain.odd_policy(answer(b"", "301 Moved Permanently", headers=("Location: /policy.txt",)))
    elif kind == "media-type":
        domain.odd_policy(answer(b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n", kind="text/html"))
    elif kind == "expired":
        domain.policy(certificate=world.ca.expired(f"mta-sts.{domain}"))
    elif kind == "wrong-name":
        domain.policy(certificate=world.ca.good("other.example"))
    else:
        domain.policy(text="hello\r\n")
    host = make_faulty(world, domain, fault)[0] if fault else domain.mx()
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {NOTHING: (0, {failed(host, result, reason): 1})})


# A cached policy rules, and a failure to fetch the next one is told besides.

@pytest.mark.parametrize("loss, result, reason", [
    ("record-gone", None, None), ("record-nxdomain", None, None), ("record-servfail", None, None),
    ("no-document", "sts-policy-fetch-error", "http-status-404"), ("bad-certificate", "sts-webpki-invalid", "X509_V_ERR_CERT_HAS_EXPIRED"),
    ("not-a-policy", "sts-policy-invalid", "policy-syntax")])
def test_cached_policy_and_the_failure_to_fetch(world, relay, single, send, loss, result, reason):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain): (1, {})})
    name = f"_mta-sts.{domain}"
    if loss == "record-gone":
        domain.txt()
    elif loss == "record-nxdomain":
        world.tap.break_name(name, "TXT", NXDOMAIN)
    elif loss == "record-servfail":
        world.tap.break_name(name, "TXT", SERVFAIL)
    elif loss == "no-document":
        domain.txt("v=STSv1; id=2;")
        world.policy_host.serve(domain.name, None)
    elif loss == "bad-certificate":
        domain.odd_policy(answer(b""), world.ca.expired(f"mta-sts.{domain}"), identifier="2")
    else:
        domain.policy(text="hello\r\n", identifier="2")
    let_dns_age()
    send(domain.user())
    relay.wait_delivery(domain.name, count=2, result="delivered")
    wanted = {sts(domain): (2, {})}
    if result:
        wanted[NOTHING] = (0, {failed(host, result, reason): 1})
    wait_ledger(relay, domain, wanted)


# enforce.

def test_enforce(world, relay, send):
    domain = world.domain().policy()
    domain.mx()
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain): (1, {})})


@faulty
def test_enforce_and_a_faulty_host(world, relay, send, fault):
    """Also where no message is in hand: the count is stored alone. The policy was fetched in this attempt, so there is no second look."""
    domain = world.domain().policy()
    host, result = make_faulty(world, domain, fault)
    send(domain.user())
    relay.wait_held(domain.name)
    wait_ledger(relay, domain, {sts(domain): (0, {failed(host, result, REASONS[fault]): 1})})
    assert relay.events(event="session", id=domain.name, report=f"sts/{result}/{REASONS[fault]}")   # the log says the same


@faulty
def test_enforce_and_the_next_host(world, relay, send, fault):
    domain = world.domain().policy(mx=("*.{domain}",))
    bad, result = make_faulty(world, domain, fault, "bad", 10)
    domain.mx(label="good", preference=20)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, mx=("*.{domain}",)): (1, {failed(bad, result, REASONS[fault]): 1})})


def test_enforce_and_an_unlisted_host(world, relay, send):
    """Nobody connects to it: its name is all there is to tell."""
    domain = world.domain().policy(mx=("good.{domain}",))
    evil = domain.mx(label="evil", preference=5)
    domain.mx(label="good", preference=20)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, mx=("good.{domain}",)): (1, {("validation-failure", "mx-mismatch", evil.name, "", "", ""): 1})})


# testing: one failure, also where the session was begun again in the clear.

@faulty
def test_testing(world, relay, send, fault):
    domain = world.domain().policy(mode="testing")
    host, result = make_faulty(world, domain, fault)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    reason = "tls-version" if fault == "old-tls" else REASONS[fault]        # here the handshake does not insist
    wait_ledger(relay, domain, {sts(domain, "testing"): (0, {failed(host, result, reason): 1})})


@pytest.mark.parametrize("fault", [None, "expired", "handshake-garbage"])
def test_testing_and_an_unlisted_host(world, relay, send, fault):
    """A session that fails several ways is one failure."""
    domain = world.domain().policy(mode="testing", mx=("other.{domain}",))
    host = make_faulty(world, domain, fault)[0] if fault else domain.mx()
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, "testing", mx=("other.{domain}",)): (0, {failed(host, "validation-failure", "mx-mismatch"): 1})})


# none.

@pytest.mark.parametrize("fault", [None, *CLEAR, "wrong-name"])
def test_mode_none(world, relay, send, fault):
    domain = world.domain().policy(mode="none", mx=())
    host, result = make_faulty(world, domain, fault) if fault else (domain.mx(), None)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, "none", ()): (0, {failed(host, result, REASONS[fault]): 1}) if fault in CLEAR else (1, {})})


# What is a session, and what is none.

@pytest.mark.parametrize("stage, silent", [
    ("CONNECT", Drop()), ("CONNECT", Reset()), ("CONNECT", "554 5.7.1 go away"), ("CONNECT", "421 4.3.2 later"),
    ("EHLO", Drop()), ("EHLO", Reset()), ("EHLO", "451 4.3.0 later"), ("EHLO", "421 4.3.2 later")])
def test_what_says_nothing_of_tls_is_not_counted(world, relay, send, stage, silent):
    domain = world.domain().policy()
    domain.mx(world.honest(f"mx1.{domain}").but(on={stage: silent}))
    send(domain.user())
    relay.wait_held(domain.name)
    wait_ledger(relay, domain, {})


def test_no_connection_is_not_counted(world, relay, send):
    domain = world.domain().policy(mx=("*.{domain}",))
    domain.mx(label="good", preference=20)
    dead = f"dead.{domain}"
    world.set_addresses(dead, [world.address()])
    domain.add_mx(dead, 10)
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, mx=("*.{domain}",)): (1, {})})


def test_a_session_counts_once_however_many_messages(world, start_relay):
    relay = start_relay(delivery={"concurrency": 1})
    domain = world.domain().policy()
    host = domain.mx()
    for _ in range(20):
        submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, count=20, result="delivered")
    assert len(host.sessions) == 1
    wait_ledger(relay, domain, {sts(domain): (1, {})})


def test_a_session_that_breaks_later_is_what_it_was(world, relay, send):
    """Proven, and lost behind MAIL: it counted as it was proven. What it had in hand goes on a new one."""
    domain = world.domain().policy()
    host = domain.mx()
    host.behaviour = host.behaviour.but(on={"MAIL": Drop()})
    send(domain.user())
    relay.wait_held(domain.name)
    sessions = len(host.sessions)
    wait_ledger(relay, domain, {sts(domain): (sessions, {})})


def test_a_resumed_session_counts(world, relay, single):
    domain = world.domain().policy()
    host = domain.mx()
    for number in range(3):
        submit(relay.address, domain.user())
        relay.wait_delivery(domain.name, count=number + 1, result="delivered")
    assert relay.events(event="session", id=domain.name, resumed=True)
    assert len(host.sessions) == 3
    wait_ledger(relay, domain, {sts(domain): (3, {})})


def test_what_the_peer_calls_itself_is_its_word_not_ours(world, relay, send):
    domain = world.domain().policy(mode="testing")
    host = domain.mx(world.honest("other.example").but(banner="220 \x1b[31m<b>\x07 " + "x" * 300))
    send(domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain, "testing"): (0, {
        ("certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH", host.name, "?[31m<b>?", host.addresses[0], US): 1})})


def test_nothing_is_counted_when_reports_are_off(world, start_relay):
    relay = start_relay(report={"enabled": False})
    domain = world.domain().policy()
    domain.mx()
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {})


# Crashes and days.

def test_killed_at_any_moment_no_session_counts_twice(world, make_plain):
    """Each session carries one message, and its count is in the transaction of that message's result: as many as messages, however often."""
    relay = make_plain(delivery={"messages_per_session": 1, "concurrency": 1, "retry": {"first": "1s", "max": "1s"}})
    relay.start()
    domain = world.domain().policy()
    host = domain.mx()
    for number in range(12):
        submit(relay.address, domain.user())
        host.wait_messages(number + 1)
        time.sleep(random.uniform(0, 0.02))
        relay.kill()
        relay.start()
        relay.wait_empty()
    wait_ledger(relay, domain, {sts(domain): (12, {})})
    assert len(host.sessions) >= 12


def test_a_day_is_stored_when_it_is_over(world, make_plain):
    """TRAPS: a day is cut at event time. A session proven before midnight counts for that day, and does so before its message is through."""
    relay = make_plain()
    domain = world.domain().policy()
    host = domain.mx()
    host.behaviour = host.behaviour.but(on={".": Slow(8)})
    midnight = (time.time() // DAY + 2) * DAY
    relay.set_clock(midnight - 4)
    relay.start()
    submit(relay.address, domain.user())
    wait_until(lambda: relay.events(event="session", id=domain.name, result="proven"), 10, "a session")
    assert relay.clock() < midnight - 1, "this machine is too slow for the test"
    assert ledger(relay, domain) == {}
    wait_until(lambda: relay.clock() > midnight + 2.2, 10, "midnight")
    assert not host.messages
    assert ledger(relay, domain) == {sts(domain): (1, {})}
    [row] = relay.query("SELECT day FROM rpt_policy WHERE domain = ?", domain.name)
    assert row["day"] == midnight // DAY - 1
    relay.wait_delivery(domain.name, result="delivered")
    wait_ledger(relay, domain, {sts(domain): (1, {})})


def test_the_end_of_the_relay_loses_no_count(world, start_relay):
    """Stopped while the second host is silent: what the first one showed is counted."""
    relay = start_relay()
    domain = world.domain().policy(mx=("*.{domain}",))
    bad, result = make_faulty(world, domain, "expired", "bad", 10)
    slow = domain.mx(label="slow", preference=20)
    slow.behaviour = slow.behaviour.but(on={"CONNECT": Hang()})
    submit(relay.address, domain.user())
    wait_until(lambda: slow.sessions, 10, "a session with the second host")
    assert relay.stop() == 0
    wait_ledger(relay, domain, {sts(domain, mx=("*.{domain}",)): (0, {failed(bad, result, REASONS["expired"]): 1})}, settle=0)


# Mail that carries reports.

def put_report(relay, domain, arrived, number=5):
    """A report in the spool of a relay that is at rest, on its way to report@domain."""
    text = message()
    db = sqlite3.connect(f"{relay.config['state_dir']}/spool.db")
    with db:
        db.execute("INSERT INTO message (id, kind, flags, arrived, size, header_len, sender, client, body)"
                   " VALUES (?, 2, 0, ?, ?, ?, 'postmaster@relay.example', 'test', ?)",
                   (number, int(arrived * 1000), len(text), text.index(b"\r\n\r\n") + 4, text))
        db.execute("INSERT INTO recipient (id, message, n, destination, address, next_at, deadline) VALUES (?, ?, 0, ?, ?, 0, ?)",
                   (number, number, f"{domain}/report", f"report@{domain}", int((arrived + DAY) * 1000)))
        db.execute("UPDATE store SET value = value + 1 WHERE name IN ('messages', 'recipients')")
        db.execute("INSERT INTO destination VALUES (?, 0, 0, 0, NULL)", (f"{domain}/report",))
        yesterday = int(arrived // DAY) - 1
        db.execute("INSERT INTO rpt_report VALUES (?, ?, 'mailed', 1, 'an-id', ?, ?, 1, '')",
                   (yesterday, domain.name, int(arrived), int(arrived + DAY)))
        db.execute("INSERT INTO rpt_endpoint VALUES (?, ?, ?, 'mailed', ?, ?, '', ?, ?)",
                   (yesterday, domain.name, f"mailto:report@{domain}", int(arrived), number, f"report@{domain}", int(arrived)))
    db.close()


def outcome(relay, domain):
    """What the outbox knows of the report: its state, the endpoint's, its text, and who is suppressed."""
    [report] = relay.query("SELECT * FROM rpt_report WHERE domain = ?", domain.name)
    [endpoint] = relay.query("SELECT * FROM rpt_endpoint WHERE domain = ?", domain.name)
    suppressed = relay.query("SELECT * FROM rpt_suppressed WHERE address = ?", f"report@{domain}")
    return report["state"], endpoint["state"], endpoint["text"], [(row["until"] - row["since"]) // DAY for row in suppressed]


@pytest.fixture
def with_report(world, make_relay):
    """A relay that has nothing to do but a report to a domain with this host and policy."""
    def start(domain, arrived=None, **changes):
        relay = make_relay(report={"schedule": "external"}, **changes).start()
        relay.stop()
        put_report(relay, domain, arrived or time.time())
        return relay.start()
    return start


@pytest.mark.parametrize("fault", [None, "no-starttls", "handshake-garbage", "expired", "wrong-name"])
def test_a_report_goes_despite_a_policy_and_is_counted_nowhere(world, with_report, fault):
    """RFC 8460 3: "MUST deliver reports despite any TLS-related failures and SHOULD NOT include this SMTP session in the next report"."""
    domain = world.domain().policy(mx=("other.{domain}",))
    host = make_faulty(world, domain, fault)[0] if fault else domain.mx()
    relay = with_report(domain)
    [got] = host.wait_messages()
    assert got.rcpt_to == [f"report@{domain}".encode()]
    relay.wait_empty()
    wait_ledger(relay, domain, {})
    state, endpoint, text, suppressed = outcome(relay, domain)
    assert (state, endpoint, suppressed) == ("delivered", "delivered", []) and "250 2.0.0 taken" in text
    assert not relay.events(event="policy", id=domain.name)


def test_a_report_that_bounces_suppresses_its_address_and_bounces_nowhere(world, with_report):
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(on={"RCPT": "550 5.1.1 no such user"})
    relay = with_report(domain)
    relay.wait_delivery(f"{domain}/report", result="bounced")
    relay.wait_empty()
    state, endpoint, text, suppressed = outcome(relay, domain)
    assert (state, endpoint, suppressed) == ("open", "failed", [30]) and "550 5.1.1 no such user" in text
    assert not relay.events(event="notice")
    wait_ledger(relay, domain, {})


def test_a_report_is_given_up_after_a_day_whatever_mail_gets(world, with_report):
    """Later, later: no notice of delay, no bounce, no suppression."""
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(on={"RCPT": "450 4.2.1 later"})
    relay = with_report(domain, arrived=time.time() - DAY + 6, delivery={"expire": "5d", "delay_notice": "1h"})
    relay.wait_delivery(f"{domain}/report", result="deferred")
    relay.wait_delivery(f"{domain}/report", result="bounced")
    relay.wait_empty()
    _, endpoint, text, suppressed = outcome(relay, domain)
    assert (endpoint, suppressed) == ("failed", []) and "not delivered within 24 hours" in text and "450 4.2.1 later" in text
    assert not relay.events(event="notice")
