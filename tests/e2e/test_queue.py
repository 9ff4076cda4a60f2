"""The spool: nothing lost, nothing twice, whatever happens to the process and the disk."""

import os
import subprocess
import time

import pytest

from evidence import same_message
from lab.client import Client, message, submit
from lab.process import wait_until
from lab.relay import identifier, number


def test_deferred_mail_survives_a_restart(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx(world.honest("other.example"))
    queue_id = send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    relay.stop()
    assert relay.queued() == [queue_id]
    host.behaviour = world.honest(host.name)
    relay.start()
    [got] = host.wait_messages()
    assert same_message(got.data, message(), queue_id)
    relay.wait_empty()


@pytest.mark.parametrize("size", [10, 100_000, 200_000, 5_000_000])
def test_accepted_mail_survives_kill_at_once(world, relay, size):
    """250 means that it is on stable storage: kill -9 behind the reply loses nothing."""
    domain = world.domain()
    domain.add_mx(f"mx1.{domain}")
    data = message(body=("x" * 70 + "\r\n") * (size // 72 + 1))
    world.set_addresses(f"mx1.{domain}", [world.address()])         # nobody there yet
    queue_id = submit(relay.address, domain.user(), data)
    relay.kill()
    assert relay.queued() == [queue_id]
    host = world.mx(f"mx1.{domain}")
    relay.start()
    [got] = host.wait_messages()
    assert same_message(got.data, data, queue_id)
    relay.wait_empty()


def test_unfinished_mail_is_not_in_the_spool(world, relay):
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@a.example", ["bob@a.example"])
        client.command("DATA")
        client.send(message(body="x" * 70 + "\r\n" * 5000))
        time.sleep(0.3)
        relay.kill()
    relay.start()
    assert relay.queued() == []
    assert body_files(relay) == []


def body_files(relay):
    return [name for _, _, names in os.walk(f"{relay.config['state_dir']}/body") for name in names]


def test_large_bodies_are_files_and_go_with_their_message(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    data = message(body=("y" * 70 + "\r\n") * 20000)
    send(domain.user(), data)
    send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert len(body_files(relay)) == 1
    host.behaviour = world.honest(host.name)
    got = host.wait_messages(2)
    assert any(m.data.endswith(data) for m in got)
    relay.wait_empty()
    wait_until(lambda: not body_files(relay), what="no body files")


def test_orphaned_body_files_are_swept_at_start(world, relay, send):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    send(domain.user(), message(body=("y" * 70 + "\r\n") * 20000))
    relay.wait_delivery(domain.name, result="deferred")
    relay.stop()
    [kept] = body_files(relay)
    folder = next(d for d, _, names in os.walk(f"{relay.config['state_dir']}/body") if kept in names)
    orphan = identifier(number(kept) + 256)             # in the same folder: that is by the low octet
    with open(f"{folder}/{orphan}", "wb") as file:
        file.write(b"of a message that was never committed")
    relay.start()
    assert body_files(relay) == [kept]


def test_identifiers_are_never_used_twice(world, relay, send):
    domain = world.domain()
    host = domain.mx()
    seen = set()
    for turn in range(4):
        seen |= {submit(relay.address, domain.user()) for _ in range(5)}
        relay.wait_empty()
        relay.kill() if turn % 2 else relay.stop()
        relay.start()
    assert len(seen) == 20
    host.wait_messages(20)


def test_second_process_is_refused_and_told_who_holds_the_spool(world, relay, make_relay):
    second = make_relay(state_dir=relay.config["state_dir"], listen=[{"address": "127.0.0.1:2527"}])
    done = subprocess.run([second.binary, "run", "--config", second.config_file], capture_output=True, timeout=30, text=True)
    assert done.returncode not in (0, 99)
    assert str(relay.process.pid) in done.stderr


@pytest.mark.parametrize("damage", ["not-a-database", "cut-short", "zeros-in-the-middle"])
def test_damaged_spool_is_a_clear_error_and_is_left_alone(world, relay, send, damage):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    for i in range(50):
        send(domain.user(), message(f"m{i}", body="z" * 60 + "\r\n" * 100))
    relay.stop()
    path = f"{relay.config['state_dir']}/spool.db"
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if damage == "not-a-database":
            file.truncate(0)
            file.write(b"this was once a spool\n" * 100)
        elif damage == "cut-short":
            file.truncate(size // 2 // 4096 * 4096)
        else:
            file.seek(4096)
            file.write(b"\0" * (size // 2))
    before = open(path, "rb").read()
    done = subprocess.run([relay.binary, "run", "--config", relay.config_file], capture_output=True, timeout=30, text=True)
    assert done.returncode not in (0, 99) and done.returncode > 0, done
    assert relay.config["state_dir"] in done.stderr
    assert any(word in done.stderr for word in ("damaged", "malformed", "not a database"))
    assert open(path, "rb").read() == before


def test_missing_body_file_is_told_and_does_not_stop_the_rest(world, relay, send):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    lost = send(domain.user(), message("lost", body=("y" * 70 + "\r\n") * 20000))
    send(domain.user(), message("other"))
    relay.wait_delivery(domain.name, result="deferred")
    relay.stop()
    for folder, _, names in os.walk(f"{relay.config['state_dir']}/body"):
        for name in names:
            os.unlink(f"{folder}/{name}")
    host.behaviour = world.honest(host.name)
    relay.start()
    assert b"Subject: other" in host.wait_messages()[0].data
    relay.wait_log(lost)
    assert any(e["level"] in ("error", "warning") for e in relay.events(id=lost))


def test_wrong_permissions_are_explained(relay):
    relay.stop()
    with open(f"{relay.folder}/file", "w", encoding="ascii") as file:
        file.write("in the way")
    relay.write_config(state_dir=f"{relay.folder}/file")
    done = subprocess.run([relay.binary, "run", "--config", relay.config_file], capture_output=True, timeout=30, text=True)
    assert done.returncode not in (0, 99) and f"{relay.folder}/file" in done.stderr


@pytest.fixture
def small_disk(lab_dir):
    """A file system of 8 MiB."""
    folder = f"{lab_dir}/small-disk"
    os.makedirs(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


def test_full_disk_refuses_new_mail_and_loses_none(world, small_disk, start_relay):
    relay = start_relay(state_dir=f"{small_disk}/state", limits={"inline_body": "16K"})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    taken, reply = [], None
    for i in range(200):
        with Client(relay.address) as client:
            client.hello()
            reply = client.command("MAIL FROM:<ann@sender.example>")
            if reply[0] == 250:
                client.command(f"RCPT TO:<{domain.user()}>")
                reply = client.command("DATA")
                if reply[0] == 354:
                    data = message(f"m{i}", body=(f"{i:05d}" + "x" * 60 + "\r\n") * 2000)
                    client.send(data + b".\r\n")
                    reply = client.reply()
        if reply[0] != 250:
            break
        taken.append(data)
    assert reply[0] == 452 and "4.3.1" in reply[1], (reply, len(taken))
    assert len(taken) >= 5 and relay.running()
    host.behaviour = world.honest(host.name)                    # delivery goes on, and makes room
    got = host.wait_messages(len(taken), timeout=60)
    relay.wait_empty()
    assert sorted(m.data[m.data.index(b"From: Ann"):] for m in got) == sorted(taken)
    wait_until(lambda: submit_or_none(relay, domain), 30, "mail is taken again")


def submit_or_none(relay, domain):
    try:
        return submit(relay.address, domain.user())
    except AssertionError:
        return None


# Waiting.

def test_dead_destination_costs_one_probe_a_retry_interval(world, start_relay):
    relay = start_relay(delivery={"retry": {"first": "2s", "max": "2s", "growth": 1}})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    for i in range(50):
        submit(relay.address, domain.user(), message(f"m{i}"))
    relay.wait_delivery(domain.name, result="deferred")
    before = len(host.sessions)
    time.sleep(6)
    assert 1 <= len(host.sessions) - before <= 4
    host.behaviour = world.honest(host.name)
    host.wait_messages(50)
    relay.wait_empty()
    assert len(host.messages) == 50


def test_back_off_is_kept_across_a_restart(world, start_relay):
    relay = start_relay(delivery={"retry": {"first": "1h", "max": "1h"}})
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 no"}))
    queue_id = submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    seen = len(host.sessions)
    relay.restart()
    time.sleep(2)
    assert len(host.sessions) == seen
    assert relay.queued() == [queue_id]


@pytest.mark.parametrize("how", ["running", "restarted"])
def test_a_clock_that_was_40_days_ahead_keeps_no_mail_for_40_days(world, make_plain, how):
    """What was deferred meanwhile waited for a time of that clock: mail for its site, and a single recipient's."""
    relay = make_plain()
    relay.set_clock(time.time() + 40 * 86400)
    relay.start()
    dead, busy = world.domain(), world.domain()
    dead.add_mx(f"mx1.{dead}")
    world.set_addresses(f"mx1.{dead}", [world.address()])
    host = busy.mx(world.honest(f"mx1.{busy}").but(on={"RCPT": "451 4.3.0 later"}))
    for domain in (dead, busy):
        submit(relay.address, domain.user())
    relay.wait_held(dead.name)
    relay.wait_delivery(busy.name, result="deferred")
    if how == "restarted":
        relay.stop()
    relay.set_clock(time.time())
    host.behaviour = world.honest(host.name)
    other = dead.mx(label="mx2", preference=20)
    if how == "restarted":
        relay.start()
    host.wait_messages(timeout=40)
    other.wait_messages(timeout=40)
    relay.wait_empty()


def test_one_dead_host_does_not_slow_the_others(world, relay, send):
    dead, alive = world.domain(), world.domain()
    dead.add_mx(f"mx1.{dead}")
    world.set_addresses(f"mx1.{dead}", [world.address()])
    host = alive.mx()
    for i in range(20):
        send([dead.user(), alive.user()], message(f"m{i}"))
    host.wait_messages(20, timeout=10)


def test_mail_to_many_domains(world, relay, send):
    domains = [world.domain() for _ in range(30)]
    host = world.mx(f"shared.{domains[0]}")
    for domain in domains:
        domain.set_mx((10, host.name))
    queue_id = send([domain.user() for domain in domains])
    got = host.wait_messages(30)
    assert sorted(rcpt for m in got for rcpt in m.rcpt_to) == sorted(d.user().encode() for d in domains)
    assert all(same_message(m.data, message(), queue_id) for m in got)
    relay.wait_empty()
