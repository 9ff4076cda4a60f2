"""How hard hosts are pressed: limits that destinations share, addresses that are dead, 421, one probe, and rates."""

import json
import subprocess
import threading
import time

import pytest

from lab.behaviour import Close, Slow
from lab.client import Client, message, queue_id, submit
from lab.process import wait_until

SLOW_RETRY = {"first": "5m", "growth": 2, "max": "4h", "jitter": 0}


class Crowd:
    """An action for CONNECT that counts who is there at once, and turns away all above `limit` with 421."""

    def __init__(self, limit=10**6):
        self.limit = limit
        self.lock = threading.Lock()
        self.most = self.refused = 0

    def __call__(self, dialogue, _argument):
        with self.lock:
            now = sum(s.ended is None for s in dialogue.host.sessions)
            if now > self.limit:
                self.refused += 1
                return Close("421 4.7.0 too many connections")
            self.most = max(self.most, now)
        return None


def submit_many(address, recipients):
    """One message for each, on one connection."""
    with Client(address) as client:
        client.hello()
        for recipient in recipients:
            client.envelope("ann@sender.example", [recipient])
            queue_id(client.data(message()))


def outbound(relay):
    return json.loads(relay.command("status", "--json").stdout)["outbound"]


def test_two_domains_on_one_slow_mx_share_its_limit_and_never_a_session(world, start_relay):
    relay = start_relay(delivery={"host_concurrency": 2, "messages_per_session": 3})
    crowd = Crowd()
    domains = [world.domain(), world.domain()]
    host = world.mx(f"mx1.{domains[0]}", world.honest(f"mx1.{domains[0]}").but(on={"CONNECT": crowd, ".": Slow(0.1)}))
    for domain in domains:
        domain.add_mx(host.name)
    for _ in range(20):
        for domain in domains:
            submit(relay.address, domain.user())
    host.wait_messages(40, timeout=30)
    assert crowd.most == 2
    for session in host.sessions:
        seen = {m.rcpt_to[0].rpartition(b"@")[2] for m in host.messages if m.session is session}
        assert len(seen) <= 1
    relay.wait_empty()


def test_idle_sessions_make_room_for_others(world, start_relay):
    """Ten domains on one host that takes one session at a time: none waits for the five seconds that a session idles."""
    relay = start_relay(delivery={"host_concurrency": 1})
    crowd = Crowd()
    domains = [world.domain() for _ in range(10)]
    host = world.mx(f"mx1.{domains[0]}", world.honest(f"mx1.{domains[0]}").but(on={"CONNECT": crowd}))
    for domain in domains:
        domain.add_mx(host.name)
    began = time.monotonic()
    for domain in domains:
        submit(relay.address, domain.user())
    host.wait_messages(10, timeout=30)
    assert crowd.most == 1
    assert time.monotonic() - began < 15


def test_all_sessions_have_a_bound(world, start_relay):
    relay = start_relay(delivery={"sessions": 2})
    domains = [world.domain() for _ in range(6)]
    hosts = [domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(0.3)})) for domain in domains]
    for _ in range(3):
        for domain in domains:
            submit(relay.address, domain.user())
    most = 0
    while sum(len(host.messages) for host in hosts) < 18:
        most = max(most, sum(s.ended is None for host in hosts for s in host.sessions))
        time.sleep(0.01)
    assert most <= 3                            # one may still be saying goodbye
    relay.wait_empty()


def test_a_dead_address_beside_a_live_one_costs_nothing_twice(world, start_relay):
    """The first message finds out; later ones do not try the address again while it is left alone."""
    relay = start_relay(delivery={"messages_per_session": 1, "retry": SLOW_RETRY})
    domain = world.domain()
    live = world.address()
    host = world.mx(f"mx1.{domain}", addresses=[live])
    world.set_addresses(host.name, [live, "fd00:dead::1"])          # IPv6 is tried first, and there is no such network
    domain.add_mx(host.name)
    for _ in range(4):
        submit(relay.address, domain.user())
        time.sleep(0.2)
    host.wait_messages(4)
    tries = [e for e in relay.events(event="session", result="failed") if e.get("ip") == "fd00:dead::1"]
    assert sum("left alone" not in e["why"] for e in tries) == 1, tries
    assert sum("left alone" in e["why"] for e in tries) == 3, tries
    assert outbound(relay)["dead"] == 1


def test_a_421_storm_is_not_a_dead_site(world, start_relay):
    """A host that takes two sessions: with retries of five minutes, everything arrives at once all the same."""
    relay = start_relay(delivery={"messages_per_session": 5, "retry": SLOW_RETRY})
    crowd = Crowd(limit=2)
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": crowd, ".": Slow(0.05)}))
    submit_many(relay.address, [domain.user()] * 60)
    host.wait_messages(60, timeout=40)
    assert relay.events(event="destination", state="held") == []
    assert crowd.refused < 20
    relay.wait_empty()


def test_one_probe_of_a_dead_destination_and_all_goes_on_its_first_success(world, make_plain):
    relay = make_plain(delivery={"retry": {"first": "2s", "growth": 1, "max": "2s", "jitter": 0}}).start()
    domain = world.domain()
    address = world.address()
    domain.add_mx(f"mx1.{domain}")
    world.set_addresses(f"mx1.{domain}", [address])                  # nobody there yet
    threads = [threading.Thread(target=submit_many, args=(relay.address, [domain.user()] * 1250)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = len(relay.events(event="session", id=domain.name))
    began = time.monotonic()
    time.sleep(7)
    probes = len(relay.events(event="session", id=domain.name)) - first
    assert 2 <= probes <= (time.monotonic() - began) / 2 + 1, probes
    host = world.mx(f"mx1.{domain}", addresses=[address])
    host.wait_messages(10000, timeout=120)
    relay.wait_empty()
    assert len(host.messages) == 10000


# Rates.

def arrivals(host, count, timeout=30):
    """When they came, from the first one on."""
    times = sorted(m.at for m in host.wait_messages(count, timeout))
    return [at - times[0] for at in times]


def test_a_rate_is_kept(world, start_relay):
    relay = start_relay(delivery={"rate": "4/1s"})
    domain, other = world.domain(), world.domain()
    host, free = domain.mx(), other.mx()
    submit_many(relay.address, [domain.user()] * 20 + [other.user()])
    free.wait_messages(1, timeout=5)            # each destination has its own
    times = arrivals(host, 20)
    assert times[19] > 3.5, times               # a second's worth at once, then four a second
    assert times[19] < 8, times
    for i, at in enumerate(times):
        assert sum(at <= t < at + 1 for t in times[i:]) <= 9, times
    relay.wait_empty()


def test_a_slow_rate_holds_no_connection_and_no_message(world, start_relay):
    """One an hour: the first goes, the others wait in the store, and a reload without the rate lets them go."""
    relay = start_relay(delivery={"rate": "1/1h"})
    domain = world.domain()
    host = domain.mx()
    submit_many(relay.address, [domain.user()] * 5)
    host.wait_messages(1)
    host.wait_sessions(1)
    relay.wait_delivery(domain.name, result="deferred", reason="rate")
    assert len(relay.queued()) == 4
    assert outbound(relay)["sessions"] == 0
    assert len(host.messages) == 1
    relay.write_config(delivery={"rate": "0"})
    relay.reload()
    host.wait_messages(5)
    relay.wait_empty()


def test_urgent_mail_comes_first(world, start_relay):
    """RFC 6710 5.1: inside a destination, by priority."""
    relay = start_relay(delivery={"concurrency": 1})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": Slow(1.5)}))
    for priority in (0, -3, 0, 9, 4, 9):
        submit(relay.address, domain.user(f"p{priority}"), args=f" MT-PRIORITY={priority}")
    got = [m.rcpt_to[0].partition(b"@")[0].decode() for m in host.wait_messages(6)]
    assert got == ["p9", "p9", "p4", "p0", "p0", "p-3"]


def test_a_dead_destination_does_not_keep_others_waiting(world, start_relay):
    relay = start_relay(delivery={"sessions": 3, "retry": SLOW_RETRY})
    dead = [world.domain() for _ in range(8)]
    for domain in dead:
        domain.add_mx(f"mx1.{domain}")
        world.set_addresses(f"mx1.{domain}", [world.address()])
    domain = world.domain()
    host = domain.mx()
    for one in [*dead, domain]:
        submit(relay.address, one.user())
    host.wait_messages(1, timeout=5)
    wait_until(lambda: len(relay.events(event="destination", state="held")) == 8, 10, "all are held")


@pytest.mark.parametrize("what", ["domains", "route"])
def test_a_domain_and_a_route_have_limits_of_their_own(world, start_relay, what):
    domain = world.domain()
    crowd = Crowd()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": crowd, ".": Slow(0.1)}))
    limits = {"concurrency": 1, "rate": "5/1s"}
    if what == "domains":
        relay = start_relay(domains=[{"domain": domain.name, **limits}])
    else:
        relay = start_relay(routes=[{"domain": domain.name, "via": f"{host.name}:25", **limits}])
    submit_many(relay.address, [domain.user()] * 15)
    times = arrivals(host, 15)
    assert crowd.most == 1
    assert times[14] > 1.8, times


def test_a_hanging_host_is_no_reason_to_open_more(world, start_relay):
    """Sessions that wait for room are not joined by more of the same destination."""
    relay = start_relay(delivery={"host_concurrency": 1})
    domain = world.domain()
    crowd = Crowd()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": crowd, ".": Slow(0.2)}))
    submit_many(relay.address, [domain.user()] * 30)
    host.wait_messages(30, timeout=30)
    assert crowd.most == 1
    relay.wait_empty()


# Two address families.

def by_family(reply):
    """An action for RCPT: the reply over IPv6, the usual over IPv4."""
    return lambda dialogue, _argument: reply if ":" in dialogue.session.address else None


@pytest.fixture(scope="module")
def six():
    """An IPv6 address of this machine."""
    subprocess.run(["ip", "address", "add", "fd00:31::1/128", "dev", "lo"], check=True)
    return "fd00:31::1"


def test_a_policy_refusal_over_ipv6_is_asked_again_over_ipv4(world, relay, six, send):
    domain = world.domain()
    host = domain.mx(addresses=[six, world.address()])
    host.behaviour = host.behaviour.but(on={"RCPT": by_family("550 5.7.1 no reverse name for your address")})
    for _ in range(3):
        send(domain.user())
    assert all(":" not in m.session.address for m in host.wait_messages(3))
    relay.wait_empty()
    assert relay.deliveries(domain.name, result="bounced") == []
    host.stop()


@pytest.mark.parametrize("four", ["refuses too", "is dead", "tells it to wait"])
def test_the_other_family_is_asked_once(world, relay, six, home, four):
    domain = world.domain()
    addresses = [six, world.address()]
    host = domain.mx(addresses=[six] if four == "is dead" else addresses)
    world.set_addresses(host.name, addresses)
    replies = {"refuses too": "550 5.7.1 nor here", "is dead": None, "tells it to wait": "451 4.7.1 later"}
    host.behaviour = host.behaviour.but(on={"RCPT": lambda dialogue, _argument: "550 5.7.1 not from there" if ":" in dialogue.session.address
                                            else replies[four]})
    submit(relay.address, domain.user(), sender=home.user())
    if four == "tells it to wait":
        assert relay.wait_delivery(domain.name, result="deferred")["status"] == "4.7.1"
    else:
        got = relay.wait_delivery(domain.name, result="bounced")
        assert got["status"] == "5.7.1" and ("nor here" if four == "refuses too" else "not from there") in got["why"]
        home.host.wait_messages(1)
        assert len(host.sessions) == (2 if four == "refuses too" else 1)
    host.stop()
