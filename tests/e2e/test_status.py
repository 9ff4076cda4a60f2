"""The one screen: strictpost status and strictpost top; each number compared with what was put in."""

import json
import os
import re
import signal
import time

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


def test_draining_is_told(relay, mixed):
    assert status(relay)["draining"] is False
    assert relay.command("drain").returncode == 0
    got = status(relay)
    assert got["draining"] is True and got["ready"] is False
    assert relay.command("drain", "--undo").returncode == 0
    assert status(relay)["draining"] is False


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


def rows_of(text, *domains):
    return [line.split()[0] for line in text.splitlines() if line.startswith(tuple(domain.name for domain in domains))]


def test_top_orders_what_waits_most(relay, mixed):
    proved, clear, refused, silent = mixed
    with top(relay) as terminal:
        terminal.wait_for(refused.name, silent.name)
        assert rows_of(terminal.text(), refused, silent) == [refused.name, silent.name]
        for key, order in (("n", sorted((refused.name, silent.name))), ("o", [refused.name, silent.name]), ("r", [refused.name, silent.name])):
            terminal.type(key)
            wait_until(lambda: rows_of(terminal.text(), refused, silent) == order, 10, f"{key}: {order}")
        terminal.type("q")
        assert terminal.wait() == 0


def test_top_leaves_at_once_while_the_relay_is_silent(relay):
    """A relay that hangs held the key for 15 s, and Ctrl-C for ever."""
    for key in ("q", "C-c"):
        with top(relay) as terminal:
            terminal.wait_for("ready      yes")
            os.kill(relay.process.pid, signal.SIGSTOP)
            try:
                time.sleep(1)                                       # it has asked, and waits
                began = time.monotonic()
                terminal.type(key)
                assert terminal.wait() == 0
                assert time.monotonic() - began < 2
            finally:
                os.kill(relay.process.pid, signal.SIGCONT)


def test_top_tells_of_a_relay_that_is_silent(relay):
    with top(relay) as terminal:
        terminal.wait_for("ready      yes")
        os.kill(relay.process.pid, signal.SIGSTOP)
        try:
            terminal.wait_for("no answer", "does not answer within 5 s")
        finally:
            os.kill(relay.process.pid, signal.SIGCONT)
        terminal.wait_for("ready      yes")
        terminal.type("q")
        assert terminal.wait() == 0


def test_top_gives_the_screen_back_while_it_is_stopped(relay):
    """Ctrl-Z left the shell without a cursor, on the other screen, with a terminal that did not echo."""
    with Terminal(["bash", "--norc", "--noprofile", "-i"], 120, 40, env=relay.environment()) as terminal:
        terminal.type("PS1=SHELL:", "Enter")
        terminal.wait_for("SHELL:")
        terminal.type(f"{relay.binary} top --interval 300ms --config {relay.config_file}", "Enter")
        terminal.wait_for("ready      yes")
        for _ in range(2):
            terminal.type("C-z")
            terminal.wait_for("Stopped")
            assert "ready" not in terminal.text()
            terminal.type("stty -a | grep -o -E -e '-?(icanon|echo)\\b' | tr '\\n' ' '", "Enter")
            terminal.wait_for("icanon echo")
            assert "-icanon" not in terminal.text()
            terminal.type("clear; fg", "Enter")
            terminal.wait_for("ready      yes", "a second")
        terminal.type("q")
        terminal.wait_for("SHELL:")
        terminal.type("exit", "Enter")
        assert terminal.wait() == 0


def test_healthcheck_of_a_relay_that_is_silent(relay):
    """A container's runtime gives up after its timeout, and then nobody knows why: the reason comes within 5 s."""
    os.kill(relay.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = relay.command("healthcheck")
        assert done.returncode == 1 and "does not answer within 4 s" in done.stdout and time.monotonic() - began < 6
    finally:
        os.kill(relay.process.pid, signal.SIGCONT)
    assert relay.command("healthcheck").stdout == "healthy\n"


def test_status_on_a_narrow_terminal(relay, mixed):
    refused = mixed[2]
    with Terminal([relay.binary, "status", "--config", relay.config_file], 50, 60, env=relay.environment()) as terminal:
        assert terminal.wait() == 0
        row = next(line for line in terminal.lines() if line.startswith(refused.name[:15]))
        assert row.split()[1] == "3" and len(row) <= 50
