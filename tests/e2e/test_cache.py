"""Keeping a policy: its life, its renewal, and what may not touch it."""

import time

from evidence import failure, let_dns_age, policy, untouched
from lab.client import submit
from lab.oddhttps import answer
from lab.process import wait_until
from lab.world import policy_text


def test_policy_survives_a_restart(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    relay.wait_empty()
    relay.stop()
    world.dns.remove(f"_mta-sts.{domain}", "TXT")
    world.policy_host.serve(domain.name, None)
    host.behaviour = host.behaviour.but(starttls=False)
    relay.start()
    submit(relay.address, domain.user())
    event = relay.wait_delivery(domain.name, result="deferred")
    assert (policy(event), failure(event)) == ("sts/enforce", "starttls-not-supported")
    assert len(host.seen) == 1


def test_policy_lives_to_its_max_age_and_no_longer(world, relay, single, send):
    domain = world.domain().policy(max_age=4)
    host = domain.mx()
    asked = time.monotonic()                    # before the fetch; lives are counted in whole seconds, so 4 is more than 3
    send(domain.user())
    host.wait_messages()
    domain.txt()
    world.policy_host.serve(domain.name, None)
    host.behaviour = host.behaviour.but(starttls=False)
    send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert len(host.seen) == 1
    host.wait_messages(2, timeout=15)           # a retry after the policy has run out
    assert time.monotonic() - asked > 3


def test_record_alone_extends_nothing(world, relay, single, send):
    """The record is there with the same id; the policy host is gone: the policy runs out all the same."""
    domain = world.domain().policy(max_age=3)
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    world.policy_host.serve(domain.name, None)
    host.behaviour = host.behaviour.but(starttls=False)
    send(domain.user())
    host.wait_messages(2, timeout=15)


def test_new_id_takes_effect_at_once(world, relay, single, send):
    domain = world.domain().policy(mode="testing")
    host = domain.mx(world.honest("other.example"))
    send(domain.user())
    host.wait_messages()
    domain.policy(mode="enforce", identifier="2")
    let_dns_age()
    send(domain.user())
    event = relay.wait_delivery(domain.name, result="deferred")
    assert (policy(event), failure(event)) == ("sts/enforce", "certificate-host-mismatch")
    assert len(host.seen) == 1


def test_mode_none_replaces_enforce_at_once(world, relay, single, send):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    domain.policy(mode="none", mx=(), identifier="2")
    host.behaviour = host.behaviour.but(starttls=False)
    let_dns_age()
    send(domain.user())
    assert host.wait_messages(2)[1].tls is None


def test_changed_policy_takes_effect_in_the_same_attempt(world, start_relay):
    """The record is cached by its TTL and says the old id; the refusal makes the relay look again at once."""
    relay = start_relay(delivery={"retry": {"first": "10m", "max": "10m"}, "messages_per_session": 1})
    domain = world.domain().policy(mx=("old.{domain}",))
    world.dns.replace(f"_mta-sts.{domain}", "TXT", ['"v=STSv1; id=1;"'], ttl=600)
    old = domain.mx(label="old")
    submit(relay.address, domain.user())
    old.wait_messages()
    new = domain.mx(label="new")
    domain.set_mx((10, new.name))
    domain.policy(mx=("new.{domain}",), identifier="2")
    world.resolver.flush()
    let_dns_age()
    submit(relay.address, domain.user())
    assert new.wait_messages()[0].tls
    assert not relay.deliveries(domain.name, result="deferred")


def test_changed_policy_under_the_same_id_is_healed(world, start_relay):
    """The most common mistake of domain owners: the policy was changed and its id was not."""
    relay = start_relay(delivery={"retry": {"first": "10m", "max": "10m"}, "messages_per_session": 1})
    domain = world.domain().policy(mx=("old.{domain}",))
    old = domain.mx(label="old")
    submit(relay.address, domain.user())
    old.wait_messages()
    new = domain.mx(label="new")
    domain.set_mx((10, new.name))
    domain.policy(mx=("new.{domain}",), identifier="1")
    let_dns_age()
    submit(relay.address, domain.user())
    assert new.wait_messages()[0].tls


def test_refusals_do_not_hammer_the_policy_host(world, relay, send):
    """Fetched afresh when every host is refused, but at most every 5 minutes."""
    domain = world.domain()
    domain.odd_policy(answer(policy_text(mx=("other.example",)).encode()))
    domain.mx()
    send(domain.user())
    relay.wait_held(domain.name, 3)
    assert world.odd_host.asked(domain.name) <= 2


def test_background_refresh(world, start_relay):
    """By HTTPS and without mail, whatever the record says; one that fails shortens nothing. (The shortest interval is a minute.)"""
    relay = start_relay(sts={"refresh": "1m"}, delivery={"messages_per_session": 1})
    fine, broken = world.domain(), world.domain()
    hosts = [domain.mx() for domain in (fine, broken)]
    for domain, host in zip((fine, broken), hosts):
        domain.odd_policy(answer(policy_text(mx=(host.name,)).encode()))
        submit(relay.address, domain.user())
        host.wait_messages()
        domain.txt()
    fine.world.odd_host.serve(fine.name, answer(policy_text(mx=("elsewhere.example",)).encode()), world.ca.good(f"mta-sts.{fine}"))
    broken.world.odd_host.serve(broken.name, answer(b"", "500 Oops"), world.ca.good(f"mta-sts.{broken}"))
    wait_until(lambda: min(world.odd_host.asked(d.name) for d in (fine, broken)) >= 2, 110, "background fetches")
    hosts[1].behaviour = hosts[1].behaviour.but(starttls=False)
    for domain, wanted in ((fine, "validation-failure"), (broken, "starttls-not-supported")):
        submit(relay.address, domain.user())
        event = relay.wait_delivery(domain.name, result="deferred")
        assert (policy(event), failure(event)) == ("sts/enforce", wanted)
    assert [len(host.seen) for host in hosts] == [1, 1]


def test_domains_that_share_a_host_do_not_share_a_verdict(world, relay, send):
    """One enforces and does not list the host, one enforces and lists it, one has no policy."""
    host = world.mx(f"shared.{world.domain()}")
    strict, listed, free = (world.domain() for _ in range(3))
    for domain in (strict, listed, free):
        domain.set_mx((10, host.name))
    strict.policy(mx=("other.example",))
    listed.policy(mx=(host.name,))
    send(free.user())
    send(listed.user())
    host.wait_messages(2)
    send(strict.user())
    event = relay.wait_delivery(strict.name, result="deferred")
    assert failure(event) == "validation-failure"
    assert {rcpt for m in host.seen for rcpt in m.rcpt_to} == {free.user().encode(), listed.user().encode()}


def test_unverified_session_is_not_reused_for_a_stricter_domain(world, relay, send):
    """A pooled session or a TLS ticket from opportunistic mail proves nothing to `enforce`."""
    host = world.mx(f"shared.{world.domain()}", world.honest("other.example"))
    free, strict = world.domain(), world.domain()
    for domain in (free, strict):
        domain.set_mx((10, host.name))
    strict.policy(mx=(host.name,))
    send(free.user())
    host.wait_messages()
    send(strict.user())
    event = relay.wait_delivery(strict.name, result="deferred")
    assert failure(event) == "certificate-host-mismatch"
    assert len(host.seen) == 1


def test_routed_domain_uses_the_policy_of_its_next_hop(world, start_relay):
    """RFC 8461 leaves it to us: with a configured next hop, that host's name is the policy domain."""
    hop, recipient = world.domain(), world.domain()
    host = world.mx(hop.name, world.honest(hop.name).but(starttls=False))
    hop.policy(mx=(hop.name,))
    relay = start_relay(routes=[{"domain": recipient.name, "via": f"{hop.name}:25"}])
    submit(relay.address, recipient.user())
    event = relay.wait_delivery(result="deferred")
    assert (policy(event), failure(event)) == ("sts/enforce", "starttls-not-supported")
    assert untouched(host)
