"""The probe: does the relay's own resolver validate? What is logged, shown, and done when it does not."""

import json
import os
import shutil
import subprocess

import pytest

from lab.process import wait_until
from lab.tap import GARBAGE, SERVFAIL, STRIP_AD, Tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def dnssec(relay):
    """What the status says of it."""
    return json.loads(relay.command("status", "--json").stdout)["dnssec"]


def wait_state(relay, state):
    wait_until(lambda: dnssec(relay)["resolver"] == state, 10, state, interval=0.1)
    return dnssec(relay)


def test_a_validating_resolver(world, relay):
    got = wait_state(relay, "trusted, validating")
    assert got["believed"] is True and got["remedy"] == ""
    assert "dnssec     resolver trusted, validating\n" in relay.command("status").stdout
    assert not relay.events(event="dnssec", level="error")


def test_a_resolver_that_does_not_validate_is_an_error_with_its_remedy(world, make_relay):
    world.tap.break_name(".", "SOA", STRIP_AD)
    relay = make_relay().start()
    got = wait_state(relay, "trusted, not validating")
    assert got["believed"] is False
    for text in (got["remedy"], relay.command("status").stdout, relay.events(event="dnssec")[0]["text"]):
        assert "conf/unbound/strictpost.conf" in text and "resolver.servers" in text
    assert relay.events(event="dnssec")[0]["level"] == "error"
    world.tap.mend()
    relay.reload()                      # it asks again at once
    wait_state(relay, "trusted, validating")


def test_one_of_two_servers_that_does_not_validate(world, make_relay):
    """Look-ups that the first fails, as it does for a forged answer, go to the second: there the forgery would pass for an unsigned zone."""
    other = Tap(world.tap.upstream, "127.0.0.9")
    try:
        other.break_name(".", "SOA", STRIP_AD)
        relay = make_relay(resolver={"servers": ["127.0.0.1", "127.0.0.9"]}).start()
        assert wait_state(relay, "trusted, not validating")["believed"] is False
        assert "127.0.0.9" in relay.events(event="dnssec", level="error")[0]["text"]
        other.mend()
        relay.reload()
        assert wait_state(relay, "trusted, validating")["believed"] is True
    finally:
        other.stop()


def test_a_resolver_elsewhere_is_not_believed(world, make_relay):
    relay = make_relay(resolver={"trust_ad": "no"}).start()
    got = wait_state(relay, "not trusted")
    assert got["believed"] is False and "resolver.trust_ad" in got["remedy"]
    assert "resolver.trust_ad" in relay.events(event="dnssec")[0]["text"]


@pytest.mark.parametrize("fault", [SERVFAIL, GARBAGE])
def test_no_answer_is_no_reason_to_turn_dane_off(world, make_relay, fault):
    """Who can keep an answer away must not be able to turn DANE off."""
    relay = make_relay(resolver={"timeout": "200ms"}).start()
    wait_state(relay, "trusted, validating")
    world.tap.break_name(".", "SOA", fault)
    relay.reload()
    wait_until(lambda: relay.events(event="dnssec", level="error"), 10, "an error in the log")
    assert dnssec(relay)["believed"] is True


def test_a_name_under_a_private_root(world, make_relay):
    world.tap.break_name(".", "SOA", STRIP_AD)
    relay = make_relay(resolver={"probe": "example"}).start()
    wait_state(relay, "trusted, validating")
    assert world.tap.asked("example", "SOA") > 0


@pytest.mark.skipif(shutil.which("unbound-checkconf") is None, reason="unbound is not installed")
def test_the_configuration_for_unbound_is_sound():
    done = subprocess.run(["unbound-checkconf", f"{TOP}/conf/unbound/strictpost.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
