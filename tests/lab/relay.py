"""The relay under test: its configuration, its life, its log and its spool."""

import contextlib
import glob
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import time

from lab.process import NotReady, Process, wait_until
from lab.yaml import dump

# What a sanitizer prints when it has found something.
SANITIZER = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "AddressSanitizer:DEADLYSIGNAL")

ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}

# Debian's faketime: it goes between a program and the C library. Not under the sanitizers, which come before it.
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


def defaults(folder, ca_file):
    """What the laboratory needs set; everything else is as the relay has it."""
    return {
        "hostname": "relay.example",
        "state_dir": f"{folder}/state",
        "shards": 2,
        "listen": [{"address": "127.0.0.1:2525", "allow": ["127.0.0.1/32", "::1/128"]}],
        "tls": {"ca_file": ca_file},
        "delivery": {"allow_private": ["127.0.0.0/8", "::1/128", "fd00::/8"],
                     "retry": {"first": "1s", "growth": 1, "max": "2s", "jitter": 0}},
        "log": {"format": "json", "level": "debug"},
        "admin": {"socket": f"{folder}/control.sock"},
    }


def merge(base, changes):
    """`base` with `changes` on top, section by section."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = merge(result[key], value)
        result[key] = value
    return result


class Relay:
    """strictpost in the laboratory. `changes` goes on top of `defaults`; it is not started yet."""

    def __init__(self, folder, binary, ca_file, changes=None):
        os.makedirs(folder)
        self.folder = folder
        self.binary = binary
        self.log = f"{folder}/relay.log"
        self.config_file = f"{folder}/strictpost.yaml"
        self.config = merge(defaults(folder, ca_file), changes or {})
        os.makedirs(self.config["state_dir"], mode=0o700, exist_ok=True)
        self.write_config()
        self.process = None
        self.ahead_s = None             # of the wall clock; None: it has no clock of its own
        self.expect_failure = False     # a test that ends it roughly sets this

    # Its life.

    def write_config(self, **changes):
        """Writes the configuration file, with some things different from before."""
        self.config = merge(self.config, changes)
        self.write_config_text(dump(self.config))

    def write_config_text(self, text):
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, timeout=30.0):
        """Starts it and returns when it says it is ready."""
        path = f"{self.folder}/notify"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            self.process = Process([self.binary, "run", "--config", self.config_file], self.log,
                                   env={**self.environment(), "NOTIFY_SOCKET": path})
            self.process.ready(lambda: self._said_ready(notify), timeout)
        return self

    def stop(self, timeout=40.0):
        """SIGTERM; the exit status."""
        return self.process.stop(signal.SIGTERM, timeout)

    def kill(self):
        """SIGKILL, at this instant."""
        self.process.popen.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def reload(self):
        self.process.send(signal.SIGHUP)

    def running(self):
        return self.process is not None and self.process.returncode is None

    def sanitizer_reports(self):
        """What the sanitizers found, out of the log."""
        text = self.log_text()
        return [line for line in text.splitlines() if any(mark in line for mark in SANITIZER)]

    @property
    def address(self):
        """Where the first listener is."""
        host, _, port = self.config["listen"][0]["address"].rpartition(":")
        return host.strip("[]"), int(port)

    def environment(self):
        """What it is started with, and so is any other program of it."""
        if self.ahead_s is None:
            return ENVIRONMENT
        return {**ENVIRONMENT, "LD_PRELOAD": glob.glob(FAKETIME)[0], "FAKETIME_TIMESTAMP_FILE": f"{self.folder}/clock",
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

    def command(self, *words, timeout=60, **named):
        """Runs a subcommand with its configuration and clock, and returns what came of it."""
        return subprocess.run([self.binary, *words, "--config", self.config_file], env={**os.environ, **self.environment()},
                              capture_output=True, text=True, timeout=timeout, check=False, **named)

    # Its clock. The plain build only.

    def set_clock(self, moment):
        """From now on its wall clock says `moment` (Unix time), and goes on from there; waits are as long as ever. To be set before
        the first start, then at any time."""
        assert self.ahead_s is not None or self.process is None, "it was started with the clock of the world"
        self.ahead_s = moment - time.time()
        with open(f"{self.folder}/clock.new", "w", encoding="ascii") as file:
            file.write(f"{self.ahead_s:+.6f}\n")
        os.replace(f"{self.folder}/clock.new", f"{self.folder}/clock")

    def clock(self):
        """What its wall clock says."""
        return time.time() + (self.ahead_s or 0)

    # Its log.

    def log_text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def events(self, **wanted):
        """The log's events, as dictionaries, whose fields are as wanted: events(event="delivery", result="deferred")."""
        found = []
        for line in self.log_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and all(event.get(key) == value for key, value in wanted.items()):
                found.append(event)
        return found

    def deliveries(self, destination=None, **wanted):
        """The events of recipients, one each time something came of one. What the last session with the destination showed is filled in
        where the event itself does not say: a message that never got as far as a session of its own waits for that reason."""
        sessions, found = {}, []
        for event in self.events():
            if event["event"] == "session":
                sessions[event["id"]] = {key: value for key, value in event.items() if key not in ("id", "event", "result")}
            elif event["event"] == "delivery":
                if destination in (None, event["destination"]):
                    found.append({**sessions.get(event["destination"], {}), **event})
        return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]

    def wait_delivery(self, destination=None, count=1, timeout=20.0, **wanted):
        """The first `count` of these events, once they are in the log; with count=1 the one."""
        found = self._wait(lambda: self.deliveries(destination, **wanted), count, timeout, f"{destination} {wanted}")
        return found[0] if count == 1 else found

    def wait_held(self, destination, count=1, timeout=20.0):
        """Waits until the destination could not be reached `count` times, and was put off each time."""
        return self._wait(lambda: self.events(event="destination", id=destination, state="held"), count, timeout, destination)

    def _wait(self, look, count, timeout, what):
        def enough():
            found = look()
            return found if len(found) >= count else None
        try:
            return wait_until(enough, timeout, f"{count} events: {what}", interval=0.03)
        except NotReady:
            print(self.process.tail(6000))
            raise

    def wait_log(self, text, timeout=20.0):
        wait_until(lambda: text in self.log_text(), timeout, f"{text!r} in the relay's log", interval=0.03)

    # Its spool.

    def query(self, sql, *values):
        """Rows of a read-only query on the spool, as dictionaries. It works on a live spool and on one at rest."""
        path = f"{self.config['state_dir']}/spool.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]

    def queued(self):
        """The identifiers of the messages in the spool, as the log and the replies have them, oldest first."""
        return [identifier(row["id"]) for row in self.query("SELECT id FROM message ORDER BY id")]

    def wait_empty(self, timeout=20.0):
        wait_until(lambda: not self.queued(), timeout, "an empty spool", interval=0.05)

    def peak_memory_kib(self):
        """The most memory it had, in KiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))

    def _said_ready(self, notify):
        poll = select.poll()                    # select() knows no descriptor over 1023
        poll.register(notify, select.POLLIN)
        if not poll.poll(20):
            return False
        return b"READY=1" in notify.recv(4096).split(b"\n")


DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def identifier(number):
    """A queue identifier as people see it: Crockford base 32."""
    text = ""
    while True:
        text = DIGITS[number % 32] + text
        number //= 32
        if not number:
            return text


def number(text):
    """The number behind an identifier."""
    value = 0
    for digit in text:
        value = value * 32 + DIGITS.index(digit)
    return value
