"""What `strictpost user` does to the users file, and says: one line at a time, atomically, with its mode and owner; passwords are not shown."""

import concurrent.futures
import json
import os
import pty
import re
import signal
import stat
import subprocess
import termios
import time

import pytest

from conftest import BINARY
from lab.process import readable
from lab.relay import ENVIRONMENT


def run(*arguments, text="", **named):
    done = subprocess.run([BINARY, "user", *map(str, arguments)], input=text, capture_output=True, timeout=120, text=True,
                          env={**os.environ, **ENVIRONMENT}, **named)
    assert "ERROR: AddressSanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def users(tmp_path):
    return tmp_path / "users"


def add(users, name, password="secret", *more):
    assert run("add", name, "--file", users, *more, text=f"{password}\n") == (0, "", "")


def fits(users, name, password):
    status, out, _ = run("check", name, "--file", users, text=f"{password}\n")
    assert (status, out) in ((0, "it fits\n"), (1, "it does not fit\n"))
    return status == 0


def test_the_life_of_a_user(users):
    add(users, "ann")
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    assert re.fullmatch(r"ann:\$y\$[^:]+:\*\n", users.read_text())
    assert fits(users, "ann", "secret") and not fits(users, "ann", "Secret")
    assert run("passwd", "ann", "--file", users, text="other\r\nnot this\n") == (0, "", "")
    assert fits(users, "ann", "other") and not fits(users, "ann", "secret")
    assert run("senders", "ann", "ann@example.com,@example.net", "--file", users) == (0, "", "")
    assert fits(users, "ann", "other")
    assert run("list", "--file", users)[1].splitlines() == ["name  may send as", "ann   ann@example.com,@example.net"]
    assert [json.loads(line) for line in run("list", "--json", "--file", users)[1].splitlines()] == [
        {"name": "ann", "senders": "ann@example.com,@example.net"}]
    assert run("remove", "ann", "--file", users) == (0, "", "")
    assert users.read_text() == ""
    assert run("list", "--file", users) == (0, "nobody may log in\n", "")


def test_senders_by_default(users):
    add(users, "app@example.com")
    add(users, "printer")
    add(users, "crm", "x", "--senders", "@example.com")
    assert [line.split(":")[2] for line in users.read_text().splitlines()] == ["app@example.com", "*", "@example.com"]


def test_a_password_is_made_up(users):
    made = set()
    for name in ("ann", "bob"):
        status, out, err = run("add", name, "--file", users, "--generate")
        assert (status, err) == (0, "") and re.fullmatch(r"[A-Za-z0-9]{24}\n", out)
        assert fits(users, name, out.strip())
        made.add(out)
    status, out, _ = run("passwd", "ann", "--generate", "--file", users)
    assert status == 0 and fits(users, "ann", out.strip())
    assert len(made | {out}) == 3


def test_the_rest_of_the_file_stays_as_it_is(users):
    add(users, "ann")
    add(users, "bob")
    ann, bob = users.read_text().splitlines()
    users.write_text(f"# the printer room\r\n{bob}\n\n# and Ann\n{ann}")
    users.chmod(0o640)
    run("passwd", "bob", "--file", users, text="new\n")
    add(users, "cyd")
    lines = users.read_text().splitlines()
    assert lines[0] == "# the printer room" and lines[2:5] == ["", "# and Ann", ann] and lines[5].startswith("cyd:")
    assert lines[1].startswith("bob:") and lines[1] != bob
    assert stat.S_IMODE(users.stat().st_mode) == 0o640
    run("remove", "bob", "--file", users)
    assert len(users.read_text().splitlines()) == 5


def test_owner_and_group_are_kept(users):
    add(users, "ann")
    os.chown(users, 12, 34)
    add(users, "bob")
    assert (users.stat().st_uid, users.stat().st_gid) == (12, 34)


def test_a_link_stays_a_link(users, tmp_path):
    add(users, "ann")
    link = tmp_path / "link"
    link.symlink_to(users)
    add(link, "bob")
    assert link.is_symlink() and len(users.read_text().splitlines()) == 2


def test_a_link_that_leads_nowhere_is_told(users, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "none" / "users")
    status, _, err = run("add", "ann", "--file", link, text="x\n")
    assert status == 1 and f"cannot make {link}: it is a symbolic link that leads nowhere" in err
    assert link.is_symlink() and not users.exists()


def test_nothing_is_left_beside_it(users, tmp_path):
    add(users, "ann")
    run("passwd", "ann", "--file", users, text="x\n")
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_two_at_once_do_not_undo_each_other(users):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add(users, f"user{i}"), range(24)))
    assert sorted(line.split(":")[0] for line in users.read_text().splitlines()) == sorted(f"user{i}" for i in range(24))


FAULTS = {
    "there already": (["add", "ann"], "x\n", 1, "ann is in .* already; strictpost user passwd"),
    "not there": (["passwd", "bob"], "x\n", 1, "there is no user bob in "),
    "not there to remove": (["remove", "bob"], "", 1, "there is no user bob in "),
    "not there to check": (["check", "bob"], "x\n", 1, "there is no user bob in "),
    "no password": (["add", "bob"], "", 1, "the password is empty"),
    "an empty password": (["add", "bob"], "\nx\n", 1, "the password is empty"),
    "a long password": (["add", "bob"], "x" * 512 + "\n", 1, "longer than 511 octets"),
    "a colon in the name": (["add", "b:b"], "x\n", 2, "a name is made of printable ASCII, without blanks and colons"),
    "a blank in the name": (["add", "b b"], "x\n", 2, "without blanks and colons"),
    "no ASCII": (["add", "jürgen"], "x\n", 2, "printable ASCII"),
    "an empty name": (["add", ""], "x\n", 2, "the name is empty"),
    "no name": (["add"], "x\n", 2, "an argument is missing for add"),
    "two names": (["add", "bob", "cyd"], "x\n", 2, "one argument too many for add"),
    "senders that are none": (["add", "bob", "--senders", "example.com"], "x\n", 2, "a sender is an address, '@' and a domain"),
    "no senders": (["senders", "ann", ""], "", 2, "say who the user may send as"),
    "a line end in the senders": (["senders", "ann", "*\nroot:x:*"], "", 2, "neither control characters"),
    "an option of another": (["remove", "ann", "--generate"], "", 2, "this option is not for remove"),
    "no such verb": (["make", "ann"], "", 2, "there is no verb 'make'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_change_nothing(users, fault):
    add(users, "ann")
    before = users.read_bytes(), users.stat().st_ino
    arguments, text, status, says = FAULTS[fault]
    done = run(*arguments, "--file", users, text=text)
    assert done[0] == status and done[1] == "" and re.search(says, done[2])
    assert (users.read_bytes(), users.stat().st_ino) == before


def test_a_file_made_for_nothing_goes(users):
    assert run("add", "ann", "--file", users)[0] == 1
    assert not users.exists()
    status, _, err = run("add", "ann", "--file", users.parent / "none" / "users", text="x\n")
    assert status == 1 and "cannot make or read" in err and "No such file" in err


def test_a_fault_elsewhere_in_the_file_is_told(users):
    users.write_text("old:secret:*\n")
    users.chmod(0o600)
    status, _, err = run("add", "ann", "--file", users, text="x\n")
    assert status == 0 and f"no relay will take it: {users}:1: it is no password hash" in err
    assert run("passwd", "old", "--file", users, text="x\n") == (0, "", "")


def test_the_file_is_the_configurations(tmp_path):
    """Which does not hold before there is one."""
    config, users = tmp_path / "c.yaml", tmp_path / "users"
    config.write_text(f"hostname: relay.example\nauth: {{users_file: {users}}}\n")
    check = [BINARY, "config", "check", str(config)]
    before = subprocess.run(check, capture_output=True, text=True, check=False)
    assert before.returncode == 78 and "strictpost user add makes one" in before.stderr
    assert run("add", "ann", "--config", config, text="x\n") == (0, "", "")
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    config.write_text("hostname: relay.example\n")
    status, _, err = run("list", "--config", config)
    assert status == 78 and "names no users file" in err


def test_the_relay_can_read_what_root_makes(tmp_path):
    """The group of the spool's folder is the relay's."""
    config, users, spool = tmp_path / "c.yaml", tmp_path / "users", tmp_path / "state"
    spool.mkdir()
    os.chown(spool, 1234, 4321)
    config.write_text(f"hostname: relay.example\nstate_dir: {spool}\nauth: {{users_file: {users}}}\n")
    assert run("add", "ann", "--config", config, text="x\n") == (0, "", "")
    assert (users.stat().st_gid, stat.S_IMODE(users.stat().st_mode)) == (4321, 0o640)


# --- at a terminal ---


class Terminal:
    """`strictpost user` with a terminal of its own."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)           # nohup, or a shell's &, has some of them ignored
            os.environ.update(ENVIRONMENT)
            os.execv(BINARY, [BINARY, "user", *map(str, arguments)])
        self.shown = ""

    def wait(self, text):
        end = time.monotonic() + 20
        while text not in self.shown:
            assert time.monotonic() < end and readable(self.fd, 20), self.shown
            try:
                self.shown += os.read(self.fd, 1000).decode()
            except OSError:
                raise AssertionError(self.shown) from None

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def end(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while readable(self.fd, 0):
            try:
                self.shown += os.read(self.fd, 1000).decode()
            except OSError:
                break
        os.close(self.fd)
        return status


def test_a_terminal_is_asked_twice_and_shows_nothing(users):
    terminal = Terminal("add", "ann", "--file", users)
    terminal.wait("password of ann: ")
    assert not terminal.echoes()
    terminal.type("s3cret\n")
    terminal.wait("once more: ")
    terminal.type("s3cret\n")
    assert terminal.end() == 0
    assert "s3cret" not in terminal.shown
    assert fits(users, "ann", "s3cret")


def test_two_that_differ_are_none(users):
    terminal = Terminal("add", "ann", "--file", users)
    terminal.wait("password of ann: ")
    terminal.type("one\n")
    terminal.wait("once more: ")
    terminal.type("two\n")
    assert terminal.end() == 1
    assert "the two passwords differ" in terminal.shown and not users.exists()


@pytest.mark.parametrize("how", ["^C", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_the_terminal_as_it_was(users, how):
    """A shell that shows nothing of what is typed was the thanks for a ^C."""
    terminal = Terminal("add", "ann", "--file", users)
    terminal.wait("password of ann: ")
    slave = os.open(os.readlink(f"/proc/{terminal.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)       # so that the terminal lives on
    assert not terminal.echoes()
    if how == "^C":
        terminal.type("\x03")
    else:
        os.kill(terminal.pid, getattr(signal, how))
    status = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
    assert status == -(signal.SIGINT if how == "^C" else getattr(signal, how))
    assert terminal.echoes() and not users.exists()
    os.close(slave)
    os.close(terminal.fd)
