"""Finding the hosts to deliver to."""

import pytest

from evidence import same_message, untouched
from lab.client import message, submit
from lab.mx import Mx
from lab.tap import GARBAGE, NXDOMAIN, REFUSED, SERVFAIL, SILENCE, TRUNCATE, WRONG_ID


def bounced(relay, home, domain_name, status):
    """The message was bounced with this status, to the sender; returns the bounce."""
    relay.wait_delivery(domain_name, result="bounced")
    [bounce] = home.host.wait_messages()
    assert f"Status: {status}".encode() in bounce.data, bounce.data.decode()
    assert bounce.mail_from == b""
    relay.wait_empty()
    return bounce


def test_lowest_preference_first(world, relay, send):
    domain = world.domain()
    hosts = [domain.mx(label=f"p{p}", preference=p) for p in (30, 10, 20)]
    send(domain.user())
    hosts[1].wait_messages()
    assert not hosts[0].sessions and not hosts[2].sessions


def test_equal_preferences_share_the_load(world, start_relay):
    relay = start_relay(delivery={"messages_per_session": 1})
    domain = world.domain()
    hosts = [domain.mx(label=f"m{i}") for i in range(2)]
    for i in range(24):
        submit(relay.address, domain.user(), message(f"m{i}"))
    relay.wait_empty()
    assert all(host.messages for host in hosts)


def test_domain_without_mx_is_its_own_host(world, relay, send):
    domain = world.domain()
    host = world.mx(domain.name)
    send(domain.user())
    host.wait_messages()


def test_null_mx_bounces_at_once(world, relay, send, home):
    domain = world.domain()
    world.dns.replace(domain.name, "MX", ["0 ."])
    world.set_addresses(domain.name, [world.address()])
    send(domain.user(), sender=home.user())
    bounced(relay, home, domain.name, "5.1.10")


def test_no_such_domain_bounces(world, relay, send, home):
    send("bob@nowhere.example", sender=home.user())
    bounced(relay, home, "nowhere.example", "5.1.2")


def test_domain_with_neither_mx_nor_address_bounces(world, relay, send, home):
    domain = world.domain()
    world.dns.replace(domain.name, "TXT", ['"nothing else"'])
    send(domain.user(), sender=home.user())
    relay.wait_delivery(domain.name, result="bounced")
    assert b"Status: 5." in home.host.wait_messages()[0].data


@pytest.mark.parametrize("fault", [SERVFAIL, REFUSED, SILENCE, GARBAGE, WRONG_ID])
def test_failing_mx_lookup_defers(world, start_relay, fault):
    relay = start_relay(resolver={"timeout": "1s"})
    domain = world.domain()
    host = domain.mx()
    world.set_addresses(domain.name, [world.address()])     # must not be taken for an implicit MX
    world.tap.break_name(domain.name, "MX", fault)
    queue_id = submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred", timeout=40)
    assert relay.queued() == [queue_id]
    assert untouched(host)
    world.tap.mend()
    host.wait_messages(timeout=40)


@pytest.mark.parametrize("fault", [SERVFAIL, SILENCE])
def test_failing_address_lookup_defers(world, start_relay, fault):
    relay = start_relay(resolver={"timeout": "1s"})
    domain = world.domain()
    host = domain.mx()
    world.tap.break_name(host.name, "A", fault)
    world.tap.break_name(host.name, "AAAA", fault)
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred", timeout=40)
    world.tap.mend()
    host.wait_messages(timeout=40)


def test_dead_resolver_defers_and_nothing_is_lost(world, start_relay):
    relay = start_relay(resolver={"timeout": "1s"})
    domain = world.domain()
    host = domain.mx()
    world.tap.break_name("*", "ANY", SILENCE)
    for i in range(5):
        submit(relay.address, domain.user(), message(f"m{i}"))
    relay.wait_delivery(domain.name, result="deferred", timeout=40)
    assert len(relay.queued()) == 5
    world.tap.mend()
    assert len({m.data for m in host.wait_messages(5, timeout=40)}) == 5


def test_truncated_answer_is_asked_again_over_tcp(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    world.tap.break_name(domain.name, "MX", TRUNCATE)
    send(domain.user())
    host.wait_messages()


def test_aaaa_nxdomain_does_not_hide_the_a_record(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    world.tap.break_name(host.name, "AAAA", NXDOMAIN)
    send(domain.user())
    host.wait_messages()


def test_mx_set_of_fifty(world, relay, send):
    """More hosts than one attempt may try: the good one is the first."""
    domain = world.domain()
    host = domain.mx(label="good", preference=1)
    world.dns.replace(domain.name, "MX", [f"1 {host.name}."] + [f"{i} nowhere{i}.{domain}." for i in range(2, 51)])
    send(domain.user())
    host.wait_messages()


def test_at_most_five_hosts_an_attempt(world, relay, send):
    domain = world.domain()
    hosts = [domain.mx(world.honest().but(starttls=False, on={"CONNECT": "421 4.3.2 no"}), f"m{i}", i) for i in range(8)]
    send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert sum(bool(host.sessions) for host in hosts) <= 5


def test_domain_that_is_a_cname(world, relay, send):
    domain, target = world.domain(), world.domain("target")
    host = target.mx()
    world.dns.replace(domain.name, "CNAME", [f"{target}."])
    send(domain.user())
    assert host.wait_messages()[0].rcpt_to == [domain.user().encode()]


def test_policy_domain_is_the_one_written_not_where_its_cname_leads(world, relay, send):
    domain, target = world.domain(), world.domain("target")
    host = target.mx()
    target.policy(mx=("other.example",))
    world.dns.replace(domain.name, "CNAME", [f"{target}."])
    send(domain.user())
    host.wait_messages()


def test_mx_host_that_is_a_cname_is_verified_by_the_name_in_the_mx_record(world, relay, send):
    domain = world.domain().policy()
    real = world.mx(f"real.{domain}", world.honest(f"mx1.{domain}"))
    domain.add_mx(f"mx1.{domain}")
    world.dns.replace(f"mx1.{domain}", "CNAME", [f"{real.name}."])
    send(domain.user())
    assert real.wait_messages()[0].tls.sni == f"mx1.{domain}"


def test_host_with_ipv6_only(world, relay, send):
    domain = world.domain()
    host = domain.mx(addresses=["::1"])
    send(domain.user())
    host.wait_messages()
    assert relay.wait_delivery(domain.name)["ip"] == "::1"


def test_second_address_of_a_host(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    world.set_addresses(host.name, [world.address(), *host.addresses])
    send(domain.user())
    host.wait_messages()
    assert not relay.deliveries(domain.name, result="deferred")


def test_address_literal(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    send(f"bob@[{host.addresses[0]}]")
    assert host.wait_messages()[0].rcpt_to == [f"bob@[{host.addresses[0]}]".encode()]


def test_internationalised_domain_is_asked_by_its_a_labels(world, relay, send):
    domain = world.domain(name="xn--bcher-kva.example").policy()
    host = domain.mx()
    send("bob@xn--bcher-kva.example")
    host.wait_messages()
    assert relay.wait_delivery("xn--bcher-kva.example")["policy"] == "sts/enforce"


def test_case_of_the_domain_does_not_matter(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user().upper())
    [got] = host.wait_messages()
    assert got.rcpt_to[0].startswith(b"BOB@") and got.rcpt_to[0].lower() == domain.user().encode()
    assert relay.wait_delivery(domain.name)["policy"] == "sts/enforce"


@pytest.mark.parametrize("address", ["127.20.0.1", "::1", "::ffff:127.20.0.1", "0.0.0.0"])
def test_private_addresses_are_not_contacted(world, start_relay, home, address):
    relay = start_relay(delivery={"allow_private": [f"{home.host.addresses[0]}/32"]})
    domain = world.domain()
    domain.add_mx(f"mx1.{domain}")
    world.set_addresses(f"mx1.{domain}", [address])
    submit(relay.address, domain.user(), sender=home.user())
    event = relay.wait_delivery(domain.name)
    assert event["result"] in ("bounced", "deferred") and "not a public address" in event["why"]


def test_private_literal_is_not_contacted(world, start_relay, home):
    """Nobody gets at the machine's own services by way of the relay."""
    relay = start_relay(delivery={"allow_private": [f"{home.host.addresses[0]}/32"]})
    address = world.address()
    host = world.mx("literal.example", addresses=[address])
    submit(relay.address, f"root@[{address}]", sender=home.user())
    event = relay.wait_delivery(f"[{address}]")
    assert event["result"] in ("bounced", "deferred") and "not a public address" in event["why"]
    assert not host.sessions


def test_mx_that_names_ourselves_is_a_loop(world, relay, send, home):
    domain = world.domain()
    domain.add_mx("relay.example")
    world.set_addresses("relay.example", ["127.0.0.1"])
    send(domain.user(), sender=home.user())
    bounced(relay, home, domain.name, "5.4.6")


def test_hosts_behind_ourselves_are_not_used(world, relay, send):
    domain = world.domain()
    first = domain.mx(label="first", preference=5)
    domain.add_mx("relay.example", 10)
    behind = domain.mx(label="behind", preference=20)
    first.behaviour = first.behaviour.but(on={"CONNECT": "421 4.3.2 no"})
    send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert not behind.sessions


def test_route_for_one_domain(world, start_relay):
    domain, other = world.domain(), world.domain()
    address = world.address()
    hop = world.keep(Mx("hop.example", [address], world.honest("hop.example"), port=2526))
    world.set_addresses("hop.example", [address])
    host = other.mx()
    relay = start_relay(routes=[{"domain": domain.name, "via": "hop.example:2526"}])
    submit(relay.address, [domain.user(), other.user()])
    assert hop.wait_messages()[0].rcpt_to == [domain.user().encode()]
    assert host.wait_messages()[0].rcpt_to == [other.user().encode()]


def test_route_for_all(world, start_relay):
    address = world.address()
    hop = world.keep(Mx("hop2.example", [address], world.honest("hop2.example"), port=2526))
    world.set_addresses("hop2.example", [address])
    relay = start_relay(routes=[{"domain": "*", "via": "hop2.example:2526"}])
    queue_id = submit(relay.address, ["a@nowhere.example", "b@elsewhere.example"])
    got = hop.wait_messages()
    assert {rcpt for m in got for rcpt in m.rcpt_to} <= {b"a@nowhere.example", b"b@elsewhere.example"}
    assert same_message(got[0].data, message(), queue_id)
    relay.wait_empty()
