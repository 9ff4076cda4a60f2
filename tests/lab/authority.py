"""The authoritative DNS server (Knot): a signed root, a signed TLD `example.`, an unsigned TLD `test.`; and `bogus.example.`, which is signed
by another key than its parent says, so that nothing in it validates.

Records are changed while it runs by RFC 2136 updates, so a test can move the world between two messages.
"""

import os
import time

import dns.dnssec
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update

from lab.process import NotReady, Process

SIGNED, UNSIGNED, BOGUS = "example.", "test.", "bogus.example."

CONFIG = """
server:
    rundir: "{dir}/run"
    listen: {address}@53
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    automatic-acl: off
database:
    storage: "{dir}/db"
log:
  - target: stderr
    any: notice
acl:
  - id: anyone
    action: [update, transfer]
policy:
  - id: lab
    algorithm: ecdsap256sha256
    single-type-signing: on
    dnskey-ttl: 300
template:
  - id: default
    storage: "{dir}/zones"
    file: "%s.zone"
    acl: anyone
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: changes
zone:
  - domain: .
    file: root.zone
    dnssec-signing: on
    dnssec-policy: lab
  - domain: example.
    dnssec-signing: on
    dnssec-policy: lab
  - domain: bogus.example.
    dnssec-signing: on
    dnssec-policy: lab
  - domain: test.
"""

# Negative answers live for the SOA's last field: 0, so that a name is seen the moment it is made.
ROOT_ZONE = """
. 300 SOA ns. lab. 1 3600 600 86400 0
. 300 NS ns.
ns. 300 A {address}
example. 300 NS ns.
test. 300 NS ns.
"""

TLD_ZONE = """
@ 300 SOA ns. lab. 1 3600 600 86400 0
@ 300 NS ns.
"""


class Authority:
    """Knot serving the root and the two TLDs on `address`, port 53."""

    def __init__(self, folder, address="127.0.0.53"):
        self.address = address
        self.folder = folder
        for sub in ("run", "db", "zones"):
            os.makedirs(f"{folder}/{sub}")
        write(f"{folder}/zones/root.zone", ROOT_ZONE.format(address=address))
        for zone in (SIGNED, UNSIGNED, BOGUS):
            write(f"{folder}/zones/{zone[:-1]}.zone", f"$ORIGIN {zone}\n{TLD_ZONE}")
        write(f"{folder}/knot.conf", CONFIG.format(dir=folder, address=address))
        self.process = Process(["knotd", "-c", f"{folder}/knot.conf"], f"{folder}/knot.log")
        self.process.ready(lambda: all(self._dnskey(zone) for zone in (".", SIGNED, BOGUS)))
        self.change(".", lambda update: update.replace(SIGNED, 300, self._ds(SIGNED)))

        def delegate(update):
            update.replace(BOGUS, 300, "NS", "ns.")
            update.replace(BOGUS, 300, self._ds(BOGUS, key_of="."))
        self.change(SIGNED, delegate)

    def stop(self):
        self.process.stop()

    def trust_anchor(self):
        """The root's keys as zone file lines, for the resolver."""
        return "".join(f". 300 IN DNSKEY {key}\n" for key in self._dnskey("."))

    def replace(self, name, kind, values, ttl=0):
        """Makes `values` (presentation format) all the records of that name and type."""
        def edit(update):
            update.delete(dns.name.from_text(name), kind)
            for value in values:
                update.add(dns.name.from_text(name), ttl, kind, value)
        self.change(zone_of(name), edit)

    def remove(self, name, kind=None):
        """Removes the records of that type, or all of the name: it is NXDOMAIN then, if nothing is below it."""
        def edit(update):
            if kind:
                update.delete(dns.name.from_text(name), kind)
            else:
                update.delete(dns.name.from_text(name))
        self.change(zone_of(name), edit)

    def change(self, zone, edit):
        """Sends one RFC 2136 update that `edit` has filled; it is served when this returns."""
        update = dns.update.UpdateMessage(zone)
        edit(update)
        answer = dns.query.tcp(update, self.address, timeout=10)
        if answer.rcode() != 0:
            raise NotReady(f"update of {zone} refused: {dns.rcode.to_text(answer.rcode())}\n{update}")

    def _dnskey(self, zone):
        query = dns.message.make_query(zone, "DNSKEY")
        try:
            answer = dns.query.tcp(query, self.address, timeout=1)
        except OSError:
            time.sleep(0.02)
            return None
        except dns.exception.Timeout:
            return None
        rrset = answer.get_rrset(answer.answer, dns.name.from_text(zone), 1, dns.rdatatype.DNSKEY)
        return list(rrset) if rrset else None

    def _ds(self, zone, key_of=None):
        return dns.dnssec.make_ds(dns.name.from_text(zone), self._dnskey(key_of or zone)[0], "SHA256")


def zone_of(name):
    """The zone a name is in: its last label, or the root."""
    if f".{name.rstrip('.')}.".endswith(f".{BOGUS}"):
        return BOGUS
    labels = name.rstrip(".").split(".")
    return f"{labels[-1]}." if f"{labels[-1]}." in (SIGNED, UNSIGNED) else "."


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
