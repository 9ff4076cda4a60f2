"""What is kept of attempts, and `strictpost explain`: the story that it tells, compared with what the laboratory did."""

import json
import re
import sqlite3

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from faults import make_faulty
from lab import tlsa
from lab.behaviour import Behaviour, Close, Drop, Raw, Turns, by_recipient
from lab.client import message, submit
from lab.process import wait_until
from test_dane import own

PATIENT = {"retry": {"first": "1h", "max": "1h"}}


# What is kept, as it stands in the spool.

def rows(relay, sql, *values):
    """Out of the spool."""
    db = sqlite3.connect(f"file:{relay.config['state_dir']}/spool.db?mode=ro", uri=True)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def kept(relay):
    """All octets of the evidence."""
    return "\n".join(str(row) for table in ("session", "event", "chain") for row in rows(relay, f"SELECT * FROM evidence_{table}"))


def story(relay, name, *options):
    """What `explain ID --json` says."""
    done = relay.command("explain", name, "--json", *options)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    return json.loads(line)


def told(relay, name, *options):
    """What it says to people."""
    done = relay.command("explain", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def attempts(found):
    return [event for event in found["events"] if event.get("data", {}).get("event") == "attempt"]


def tried(found):
    """Sessions with its destination that are not its own."""
    return [event["session"]["data"] for event in found["events"] if "data" not in event]


def wait_attempts(relay, name, count=1):
    return wait_until(lambda: (lambda found: found if len(attempts(found)) >= count else None)(story(relay, name)), 20, f"{count} attempts of {name}")


def wait_tried(relay, name, count=1):
    return wait_until(lambda: (lambda found: found if len(tried(found)) >= count else None)(story(relay, name)), 20, f"{count} sessions besides {name}")


def said(dialogue, who):
    """The lines of one side."""
    return [text for _, side, text in dialogue or [] if side == who]


def commands(session):
    """What the scripted host was told, as the relay's side of a dialogue has it."""
    return [line.decode() for line, _ in session.commands]


def without_content(lines):
    return [line for line in lines if not line.startswith("(")]


# What the host wrote down, and what we did, are the same.

def test_delivered_under_enforce(world, relay, send):
    """The whole of it: dialogue, chain, policy with its source and times."""
    domain = world.domain().policy()
    host = domain.mx()
    name = send(domain.user())
    host.wait_messages()
    found = wait_attempts(relay, name)
    accepted, [attempt] = found["events"][0]["data"], attempts(found)
    session, event = attempt["session"]["data"], attempt["data"]
    assert (accepted["event"], accepted["client"], accepted["sender"], accepted["size"]) == \
        ("accepted", "127.0.0.1", "ann@sender.example", len(host.messages[0].data))
    assert [r["address"] for r in accepted["recipients"]] == [domain.user()]
    assert (session["policy"], session["source"], session["require"], session["cert"], session["verdict"]) == ("sts/enforce", "fetched", "pkix", "verified", "proven")
    assert session["fetched"] < session["expires"] and session["report"] == ["sts"] and session["tls"] == "TLSv1.3"
    assert (event["recipients"][0]["outcome"], event["recipients"][0]["reply"]) == ("delivered", "250 2.0.0 taken")
    ours = said(session["dialogue"], ">") + without_content(said(event["dialogue"], ">"))
    assert commands(host.sessions[0])[:len(ours)] == ours
    assert said(session["dialogue"], "<")[0] == f"220 {host.name} ESMTP lab"
    assert [ms for ms, _, _ in session["dialogue"]] == sorted(ms for ms, _, _ in session["dialogue"])
    assert f"({accepted['size']} octets of content)" in said(event["dialogue"], ">")
    assert found["message"] is None if "message" in found else True


def test_the_chain_is_what_was_shown(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    name = send(domain.user())
    host.wait_messages()
    wait_attempts(relay, name)
    [attempt] = attempts(story(relay, name, "--pem"))
    shown = [host.behaviour.certificate.cert, world.ca.intermediate.cert if hasattr(world.ca.intermediate, "cert") else world.ca.intermediate]
    got = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", attempt["pem"], re.S)
    assert [x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER) for pem in got] == [cert.public_bytes(Encoding.DER) for cert in shown]
    described = attempt["session"]["data"]["chain"]
    assert described[0]["names"].split() == [host.name] and len(described) == 2
    assert got[0] in told(relay, name, "--pem") and got[0] not in told(relay, name)


def test_dane(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    tlsa.publish(world, host.name, *own(world, host, "3 1 1"))
    name = send(domain.user())
    host.wait_messages()
    session = attempts(wait_attempts(relay, name))[0]["session"]["data"]
    assert (session["policy"], session["require"], session["tlsa"], session["cert"]) == ("dane/usable", "dane", "usable", "verified")
    assert session["mx_dnssec"] == "secure"


def test_testing_tells_what_would_have_failed(world, relay, send):
    domain = world.domain().policy(mode="testing")
    host, _ = make_faulty(world, domain, "wrong-name")
    name = send(domain.user())
    host.wait_messages()
    [attempt] = attempts(wait_attempts(relay, name))
    session = attempt["session"]["data"]
    assert (session["policy"], session["verdict"], session["fault"]) == ("sts/testing", "tolerated", "certificate-host-mismatch")
    assert attempt["data"]["recipients"][0]["outcome"] == "delivered"
    assert "tolerated" in told(relay, name)


def test_refused_by_policy_waits_and_is_told(world, start_relay):
    """Nothing was sent, so it has no attempt of its own: what its destination's sessions saw tells why it waits."""
    relay = start_relay(delivery=PATIENT)
    domain = world.domain().policy()
    host, _ = make_faulty(world, domain, "expired")
    name = submit(relay.address, domain.user())
    relay.wait_held(domain.name)
    found = wait_tried(relay, name)
    session = tried(found)[0]
    assert attempts(found) == [] and (session["verdict"], session["fault"]) == ("refused", "certificate-expired")
    assert said(session["dialogue"], ">")[:2] == ["EHLO relay.example", "STARTTLS"]
    assert not any(line.startswith("MAIL") for line in said(session["dialogue"], ">"))
    text = told(relay, name, "--transcript")
    assert "refused" in text and "certificate-expired" in text and "STARTTLS" in text
    assert not host.seen


def test_what_failed_before_it_came_is_why_it_waits(world, start_relay):
    relay = start_relay(delivery=PATIENT)
    domain = world.domain().policy("enforce", mx=("mail.{domain}",))
    domain.mx()
    first = submit(relay.address, domain.user())
    relay.wait_held(domain.name)
    wait_tried(relay, first)
    name = submit(relay.address, domain.user())
    [session] = wait_until(lambda: tried(story(relay, name)), 20, "the session that failed before")
    assert (session["fault"], session["policy"], session["source"]) == ("validation-failure", "sts/enforce", "fetched")
    assert [event["at"] for event in story(relay, name)["events"]] == sorted(event["at"] for event in story(relay, name)["events"])
    other = world.domain()
    other.mx()
    quick = submit(relay.address, other.user())
    assert not tried(wait_attempts(relay, quick))


def test_put_off_with_its_time(world, start_relay):
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "451 4.7.1 come back later"}))
    name = submit(relay.address, domain.user())
    [attempt] = attempts(wait_attempts(relay, name))
    [recipient] = attempt["data"]["recipients"]
    assert (recipient["outcome"], recipient["attempts"], recipient["status"]) == ("deferred", 1, "4.7.1")
    assert "come back later" in recipient["why"] and recipient["next_why"] == "retry 1, by delivery.retry"
    assert recipient["next_attempt"] > attempt["at"]
    assert "451 4.7.1 come back later" in said(attempt["data"]["dialogue"], "<")
    assert f"next attempt {recipient['next_attempt']}" in told(relay, name)


def test_each_attempt_is_there(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": Turns("451 4.7.1 first", "451 4.7.1 second", None)}))
    name = send(domain.user())
    host.wait_messages()
    found = wait_attempts(relay, name, 3)
    assert [a["data"]["recipients"][0]["outcome"] for a in attempts(found)] == ["deferred", "deferred", "delivered"]
    assert [a["at"] for a in attempts(found)] == sorted(a["at"] for a in attempts(found))


def test_bounced_names_its_notice(world, relay, send, home):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "550 5.1.1 nobody here"}))
    name = send(domain.user(), sender=home.user())
    home.host.wait_messages()
    text = " ".join(home.host.messages[0].data.decode().split())
    assert re.search(r"\(Last tried on .{31}, attempt 1, at mx1\.\S+ \[[0-9.]+\]: policy none, TLSv1\.3, certificate unverified\)", text)
    [attempt] = attempts(wait_attempts(relay, name))
    assert attempt["data"]["recipients"][0]["outcome"] == "bounced"
    [notice] = attempt["data"]["notices"]
    about = wait_attempts(relay, notice["id"])
    assert about["events"][0]["data"]["about"] == name and notice["kind"] == "failed"
    assert f"about {name}" in told(relay, notice["id"])


def test_recipients_fare_differently(world, start_relay):
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()
    a, b, c = (domain.user(user) for user in ("a", "b", "c"))
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": by_recipient({b: "450 4.2.1 busy", c: "550 5.1.1 gone"})}))
    name = submit(relay.address, [a, b, c], sender="")
    [attempt] = attempts(wait_attempts(relay, name))
    assert {r["address"]: r["outcome"] for r in attempt["data"]["recipients"]} == {a: "delivered", b: "deferred", c: "bounced"}
    text = told(relay, name)
    assert f"<{a}> delivered" in text and f"<{b}> deferred" in text and f"<{c}> bounced" in text


def test_hosts_before_the_one_that_took_it(world, relay, send):
    domain = world.domain().policy(mx=("mx1.{domain}", "mx2.{domain}"))
    make_faulty(world, domain, "expired")
    second = domain.mx(world.honest(f"mx2.{domain}"), "mx2", 20)
    name = send(domain.user())
    second.wait_messages()
    session = attempts(wait_attempts(relay, name))[0]["session"]["data"]
    [before] = session["earlier"]
    assert session["host"] == second.name and before["verdict"] == "refused" and before["session"]
    assert "before that" in told(relay, name)


def test_lost_in_the_middle(world, relay, send):
    """What was said of the message stands with the session that was lost."""
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"MAIL": Turns(Drop(), None)}))
    name = send(domain.user())
    host.wait_messages()
    lost, good = attempts(wait_attempts(relay, name, 2))
    session = lost["session"]["data"]
    assert session["verdict"] in ("failed", "refused") and lost["data"]["recipients"][0]["outcome"] == "deferred"
    assert said(session["then"], ">")[0].startswith("MAIL FROM:<ann@sender.example>") and said(session["dialogue"], "<")[0].startswith("220 ")
    assert good["data"]["recipients"][0]["outcome"] == "delivered"


def test_what_happened_in_the_clear(world, relay, send):
    """A handshake that broke, and the delivery in the clear that followed (no policy): both are there."""
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"HANDSHAKE": Raw(b"what?\r\n" * 20)}))
    name = send(domain.user())
    host.wait_messages()
    session = attempts(wait_attempts(relay, name))[0]["session"]["data"]
    assert "tls" not in session and session["verdict"] == "tolerated"
    assert session["earlier"][0]["verdict"] == "tolerated"


def test_what_an_operator_did(world, start_relay):
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "451 4.7.1 come back later"}))
    name = submit(relay.address, domain.user())
    wait_attempts(relay, name)
    for verb, *yes in (("hold",), ("delete", "--yes")):
        done = relay.command("queue", verb, name, "--reason", "ticket 7", *yes)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: any(event.get("data") == {"event": verb, "reason": "ticket 7"} for event in story(relay, name)["events"]), 20, verb)
    text = told(relay, name)
    assert "hold: ticket 7" in text and "delete: ticket 7" in text and "not in the queue any more" in text


# What must not be in it.

def test_no_content_is_kept(world, relay, send):
    for how in ({"keywords": ("PIPELINING", "CHUNKING")}, {"keywords": ("PIPELINING",)}, {"keywords": ()}):
        domain = world.domain()
        host = domain.mx(world.honest(f"mx1.{domain}").but(**how))
        for size in (10, 300000):
            text = message(subject="TOPSECRET", body="TOPSECRET line\r\n.TOPSECRET dots\r\n" * (size // 16 + 1))
            name = send(domain.user(), text)
            wait_attempts(relay, name)
        host.wait_messages(2)
    assert "TOPSECRET" not in kept(relay)


def test_no_content_is_kept_where_data_is_granted_before_it_is_said(world, start_relay):
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(keywords=(), on={"RCPT": Raw(b"250 2.1.5 fine\r\n354 go on\r\n")}))
    name = submit(relay.address, domain.user(), message(subject="TOPSECRET", body="TOPSECRET line\r\n" * 10))
    wait_attempts(relay, name)
    assert "DATA" in " ".join(host.verbs()), "the fault did not happen"
    assert "TOPSECRET" not in kept(relay)


def test_no_password_is_kept(world, make_relay):
    """Nor what a server says of it."""
    domain = world.domain()
    name = f"mx1.{domain}"
    def auth(_dialogue, argument):
        return f"535 5.7.8 not with {argument.decode()}"
    host = domain.mx(world.honest(name).but(keywords_under_tls=("AUTH PLAIN",), on={"AUTH": auth}))
    relay = make_relay()
    password = f"{relay.folder}/password"
    with open(password, "w", encoding="ascii") as file:
        file.write("s3cr3tpassw0rd\n")
    import os
    os.chmod(password, 0o600)
    relay.write_config(routes=[{"domain": domain.name, "via": f"{host.name}:25", "user": "app", "password_file": password}])
    relay.start()
    submit(relay.address, domain.user())
    wait_until(lambda: "AUTH PLAIN (secret)" in kept(relay), 20, "the session")
    text = kept(relay)
    import base64
    assert "s3cr3t" not in text and base64.b64encode(b"\0app\0s3cr3tpassw0rd").decode() not in text
    assert "535 (not kept" in text


def test_a_hostile_peer_is_bounded_and_harmless(world, start_relay):
    """Huge replies, and octets that a terminal would act upon."""
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()
    bad = b"250-" + b"\x1b[2J\xff\xfe\"\\" * 50 + b"\r\n"
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": Raw(bad * 100 + b"451 4.0.0 \x1b]0;x\x07 no\r\n")}))
    name = submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    for text in (told(relay, name, "--transcript"), kept(relay)):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    [(size,)] = rows(relay, "SELECT octets FROM evidence_size")
    assert size < 300000


# How long it is kept.

def test_it_is_bounded_in_size(world, start_relay):
    relay = start_relay(evidence={"size": "1M"}, delivery=PATIENT)
    domain = world.domain()
    reply = b"".join(b"450-%d %s\r\n" % (i, b"x" * 400) for i in range(40)) + b"450 4.0.0 later\r\n"
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": Raw(reply)}))
    names = [submit(relay.address, domain.user()) for _ in range(80)]
    relay.wait_delivery(domain.name, count=80, result="deferred", timeout=60)
    wait_until(lambda: rows(relay, "SELECT octets FROM evidence_size")[0][0] <= 1 << 20, 20, "the sweep")
    assert rows(relay, "SELECT octets FROM evidence_size")[0][0] > 1 << 19
    [(counted,)] = rows(relay, "SELECT sum(octets) FROM (SELECT octets FROM evidence_session UNION ALL SELECT octets FROM evidence_event"
                               " UNION ALL SELECT octets FROM evidence_chain)")
    assert rows(relay, "SELECT octets FROM evidence_size") == [(counted,)]
    assert attempts(story(relay, names[-1]))


def test_nothing_is_kept_where_nothing_is_to_be(world, start_relay):
    relay = start_relay(evidence={"keep": "0"})
    domain = world.domain()
    host = domain.mx()
    name = submit(relay.address, domain.user())
    host.wait_messages()
    relay.wait_delivery(domain.name, result="delivered")
    assert kept(relay) == ""
    done = relay.command("explain", name)
    assert done.returncode == 1 and "evidence.keep" in done.stderr


def test_what_is_kept_goes_after_a_reload(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    name = send(domain.user())
    host.wait_messages()
    wait_attempts(relay, name)
    relay.write_config(evidence={"keep": "0"})
    relay.reload()
    wait_until(lambda: kept(relay) == "" and rows(relay, "SELECT octets FROM evidence_size") == [(0,)], 20, "the sweep")


# Asking.

def test_where_no_relay_runs(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    name = send(domain.user())
    host.wait_messages()
    live = wait_attempts(relay, name)
    relay.stop()
    assert story(relay, name)["events"] == live["events"]
    assert "delivered" in told(relay, name.lower())


@pytest.mark.parametrize("argument, status, word", [("7ZZZZZZZZZZZ", 1, "another relay"), ("no id, this", 2, "queue id"), ("", 2, "queue id")])
def test_what_is_not_there(relay, argument, status, word):
    done = relay.command("explain", argument)
    assert (done.returncode, done.stdout) == (status, "") and word in done.stderr


@pytest.mark.kill
def test_it_survives_a_kill(world, make_plain):
    """What the store said of a message is there after SIGKILL, with its story; and nothing of it twice."""
    relay = make_plain()
    relay.start()
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": Turns(*["451 4.7.1 later"] * 3, None)}))
    names = [submit(relay.address, domain.user()) for _ in range(10)]
    for _ in range(3):
        relay.wait_delivery(domain.name, count=3)
        relay.kill()
        relay.start()
    wait_until(lambda: not relay.queued(), 40, "all delivered")
    for name in names:
        found = story(relay, name)
        outcomes = [a["data"]["recipients"][0]["outcome"] for a in attempts(found)]
        assert found["events"][0]["data"]["event"] == "accepted" and outcomes[-1] == "delivered", (name, outcomes)
