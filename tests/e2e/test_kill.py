"""Kill tests: SIGKILL at random moments under load; nothing that got a 250 is lost, nothing is invented.

With the plain build, which is the one that runs in the world and the faster one. $KILLS says how often (200).
"""

import os
import random
import threading
import time

import pytest

from lab.client import Client, message, queue_id
from lab.relay import Relay

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLAIN = os.environ.get("STRICTPOST_PLAIN", f"{TOP}/build/strictpost")
KILLS = int(os.environ.get("KILLS", "200"))
SENDERS = 6


class Load:
    """Clients that hand in numbered messages for as long as they may, and note which were offered and which got a 250."""

    def __init__(self, relay, domains):
        self.relay = relay
        self.domains = domains
        self.lock = threading.Lock()
        self.count = 0
        self.offered = {}                       # number to (recipients, message), before its final dot is sent
        self.accepted = set()                   # numbers that got a 250
        self.ids = {}                           # queue identifier to number
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(i),), daemon=True) for i in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def _run(self, rng):
        while not self.stop.is_set():
            try:
                with Client(self.relay.address, timeout=20) as client:
                    if client.greeting[0] != 220 or client.command("EHLO client.example")[0] != 250:
                        continue
                    while not self.stop.is_set() and self._one(client, rng):
                        pass
            except OSError:
                time.sleep(0.01)                # it is down at the moment

    def _one(self, client, rng):
        """One message; False when the connection is of no more use."""
        with self.lock:
            number = self.count
            self.count += 1
        size = rng.choice((1, 1, 1, 40, 40, 400, 4000))      # some are past inline_body
        recipients = rng.sample(self.domains, rng.choice((1, 1, 2)))
        data = message(f"n{number}", body=f"number {number}\r\n" + ("x" * 70 + "\r\n") * size)
        if client.command("MAIL FROM:<>")[0] != 250:
            return False
        for domain in recipients:
            if client.command(f"RCPT TO:<u{number}@{domain}>")[0] != 250:
                return False
        if client.command("DATA")[0] != 354:
            return False
        self.offered[number] = ([f"u{number}@{d}".encode() for d in recipients], data)
        client.send(data + b".\r\n")
        reply = client.reply()
        if reply[0] != 250:
            return False
        identifier = queue_id(reply)
        with self.lock:
            assert identifier not in self.ids, f"{identifier} used twice"
            self.ids[identifier] = number
            self.accepted.add(number)
        return True


@pytest.mark.kill
def test_kill_at_random_moments_loses_and_invents_nothing(world, lab_dir):
    strict, plain = world.domain().policy(), world.domain()
    hosts = [strict.mx(), plain.mx()]
    relay = Relay(f"{lab_dir}/relays/kill", PLAIN, world.ca.ca_file,
                  {"limits": {"inline_body": "16K"}, "log": {"level": "info"},
                   "delivery": {"retry": {"first": "1s", "max": "1s"}}})
    rng = random.Random(20261122)
    load = Load(relay, [strict.name, plain.name])
    for turn in range(KILLS):
        relay.start()
        time.sleep(rng.uniform(0, 0.25))
        relay.kill()
        if turn % 20 == 19:
            print(f"  killed {turn + 1} times, {len(load.accepted)} messages accepted", flush=True)
    load.end()
    relay.start()
    relay.wait_empty(timeout=120)
    assert relay.stop() == 0

    delivered = {}                              # (recipient) to how often
    for host in hosts:
        for got in host.messages:
            for recipient in got.rcpt_to:
                delivered[recipient] = delivered.get(recipient, 0) + 1
                number = int(recipient.partition(b"@")[0][1:])
                recipients, data = load.offered[number]         # KeyError: invented
                assert recipient in recipients and got.data.endswith(data), f"message {number} was changed"
    wanted = {recipient for number in load.accepted for recipient in load.offered[number][0]}
    lost = wanted - delivered.keys()
    twice = sum(count - 1 for count in delivered.values())
    print(f"  {KILLS} kills: {len(load.accepted)} messages accepted, {len(wanted)} recipients, "
          f"{len(lost)} lost, {twice} duplicates", flush=True)
    assert not lost
    assert len(load.accepted) > KILLS           # there was a load
