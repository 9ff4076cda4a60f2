"""A terminal to run commands in: tmux, without anyone's settings. What is on the screen is a list of lines; keys are typed as tmux names them."""

import itertools
import os
import shlex
import subprocess
import tempfile

from lab.process import wait_until

numbers = itertools.count(1)


class Terminal:
    """One command in a terminal of that size.

    with Terminal([binary, "top"], 80, 24) as terminal:
        terminal.wait_for("deferred")
        terminal.type("q")
        assert terminal.wait() == 0
    """

    def __init__(self, command, width=80, height=24, env=None):
        self.width, self.height = width, height
        self.folder = tempfile.mkdtemp(prefix="strictpost-terminal-", dir="/tmp")
        self.tmux = ["tmux", "-S", f"{self.folder}/socket", "-f", f"{self.folder}/conf"]
        self.status_file = f"{self.folder}/status"
        with open(f"{self.folder}/conf", "w", encoding="ascii") as file:
            file.write("set -g status off\nset -g remain-on-exit on\nset -g remain-on-exit-format ''\nset -g history-limit 20000\n")
        self.run("new-session", "-d", "-x", str(width), "-y", str(height), f"trap : INT; {shlex.join(map(str, command))}; echo $? >{self.status_file}",
                 env={**os.environ, "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8", **(env or {})})

    def run(self, *arguments, env=None):
        return subprocess.run([*self.tmux, *arguments], check=True, capture_output=True, text=True, timeout=30, env=env).stdout

    def type(self, *keys):
        """Keys by tmux's names: "y", "Enter", "C-c", "Down"; a longer word is typed as it stands."""
        self.run("send-keys", *keys)

    def resize(self, width, height):
        self.width, self.height = width, height
        self.run("resize-window", "-x", str(width), "-y", str(height))

    def lines(self, history=False):
        """What is on the screen, without colours; `history`: and what went over its top."""
        return [line.rstrip() for line in self.run("capture-pane", "-p", *(["-S", "-"] if history else [])).splitlines()]

    def text(self, history=False):
        return "\n".join(self.lines(history)).rstrip()

    def coloured(self):
        """The screen with the sequences of its colours."""
        return self.run("capture-pane", "-p", "-e").rstrip()

    def wait_for(self, *texts, timeout=20):
        """Until all of these are on the screen, which is returned."""
        wait_until(lambda: all(text in self.text() for text in texts), timeout, lambda: f"{texts} on the screen:\n{self.text()}")
        return self.text()

    def over(self):
        return os.path.exists(self.status_file) and os.path.getsize(self.status_file) > 0

    def wait(self, timeout=20):
        """Until the command is over; its exit status."""
        wait_until(self.over, timeout, lambda: f"the command is over; on the screen:\n{self.text()}")
        with open(self.status_file, encoding="ascii") as file:
            return int(file.read())

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], check=False, capture_output=True, timeout=30)       # its own: by its own socket
        for name in os.listdir(self.folder):
            os.unlink(f"{self.folder}/{name}")
        os.rmdir(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
