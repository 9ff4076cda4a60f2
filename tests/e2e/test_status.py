"""The one screen: strictpost status and strictpost top; each number compared with what was put in."""

import json
import os
import re

import pytest

from lab.client import submit
from lab.process import wait_until
from lab.terminal import Terminal


def status(relay):
    done = relay.command("status", "--json")
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def mixed(world, relay):
    """Two messages verified (one with two recipients), one in clear, three recipients at a domain that refuses, one that nobody answers for."""
    proved, clear, refused, silent = world.domain().policy(), world.domain(), world.domain().policy(), world.domain()
    proved_host, clear_host = proved.mx(), clear.mx(world.honest("x.example").but(starttls=False))
    refused.mx(world.honest("other.example"))
    world.set_addresses(f"mx1.{silent}", [world.address()])      # where nobody listens
    silent.set_mx((10, f"mx1.{silent}"))
    submit(relay.address, [proved.user("a"), proved.user("b")])
    proved_host.wait_messages()
    submit(relay.address, [proved.user("c")])
    submit(relay.address, [clear.user("d")])
    submit(relay.address, [refused.user(name) for name in "efg"])
    submit(relay.address, [silent.user("h")])
    proved_host.wait_messages(2)
    clear_host.wait_messages()
    relay.wait_delivery(refused.name, result="deferred")
    relay.wait_delivery(silent.name, result="deferred")
    wait_until(lambda: status(relay)["queue"]["messages"] == 2, 20, "two left")
    return proved, clear, refused, silent


def test_each_number(relay, mixed):
    proved, clear, refused, silent = mixed
    got = status(relay)
    assert {name: got["throughput"]["accepted"][name] for name in ("minute", "hour", "total")} == {"minute": 5, "hour": 5, "total": 5}
    assert got["throughput"]["delivered"]["total"] == got["delivered"] == 4
    assert got["throughput"]["deferred"]["total"] >= 4 and got["throughput"]["bounced"] == {"minute": 0, "hour": 0, "total": 0}
    assert got["tls"]["hour"] == got["tls"]["total"] and got["tls"]["total"]["clear"] == 1
    assert got["tls"]["total"]["verified"] >= 1 and got["tls"]["total"]["encrypted"] == 0
    queue = got["queue"]
    assert (queue["messages"], queue["recipients"], queue["held"], queue["quarantined"]) == (2, 4, 0, 0)
    assert got["started"] <= queue["oldest"] == queue["oldest_waiting"]
    assert got["disk"]["free"] <= got["disk"]["total"] and 0 < got["disk"]["needed"] <= 64 << 20
    assert got["disk"]["database"] == os.path.getsize(f"{relay.config['state_dir']}/spool.db")
    assert got["policies"].keys() == {"enforce", "testing", "none", "expired", "failing", "lapsing", "never_fetched", "first_lapse"}


def test_policies_are_counted(world, make_relay):
    """A relay that is started anew has asked nobody yet: what is told is of the spool now."""
    relay = make_relay().start()
    for mode in ("enforce", "enforce", "testing", "none"):
        domain = world.domain().policy(mode=mode, mx=() if mode == "none" else ("mx1.{domain}",), max_age=86400)
        relay.command("policy", "refresh", domain.name)
    failing = world.domain().policy(max_age=86400)
    relay.command("policy", "refresh", failing.name)
    world.policy_host.serve(failing.name, None)
    relay.command("policy", "refresh", failing.name)
    relay.restart()
    got = status(relay)["policies"]
    first = json.loads(relay.command("policy", "show", "--json", failing.name).stdout)["expires"]
    assert got == {"enforce": 3, "testing": 1, "none": 1, "expired": 0, "failing": 1, "lapsing": 1, "never_fetched": 0, "first_lapse": first}


def test_the_screen(relay, mixed):
    proved, clear, refused, silent = mixed
    done = relay.command("status")
    text = done.stdout
    assert done.returncode == 0 and "\x1b" not in text
    for words in ("ready      yes", "messages   5 accepted", "recipients 4 delivered, 0 bounced", "last minute 5 accepted; 4 delivered",
                  "queue      2 messages, 4 recipients, 0 held, 0 quarantined", "accepting", "dnssec     resolver "):
        assert words in text, (words, text)
    assert re.search(r"^tls        last hour: \d+\.\d% verified, 0\.0% encrypted only, \d+\.\d% in clear \(\d+ sessions\)$", text, re.M), text
    rows = [line for line in text.splitlines() if line.startswith((refused.name, silent.name))]
    assert [row.split()[:2] for row in rows] == [[refused.name, "3"], [silent.name, "1"]], text


def test_an_idle_relay(relay):
    text = relay.command("status").stdout
    assert "tls        last hour: no sessions" in text and "oldest     -" in text and "most waits" not in text


def test_top_needs_a_terminal(relay):
    done = relay.command("top")
    assert (done.returncode, done.stdout) == (2, "") and "strictpost status --json" in done.stderr
    done = relay.command("top", "--interval", "1ms")
    assert done.returncode == 2 and "100ms" in done.stderr


def top(relay, width=120, height=40, *words):
    return Terminal(["sh", "-c", "trap : INT; echo before; \"$@\"; status=$?; echo after; exit $status", "sh",
                     relay.binary, "top", "--interval", "300ms", "--config", relay.config_file, *words], width, height, env=relay.environment())


@pytest.mark.parametrize("width, height", [(40, 10), (80, 24), (200, 60)])
def test_top_on_screens_of_all_sizes(relay, mixed, width, height):
    with top(relay, width, height) as terminal:
        text = terminal.wait_for("strictpost", "ready      yes", "a second")
        assert len(terminal.lines()) <= height and all(len(line) <= width for line in text.splitlines()) and "before" not in text
        terminal.resize(100, 50)
        terminal.wait_for(mixed[2].name, "most waits for")
        terminal.type("q")
        assert terminal.wait() == 0
        text = terminal.wait_for("before", "after")             # the screen that was there is there again
        assert "ready" not in text and "most waits" not in text


def test_top_shows_rates_and_survives_a_restart(world, relay):
    domain = world.domain()
    domain.mx()
    with top(relay) as terminal:
        terminal.wait_for("messages   0 accepted", "0.0 accepted")
        submit(relay.address, domain.user())
        terminal.wait_for("messages   1 accepted", "recipients 1 delivered")
        relay.stop()
        terminal.wait_for("no answer", "q leaves")
        assert "ready" not in terminal.text()
        relay.start()
        terminal.wait_for(f"pid {relay.process.pid}", "ready      yes", "messages   0 accepted")
        terminal.type("q")
        assert terminal.wait() == 0


def test_top_restores_the_terminal_when_it_is_interrupted(relay):
    with top(relay) as terminal:
        terminal.wait_for("ready      yes")
        terminal.type("C-c")
        assert terminal.wait() == 0
        assert "ready" not in terminal.wait_for("before", "after")
