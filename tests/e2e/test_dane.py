"""DANE (RFC 7672): what TLSA records in a signed zone make of a delivery, and what the ledger has of it.

The zone `example.` is signed, `test.` is not; the resolver validates.
"""

import pytest

from evidence import let_dns_age, untouched
from lab import tlsa
from lab.behaviour import Close, Raw, Slow
from lab.client import submit
from lab.process import wait_until
from lab.tap import SERVFAIL, STRIP_AD
from test_ledger import NONE_FOUND, failed, ledger, sts, wait_ledger

FAILURES = {"retry": {"first": "1h", "max": "1h"}}


@pytest.fixture
def relay(world, start_relay):
    """It tries once, so that sessions can be counted."""
    return start_relay(delivery=FAILURES)


def dane(base=None, *records):
    """A TLSA policy as it is reported: the highest numbers first, and the TLSA base domain, which is its policy domain (RFC 8460 1.1)."""
    return ("tlsa", tuple(sorted(sorted(records), key=lambda record: [int(n) for n in record.split()[:3]], reverse=True)), (base,) if records else ())


def unreached(host, result, reason):
    """A failure with a host that nobody connected to."""
    return (result, reason, getattr(host, "name", host), "", "", "")


def own(world, host, *kinds):
    """The records of that kind, "3 1 1", that the host's certificate matches: usage 2 is for the intermediate, "2r" for the root."""
    made = []
    for kind in kinds:
        usage, selector, matching = kind.split()
        cert = {"3": host.behaviour.certificate.cert, "2": world.ca.intermediate, "2r": world.ca.root}[usage]
        made.append(tlsa.record(cert, int(usage[0]), int(selector), int(matching)))
    return made


def delivered(relay, domain, **wanted):
    return relay.wait_delivery(domain.name, result="delivered", **wanted)


# What matches.

@pytest.mark.parametrize("kind", ["3 1 1", "3 1 2", "3 0 1", "3 0 0", "3 1 0", "2 1 1", "2 0 1", "2 0 0"])
def test_good(world, relay, send, kind):
    """Usage 3: the host's own; usage 2: the one level up that is sent. No policy is found besides, and none is counted."""
    domain = world.domain()
    host = domain.mx()
    records = own(world, host, kind)
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    event = delivered(relay, domain, policy="dane/usable", cert="verified")
    assert event["tls"].startswith("TLS") and event["tlsa"] == "usable"
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


@pytest.mark.parametrize("kind", ["2r 1 1", "2r 0 1", "2r 0 0"])
def test_an_anchor_two_levels_up(world, relay, send, kind):
    """With the root in the chain that is sent."""
    domain = world.domain()
    certificate = world.ca.issue([f"mx1.{domain}"], chain=(world.ca.intermediate, world.ca.root))
    host = domain.mx(world.honest(f"mx1.{domain}").but(certificate=certificate))
    records = own(world, host, kind)
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


@pytest.mark.parametrize("kind, good", [("2r 0 0", True), ("2r 1 0", True), ("2r 1 1", False), ("2r 0 1", False)])
def test_an_anchor_that_is_not_sent(world, relay, send, kind, good):
    """RFC 7671 5.2.2: a whole certificate or key in the record needs no copy in the chain; of a digest nothing can be made without one."""
    domain = world.domain()
    host = domain.mx()                          # leaf and intermediate
    records = own(world, host, kind)
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    if good:
        delivered(relay, domain, policy="dane/usable")
        wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})
    else:
        relay.wait_held(domain.name)
        assert untouched(host)
        wait_ledger(relay, domain, {dane(host.name, *records): (0, {failed(host, "validation-failure", "tlsa-mismatch"): 1})})


def test_usable_beside_unusable(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    records = [*own(world, host, "3 1 1"), tlsa.wrong(1, 0, 1), "3 1 1 AB", "3 9 1 " + "00" * 32, "9 1 1 " + "00" * 32]
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


@pytest.mark.parametrize("records", [["1 1 1 " + "AA" * 32], ["0 0 1 " + "AA" * 32, "3 1 1 AB"], ["3 1 9 AB"], ["3 0 0 30"]])
@pytest.mark.parametrize("starttls", [True, False])
def test_all_unusable(world, relay, send, records, starttls):
    """RFC 7672 2.2: encryption is still required, whoever the peer is."""
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(certificate=world.ca.expired("other.example"), starttls=starttls)
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    if starttls:
        assert delivered(relay, domain, policy="dane/unusable", cert="unverified")["tls"].startswith("TLS")
    else:
        relay.wait_held(domain.name)
        assert untouched(host)
    [event] = relay.events(event="session", id=domain.name)
    assert event["report"].startswith("tlsa/tlsa-invalid/") or not starttls
    [(key, (successes, failures))] = wait_some(relay, domain).items()
    assert key == dane(host.name, *records) and successes == 0 and sum(failures.values()) == 1
    assert {failure[0] for failure in failures} <= {"tlsa-invalid", "starttls-not-supported"}


def wait_some(relay, domain):
    """The ledger, once there is something in it."""
    wait_until(lambda: ledger(relay, domain), 20, "the ledger", interval=0.05)
    return ledger(relay, domain)


def test_rollover(world, relay, send):
    """The old key's record and the new one's: whichever the host shows."""
    domain = world.domain()
    host = domain.mx()
    records = [*own(world, host, "3 1 1"), tlsa.wrong()]
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


def test_usage_3_ignores_names_and_dates(world, relay, send):
    """RFC 7672 3.1.1."""
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(certificate=world.ca.expired("somebody.else.example"))
    records = own(world, host, "3 1 1")
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


# What does not.

@pytest.mark.parametrize("fault, result, reason", [
    ("wrong-digest", "validation-failure", "tlsa-mismatch"), ("no-starttls", "starttls-not-supported", "starttls-not-offered"),
    ("wrong-name", "certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH"), ("expired", "certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED")])
def test_bad(world, relay, send, fault, result, reason):
    """Not to this host, and never in the clear; the next one gets it."""
    domain = world.domain()
    bad = domain.mx(label="bad", preference=10)
    domain.mx(label="good", preference=20)
    if fault == "wrong-digest":
        records = [tlsa.wrong(), tlsa.wrong(2)]
    else:
        records = own(world, bad, "2 1 1")
    if fault == "wrong-name":
        bad.behaviour = world.honest("mx1.other.example")
    elif fault == "expired":
        bad.behaviour = bad.behaviour.but(certificate=world.ca.expired(bad.name))
    elif fault == "no-starttls":
        bad.behaviour = bad.behaviour.but(starttls=False)
    tlsa.publish(world, bad.name, *records)
    send(domain.user())
    delivered(relay, domain, mx=f"good.{domain}")
    assert untouched(bad)
    wait_ledger(relay, domain, {dane(bad.name, *records): (0, {failed(bad, result, reason): 1}), NONE_FOUND: (1, {})})


@pytest.mark.parametrize("name", ["base", "domain"])
def test_usage_2_takes_the_host_or_the_domain(world, relay, send, name):
    """RFC 7672 3.2.2."""
    domain = world.domain()
    host = domain.mx()
    host.behaviour = world.honest({"base": host.name, "domain": domain.name}[name])
    records = own(world, host, "2 1 1")
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


def test_a_handshake_that_fails_is_never_tried_in_clear(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    host.behaviour = host.behaviour.but(on={"HANDSHAKE": Raw(b"garbage\r\n")})
    tlsa.publish(world, host.name, *own(world, host, "3 1 1"))
    send(domain.user())
    relay.wait_held(domain.name)
    assert untouched(host) and len(host.sessions) == 1


# Look-ups.

def test_servfail_for_tlsa_bars_the_host(world, relay, send):
    domain = world.domain()
    bad = domain.mx(label="bad", preference=10)
    domain.mx(label="good", preference=20)
    world.tap.break_name(f"_25._tcp.{bad.name}", "TLSA", SERVFAIL)
    send(domain.user())
    delivered(relay, domain, mx=f"good.{domain}")
    assert not bad.sessions
    [(reason, )] = [(f[1], ) for k, (_, fs) in wait_some(relay, domain).items() if k == dane() for f in fs]
    wait_ledger(relay, domain, {dane(): (0, {unreached(bad, "dnssec-invalid", reason): 1}), NONE_FOUND: (1, {})})


def test_a_bogus_signature_bars_the_host(world, relay, send):
    """The record would match, were it signed by the key that the zone above vouches for: the validating resolver says SERVFAIL."""
    domain = world.domain()
    host = domain.mx()
    name = f"tlsa-of-{domain.name.partition('.')[0]}.bogus.example"
    world.dns.replace(name, "TLSA", own(world, host, "3 1 1"))
    world.dns.replace(f"_25._tcp.{host.name}", "CNAME", [f"{name}."])
    send(domain.user())
    relay.wait_held(domain.name)
    assert not host.sessions
    [(key, (successes, failures))] = wait_some(relay, domain).items()
    assert key == dane() and successes == 0 and [f[0] for f in failures] == ["dnssec-invalid"]


def test_an_unsigned_zone_is_never_asked(world, relay, send):
    """TRAPS: some large operators answer TLSA in unsigned zones with SERVFAIL."""
    domain = world.domain(zone="test")
    host = domain.mx()
    world.tap.break_name(f"_25._tcp.{host.name}", "TLSA", SERVFAIL)
    send(domain.user())
    delivered(relay, domain, policy="none")
    assert world.tap.asked(f"_25._tcp.{host.name}", "TLSA") == 0
    wait_ledger(relay, domain, {NONE_FOUND: (1, {})})


def test_an_insecure_mx_with_a_secure_host(world, relay, send):
    """DANE is applied to the host: it can only help (DESIGN.md)."""
    domain = world.domain(zone="test")
    host = world.mx(f"mx1.{world.domain('provider')}")
    domain.set_mx((10, host.name))
    tlsa.publish(world, host.name, tlsa.wrong())
    send(domain.user())
    relay.wait_held(domain.name)
    assert untouched(host)
    wait_ledger(relay, domain, {dane(host.name, tlsa.wrong()): (0, {failed(host, "validation-failure", "tlsa-mismatch"): 1})})


def test_an_implicit_mx(world, relay, send):
    domain = world.domain()
    host = world.mx(domain.name)
    records = own(world, host, "2 1 1")
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {})})


@pytest.mark.parametrize("at", ["end", "host"])
def test_a_secure_cname(world, relay, send, at):
    """RFC 7672 2.2.2: at the end of the chain first, then at the name that was asked for; SNI and name are those of the place."""
    domain = world.domain()
    alias, end = f"alias.{domain}", f"end.{domain}"
    base = end if at == "end" else alias
    host = world.mx(end, world.honest("nobody.example").but(certificate_for={base: world.ca.good(base)}))
    world.dns.replace(alias, "CNAME", [f"{end}."])
    domain.set_mx((10, alias))
    records = [tlsa.record(world.ca.intermediate, 2, 1, 1)]
    tlsa.publish(world, base, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    assert host.sessions[0].tls.sni == base
    wait_ledger(relay, domain, {dane(base, *records): (1, {})})


def test_a_secure_cname_to_an_insecure_zone(world, relay, send):
    """RFC 7672 2.2.2: the alias is signed, and so may have records of its own."""
    domain = world.domain()
    target = f"mx1.{world.domain(zone='test')}"
    alias = f"alias.{domain}"
    host = world.mx(target, world.honest(alias))
    world.dns.replace(alias, "CNAME", [f"{target}."])
    domain.set_mx((10, alias))
    records = own(world, host, "3 1 1")
    tlsa.publish(world, alias, *records)
    world.tap.break_name(f"_25._tcp.{target}", "TLSA", SERVFAIL)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    assert world.tap.asked(f"_25._tcp.{target}", "TLSA") == 0 and host.sessions[0].tls.sni == alias
    wait_ledger(relay, domain, {dane(alias, *records): (1, {})})


# Beside MTA-STS.

@pytest.mark.parametrize("certificate, sts_fault", [("good", None), ("self_signed", "certificate-not-trusted")])
def test_both_policies_are_counted(world, relay, send, certificate, sts_fault):
    """DANE that matches is enough, whatever MTA-STS says of that host."""
    domain = world.domain().policy()
    host = domain.mx()
    host.behaviour = host.behaviour.but(certificate=getattr(world.ca, certificate)(host.name))
    records = own(world, host, "3 1 1")
    tlsa.publish(world, host.name, *records)
    send(domain.user())
    delivered(relay, domain, policy="dane/usable", cert="verified")
    fault = {failed(host, sts_fault, "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"): 1} if sts_fault else {}
    wait_ledger(relay, domain, {dane(host.name, *records): (1, {}), sts(domain): (0 if sts_fault else 1, fault)})


def test_mta_sts_rules_the_other_hosts(world, relay, send):
    """Each host is judged by itself: the one with records by these, the other by the policy."""
    domain = world.domain().policy(mx=("*.{domain}",))
    bad = domain.mx(label="bad", preference=10)
    worse = domain.mx(label="worse", preference=20)
    worse.behaviour = worse.behaviour.but(certificate=world.ca.self_signed(worse.name))
    tlsa.publish(world, bad.name, tlsa.wrong())
    send(domain.user())
    relay.wait_held(domain.name)
    assert untouched(bad) and untouched(worse)
    wait_ledger(relay, domain, {
        dane(bad.name, tlsa.wrong()): (0, {failed(bad, "validation-failure", "tlsa-mismatch"): 1}),
        sts(domain, mx=("*.{domain}",)): (1, {failed(worse, "certificate-not-trusted", "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"): 1})})


# The configuration.

def test_off(world, start_relay):
    relay = start_relay(delivery={"dane": "off"})
    domain = world.domain()
    host = domain.mx()
    tlsa.publish(world, host.name, tlsa.wrong())
    submit(relay.address, domain.user())
    delivered(relay, domain, policy="none")
    assert world.tap.asked(f"_25._tcp.{host.name}", "TLSA") == 0


def test_required(world, start_relay):
    relay = start_relay(delivery={"dane": "required", **FAILURES})
    without, with_records = world.domain(), world.domain()
    host, good = without.mx(), with_records.mx()
    records = own(world, good, "3 1 1")
    tlsa.publish(world, good.name, *records)
    submit(relay.address, without.user())
    submit(relay.address, with_records.user())
    delivered(relay, with_records, policy="dane/usable")
    relay.wait_held(without.name)
    assert not host.sessions
    [(key, (_, failures))] = wait_some(relay, without).items()
    assert key == dane() and [f[0] for f in failures] == ["dane-required"]


def test_a_resolver_that_does_not_validate(world, start_relay):
    """No DANE then; and what requires it waits, with the remedy."""
    world.tap.break_name(".", "SOA", STRIP_AD)
    relay = start_relay()
    domain = world.domain()
    host = domain.mx()
    tlsa.publish(world, host.name, tlsa.wrong())
    relay.wait_log("DANE is off")
    submit(relay.address, domain.user())
    delivered(relay, domain, policy="none")
    relay.write_config(delivery={"dane": "required"})
    relay.restart()
    relay.wait_log("DANE is off")
    other = world.domain()
    other.mx()
    submit(relay.address, other.user())
    event = relay.wait_held(other.name)[0]
    assert "conf/unbound/strictpost.conf" in event["why"] and event["fault"] == "dane-required"
    wait_ledger(relay, other, {})               # no fault of the domain's


# Never a session of the weaker kind for the stronger.

def test_records_that_come_between_two_messages(world, start_relay):
    """A session waits in the pool when the zone gets a record that its host does not match: the next message does not go on it."""
    relay = start_relay(delivery={"concurrency": 1, **FAILURES})
    domain = world.domain()
    host = domain.mx()
    submit(relay.address, domain.user())
    delivered(relay, domain, policy="none")
    tlsa.publish(world, host.name, tlsa.wrong())
    let_dns_age()
    submit(relay.address, domain.user())
    relay.wait_held(domain.name)
    assert len(host.messages) == 1


def test_records_that_come_while_another_host_is_slow(world, start_relay):
    """The first host thinks about the envelope for longer than DNS lives, and then has no time: meanwhile the zone gets a record that the second does not match."""
    relay = start_relay(delivery={"concurrency": 1, **FAILURES})
    domain = world.domain()
    first = domain.mx(label="mx1", preference=10)
    second = domain.mx(label="mx2", preference=20)
    first.behaviour = first.behaviour.but(on={"MAIL": Slow(3, Close("421 4.3.2 not now"))})
    submit(relay.address, domain.user())
    wait_until(lambda: "MAIL" in first.verbs(), 20, "the first host to be told", interval=0.05)
    tlsa.publish(world, second.name, tlsa.wrong())
    relay.wait_held(domain.name)
    assert untouched(second)


def test_a_record_that_changes_ends_resumption(world, start_relay):
    relay = start_relay(delivery={"messages_per_session": 1, "concurrency": 1})
    domain = world.domain()
    host = domain.mx()
    first, second = own(world, host, "3 1 1"), own(world, host, "3 0 1")
    for number, records in enumerate((first, first, second)):
        tlsa.publish(world, host.name, *records)
        let_dns_age()
        submit(relay.address, domain.user())
        relay.wait_delivery(domain.name, count=number + 1, result="delivered")
    assert [event.get("resumed") for event in relay.events(event="session", id=domain.name)] == [False, True, False]


def test_two_domains_on_one_host_do_not_share(world, start_relay):
    """One with a policy that the host breaks, one without: the session of the second carries nothing of the first."""
    relay = start_relay(delivery={"concurrency": 1, **FAILURES})
    host = world.mx(f"mx.{world.domain('shared')}", world.honest("somebody.example"))
    easy = world.domain()
    strict = world.domain().policy(mx=(host.name,))
    for domain in (easy, strict):
        domain.set_mx((10, host.name))
    submit(relay.address, easy.user())
    delivered(relay, easy)
    submit(relay.address, strict.user())
    relay.wait_held(strict.name)
    assert [got.rcpt_to for got in host.messages] == [[easy.user().encode()]]


# An operator's own rules.

SOON = "2099-12-31"


def rule(domain, **named):
    return {"domain": domain.name, **named}


def test_dane_of_one_domain(world, start_relay):
    """`dane: off` for one (which lowers it, and so is told), `dane: required` for another."""
    off, required, usual = world.domain(), world.domain(), world.domain()
    relay = start_relay(delivery=FAILURES, domains=[rule(off, dane="off", override=True, until=SOON, reason="they know"), rule(required, dane="required")])
    for domain in (off, usual):
        tlsa.publish(world, domain.mx().name, tlsa.wrong())
    required.mx()
    for domain in (off, required, usual):
        submit(relay.address, domain.user())
    delivered(relay, off, policy="none")
    relay.wait_held(required.name)
    relay.wait_held(usual.name)
    [event] = relay.events(event="override")
    assert (event["level"], event["domain"], event["dane"], event["reason"]) == ("warning", off.name, "off", "they know")
    assert event["until"].startswith("2100-01-01")


@pytest.mark.parametrize("level, delivers", [("none", True), ("may", True), ("encrypt", True), ("verify", False), ("dane", False)])
def test_a_rule_with_override_takes_the_place_of_all(world, start_relay, level, delivers):
    """Of TLSA records that the host does not match, and of a policy in force that it breaks."""
    domain = world.domain().policy()
    host = domain.mx()
    host.behaviour = host.behaviour.but(certificate=world.ca.self_signed(host.name))
    tlsa.publish(world, host.name, tlsa.wrong())
    relay = start_relay(delivery=FAILURES, domains=[rule(domain, tls=level, override=True, until=SOON, reason="until they mend it")])
    submit(relay.address, domain.user())
    if delivers:
        event = delivered(relay, domain, policy=f"rule/{level}")
        assert (event.get("tls") is None) == (level == "none")
    else:
        relay.wait_held(domain.name)
        assert untouched(host)
    assert relay.events(event="override")[0]["tls"] == level


@pytest.mark.parametrize("level, kept", [("encrypt", "no-starttls"), ("verify", "self-signed"), ("dane", "no-records")])
def test_a_rule_without_override_is_a_floor(world, start_relay, level, kept):
    good, bad = world.domain(), world.domain()
    relay = start_relay(delivery=FAILURES, domains=[rule(domain, tls=level) for domain in (good, bad)])
    best, worst = good.mx(), bad.mx()
    if level == "dane":
        tlsa.publish(world, best.name, *own(world, best, "3 1 1"))
    elif kept == "no-starttls":
        worst.behaviour = worst.behaviour.but(starttls=False)
    else:
        worst.behaviour = worst.behaviour.but(certificate=world.ca.self_signed(worst.name))
    for domain in (good, bad):
        submit(relay.address, domain.user())
    delivered(relay, good)
    relay.wait_held(bad.name)
    assert untouched(worst) and not relay.events(event="override")
