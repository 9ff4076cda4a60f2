"""A relay that is submitted to: 587 with STARTTLS, 465 with implicit TLS, and users of its own."""

import os
import subprocess

SUBMISSION, SUBMISSIONS = ("127.0.0.1", 2587), ("127.0.0.1", 2465)


class Accounts:
    """The users file of a relay, written with its own `strictpost user`."""

    def __init__(self, binary, path, environment):
        self.binary, self.path, self.environment = binary, path, environment

    def run(self, *words, text="", check=True):
        return subprocess.run([self.binary, "user", *words, "--file", self.path], input=text, env={**os.environ, **self.environment},
                              capture_output=True, text=True, timeout=60, check=check)

    def add(self, name, password, senders="*"):
        self.run("add", name, "--senders", senders, text=f"{password}\n")

    def passwd(self, name, password):
        self.run("passwd", name, text=f"{password}\n")

    def remove(self, name):
        self.run("remove", name)


def listeners(certificate, **keys):
    """The configuration's `listen` for both ports; AUTH is required unless `keys` say otherwise."""
    common = {"certificate": certificate.cert_file, "key": certificate.key_file, "auth": "required", "allow": [], **keys}
    return [{"address": "%s:%d" % SUBMISSION, "tls": "starttls", **common}, {"address": "%s:%d" % SUBMISSIONS, "tls": "implicit", **common}]
