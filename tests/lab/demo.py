"""The demonstration: the relay in front of a small private internet, one message to each kind of domain, and a table.

Runs inside the laboratory (conf/demo does that). Ends with status 0 only if every row is as it must be.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time

from lab.client import message, submit
from lab.relay import Relay
from lab.world import World

COLUMNS = ("domain", "policy", "what the peer showed", "what happened", "why")
WAIT_S = 20         # for what comes of a message


class Case:
    """One row: a domain, its host, and what must come of a message to it."""

    def __init__(self, world, name, mode, want, listed=True, label="mx1", **faults):
        self.domain = world.domain(name=f"{name}.example")
        self.want = want                        # (result, policy, failure)
        certificate = faults.pop("certificate", world.ca.good)(f"{label}.{self.domain}")
        self.host = self.domain.mx(world.honest().but(certificate=certificate, **faults), label)
        if mode:
            self.domain.policy(mode, (f"{label}.{{domain}}" if listed else "mail.{domain}",))


def cases(world):
    """The private internet's domains."""
    enforce = "sts/enforce"
    return [
        Case(world, "honest", "enforce", ("delivered", enforce, None)),
        Case(world, "stripped", "enforce", ("deferred", enforce, "starttls-not-supported"), starttls=False),
        Case(world, "expired", "enforce", ("deferred", enforce, "certificate-expired"), certificate=world.ca.expired),
        Case(world, "othername", "enforce", ("deferred", enforce, "certificate-host-mismatch"),
             certificate=lambda name: world.ca.good("mail.attacker.example")),
        Case(world, "unlisted", "enforce", ("deferred", enforce, "validation-failure"), listed=False),
        Case(world, "testing", "testing", ("delivered", "sts/testing", "certificate-not-trusted"),
             certificate=world.ca.self_signed),
        Case(world, "plain", None, ("delivered", "none", None), certificate=world.ca.self_signed),
    ]


def row(name, event):
    """What the relay's log says of an attempt, as the table shows it."""
    shown = " ".join(event[key] for key in ("tls", "cipher") if event.get(key)) or "no TLS"
    if event.get("cert"):
        shown += f", certificate {event['cert'].removeprefix('certificate-')}"
    if not event.get("ip"):
        shown = "(not connected)"
    # The log repeats in full which policy it was, for those who have no table.
    why = re.sub(r"^\S+ does not satisfy the domain's MTA-STS policy \([^)]*\): | \(mode [^)]*\)", "",
                 event.get("why") or event.get("reply") or "")
    return name, event.get("policy", "-"), shown, event["result"], why


def faults(case, event, sent):
    """What is not as it must be: the log's evidence, and what really came to the host."""
    found = (event["result"], event.get("policy"), event.get("fault"))
    if found != case.want:
        yield f"{case.domain}: the log says {found}, and it must be {case.want}"
    if case.want[0] == "delivered":
        if [got.data.endswith(sent) for got in case.host.messages] != [True]:
            yield f"{case.domain}: the host did not get the message as it was sent"
    else:
        if {"MAIL", "RCPT", "DATA", "BDAT"} & set(case.host.verbs()):
            yield f"{case.domain}: the host was told of the message"


def table(rows):
    """Prints rows in columns; the last one is broken into lines."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(COLUMNS) - 1)]
    rest = max(40, shutil.get_terminal_size((160, 24)).columns - sum(widths) - 2 * len(widths))
    indent = " " * (sum(widths) + 2 * len(widths))
    for number, cells in enumerate(rows):
        last = textwrap.wrap(cells[-1], rest) or [""]
        print("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths)), last[0]]).rstrip())
        for more in last[1:]:
            print(indent + more)
        if number == 0:
            print("  ".join("-" * width for width in [*widths, rest]))


def say(text):
    print(f"-- {text}", flush=True)


def follow(relay, seen):
    """Prints the attempts as they come, until a signal ends it."""
    ending = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.append(1))
    while not ending and relay.running():
        events = relay.deliveries()
        for event in events[seen:]:
            print("  ".join(row(event.get("destination", "-"), event)), flush=True)
        seen = len(events)
        time.sleep(0.3)


def by_hand(relay):
    host, port = relay.address
    print(f"""
The relay is up. Send mail through it from another terminal, as root:

    nsenter --target {os.environ['LAB_PID']} --net swaks --server {host}:{port} \\
        --helo client.example --from you@sender.example --to bob@honest.example

(or to bob@ another domain of the table). Each attempt is shown here. Configuration: {relay.config_file}
All of the log: {relay.log}. Ctrl-C ends it and cleans up.
""", flush=True)


def run(options, folder):
    """The demonstration in `folder`; the exit status."""
    say("starting a private internet: DNS, HTTPS policy host, MX hosts")
    world = World(folder)
    try:
        rows = cases(world)
        relay = world.keep(Relay(f"{folder}/relay", options.binary, world.ca.ca_file, {
            "delivery": {"retry": {"first": "5m", "max": "4h", "growth": 2}}, "log": {"level": "info"}}))
        say("starting the relay")
        relay.start()
        say("sending one message to each domain")
        sent = {str(case.domain): message(f"to-{case.domain}") for case in rows}
        identifiers = {name: submit(relay.address, f"bob@{name}", data) for name, data in sent.items()}
        say("waiting for what comes of them\n")
        lines, wrong = [COLUMNS], []
        for case in rows:
            name = str(case.domain)
            event = relay.wait_delivery(name, timeout=WAIT_S, id=identifiers[name])
            lines.append(row(name, event))
            wrong += faults(case, event, sent[name])
        table(lines)
        print()
        for fault in wrong:
            print(f"WRONG: {fault}")
        say("every row is as it must be" if not wrong else f"{len(wrong)} things are not as they must be")
        if options.keep:
            by_hand(relay)
            follow(relay, len(relay.deliveries()))
        return 1 if wrong else 0
    finally:
        say("cleaning up")
        world.stop()


def main():
    parser = argparse.ArgumentParser(prog="conf/demo", description="shows what the relay does, on a private internet")
    parser.add_argument("--keep", action="store_true", help="leave the relay up and say how to send mail by hand")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="strictpost-demo-", dir="/tmp")
    try:
        return run(options, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
