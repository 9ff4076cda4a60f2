"""A bad week: mail comes in, operators hold, release, retry, delete, return and drain, everything is asked at once, the configuration changes each second, and the
relay is killed again and again. What was accepted is delivered, or was steered away; nothing goes to who was not asked for; every answer is one."""

import http.client
import os
import random
import subprocess
import threading
import time

import pytest

from lab.behaviour import Raw
from lab.client import submit
from lab.relay import Relay
from test_admin import ask
from test_kill import PLAIN, Load

KILLS = int(os.environ.get("STORM_KILLS", "25"))
SECONDS = int(os.environ.get("STORM_SECONDS", "8"))

READS = ["/livez", "/readyz", "/status", "/destinations?top=10", "/metrics", "/queue/list?limit=1000", "/queue/list?state=hold", "/queue/count", "/queue/summary",
         "/queue/holds", "/policy/list", "/policy/history", "/evidence/sessions?limit=50", "/report/list", "/report/suppressions", "/nothing", "/queue/list?x=1"]


def steps(rng, domains, gone):
    """One thing that operators do, as method and path."""
    domain = rng.choice([*domains, gone])
    return rng.choice([
        ("POST", f"/queue/retry?domain={domain}"), ("POST", "/queue/retry?all=1&limit=100"), ("POST", f"/queue/hold?domain={domain}&reason=storm"),
        ("POST", f"/queue/hold?domain={domain}&for=1"), ("POST", "/queue/release?all=1"), ("POST", f"/queue/release?domain={domain}"),
        ("POST", f"/queue/delete?domain={gone}&limit=50&reason=storm"), ("POST", f"/queue/bounce?domain={gone}&limit=20"),
        ("POST", f"/queue/holds?domain={domain}&for=1"), ("POST", f"/policy/refresh?domain={domain}"), ("POST", f"/policy/forget?domain={domain}"),
        ("POST", "/drain?reason=storm"), ("DELETE", "/drain"), ("DELETE", "/drain"), ("GET", f"/explain/domain?domain={domain}"),
        ("GET", f"/evidence/sessions?destination={domain}"), *(("GET", path) for path in READS)])


class Operators:
    """Some of them, each with a mind of its own, until end(). `answers`: path without its query, to the statuses that came."""

    def __init__(self, relay, domains, gone, ids, count=3):
        self.relay, self.domains, self.gone, self.ids = relay, domains, gone, ids
        self.answers, self.over = {}, threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(i),), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, rng):
        while not self.over.is_set():
            method, path = steps(rng, self.domains, self.gone)
            known = list(self.ids)[-50:]
            if known and rng.random() < 0.4:
                method, path = "GET", rng.choice(["/evidence/message?id=", "/queue/message?id=", "/queue/content?id="]) + rng.choice(known)
            try:
                status = ask(self.relay, path, method)[0]
            except (OSError, http.client.HTTPException):
                status = 0                      # it is down at the moment
            except ValueError as error:
                status = f"{path}: {error}"
            self.answers.setdefault((method, path.partition("?")[0]), set()).add(status)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


def settle(relay, gone):
    """No drain, no rule, nothing held; what can go goes. Then the numbers are what is left."""
    ask(relay, "/drain", "DELETE")
    for rule in ask(relay, "/queue/holds")[2]["holds"]:
        ask(relay, f"/queue/holds?id={rule['id']}", "DELETE")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for path in ("/queue/release?all=1", "/queue/retry?all=1", f"/queue/delete?domain={gone}"):
            more = ""
            while True:
                answer = ask(relay, path + more, "POST")[2]
                if not answer.get("next"):
                    break
                more = f"&after={answer['next']}"
        if not relay.queued():
            return
        time.sleep(0.2)
    raise AssertionError(f"left: {ask(relay, '/queue/list')[2]}")


def account(load, hosts, gone):
    """How many came twice. Fails where one is lost, invented or changed."""
    came = {}
    for host in hosts:
        for got in host.messages:
            for recipient in got.rcpt_to:
                came[recipient] = came.get(recipient, 0) + 1
                recipients, data = load.offered[int(recipient.partition(b"@")[0][1:])]
                assert recipient in recipients and got.data.endswith(data)
    wanted = {r for n in load.accepted for r in load.offered[n][0] if not r.endswith(b"@" + gone.encode())}
    assert not wanted - came.keys(), f"{len(wanted - came.keys())} of {len(wanted)} are lost"
    assert not [r for r in came if r.endswith(b"@" + gone.encode())]
    return sum(count - 1 for count in came.values())


@pytest.fixture
def place(world):
    """A domain with a policy, one without, and one that takes nothing; and the hosts."""
    strict, plain, gone = world.domain().policy(), world.domain(), world.domain()
    hosts = [strict.mx(), plain.mx(), gone.mx(world.honest(f"mx1.{gone}").but(on={"RCPT": "451 4.2.0 not now"}))]
    return [strict.name, plain.name], gone.name, hosts


QUICK = {"retry": {"first": "1s", "max": "1s"}}


@pytest.mark.kill
def test_steering_and_asking_while_it_is_killed_loses_and_doubles_nothing(world, lab_dir, place):
    domains, gone, hosts = place
    relay = Relay(f"{lab_dir}/relays/storm", PLAIN, world.ca.ca_file, {"limits": {"inline_body": "16K"}, "log": {"level": "info"}, "delivery": QUICK})
    load = Load(relay, [*domains, gone])
    operators = Operators(relay, domains, gone, load.ids)
    rng = random.Random(5)
    for _ in range(KILLS):
        relay.start()
        time.sleep(rng.uniform(0.1, 0.6))
        relay.kill()
    relay.start()
    load.end()
    operators.end()
    settle(relay, gone)
    twice = account(load, hosts, gone)
    print(f"{KILLS} kills, {len(load.accepted)} accepted, {twice} twice\n{operators.answers}")
    assert twice <= KILLS * 40                  # what was in flight: a session each for what is let through, and each a handful
    assert not [s for statuses in operators.answers.values() for s in statuses if s not in (0, 200, 202, 204, 400, 404, 405, 409, 410, 503)]
    assert relay.stop() == 0


def test_everything_is_asked_and_steered_while_the_configuration_changes(world, make_relay, place, lab_dir):
    domains, gone, hosts = place
    relay = make_relay(delivery=QUICK, limits={"inline_body": "16K"}, log={"level": "info"}).start(timeout=60)
    token = f"{relay.folder}/token"
    with open(token, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write("t" * 32 + "\n")
    stuck = world.domain()                      # so that no drain ever comes to its end
    stuck.mx(world.honest(f"mx1.{stuck}").but(on={"RCPT": "451 4.2.0 not now"}))
    submit(relay.address, stuck.user())
    load = Load(relay, [*domains, gone])
    operators = Operators(relay, domains, gone, load.ids, count=4)
    end, turn = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        turn += 1
        relay.write_config(evidence={"keep": ["0", "1h", "14d"][turn % 3], "size": ["1M", "256M"][turn % 2]}, alarm={"oldest": ["1s", "1d"][turn % 2], "idle": ["1s", "6h"][turn % 2]},
                           admin={"http": ["", "127.0.0.1:8025", "127.0.0.1:8026"][turn % 3], "token_file": ["", token][turn % 2]})
        relay.reload()
        time.sleep(0.5 if SECONDS < 20 else 1)
    load.end()
    operators.end()
    ask(relay, f"/queue/delete?domain={stuck}", "POST")
    settle(relay, gone)
    assert account(load, hosts, gone) == 0
    print(operators.answers)
    assert len(load.accepted) > 20
    assert not [s for statuses in operators.answers.values() for s in statuses if s not in (200, 202, 204, 400, 404, 405, 409, 410, 503)], operators.answers
    assert not relay.events(level="error"), relay.events(level="error")[:3]


def test_evidence_makes_room_before_mail_is_refused(world, lab_dir, make_relay):
    """A disk that is smaller than evidence.size: it was full of evidence, and mail was refused until that was two weeks old."""
    folder = f"{lab_dir}/evidence-disk"
    os.makedirs(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", folder], check=True)
    with open(f"{folder}/others", "wb") as file:
        file.write(bytes(54 << 20))
    relay = make_relay(state_dir=folder, delivery={"messages_per_session": 1}).start()
    domain = world.domain()
    reply = b"".join(b"250-%d %s\r\n" % (i, b"x" * 400) for i in range(40)) + b"250 2.1.5 good\r\n"
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": Raw(reply)}))
    kept = []
    for number in range(500):
        submit(relay.address, domain.user(f"u{number}"))
        if number % 50 == 49:
            relay.wait_empty(60)
            kept.append(relay.query("SELECT octets FROM evidence_size")[0]["octets"])
    print(kept)
    assert any(b < a for a, b in zip(kept, kept[1:])), "none had to go: the disk is too large for this test"
    assert ask(relay, "/readyz")[0] == 200 and "no mail is accepted" not in relay.log_text()
