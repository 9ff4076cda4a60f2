"""Every row of the design's policy table (but for the rows about TLSA): what is delivered, and how it is reported."""

import pytest

from evidence import failure, policy, same_message, untouched
from faults import FAULTS, NO_TLS, make_faulty
from lab.client import message
from lab.oddhttps import answer
from lab.tap import NXDOMAIN, REFUSED, SERVFAIL

faulty = pytest.mark.parametrize("fault", FAULTS)


def deferred(relay, domain, host, queue_id):
    """The message was kept: nothing reached the host, it stands in the spool, the log has the attempt, which is returned."""
    event = relay.wait_delivery(domain.name, result="deferred")
    assert event["id"] == queue_id
    assert untouched(host)
    assert relay.queued() == [queue_id]
    return event


# No record, or not exactly one, and nothing cached: opportunistic.

@pytest.mark.parametrize("records", [
    [], ["v=spf1 -all"], ["v=STSv1; id=1;", "v=STSv1; id=2;"], ["v=STSv10; id=1;"]], ids=["none", "spf", "two", "other-version"])
@pytest.mark.parametrize("fault", [None, "no-starttls", "wrong-name", "expired", "self-signed", "old-tls"])
def test_no_record_delivers_opportunistically(world, relay, send, records, fault):
    domain = world.domain().policy()        # a policy document is there, but no record says so
    domain.txt(*records)
    host = make_faulty(world, domain, fault)[0] if fault else domain.mx()
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    assert (got.tls is None) == (fault == "no-starttls")
    event = relay.wait_delivery(domain.name, result="delivered")
    assert policy(event) == "none"
    relay.wait_empty()


# A record, but the policy cannot be had, and nothing is cached: opportunistic, and the reason is told.

@pytest.mark.parametrize("kind, result", [
    ("missing", "sts-policy-fetch-error"), ("unreachable", "sts-policy-fetch-error"), ("no-such-host", "sts-policy-fetch-error"),
    ("server-error", "sts-policy-fetch-error"), ("bad-certificate", "sts-webpki-invalid"), ("not-a-policy", "sts-policy-invalid"),
    ("enforce-without-mx", "sts-policy-invalid")])
def test_unfetchable_policy_delivers_opportunistically(world, relay, send, kind, result):
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
    elif kind == "bad-certificate":
        domain.policy(certificate=world.ca.expired(f"mta-sts.{domain}"))
    elif kind == "not-a-policy":
        domain.policy(text="hello\r\n")
    else:
        domain.policy(mx=())
    host, _ = make_faulty(world, domain, "wrong-name")
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id) and got.tls
    relay.wait_delivery(domain.name, result="delivered")
    assert relay.events(event="policy", id=domain.name, result=result)
    relay.wait_empty()


# A valid policy is cached, and the record or the policy host fails: the cached policy rules.

@pytest.mark.parametrize("loss", ["record-gone", "record-nxdomain", "record-servfail", "record-refused", "record-doubled",
                                  "new-id-but-no-document", "new-id-but-bad-certificate", "new-id-but-not-a-policy"])
def test_cached_policy_rules_when_it_cannot_be_confirmed(world, relay, single, send, loss):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    relay.wait_empty()

    name = f"_mta-sts.{domain}"
    if loss == "record-gone":
        domain.txt()
    elif loss == "record-nxdomain":
        world.tap.break_name(name, "TXT", NXDOMAIN)
    elif loss == "record-servfail":
        world.tap.break_name(name, "TXT", SERVFAIL)
    elif loss == "record-refused":
        world.tap.break_name(name, "TXT", REFUSED)
    elif loss == "record-doubled":
        domain.txt("v=STSv1; id=1;", "v=STSv1; id=2;")
    elif loss == "new-id-but-no-document":
        domain.txt("v=STSv1; id=2;")
        world.policy_host.serve(domain.name, None)
    elif loss == "new-id-but-bad-certificate":
        domain.odd_policy(answer(b""), world.ca.expired(f"mta-sts.{domain}"), identifier="2")
    else:
        domain.policy(text="hello\r\n", identifier="2")
    host.behaviour = host.behaviour.but(starttls=False)     # the attacker has taken the encryption away
    told = len(host.verbs())
    queue_id = send(domain.user())
    event = relay.wait_delivery(domain.name, result="deferred")
    assert (event["id"], policy(event), failure(event)) == (queue_id, "sts/enforce", "starttls-not-supported")
    assert not {"MAIL", "DATA", "BDAT"} & set(host.verbs()[told:])
    assert relay.queued() == [queue_id]


# enforce.

def test_enforce_delivers_to_an_honest_host(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    assert (got.mail_from, got.rcpt_to) == (b"ann@sender.example", [domain.user().encode()])
    assert (got.tls.version, got.tls.sni) == ("TLSv1.3", host.name)
    event = relay.wait_delivery(domain.name, result="delivered")
    assert (event["id"], policy(event), event["mx"], event["ip"]) == (queue_id, "sts/enforce", host.name, host.addresses[0])
    assert (event["tls"], event["cert"]) == ("TLSv1.3", "verified")
    assert "250 2.0.0 taken" in event["reply"]
    assert {"delay_queue_ms", "delay_connect_ms", "delay_tls_ms", "delay_transfer_ms"} <= event.keys()
    relay.wait_empty()


@faulty
def test_enforce_keeps_mail_from_a_faulty_host(world, relay, send, fault):
    domain = world.domain().policy()
    host, result = make_faulty(world, domain, fault)
    event = deferred(relay, domain, host, send(domain.user()))
    assert (policy(event), failure(event)) == ("sts/enforce", result)


@faulty
def test_enforce_goes_on_to_the_next_host(world, relay, send, fault):
    domain = world.domain().policy(mx=("*.{domain}",))
    bad, _ = make_faulty(world, domain, fault, "bad", 10)
    good = domain.mx(label="good", preference=20)
    queue_id = send(domain.user())
    [got] = good.wait_messages()
    assert same_message(got.data, message(), queue_id) and got.tls
    assert bad.sessions and untouched(bad)
    assert relay.wait_delivery(domain.name, result="delivered")["mx"] == good.name
    relay.wait_empty()


def test_enforce_keeps_mail_from_an_unlisted_host(world, relay, send):
    domain = world.domain().policy(mx=("other.{domain}",))
    host = domain.mx()
    event = deferred(relay, domain, host, send(domain.user()))
    assert (policy(event), failure(event)) == ("sts/enforce", "validation-failure")
    assert "mx-mismatch" in str(event)


def test_enforce_passes_over_an_unlisted_host(world, relay, send):
    domain = world.domain().policy(mx=("good.{domain}",))
    unlisted = domain.mx(label="evil", preference=5)
    good = domain.mx(label="good", preference=20)
    queue_id = send(domain.user())
    [got] = good.wait_messages()
    assert same_message(got.data, message(), queue_id)
    assert untouched(unlisted)


def test_enforced_mail_goes_when_the_host_is_mended(world, relay, send):
    domain = world.domain().policy()
    host, _ = make_faulty(world, domain, "expired")
    queue_id = send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    host.behaviour = world.honest(host.name)
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id) and got.tls
    relay.wait_empty()


# testing.

@faulty
def test_testing_delivers_and_tells_the_failure(world, relay, send, fault):
    domain = world.domain().policy(mode="testing")
    host, result = make_faulty(world, domain, fault)
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    clear = fault in NO_TLS
    assert (got.tls is None) == clear
    event = relay.wait_delivery(domain.name, result="delivered")
    assert (policy(event), failure(event)) == ("sts/testing", result)
    relay.wait_empty()


def test_testing_delivers_to_an_unlisted_host_and_tells(world, relay, send):
    domain = world.domain().policy(mode="testing", mx=("other.{domain}",))
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    event = relay.wait_delivery(domain.name, result="delivered")
    assert (policy(event), failure(event)) == ("sts/testing", "validation-failure")


# none.

@pytest.mark.parametrize("fault, told", [("no-starttls", "starttls-not-supported"), ("wrong-name", None), ("handshake-garbage", "validation-failure")])
def test_mode_none_is_as_without_a_policy(world, relay, send, fault, told):
    domain = world.domain().policy(mode="none", mx=())
    host, _ = make_faulty(world, domain, fault)
    queue_id = send(domain.user())
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    event = relay.wait_delivery(domain.name, result="delivered")
    assert (policy(event), failure(event)) == ("sts/none", told)      # RFC 8460 4.4: a session in the clear is no success
