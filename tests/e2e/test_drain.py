"""Emptying a relay: no mail comes in, all that is there goes out, and then it ends; strictpost drain."""

import contextlib
import json
import sqlite3

from lab.behaviour import Turns
from lab.client import Client, submit
from lab.process import wait_until
from lab.terminal import Terminal
from test_admin import ask

HELD, QUARANTINED, NEVER = 1, 2, 0x7fffffffffffffff       # queue/marks.h


def drain(relay, *words, status=0):
    done = relay.command("drain", *words)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def deferring(world, times):
    """A domain whose host says 451 to the first `times` recipients."""
    domain = world.domain()
    domain.host = domain.mx(world.honest().but(on={"RCPT": Turns(*["451 4.2.0 later"] * times, None)}) if times else None)
    return domain


def ended(relay, timeout=30):
    wait_until(lambda: not relay.running(), timeout, "the relay has ended")
    return relay.process.returncode


def test_an_empty_relay_ends_at_once(relay):
    done = drain(relay)
    assert "0 recipients are left" in done.stdout
    assert ended(relay) == 0
    assert relay.events(event="drain")[-1]["text"].startswith("empty")


def test_it_delivers_and_takes_nothing(world, start_relay):
    relay = start_relay(delivery={"retry": {"first": "4s", "max": "4s"}})
    domain = deferring(world, 1)
    submit(relay.address, domain.user("a"))
    relay.wait_delivery(domain.name, result="deferred")
    with Client(relay.address) as idle:
        idle.hello()
        drain(relay, "--reason", "moving house")
        assert [event["text"] for event in relay.events(event="drain")] == ["no mail is taken any more: moving house"]
        assert idle.command("NOOP")[0] in (250, 421)
        with Client(relay.address) as late:
            assert late.greeting[0] == 421 and late.greeting[1].startswith("4.3.2 ")
        wait_until(lambda: idle.command("MAIL FROM:<>")[0] in (421, 0), 10, "the idle session is sent away")
    code, _, answer = ask(relay, "/readyz")
    assert code == 503 and "strictpost drain --undo" in answer["error"]
    assert relay.command("healthcheck").returncode == 1
    assert ended(relay) == 0
    assert len(domain.host.messages) == 1 and not relay.queued()


def test_a_transaction_comes_to_its_end_and_is_delivered(world, relay):
    domain = deferring(world, 0)
    with Client(relay.address) as client:
        client.hello()
        client.envelope("a@client.example", [domain.user()])
        drain(relay)
        assert client.data(b"Subject: in time\r\n\r\nhello\r\n")[0] == 250
        code, text = client.command("MAIL FROM:<>")
        assert (code, text[:6]) == (421, "4.3.2 ")
    assert ended(relay) == 0
    assert len(domain.host.messages) == 1


def test_undo_takes_mail_again(world, relay):
    domain = deferring(world, 0)
    with Client(relay.address) as client:
        client.hello()
        client.envelope("a@client.example", [domain.user()])       # keeps it from ending
        drain(relay)
        assert json.loads(drain(relay, "--json").stdout)["draining"] is True
        assert "mail is taken again" in drain(relay, "--undo").stdout
        assert ask(relay, "/readyz")[0] == 200
    submit(relay.address, domain.user())
    assert len(domain.host.wait_messages()) == 1
    assert relay.running() and ask(relay, "/drain")[2]["draining"] is False


def test_what_is_held_stays(world, start_relay):
    """What an operator holds, or is quarantined, is not waited for, and is told of."""
    relay = start_relay(delivery={"retry": {"first": "60s", "max": "60s"}})
    domain = deferring(world, 2)
    submit(relay.address, [domain.user("a"), domain.user("b")])
    relay.wait_delivery(domain.name, result="deferred", count=2)
    relay.stop()
    with contextlib.closing(sqlite3.connect(f"{relay.config['state_dir']}/spool.db")) as db, db:
        for n, mark in enumerate((HELD, QUARANTINED)):
            db.execute("UPDATE recipient SET mark = ?, next_at = ?, deadline = NULL WHERE n = ?", (mark, NEVER, n))
    relay.start()
    done = drain(relay, "--wait")
    assert done.stdout == "1 recipients stay held\n1 recipients stay quarantined\nthe relay is empty\n"
    assert ended(relay) == 0 and len(relay.queued()) == 1 and not domain.host.messages


def one_waits(world, start_relay, retry):
    """A relay with one message that is tried again after that time."""
    relay = start_relay(delivery={"retry": {"first": retry, "max": retry}})
    domain = deferring(world, 1)
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    return relay


def test_waiting_shows_how_far_it_is(world, start_relay):
    relay = one_waits(world, start_relay, "3s")
    with Terminal([relay.binary, "drain", "--wait", "--config", relay.config_file], 80) as terminal:
        terminal.wait_for("draining [", "0 of 1")
        assert terminal.wait(30) == 0
        assert terminal.text() == "the relay is empty"
    assert ended(relay) == 0


def test_waiting_can_be_left_and_the_relay_goes_on(world, start_relay):
    relay = one_waits(world, start_relay, "60s")
    with Terminal([relay.binary, "drain", "--wait", "--config", relay.config_file], 80) as terminal:
        terminal.wait_for("0 of 1")
        terminal.type("C-c")
        assert terminal.wait() == 1
        assert "--undo takes it back" in terminal.text()
    assert ask(relay, "/drain")[2]["draining"] is True


def test_stopped_meanwhile_says_what_is_left(world, start_relay):
    relay = one_waits(world, start_relay, "60s")
    with Terminal([relay.binary, "drain", "--wait", "--config", relay.config_file], 120) as terminal:
        terminal.wait_for("0 of 1")
        relay.stop()
        assert terminal.wait(30) == 1
        assert "1 recipients are left" in terminal.text()


def test_without_a_relay(relay):
    relay.stop()
    done = drain(relay, status=1)
    assert "strictpost run" in done.stderr
