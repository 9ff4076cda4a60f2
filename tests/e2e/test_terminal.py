"""What people see: tables as wide as their terminal, colours there and nowhere else, questions, and nothing of it in a pipe."""

import subprocess

import pytest

from conftest import BINARY
from lab.client import submit
from lab.process import wait_until
from lab.terminal import Terminal

LONG = ",".join(f"someone{n}@a-domain-with-a-long-name.example" for n in range(5))
ESCAPE = "\x1b"


@pytest.fixture
def users(tmp_path):
    """A users file with one name who may send as many."""
    path = tmp_path / "users"
    for name, senders in (("ann", "ann@example.com"), ("bob@a-domain-with-a-long-name.example", LONG)):
        subprocess.run([BINARY, "user", "add", name, "--senders", senders, "--file", path], input="secret\n", text=True, check=True, timeout=60)
    return path


@pytest.mark.parametrize("width", [60, 140])
def test_a_table_is_as_wide_as_its_terminal(users, width):
    with Terminal([BINARY, "user", "list", "--file", users], width) as terminal:
        assert terminal.wait() == 0
        heading, ann, bob = terminal.lines()[:3]
        assert heading.split() == ["name", "may", "send", "as"] and ann.split() == ["ann", "ann@example.com"]
        assert len(bob) == width and bob.endswith("...")
        assert bob.startswith("bob@a-domain-with-a-long-name.example  someone0@")
        assert ESCAPE + "[1m" in terminal.coloured().splitlines()[0]


def test_no_colour_where_it_is_not_wanted(users):
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with Terminal(["env", *(f"{key}={value}" for key, value in env.items()), BINARY, "user", "list", "--file", users], 100) as terminal:
            assert terminal.wait() == 0
            assert ESCAPE not in terminal.coloured()


def test_a_pipe_gets_all_of_it_and_no_escapes(users):
    done = subprocess.run([BINARY, "user", "list", "--file", users], capture_output=True, text=True, timeout=60, check=True)
    assert LONG in done.stdout and "..." not in done.stdout and ESCAPE not in done.stdout + done.stderr


def test_reports_under_their_rows(world, relay):
    """What the peer said stands in a line of its own, cut at the edge; it brings no escapes of its own along."""
    domain = world.domain().tlsrpt()
    domain.mx()
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    listed = wait_until(lambda: domain.name in relay.command("report", "list").stdout and relay.command("report", "list").stdout, 20, "it is counted")
    assert ESCAPE not in listed
    for width in (60, 140):
        with Terminal([BINARY, "report", "list", "--config", relay.config_file], width) as terminal:
            assert terminal.wait() == 0
            lines = terminal.lines()
            [at] = [i for i, line in enumerate(lines) if line.startswith("day ")]
            assert len(lines[at]) <= max(width, 76) and " open " in lines[at + 1]


def test_progress_goes_over_the_last_line_and_is_gone(world, relay):
    domain = world.domain().tlsrpt()
    domain.mx()
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    with Terminal([BINARY, "report", "send", "--dry-run", "--config", relay.config_file], 100) as terminal:
        assert terminal.wait() in (0, 1)
        assert "sending" not in terminal.text()


def test_a_password_is_typed_and_not_shown(users):
    with Terminal([BINARY, "user", "passwd", "ann", "--file", users]) as terminal:
        terminal.wait_for("password of ann:")
        terminal.type("geheim", "Enter")
        terminal.wait_for("once more:")
        terminal.type("geheim", "Enter")
        assert terminal.wait() == 0
        assert "geheim" not in terminal.text(history=True)
