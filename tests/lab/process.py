"""Starting, watching and ending one program, with its output in a log file of the laboratory."""

import os
import select
import signal
import subprocess
import time


class NotReady(Exception):
    """A server did not come up, or something awaited did not happen."""


def wait_until(condition, timeout=15.0, what="", interval=0.01):
    """Polls until `condition()` is true and returns its value; NotReady after `timeout` seconds, with `what` (a text, or a function that has it then)."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotReady(f"not within {timeout} s: {what() if callable(what) else what or condition}")
        time.sleep(interval)


def readable(file, seconds):
    """Is there something to be read from a descriptor, or does it end, within the time? Not by select(), whose descriptors end at 1024: each test's hosts listen to the end."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class Process:
    """One running program. Its standard output and error go to `log` (appended)."""

    def __init__(self, argv, log, env=None, cwd=None, preexec_fn=None, pass_fds=()):
        self.argv = [str(word) for word in argv]
        self.log = log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, pass_fds=pass_fds,
                env={**os.environ, **(env or {})}, preexec_fn=preexec_fn)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def returncode(self):
        return self.popen.poll()

    def ready(self, condition, timeout=20.0):
        """Waits until `condition()` holds; fails at once, with the log's end, when the program has ended."""
        def check():
            if self.returncode is not None:
                raise NotReady(f"{self.argv[0]} ended with status {self.returncode}\n{self.tail()}")
            return condition()
        try:
            return wait_until(check, timeout, what=f"{self.argv[0]} ready")
        except NotReady as error:
            raise NotReady(f"{error}\n{self.tail()}") from None

    def tail(self, size=3000):
        """The end of the log."""
        with open(self.log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            return file.read().decode("utf-8", "replace")

    def send(self, number):
        if self.returncode is None:
            self.popen.send_signal(number)

    def wait(self, timeout=20.0):
        """The exit status: negative for a signal, as in subprocess."""
        return self.popen.wait(timeout)

    def stop(self, number=signal.SIGTERM, timeout=20.0):
        """Ends the program and returns its exit status; SIGKILL if it does not end in time."""
        self.send(number)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.wait()
            raise NotReady(f"{self.argv[0]} did not end within {timeout} s of signal {number}\n{self.tail()}") from None
