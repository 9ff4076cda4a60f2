"""What a subcommand says that cannot ask a relay: each answer says what to do."""

import os
import shutil
import signal
import socket
import time

from test_admin import socket_of


def listing(relay, **named):
    done = relay.command("report", "list", "--json", **named)
    return done.returncode, done.stderr


def test_state_dir_that_is_not_there(make_relay):
    relay = make_relay()
    shutil.rmtree(relay.config["state_dir"])
    code, text = listing(relay)
    assert code == 1 and f"state_dir {relay.config['state_dir']} is not there" in text and "--config" in text and "no control socket" in text


def test_spool_that_no_relay_has_made_yet(make_relay):
    code, text = listing(make_relay())
    assert code == 1 and "there is no spool yet" in text


def test_two_daemons_on_one_spool(start_relay, make_relay):
    first = start_relay()
    second = make_relay(state_dir=first.config["state_dir"])
    done = second.command("run")
    assert done.returncode == 1 and f"process {first.process.popen.pid} holds" in done.stderr and "stop it first" in done.stderr


def test_relay_without_a_control_socket_holds_the_spool(start_relay):
    relay = start_relay(admin={"socket": ""})
    code, text = listing(relay)
    assert code == 1 and f"process {relay.process.popen.pid} holds" in text and "set admin.socket" in text


def test_daemon_that_hangs(relay):
    relay.process.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        code, text = listing(relay)
        assert code == 1 and "does not answer within 15 s" in text and 14 < time.monotonic() - started < 25
    finally:
        relay.process.send(signal.SIGCONT)


def test_spool_of_another_user_is_left_alone(start_relay):
    """What root or somebody else makes in it would keep the relay from starting."""
    relay = start_relay()
    relay.stop()
    state = relay.config["state_dir"]
    for folder in (relay.folder, state):
        os.chmod(folder, 0o755)
    os.chmod(relay.config_file, 0o644)
    before = sorted(os.listdir(state))
    code, text = listing(relay, user=65534)
    assert code == 1 and f"belongs to uid {os.getuid()}, and this is uid 65534" in text and "setpriv" in text and "strictpost report list" in text
    assert sorted(os.listdir(state)) == before


def test_stale_socket_does_not_keep_a_command_from_the_spool(relay):
    relay.kill()
    assert os.path.exists(socket_of(relay))
    code, text = listing(relay)
    assert (code, text) == (0, "") or "note: " in text and code == 0


def test_question_that_needs_a_relay_says_so(start_relay):
    relay = start_relay()
    relay.stop()
    done = relay.command("policy", "refresh", "a.example")
    assert done.returncode != 0 and "strictpost run" in done.stderr


def test_socket_path_that_is_a_folder_or_a_file(make_relay):
    for make in (os.mkdir, lambda path: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(path)):
        relay = make_relay()
        make(socket_of(relay))
        code, text = listing(relay)
        assert code == 1 and socket_of(relay) in text


def test_broken_roots_keep_only_what_sends_from_its_work(start_relay):
    relay = start_relay()
    relay.stop()
    roots = os.path.join(relay.folder, "roots.pem")
    with open(roots, "w") as f:
        f.write("no certificate\n")
    relay.write_config(tls={"ca_file": roots})
    for words in (("queue", "list"), ("queue", "summary"), ("policy", "list"), ("report", "list")):
        done = relay.command(*words, "--json")
        assert done.returncode == 0 and roots not in done.stderr, (words, done.stderr)
    done = relay.command("report", "send")
    assert done.returncode == 1 and roots in done.stderr
