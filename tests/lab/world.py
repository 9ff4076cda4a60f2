"""The laboratory as a whole: one of each server, and domains made with a line each."""

import os

from lab.authority import Authority
from lab.behaviour import Behaviour
from lab.ca import CertificateAuthority
from lab.mx import Mx
from lab.oddhttps import OddHttps
from lab.policyhost import PolicyHost
from lab.reportsink import ReportSink
from lab.resolver import Resolver
from lab.tap import Tap


def policy_text(mode="enforce", mx=(), max_age=86400):
    """A policy document."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in mx), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


class World:
    """The private internet. Everything it starts, it stops."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)                 # Postfix and nginx come here as other users
        self.started = []
        self.addresses = 0
        self.domains = 0
        self.ca = CertificateAuthority(f"{folder}/ca")
        self.other_ca = CertificateAuthority(f"{folder}/other-ca", "Nobody Knows Us")
        self.dns = self.keep(Authority(f"{folder}/knot"))
        self.resolver = self.keep(Resolver(f"{folder}/unbound", self.dns, "127.0.0.2"))
        self.tap = self.keep(Tap("127.0.0.2"))
        self.policy_host = self.keep(PolicyHost(f"{folder}/nginx", self.ca))
        self.odd_host = self.keep(OddHttps())
        self.report_sink = self.keep(ReportSink())

    def keep(self, server):
        """Remembers a server so that it is stopped at the end."""
        self.started.append(server)
        return server

    def stop(self):
        while self.started:
            self.started.pop().stop()

    def address(self):
        """A loopback address nobody has yet."""
        self.addresses += 1
        return f"127.20.{self.addresses // 250}.{self.addresses % 250 + 1}"

    def honest(self, *names):
        """The behaviour of a good MX host with these names in its certificate."""
        return Behaviour(certificate=self.ca.good(*names))

    def mx(self, name, behaviour=None, addresses=None, port=25):
        """A scripted MX host, with its address records."""
        addresses = [self.address()] if addresses is None else addresses
        host = self.keep(Mx(name, addresses, behaviour or self.honest(name), port))
        self.set_addresses(name, addresses)
        return host

    def set_addresses(self, name, addresses):
        """Makes these all the addresses of `name`."""
        self.dns.replace(name, "A", [a for a in addresses if ":" not in a])
        self.dns.replace(name, "AAAA", [a for a in addresses if ":" in a])

    def report_host(self, name="reports.example", certificate=None):
        """Makes the report sink that host too, with a good certificate unless told; returns the beginning of its addresses."""
        if certificate or name not in self.report_sink.contexts:
            self.report_sink.serve(name, certificate or self.ca.good(name))
            self.set_addresses(name, [self.report_sink.address])
        return f"https://{name}"

    def domain(self, prefix="d", zone="example", name=None):
        """A new domain with nothing in it."""
        self.domains += 1
        return Domain(self, name or f"{prefix}{self.domains}.{zone}")


class Domain:
    """A recipient domain: its MX records, its MTA-STS record, its policy, and where its reports go."""

    def __init__(self, world, name):
        self.world = world
        self.name = name

    def __str__(self):
        return self.name

    def user(self, local="bob"):
        return f"{local}@{self.name}"

    def mx(self, behaviour=None, label="mx1", preference=10, addresses=None):
        """Adds a scripted MX host named `label`.domain."""
        host = self.world.mx(f"{label}.{self.name}", behaviour, addresses)
        self.add_mx(host.name, preference)
        return host

    def add_mx(self, host, preference=10):
        """Adds an MX record."""
        self.world.dns.change(f"{self.name.split('.')[-1]}.", lambda update: update.add(
            f"{self.name}.", 0, "MX", f"{preference} {host}."))

    def set_mx(self, *records):
        """Makes these all the MX records: (preference, host) each."""
        self.world.dns.replace(self.name, "MX", [f"{preference} {host}." for preference, host in records])

    def txt(self, *records):
        """Makes these the TXT records at _mta-sts: a string each, or a list of the strings of one record."""
        self.world.dns.replace(f"_mta-sts.{self.name}", "TXT", [quoted(record) for record in records])

    def tlsrpt(self, *records):
        """Makes these the TXT records at _smtp._tls; without any, reports go to the sink, for the path that is the domain's name."""
        records = records or (f"v=TLSRPTv1; rua={self.world.report_host()}/{self.name}",)
        self.world.dns.replace(f"_smtp._tls.{self.name}", "TXT", [quoted(record) for record in records])
        return self

    def reports(self):
        """What came for it at the sink, unpacked."""
        return [post.json() for post in self.world.report_sink.posted(f"/{self.name}")]

    def policy_at(self, address):
        """Where mta-sts.domain is."""
        self.world.set_addresses(f"mta-sts.{self.name}", [address])

    def policy(self, mode="enforce", mx=("mx1.{domain}",), max_age=86400, identifier="1", text=None, certificate=None):
        """Publishes a policy: document, address and record. `text` is the document as it is."""
        patterns = [pattern.format(domain=self.name) for pattern in mx]
        self.world.policy_host.serve(self.name, policy_text(mode, patterns, max_age) if text is None else text, certificate)
        self.policy_at(self.world.policy_host.address)
        self.txt(f"v=STSv1; id={identifier};")
        return self

    def odd_policy(self, behaviour, certificate=None, identifier="1"):
        """Publishes the record; the policy is served by the odd HTTPS server with that behaviour."""
        self.world.odd_host.serve(self.name, behaviour, certificate or self.world.ca.good(f"mta-sts.{self.name}"))
        self.policy_at(self.world.odd_host.address)
        self.txt(f"v=STSv1; id={identifier};")
        return self


def quoted(record):
    """A TXT record in presentation format."""
    strings = [record] if isinstance(record, str) else record
    return " ".join('"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"' for s in strings)
