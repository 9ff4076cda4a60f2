"""The private internet of the benchmark: DNS, policy host and the MX hosts' certificates, from the laboratory.

Domain number 7 is d0007.bench.test, with the MX host mx.d0007.bench.test at a loopback address of its own and a policy
in `enforce`. n0007.bench.test is the same without a policy. t0007.bench.example is in a signed zone and has TLSA records instead of a policy. One sink
answers at all the addresses.
"""

import hashlib
import json
import os
import socket
import subprocess

from cryptography.hazmat.primitives import serialization

from lab.authority import Authority
from lab.ca import CertificateAuthority
from lab.policyhost import PolicyHost
from lab.process import Process
from lab.resolver import Resolver
from lab.world import policy_text

UNSIGNED, SIGNED = "bench.test", "bench.example"
TTL = 3600
AT_ONCE = 200               # domains in one DNS update


def parent(prefix):
    return SIGNED if prefix == "t" else UNSIGNED


def domain(prefix, number):
    return f"{prefix}{number:04d}.{parent(prefix)}"


def mx_address(number):
    return f"127.10.{number // 250}.{number % 250 + 1}"


def prompt_acks():
    """Has the kernel acknowledge at once on loopback.

    Postfix's tlsproxy writes a message in two segments and leaves Nagle's algorithm on; with loopback's large
    segments it would wait 40 ms for a delayed acknowledgement in every message. That is the network, not Postfix.
    """
    for target in ("127.0.0.0/8", "127.0.0.1"):
        subprocess.run(["ip", "route", "change", "table", "local", "local", target, "dev", "lo", "proto", "kernel",
                        "scope", "host", "src", "127.0.0.1", "quickack", "1"], check=True)


class Internet:
    """Everything around the system under test but the sink: so many domains with a policy, and so many with TLSA records. `progress` is told what is
    being done."""

    def __init__(self, folder, domains, signed, progress):
        self.certs = f"{folder}/mx"
        self.servers = []
        os.makedirs(self.certs)
        prompt_acks()
        progress("certificates")
        self.ca = CertificateAuthority(f"{folder}/ca")
        self.ca_file = self.ca.ca_file
        sink = self.ca.good("sink")
        self.cert_file, self.key_file = sink.cert_file, sink.key_file
        self.tlsa = f"3 1 1 {key_digest(sink.cert)}"
        progress("DNS")
        self.dns = self._keep(Authority(f"{folder}/knot"))
        self._keep(Resolver(f"{folder}/unbound", self.dns))
        self.policies = self._keep(PolicyHost(f"{folder}/nginx", self.ca))
        # "No such record" is to be cached too, as on any resolver that mail is sent with.
        for zone in ("test.", "example."):
            self.dns.replace(zone, "SOA", [f"ns. lab. 2 3600 600 86400 {TTL}"], TTL)
        for add, count in ((self._add, domains), (self._add_signed, signed)):
            for first in range(0, count, AT_ONCE):
                progress(f"domains {first}")
                add(range(first, min(first + AT_ONCE, count)))

    def stop(self):
        while self.servers:
            self.servers.pop().stop()

    def _keep(self, server):
        self.servers.append(server)
        return server

    def _add(self, numbers):
        records = []
        for number in numbers:
            name = domain("d", number)
            records += self._host(name, number)
            records += [(f"_mta-sts.{name}", "TXT", f'"v=STSv1; id={number + 1};"'),
                        (f"mta-sts.{name}", "A", self.policies.address)]
            self.policies.serve(name, policy_text("enforce", [f"mx.{name}"]))
        if 0 in numbers:
            records += self._host(domain("n", 0), 0)
        self._publish("test.", records)

    def _add_signed(self, numbers):
        records = []
        for number in numbers:
            name = domain("t", number)
            records += self._host(name, number) + [(f"_25._tcp.mx.{name}", "TLSA", self.tlsa)]
        self._publish("example.", records)

    def _publish(self, zone, records):
        self.dns.change(zone, lambda update: [update.add(f"{name}.", TTL, kind, value) for name, kind, value in records])

    def _host(self, name, number):
        certificate = self.ca.good(f"mx.{name}")
        os.symlink(certificate.cert_file, f"{self.certs}/mx.{name}.pem")
        return [(name, "MX", f"10 mx.{name}."), (f"mx.{name}", "A", mx_address(number))]


def key_digest(certificate):
    """What a TLSA record with selector 1 and matching type 1 holds of a certificate."""
    key = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


class Sink:
    """smtpsink on port 25 of every loopback address."""

    def __init__(self, folder, program, internet):
        self.control = f"{folder}/sink.sock"
        self.process = Process([program, "--key", internet.key_file, "--certs", internet.certs,
                                "--cert", internet.cert_file,
                                "--control", self.control, "0.0.0.0:25"], f"{folder}/sink.log")
        self.process.ready(self._answers)

    def _answers(self):
        try:
            return self.report()
        except OSError:
            return None

    def report(self):
        """What has come so far."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.control)
            with sock.makefile() as answer:
                return json.load(answer)

    def stop(self):
        self.process.stop()


def greets(host, port):
    """True if an SMTP server is there."""
    try:
        with socket.create_connection((host, port), timeout=1) as sock:
            return sock.recv(4) == b"220 "
    except OSError:
        return False


def wait_for_greeting(process, host, port):
    process.ready(lambda: greets(host, port))
