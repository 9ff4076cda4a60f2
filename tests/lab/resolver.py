"""The validating recursive resolver (Unbound) under the laboratory's own root and trust anchor."""

import os
import socket

import dns.message
import dns.query

from lab.process import Process

CONFIG = """
server:
    directory: "{dir}"
    username: ""
    chroot: ""
    pidfile: "{dir}/unbound.pid"
    use-syslog: no
    logfile: ""
    verbosity: 1
    interface: {address}
    port: 53
    num-threads: 1
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: no
    do-ip6: no
    outgoing-range: 200
    root-hints: "{dir}/root.hints"
    trust-anchor-file: "{dir}/root.key"
    module-config: "validator iterator"
    local-zone: "test." nodefault
    qname-minimisation: no
    aggressive-nsec: no
    minimal-responses: yes
    cache-max-negative-ttl: 0
    infra-keep-probing: yes
remote-control:
    control-enable: yes
    control-interface: "{dir}/control"
    control-use-cert: no
"""


class Resolver:
    """Unbound on `address`, port 53."""

    def __init__(self, folder, authority, address="127.0.0.1"):
        os.makedirs(folder)
        self.address = address
        self.control_path = f"{folder}/control"
        for name, text in (("root.hints", f". 300 NS ns.\nns. 300 A {authority.address}\n"),
                           ("root.key", authority.trust_anchor()),
                           ("unbound.conf", CONFIG.format(dir=folder, address=address))):
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        self.process = Process(["unbound", "-d", "-c", f"{folder}/unbound.conf"], f"{folder}/unbound.log")
        self.process.ready(self._answers)

    def stop(self):
        self.process.stop()

    def flush(self):
        """Forgets every answer: what the authority says now is what is seen."""
        for zone in ("example.", "test."):
            self.control(f"flush_zone {zone}")

    def control(self, command):
        """One command as unbound-control(8) sends it, without starting a program for it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.control_path)
            sock.sendall(f"UBCT1 {command}\n".encode())
            with sock.makefile() as answer:
                return answer.read()

    def _answers(self):
        try:
            answer = dns.query.udp(dns.message.make_query("example.", "NS"), self.address, timeout=0.1)
        except (OSError, dns.exception.Timeout):
            return False
        return answer.rcode() == 0
