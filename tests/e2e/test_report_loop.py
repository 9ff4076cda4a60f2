"""Two relays that report to each other by mail: reports about reports would go on for ever."""

import email
import gzip
import json
import os
import time
import types

import dkim
import dns.resolver
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.client import submit
from lab.world import policy_text
from reports import SETTINGS, WEEK_S, applied, at, day_text, differences, failure, plain, seen, sessions_of, tomorrow

DAYS = 3


class Side:
    """A domain with its relay. Its first MX host has a certificate that nobody trusts, under `enforce`; the second one is honest."""

    def __init__(self, world, make_plain, port):
        self.domain = world.domain()
        mx = ("*.{domain}",)
        self.domain.policy("enforce", mx, WEEK_S).tlsrpt(f"v=TLSRPTv1; rua=mailto:reports@{self.domain}")
        self.text = policy_text("enforce", (f"*.{self.domain}",), WEEK_S)
        self.broken = self.domain.mx(world.honest().but(certificate=world.ca.self_signed(f"mx1.{self.domain}")))
        self.honest = self.domain.mx(label="mx2", preference=20)
        self.relay = make_plain(
            hostname=f"relay.{self.domain}", listen=[{"address": f"127.0.0.1:{port}", "allow": ["127.0.0.0/8"]}],
            report={**SETTINGS, "submitter": self.domain.name, "contact": f"tls@{self.domain}"},
            dkim=[{"domain": self.domain.name, "selector": "r1", "key_file": self.make_key(world)}])

    def make_key(self, world):
        """A key for its reports, published."""
        key = rsa.generate_private_key(65537, 2048)
        path = f"{world.folder}/{self.domain}.pem"
        with open(path, "wb") as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        os.chmod(path, 0o600)
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        text = "v=DKIM1; k=rsa; s=tlsrpt; p=" + "".join(public.decode().splitlines()[1:-1])
        world.dns.replace(f"r1._domainkey.{self.domain}", "TXT", [f'"{text[:200]}" "{text[200:]}"'])
        return path

    def reports(self):
        """The messages that came for its report address, at whichever host."""
        return [got for host in (self.broken, self.honest) for got in host.messages if got.rcpt_to == [f"reports@{self.domain}".encode()]]


def unpack(message):
    """The report in a message."""
    [part] = [p for p in email.message_from_bytes(message).walk() if p.get_content_type() == "application/tlsrpt+gzip"]
    return json.loads(gzip.decompress(part.get_payload(decode=True)))


def key_record(name, timeout=5):
    """A key as the signature's verifier asks for it."""
    [record] = dns.resolver.resolve(name.decode(), "TXT", lifetime=timeout)
    return b"".join(record.strings)


def faults_of(got, sender, receiver, day):
    """What is not as it must be with a report by `sender` for `receiver`."""
    refused = [s for s in seen(receiver.broken) if "MAIL" not in s.verbs()]
    told = failure("certificate-not-trusted", "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT", receiver.broken, refused[0])
    report = unpack(got.data)
    yield from differences(plain({"policies": report["policies"]})["policies"],
                           plain({"policies": [applied(receiver.domain, receiver.text, 1, [told])]})["policies"])
    if report["date-range"]["start-datetime"] != f"{day_text(day)}T00:00:00Z":
        yield f"of {report['date-range']}"
    mail = email.message_from_bytes(got.data)
    for field, want in (("TLS-Report-Domain", receiver.domain.name), ("TLS-Report-Submitter", sender.domain.name), ("TLS-Required", "No")):
        if mail[field] != want:
            yield f"{field}: {mail[field]}"
    if not dkim.verify(got.data, dnsfunc=key_record, tlsrpt="strict"):
        yield "its signature is not good"


def test_relays_that_report_to_each_other_over_broken_tls_report_once_a_day(world, make_plain, monkeypatch):
    """A message each way on each of three days: one report a day each way, about that message and nothing else."""
    sides = [Side(world, make_plain, port) for port in (2525, 2526)]
    pairs = [(sides[0], sides[1]), (sides[1], sides[0])]
    first = tomorrow()
    for day in range(first, first + DAYS):
        for sender, receiver in pairs:
            sender.relay.set_clock(at(day))
            sender.relay.start()
            submit(sender.relay.address, receiver.domain.user())
            receiver.honest.wait_messages(day - first + 1)
            sender.relay.wait_empty()
            assert sender.relay.stop() == 0
        for sender, receiver in pairs:
            sender.relay.set_clock(at(day + 1, "06:00:00"))
            sender.relay.start()        # it looks for what is due
            receiver.broken.wait_messages(day - first + 1)
            sender.relay.wait_empty()
            assert sender.relay.stop() == 0
    for sender, _ in pairs:             # and then there is nothing more to say
        for day in range(first + DAYS, first + DAYS + 2):
            sender.relay.set_clock(at(day + 1, "06:00:00"))
            sender.relay.start()
            time.sleep(1.5)
            assert sender.relay.stop() == 0
    wrong = []
    monkeypatch.setattr(dkim, "time", types.SimpleNamespace(time=sides[0].relay.clock))      # the signatures are of those days
    for sender, receiver in pairs:
        got = receiver.reports()
        wrong += [f"{sender.domain}, day {i}: {fault}" for i, one in enumerate(got) for fault in faults_of(one, sender, receiver, first + i)]
        assert len(got) == DAYS and sum(sessions_of(unpack(one.data)) for one in got) == 2 * DAYS
        assert all(one.tls for one in got)              # TLS where it can be had, whoever it may be
    assert not wrong, "\n" + "\n".join(wrong)
