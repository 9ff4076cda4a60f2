"""What is typed wrongly, and what is not as it should be around a command: each says what to do, ends with the status that relay/cmd.h has for it, and changes nothing."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BINARY
from lab.client import submit
from lab.process import wait_until
from lab.relay import ENVIRONMENT

NOBODY = 65534
USAGE = {"check": 64}                                   # its 2 says something else
SAID_MAX = 12                                           # lines


def run(*words, uid=None, timeout=60, binary=BINARY, **named):
    done = subprocess.run([binary, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, user=uid,
                          env={**os.environ, **ENVIRONMENT}, check=False, **named)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def commands():
    """All commands that --help lists, and the verbs of those that have some."""
    found = []
    for name in re.findall(r"^  (\w+) ", run("--help").stdout, re.M):
        text = run(name, "--help").stdout
        verbs = re.findall(rf"strictpost {name} ([a-z]+)\b", text) + re.findall(r"^  ([a-z]+)  ", text, re.M)
        if "there is no verb" in run(name, "frobnicate").stderr:
            found += [[name, verb] for verb in dict.fromkeys(verbs) if "there is no verb" not in run(name, verb, "--help").stderr]
        found.append([name])
    return found


COMMANDS = commands()
IDS = [" ".join(words) for words in COMMANDS]


def files(folder):
    """What is in a folder: name, size and time of change of each file."""
    return sorted((path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for top, _, names in os.walk(folder)
                  for path in (f"{top}/{name}" for name in names))


def test_there_are_commands():
    assert {"run", "config", "status", "report send", "report list", "policy lint", "user add", "drain"} <= set(IDS)


# What is typed.

@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_every_command_has_help(words):
    done = run(*words, "--help")
    assert done.returncode == 0 and done.stderr == "" and f"strictpost {words[0]}" in done.stdout
    assert run("help", *words).stdout == done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_an_unknown_option_is_told_in_a_line(words):
    done = run(*words, "--frobnicate")
    assert done.returncode == USAGE.get(words[0], 2) and done.stdout == ""
    assert "--frobnicate" in done.stderr and "--help" in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_too_many_words_are_wrong_usage(words, tmp_path):
    """A dozen words that nothing could mean: no command does half of what it was told."""
    done = run(*words, *(f"no-such-thing-{n}" for n in range(12)), "--config", tmp_path / "none.yaml", cwd=tmp_path)
    assert done.returncode in (1, 2, 64, 78) and done.stdout + done.stderr, done
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words", COMMANDS, ids=IDS)
def test_an_answer_that_cannot_be_written_is_a_failure(words):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, *words, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env={**os.environ, **ENVIRONMENT})
    assert done.returncode == 1 and "cannot write the answer" in done.stderr


@pytest.mark.parametrize("typed, meant", [(["sttaus"], "status"), (["reprot"], "report"), (["report", "lst"], "list"), (["user", "passwrd"], "passwd"),
                                          (["stat"], "status"), (["policy", "lnit"], "lint")])
def test_a_slip_is_guessed(typed, meant):
    done = run(*typed)
    assert done.returncode == 2 and f"did you mean '{meant}'?" in done.stderr


def test_nothing_is_guessed_of_nonsense():
    for words in (["frobnicate"], ["\x1b[2J"], ["x" * 5000]):
        done = run(*words)
        assert done.returncode == 2 and "did you mean" not in done.stderr and "\x1b" not in done.stderr
        assert "strictpost --help" in done.stderr and len(done.stderr) < 200


def test_a_slip_in_an_option_is_guessed():
    assert "did you mean --json?" in run("status", "--jsn").stderr
    assert "did you mean --config?" in run("report", "list", "--confg=x").stderr


# The configuration.

# Those that read one, and end at once.
READERS = [words for words in COMMANDS if words in (["run"], ["status"], ["drain"], ["healthcheck"], ["report", "list"], ["report", "send"], ["user", "list"],
                                                    ["policy", "list"], ["config", "check"])]


@pytest.mark.parametrize("words", READERS, ids=[" ".join(words) for words in READERS])
def test_a_configuration_that_is_not_there(words, tmp_path):
    done = run(*words, "--config", tmp_path / "none.yaml")
    assert done.returncode == (1 if words == ["healthcheck"] else 78)
    assert f"{tmp_path}/none.yaml" in done.stderr and "No such file" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_state_dir_that_is_a_file(make_relay):
    relay = make_relay()
    shutil.rmtree(relay.config["state_dir"])
    with open(relay.config["state_dir"], "w", encoding="ascii") as file:
        file.write("precious")
    for words in (["run"], ["report", "list"]):
        done = relay.command(*words)
        assert done.returncode == 1 and relay.config["state_dir"] in done.stderr, done.stderr
        assert "director" in done.stderr or "folder" in done.stderr, done.stderr
    with open(relay.config["state_dir"], encoding="ascii") as file:
        assert file.read() == "precious"


def test_a_spool_that_is_open_to_all(relay):
    """It works, as containers' volumes are; the log names path, mode and the command that mends it."""
    os.chmod(relay.config["state_dir"], 0o777)
    relay.restart()
    [event] = relay.events(event="spool", level="warning")
    assert "mode 0777" in event["text"] and f"chmod 0700 {relay.config['state_dir']}" in event["text"]


def test_a_spool_that_is_closed_to_us(make_relay):
    relay = make_relay()
    os.chmod(relay.folder, 0o755)
    done = run("run", "--config", relay.config_file, uid=NOBODY)
    assert done.returncode == 1 and relay.config["state_dir"] in done.stderr and f"uid {NOBODY}" in done.stderr, done.stderr
    assert re.search(r"chown|chmod|run (this|it) as|setpriv", done.stderr), done.stderr


def test_a_spool_of_another(relay):
    relay.stop()
    before = files(relay.config["state_dir"])
    os.chmod(relay.folder, 0o755)
    done = run("report", "list", "--config", relay.config_file, uid=NOBODY)
    assert done.returncode == 1 and relay.config["state_dir"] in done.stderr and "run this as" in done.stderr, done.stderr
    assert files(relay.config["state_dir"]) == before


# Two of them.

def test_two_relays_on_one_spool(relay, make_relay):
    second = make_relay(state_dir=relay.config["state_dir"], listen=[{"address": "127.0.0.1:2526", "allow": ["127.0.0.1/32"]}])
    done = second.command("run")
    assert done.returncode == 1 and f"process {relay.process.pid} holds" in done.stderr and "stop it first" in done.stderr
    assert relay.command("status").returncode == 0


def test_a_command_of_its_own_beside_a_relay(world, make_relay):
    """A relay without a control socket: the command would work on the spool itself, and must not."""
    relay = make_relay(admin={"socket": ""}).start()
    for words in (["report", "list"], ["report", "send"]):
        done = relay.command(*words)
        assert done.returncode == 1 and f"process {relay.process.pid} holds" in done.stderr and "set admin.socket" in done.stderr, done.stderr
    assert relay.running()


# The control socket.

ASKERS = [words for words in COMMANDS if words in (["status"], ["drain"], ["healthcheck"])]


def say(done):
    return done.stdout + done.stderr                    # healthcheck's reason is on standard output


@pytest.mark.parametrize("words", ASKERS, ids=[" ".join(words) for words in ASKERS])
def test_no_relay_is_there(relay, words):
    relay.stop()
    done = relay.command(*words)
    assert done.returncode == 1 and f"strictpost run --config {relay.config_file}" in say(done) and len(say(done).splitlines()) <= SAID_MAX


@pytest.mark.parametrize("words", ASKERS, ids=[" ".join(words) for words in ASKERS])
def test_a_stale_socket(relay, words):
    relay.kill()
    done = relay.command(*words)
    assert done.returncode == 1 and "has ended without removing it" in say(done)


@pytest.mark.parametrize("words", ASKERS, ids=[" ".join(words) for words in ASKERS])
def test_a_socket_that_is_a_file(relay, words):
    relay.stop()
    with open(relay.config["admin"]["socket"], "w", encoding="ascii") as file:
        file.write("precious")
    done = relay.command(*words)
    assert done.returncode == 1 and relay.config["admin"]["socket"] in say(done) and "kind of file" in say(done)
    with open(relay.config["admin"]["socket"], encoding="ascii") as file:
        assert file.read() == "precious"


@pytest.mark.parametrize("words", ASKERS, ids=[" ".join(words) for words in ASKERS])
def test_a_socket_without_permission(relay, words):
    os.chmod(relay.folder, 0o755)
    done = run(*words, "--config", relay.config_file, uid=NOBODY)
    assert done.returncode == 1 and f"uid {NOBODY} may not use the control socket" in say(done) and "run this as that user, or as root" in say(done)
    assert relay.running()


def test_a_socket_of_something_else(relay):
    """It answers, but not as a relay does."""
    relay.stop()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(relay.config["admin"]["socket"])
        other.listen()
        child = subprocess.Popen([BINARY, "status", "--config", relay.config_file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, **ENVIRONMENT})
        connection, _ = other.accept()
        connection.recv(4096)
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.close()
        _, err = child.communicate(timeout=60)
        assert child.returncode == 1 and relay.config["admin"]["socket"] in err, err
    os.unlink(relay.config["admin"]["socket"])


def test_a_relay_that_hangs(relay):
    relay.process.send(signal.SIGSTOP)
    try:
        done = relay.command("status")
        assert done.returncode == 1 and "does not answer within 15 s" in done.stderr
    finally:
        relay.process.send(signal.SIGCONT)
    assert relay.command("status").returncode == 0


# What is asked for.

def test_an_answer_to_a_full_disk(world, relay):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, "status", "--config", relay.config_file], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                              env={**os.environ, **ENVIRONMENT})
    assert done.returncode == 1 and "cannot write the answer to standard output" in done.stderr


# Of what there is: words that are no name of a message or a domain, and names of those that are not there.
WRONG = [(["explain", "nonsense!"], 2), (["explain", "zzzzzzzzz"], 1), (["report", "show", "a..b"], 2), (["report", "show", "unknown.example"], 1),
         (["report", "suppressions", "--remove", "nobody@unknown.example"], 1), (["policy", "show", "unknown.example"], 1), (["policy", "show", "a..b"], 2),
         (["policy", "forget", "unknown.example"], 1), (["queue", "show", "nonsense!"], 2), (["queue", "show", "zzzzzzzzz"], 1),
         (["queue", "retry", "zzzzzzzzz"], 1), (["queue", "delete", "--yes", "zzzzzzzzz"], 1), (["queue", "bounce", "--yes", "nonsense!"], 2)]
WRONG = [row for row in WRONG if row[0][:1] in COMMANDS and (row[0][:2] in COMMANDS or row[0][0] == "explain")]


@pytest.mark.parametrize("words, status", WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_what_is_not_there(world, relay, words, status):
    domain = world.domain()
    domain.mx(world.honest().but(on={"RCPT": "451 4.2.0 later"}))
    submit(relay.address, domain.user())
    wait_until(relay.queued, 10, "a message in the queue")
    before = relay.queued()
    done = relay.command(*words)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert words[-1].lower() in say(done).lower() or "in the queue" in say(done), say(done)
    assert len(say(done).splitlines()) <= SAID_MAX, say(done)
    assert relay.queued() == before


def test_addresses_domains_and_reasons_beyond_ascii(relay):
    """RFC 6531, RFC 5890; what is no UTF-8 is refused in words."""
    for words in (("queue", "list", "--sender", "jürg@a.example"), ("queue", "list", "--domain", "bücher.example"),
                  ("queue", "hold", "--domain", "bücher.example", "--rule", "--for", "1h", "--reason", "Kunde wünscht es"),
                  ("policy", "list"), ("drain", "--undo")):
        done = relay.command(*words)
        assert done.returncode == 0, (words, done)
    assert json.loads(relay.command("queue", "holds", "--json").stdout)["reason"] == "Kunde wünscht es"
