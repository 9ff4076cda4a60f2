"""Faults that a review of the relay found: mail that waited for ever, and policies that came too late."""

import collections
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from evidence import failure, let_dns_age, policy
from lab.behaviour import Close, Hang, Slow, Turns
from lab.client import message, submit
from lab.process import wait_until
from lab.tap import SERVFAIL

PATIENT = {"retry": {"first": "1h", "max": "1h"}}


def test_sessions_refused_at_the_same_time_leave_nobody_waiting_for_ever(world, start_relay):
    """Several sessions fail under a cached policy, which is then fetched afresh: the attempt goes on, and is put off like any other."""
    relay = start_relay()
    domain = world.domain().policy()
    host = domain.mx()
    submit(relay.address, domain.user())
    host.wait_messages()
    relay.restart()
    host.behaviour = world.honest("other.example").but(on={"STARTTLS": Slow(1.5)})
    let_dns_age()
    for i in range(12):
        submit(relay.address, domain.user(), message(f"m{i}"))
    relay.wait_held(domain.name)
    host.behaviour = world.honest(host.name)
    host.wait_messages(13)
    relay.wait_empty()


def test_busy_destination_still_tries_again_what_it_deferred(world, start_relay):
    """One recipient is put off for a second while mail for others of the domain never ends."""
    relay = start_relay(delivery={"concurrency": 1})
    domain = world.domain()
    later = Turns("451 4.2.0 come again", None)

    def rcpt(_dialogue, argument):
        return later.next() if b"late@" in argument else None

    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": rcpt, ".": Slow(0.2)}))
    over = threading.Event()

    def flood():
        i = 0
        while not over.is_set():
            if i < len(host.messages) + 4:
                submit(relay.address, domain.user(), message(f"m{i}"))
                i += 1
            else:
                time.sleep(0.02)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        host.wait_messages(4)
        submit(relay.address, domain.user("late"))
        relay.wait_delivery(domain.name, result="deferred")
        wait_until(lambda: any(domain.user("late").encode() in m.rcpt_to for m in list(host.messages)), 10.0, "the deferred recipient")
    finally:
        over.set()
        thread.join()
    relay.wait_empty()


def test_address_lookup_that_failed_is_asked_again_at_the_next_attempt(world, start_relay):
    relay = start_relay()
    domain = world.domain().policy()
    host = domain.mx()
    world.dns.replace(domain.name, "MX", [f"10 {host.name}."], ttl=600)
    world.dns.replace(f"_mta-sts.{domain}", "TXT", ['"v=STSv1; id=1;"'], ttl=600)
    for kind in ("A", "AAAA"):
        world.tap.break_name(host.name, kind, SERVFAIL)
    submit(relay.address, domain.user())
    relay.wait_held(domain.name)
    world.tap.mend()
    host.wait_messages(timeout=15)


def test_recipients_over_the_limit_of_the_peer_go_in_the_next_transaction_at_once(world, start_relay):
    """RFC 5321 4.5.3.1.10: 452 for too many recipients says that the rest is to be sent in another transaction; it is no reason to wait."""
    relay = start_relay(delivery=PATIENT)
    domain = world.domain()

    def rcpt(dialogue, _argument):
        return "452 4.5.3 too many recipients" if len(dialogue.rcpt_to) >= 3 else None

    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": rcpt}))
    submit(relay.address, [domain.user(f"u{i}") for i in range(8)])
    got = host.wait_messages(3, timeout=15)
    assert sorted(r for m in got for r in m.rcpt_to) == sorted(domain.user(f"u{i}").encode() for i in range(8))
    relay.wait_empty()


def test_reload_that_turns_policies_on_rules_the_next_message(world, start_relay):
    relay = start_relay(sts={"enabled": False})
    domain = world.domain().policy()
    host = domain.mx(world.honest().but(starttls=False))
    world.dns.replace(domain.name, "MX", [f"10 {host.name}."], ttl=600)
    world.set_addresses(host.name, [])
    world.dns.replace(host.name, "A", host.addresses, ttl=600)
    submit(relay.address, domain.user())
    host.wait_messages()
    relay.write_config(sts={"enabled": True})
    relay.reload()
    relay.wait_log("is in force")
    submit(relay.address, domain.user())
    event = relay.wait_delivery(domain.name, result="deferred")
    assert (policy(event), failure(event)) == ("sts/enforce", "starttls-not-supported")
    assert len(host.seen) == 1


def test_spare_session_that_the_host_closes_is_no_failure_of_the_site(world, start_relay):
    """A second session came too late to carry anything, and the host closes it for being idle. The next message goes at once."""
    relay = start_relay(delivery={**PATIENT, "messages_per_session": 1, "concurrency": 2})
    domain = world.domain()
    host = domain.mx(world.honest().but(starttls=False))

    def close_spare(dialogue, _argument):
        time.sleep(1.0)
        dialogue.sock.sendall(b"250 lab\r\n")
        time.sleep(0.5)
        return Close("421 4.4.2 idle")

    host.behaviour = host.behaviour.but(on={"EHLO": Turns(Slow(1.0), close_spare, None)})
    submit(relay.address, domain.user(), message("one"))
    host.wait_messages(1)
    wait_until(lambda: len(host.sessions) >= 2 and all(s.ended for s in list(host.sessions)), what="both sessions over")
    time.sleep(1)
    submit(relay.address, domain.user(), message("two"))
    host.wait_messages(2)


def test_stop_does_not_wait_for_sessions_that_have_nothing_to_send(world, start_relay):
    """A host that is silent at the greeting is not waited for at SIGTERM: its mail is in the spool."""
    relay = start_relay()
    domain = world.domain()
    domain.mx(world.honest().but(on={"CONNECT": Hang()}))
    queue_id = submit(relay.address, domain.user())
    time.sleep(1)
    before = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - before < 10
    assert relay.queued() == [queue_id]


@pytest.fixture
def tiny_disk(lab_dir):
    folder = f"{lab_dir}/tiny"
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tiny", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_stop_ends_although_the_store_takes_no_results(world, tiny_disk, start_relay):
    relay = start_relay(state_dir=tiny_disk)
    domain = world.domain()
    full = threading.Event()

    def end(_dialogue, _message):
        with open(f"{tiny_disk}/filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        full.set()

    domain.mx(world.honest(f"mx1.{domain}").but(on={".": end}))
    for i in range(20):
        submit(relay.address, domain.user(), message(f"m{i}", body="y" * 70 + "\r\n" * 300))
    assert full.wait(10)
    time.sleep(2)
    if "results cannot be stored" not in relay.log_text():
        pytest.skip("the store found room")
    relay.process.send(signal.SIGTERM)
    time.sleep(1)
    assert relay.stop(timeout=15) == 0


def test_parking_one_recipient_leaves_another_in_flight_alone(world, start_relay, home):
    """The delay notice parked all recipients of the message, also the one whose final dot was being waited for: it was sent twice."""
    relay = start_relay(delivery={"retry": {"first": "1s", "growth": 1, "max": "2s", "jitter": 0.9}, "delay_notice": "3s"})
    domain = world.domain()
    seen, end = set(), time.monotonic() + 9

    def rcpt(_dialogue, argument):
        who = argument[len(b"TO:<"):].split(b">")[0]
        if who.startswith(b"late") and time.monotonic() < end:
            return "451 4.2.0 later"
        if who not in seen:
            seen.add(who)
            return "451 4.2.0 once"
        return None

    def dot(_dialogue, got):
        return Slow(5) if any(to.startswith(b"slow") for to in got.rcpt_to) else None

    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": rcpt, ".": dot}))
    for i in range(6):
        submit(relay.address, [domain.user(f"slow{i}"), domain.user(f"late{i}")], message(f"m{i}"), sender=home.user())
    relay.wait_empty(60)
    counts = collections.Counter(to for got in host.messages for to in got.rcpt_to)
    assert len(counts) == 12 and set(counts.values()) == {1}


def test_expiry_tells_the_last_reply(world, start_relay, home):
    """A recipient that got 4xx until its time was up bounced without a word of the reply."""
    relay = start_relay(delivery={"retry": {"first": "1h", "max": "1h"}, "expire": "3s", "delay_notice": "0s"})
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "451 4.2.1 mailbox busy XYZZY"}))
    submit(relay.address, domain.user(), sender=home.user())
    [got] = home.host.wait_messages(1, timeout=25)
    assert b"XYZZY" in got.data


def test_refused_chunk_gets_its_reply_not_a_timeout(relay):
    """The rate deadline of a message counted for a chunk that was only dropped: the client heard 421 for a timeout of nothing."""
    size = 51 << 20
    with socket.create_connection(("127.0.0.1", 2525), timeout=30) as sock:
        file = sock.makefile("rb")
        assert file.readline().startswith(b"220")
        sock.sendall(b"EHLO me.example\r\n")
        while file.readline()[3:4] == b"-":
            pass
        sock.sendall(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@d.example>\r\n")
        assert [file.readline()[:3] for _ in range(2)] == [b"250", b"250"]
        sock.sendall(b"BDAT %d LAST\r\n" % size + bytes(1000))
        time.sleep(1)
        line = b"x" * 76 + b"\r\n"
        rest = (line * ((size - 1000) // len(line) + 1))[:size - 1000]
        sock.sendall(rest)
        assert file.readline().startswith(b"552 5.3.4")
        sock.sendall(b"NOOP\r\n")
        assert file.readline().startswith(b"250")
