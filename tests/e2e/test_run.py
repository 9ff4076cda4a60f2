"""Running it: starting, stopping, reloading, and configurations that do not hold."""

import json
import os
import signal
import subprocess
import time

import pytest

from lab.behaviour import Slow
from lab.client import Client, message, queue_id, submit
from lab.process import wait_until
from lab.relay import ENVIRONMENT


def run(relay, *arguments, env=None):
    """The binary with these arguments, to its end."""
    return subprocess.run([relay.binary, *arguments], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **ENVIRONMENT, **(env or {})})


# Configurations.

def test_good_configuration(make_relay):
    relay = make_relay()
    assert run(relay, "config", "check", relay.config_file).returncode == 0


BAD = """\
hostname: relay.example
state_dir: /tmp/x
colour: blue
limits: {message_size: lots}
listen:
  - address: 127.0.0.1
delivery:
  retry: {first: 5 bananas}
  allow_private: [300.0.0.0/8]
log: {format: xml}
"""


def test_every_problem_is_printed_with_its_line(make_relay):
    relay = make_relay()
    relay.write_config_text(BAD)
    done = run(relay, "config", "check", relay.config_file)
    assert done.returncode == 78
    text = done.stdout + done.stderr
    for line, word in ((3, "colour"), (4, "message_size"), (6, "address"), (8, "first"), (9, "allow_private"), (10, "format")):
        assert any(f":{line}:" in problem and word in problem for problem in text.splitlines()), (line, word, text)


@pytest.mark.parametrize("text, word", [
    ("hostname: relay.example\nhostnam: x\n", "hostnam"),
    ("hostname: relay.example\ndelivery: {retry: {frist: 1s}}\n", "frist"),
    ("hostname: [relay.example]\n", "hostname"),
    ("hostname: relay.example\n\tlog: {}\n", ":2:"),
    ("hostname: relay.example\nlisten: [{address: \"127.0.0.1:99999\"}]\n", "address"),
    ("hostname: relay.example\nsts: {first_contact: maybe}\n", "first_contact"),
    ("hostname: relay.example\nroutes: [{domain: a.example}]\n", "via"),
    ("hostname: relay.example\nhostname: again.example\n", "hostname"),
    ("hostname: \"bad name\"\n", "hostname"),
    ("- a\n- list\n", ""),
    ("\x00\x01\x02", ""),
    ("a: &a [*a, *a]\n" * 3, ""),
])
def test_run_refuses_what_check_refuses(make_relay, text, word):
    relay = make_relay()
    relay.write_config_text(text)
    for arguments in (("config", "check", relay.config_file), ("run", "--config", relay.config_file)):
        done = run(relay, *arguments)
        assert done.returncode == 78, done
        assert word in done.stderr + done.stdout and relay.config_file in done.stderr + done.stdout


def test_missing_configuration(make_relay):
    relay = make_relay()
    done = run(relay, "run", "--config", "/nonexistent/strictpost.yaml")
    assert done.returncode == 78 and "/nonexistent/strictpost.yaml" in done.stderr


def test_configuration_from_the_environment(make_relay):
    relay = make_relay()
    done = run(relay, "run", env={"STRICTPOST_CONFIG": "/nonexistent/other.yaml"})
    assert done.returncode == 78 and "/nonexistent/other.yaml" in done.stderr


def test_missing_ca_file_is_a_problem(make_relay):
    relay = make_relay(tls={"ca_file": "/nonexistent/ca.pem"})
    done = run(relay, "run", "--config", relay.config_file)
    assert done.returncode not in (0, 99) and "/nonexistent/ca.pem" in done.stderr


def test_address_in_use_is_a_problem(relay, make_relay):
    second = make_relay()
    done = run(second, "run", "--config", second.config_file)
    assert done.returncode not in (0, 99) and "127.0.0.1:2525" in done.stderr


def test_help_and_version(make_relay):
    relay = make_relay()
    assert run(relay, "--version").stdout.startswith("strictpost ")
    for arguments in ((), ("run",), ("config",), ("policy",)):
        done = run(relay, *arguments, "--help")
        assert done.returncode == 0 and "usage" in done.stdout.lower()
    assert run(relay, "dance").returncode == 2
    assert run(relay, "run", "--dance").returncode == 2


# Stopping.

def test_sigterm_ends_idle_process_with_success(world, relay):
    started = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - started < 5


def test_sigterm_tells_clients_421_at_the_next_command(world, relay):
    with Client(relay.address) as client:
        client.hello()
        relay.process.send(signal.SIGTERM)
        wait_until(lambda: refuses(relay.address), 5, "no more connections")
        code, text = client.command("NOOP")
        assert code == 421 and client.ended()
    assert relay.process.wait() == 0


def refuses(address):
    try:
        with Client(address, timeout=1) as client:
            return client.greeting[0] in (421, 0)
    except OSError:
        return True


def test_sigterm_lets_a_message_under_way_be_delivered(world, relay, send):
    """In-flight deliveries may finish within 30 s; waiting for the reply to the final dot is what avoids duplicates."""
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(3)}))
    send(domain.user())
    wait_until(lambda: host.seen, 10, "the message at the host")
    assert relay.stop() == 0
    assert len(host.messages) == 1 and relay.queued() == []
    relay.start()
    time.sleep(2)
    assert len(host.seen) == 1


def test_mail_accepted_while_stopping_is_kept(world, relay):
    domain = world.domain()
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@a.example", [domain.user()])
        assert client.command("DATA")[0] == 354
        relay.process.send(signal.SIGTERM)
        time.sleep(0.3)
        client.send(message() + b".\r\n")
        reply = client.reply()
    assert relay.process.wait() == 0
    assert (reply[0] == 250) == (len(relay.queued()) == 1)


def test_sigint_stops_too(relay):
    relay.process.send(signal.SIGINT)
    assert relay.process.wait() == 0


# Reloading.

def allowed(address, source):
    with Client(address, source=source) as client:
        client.hello()
        client.command("MAIL FROM:<ann@a.example>")
        return client.command("RCPT TO:<bob@a.example>")[0] == 250


def test_reload_takes_the_new_configuration(relay):
    assert not allowed(relay.address, "127.0.0.9")
    relay.write_config(listen=[{"address": "127.0.0.1:2525", "allow": ["127.0.0.9/32"]}])
    relay.reload()
    wait_until(lambda: allowed(relay.address, "127.0.0.9"), 10, "the new list")
    assert not allowed(relay.address, "127.0.0.1")


def test_reload_of_a_bad_file_keeps_the_old_one_running(relay):
    relay.write_config_text("hostname: relay.example\nlisten: nonsense\n")
    relay.reload()
    relay.wait_log(f"{relay.config_file}:2")
    assert allowed(relay.address, "127.0.0.1")
    relay.write_config()
    relay.reload()
    time.sleep(0.5)
    assert allowed(relay.address, "127.0.0.1")


def test_reload_takes_a_new_ca_file(world, relay, send):
    """Certificates are read again."""
    domain = world.domain().policy()
    host = domain.mx(world.honest().but(certificate=world.other_ca.good(f"mx1.{domain}")))
    send(domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    with open(f"{relay.folder}/both.crt", "wb") as both:
        for ca in (world.ca, world.other_ca):
            both.write(open(ca.ca_file, "rb").read())
    relay.write_config(tls={"ca_file": f"{relay.folder}/both.crt"})
    relay.reload()
    assert host.wait_messages()[0].tls


def test_reload_does_not_disturb_a_session(world, relay):
    domain = world.domain()
    host = domain.mx()
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@a.example", [domain.user()])
        client.command("DATA")
        relay.reload()
        time.sleep(0.3)
        client.send(message() + b".\r\n")
        queue_id(client.reply())
    host.wait_messages()


# Logging.

def test_every_json_line_is_one_event(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    identifier = send(domain.user())
    host.wait_messages()
    relay.wait_empty()
    relay.stop()
    lines = [line for line in relay.log_text().splitlines() if line]
    for line in lines:
        event = json.loads(line)
        assert {"time", "level", "event"} <= event.keys()
    assert relay.events(id=identifier)


def test_text_lines_have_the_id_first(world, start_relay):
    relay = start_relay(log={"format": "text", "level": "info"})
    domain = world.domain().policy()
    host = domain.mx()
    identifier = submit(relay.address, domain.user())
    host.wait_messages()
    relay.wait_log("result=delivered")
    [line] = [line for line in relay.log_text().splitlines() if "result=delivered" in line]
    words = line.split()
    assert words[1:4] == ["info", identifier, "delivery"]
    assert {f"mx={host.name}", "policy=sts/enforce"} <= set(words)


def test_info_is_quiet_about_connections_that_did_nothing(start_relay):
    """Health probes must not show in the mail log."""
    relay = start_relay(log={"format": "text", "level": "info"})
    relay.wait_log("the resolver validates")
    before = relay.log_text()
    for _ in range(5):
        with Client(relay.address) as client:
            client.command("QUIT")
    with Client(relay.address, greeting=False):
        pass
    time.sleep(0.5)
    assert relay.log_text() == before
