"""strictpost queue: what is in the spool, and what an operator does to it, on a relay that runs and on a spool at rest."""

import json
import sqlite3
import statistics
import subprocess
import threading
import time

import pytest

from lab import spool
from lab.behaviour import Hang, Slow
from lab.client import message, submit
from lab.process import wait_until
from lab.relay import identifier, number
from lab.terminal import Terminal

SLOWLY = {"limits": {"hold": "2h"}, "delivery": {"delay_notice": "0s", "retry": {"first": "30m", "growth": 1, "max": "30m", "jitter": 0}}}


class Queue:
    """The command, on a relay."""

    def __init__(self, relay):
        self.relay = relay

    def run(self, *words, status=0):
        done = self.relay.command("queue", *words)
        assert done.returncode == status, (words, done)
        return done

    def __call__(self, *words, status=0):
        """What it prints."""
        return self.run(*words, status=status).stdout

    def rows(self, *words):
        """The objects it prints, one a line."""
        return [json.loads(line) for line in self(*words, "--json").splitlines()]

    def ids(self, *which):
        return {row["queue_id"] for row in self.rows("list", *which)}

    def done(self, *words):
        """What a change says it did."""
        [row] = self.rows(*words)
        return row

    def recipients(self, queue_id):
        [row] = self.rows("show", queue_id)
        return row["recipients"]


def deferred(relay, queue_id):
    """Waits until it is at rest after an attempt, or with its destination."""
    wait_until(lambda: all(r["state"] == "deferred" and r.get("delay_reason") for r in Queue(relay).recipients(queue_id)), 20,
               f"{queue_id} is deferred", interval=0.1)


def nobody(world, domain):
    """Its host answers nowhere."""
    domain.add_mx(f"mx1.{domain}")
    world.set_addresses(f"mx1.{domain}", [world.address()])
    return domain


class Mixed:
    """A queue with one message of each kind; `ids` has them by name, `domains` where they go."""

    def __init__(self, world, relay, home):
        self.world, self.relay, self.home = world, relay, home
        names = ("policy", "busy", "dead", "future", "held", "broken", "flight", "many", "back", "refuses", "report")
        self.domains = {name: world.domain(name) for name in names}
        d = self.domains
        d["policy"].policy()
        d["policy"].mx(world.honest("other.example"))
        d["busy"].mx(world.honest(f"mx1.{d['busy']}").but(on={"RCPT": "450 4.2.1 The mailbox is busy"}))
        for name in ("dead", "held", "many", "back", "broken", "report"):
            nobody(world, d[name])
        d["future"].mx()
        self.flight = d["flight"].mx(world.honest(f"mx1.{d['flight']}").but(on={"BODY": Hang()}))
        d["refuses"].mx(world.honest(f"mx1.{d['refuses']}").but(on={"RCPT": "550 5.1.1 no such user"}))
        self.ids = {}
        relay.stop()
        self.ids["report"] = self.put("report", kind=2)
        self.ids["broken"] = self.put("broken", damage=True)
        relay.start()
        for name in ("policy", "busy", "dead", "held", "flight"):
            self.ids[name] = self.send(name)
        self.ids["future"] = self.send("future", args=" HOLDFOR=3600")
        self.ids["many"] = self.send("many", [d["many"].user(f"u{i}") for i in range(30)], sender="list@lists.example")
        self.send("refuses", sender=d["back"].user("ann"))
        relay.wait_delivery(d["refuses"].name, result="bounced")
        Queue(relay)("hold", self.ids["held"], "--reason", "looks odd")
        for name in ("policy", "busy", "dead", "many"):
            deferred(relay, self.ids[name])
        wait_until(lambda: self.flight.verbs().count("DATA") == 1, 20, "one in flight")
        wait_until(lambda: Queue(relay).ids("--state", "quarantined"), 20, "one in quarantine", interval=0.1)
        [self.ids["back"]] = Queue(relay).ids("--sender", "<>", "--domain", str(d["back"]))
        deferred(relay, self.ids["back"])
        deferred(relay, self.ids["report"])

    def send(self, name, recipients=None, sender=None, args=""):
        return submit(self.relay.address, recipients or [self.domains[name].user()], sender=sender or self.home.user(), args=args)

    def put(self, name, kind=0, damage=False):
        domain = self.domains[name]
        n = spool.put(self.relay, domain.user(), destination=f"{domain}/report" if kind == 2 else None)
        with sqlite3.connect(f"{self.relay.config['state_dir']}/spool.db") as db:
            db.execute("UPDATE message SET kind = ? WHERE id = ?", (kind, n))
            if damage:
                db.execute("UPDATE message SET header_len = size + 1 WHERE id = ?", (n,))
        db.close()
        return identifier(n)

    def named(self, *names):
        return {self.ids[name] for name in names}


@pytest.fixture
def mixed(world, start_relay, home):
    return Mixed(world, start_relay(**SLOWLY), home)


# Looking.

STATES = {"policy": "deferred", "busy": "deferred", "dead": "deferred", "future": "deferred", "held": "hold", "broken": "quarantined",
          "flight": "active", "many": "deferred", "back": "deferred", "report": "deferred"}


def test_lists_say_what_was_put_in(mixed):
    queue, ids = Queue(mixed.relay), mixed.ids
    rows = {row["queue_id"]: row for row in queue.rows("list")}
    assert set(rows) == set(ids.values())
    assert {name: rows[ids[name]]["queue_name"] for name in ids} == STATES
    assert [number(row) for row in rows] == sorted(map(number, rows)), "the oldest first"
    now = time.time()
    for name, queue_id in ids.items():
        row = rows[queue_id]
        assert isinstance(row["arrival_time"], int) and now - 120 < row["arrival_time"] <= now, "as postqueue -j has it"
        assert all(r["destination"].startswith(str(mixed.domains[name])) for r in row["recipients"])
        if name not in ("many", "back"):
            assert [r["address"] for r in row["recipients"]] == [mixed.domains[name].user()]
        assert queue.rows("show", queue_id)[0]["recipients"] == row["recipients"]
    assert rows[ids["dead"]]["sender"] == mixed.home.user() and rows[ids["dead"]]["message_size"] > len(message())
    assert [rows[ids[name]]["kind"] for name in ("dead", "back", "report")] == ["mail", "dsn", "report"] and rows[ids["back"]]["sender"] == ""
    assert len(rows[ids["many"]]["recipients"]) == 30
    [busy], [dead], [held], [policy] = (rows[ids[name]]["recipients"] for name in ("busy", "dead", "held", "policy"))
    assert (busy["attempts"], busy["site"]) == (1, False) and "The mailbox is busy" in busy["delay_reason"] and busy["next_attempt"]
    assert (dead["attempts"], dead["site"]) == (0, True) and dead["next_attempt"]
    assert held["hold_reason"] == "looks odd" and held["hold_rule"] is None and held["next_attempt"] is None
    assert "mx1.other" in policy["delay_reason"] or "other.example" in policy["delay_reason"] or "policy" in policy["delay_reason"]
    assert rows[ids["future"]]["hold_until"]


def test_table_has_every_message_and_no_escapes(mixed):
    table = Queue(mixed.relay)("list")
    assert "\033" not in table
    for queue_id in mixed.ids.values():
        assert any(line.split()[0] == queue_id for line in table.splitlines() if line), (queue_id, table)
    assert "and 25 more recipients: strictpost queue show " + mixed.ids["many"] in table
    assert table.rstrip().endswith("10 messages, 39 recipients")
    shown = Queue(mixed.relay)("show", mixed.ids["busy"])
    for part in (mixed.ids["busy"], mixed.domains["busy"].user(), "The mailbox is busy", f"strictpost explain {mixed.ids['busy']}"):
        assert part in shown


WHICH = {
    "sender": (lambda m: ["--sender", "list@lists.example"], ["many"]),
    "sender in other letters": (lambda m: ["--sender", "List@LISTS.example"], ["many"]),
    "sender's domain": (lambda m: ["--sender", "@lists.example"], ["many"]),
    "no sender": (lambda m: ["--sender", "<>"], ["back"]),
    "recipient": (lambda m: ["--recipient", m.domains["many"].user("u7")], ["many"]),
    "recipient's domain": (lambda m: ["--recipient", f"@{m.domains['dead']}"], ["dead"]),
    "domain": (lambda m: ["--domain", str(m.domains["busy"]).upper()], ["busy"]),
    "destination": (lambda m: ["--destination", str(m.domains["held"])], ["held"]),
    "state hold": (lambda m: ["--state", "hold"], ["held"]),
    "state active": (lambda m: ["--state", "active"], ["flight"]),
    "state quarantined": (lambda m: ["--state", "quarantined"], ["broken"]),
    "state deferred": (lambda m: ["--state", "deferred"], ["policy", "busy", "dead", "future", "many", "back", "report"]),
    "ids": (lambda m: [m.ids["dead"], m.ids["busy"]], ["dead", "busy"]),
    "id in small letters": (lambda m: [m.ids["dead"].lower()], ["dead"]),
    "all must fit": (lambda m: ["--sender", m.home.user(), "--domain", str(m.domains["dead"])], ["dead"]),
    "all must fit, and do not": (lambda m: ["--sender", "<>", "--domain", str(m.domains["dead"])], []),
    "id that does not fit the rest": (lambda m: [m.ids["dead"], "--state", "hold"], []),
    "old": (lambda m: ["--older-than", "1h"], []),
    "subdomain is another": (lambda m: ["--domain", f"m.{m.domains['dead']}"], []),
}


def test_every_selector(mixed):
    queue = Queue(mixed.relay)
    for label, (words, want) in WHICH.items():
        assert queue.ids(*words(mixed)) == mixed.named(*want), label


def test_limit(mixed):
    rows = Queue(mixed.relay).rows("list", "--limit", "3")
    assert len(rows) == 3


def test_summary_adds_up(mixed):
    queue = Queue(mixed.relay)
    rows = {row["destination"]: row for row in queue.rows("summary")}
    assert rows[str(mixed.domains["many"])]["recipients"] == 30
    assert sum(row["recipients"] for row in rows.values()) == 38          # not the one in flight
    assert all(sum(row["ages"]) == row["recipients"] == row["ages"][0] for row in rows.values())
    lines = [line.split() for line in queue("summary").splitlines()]
    assert lines[0][:3] == ["Destination", "All", "5"] and lines[1][:3] == ["TOTAL", "38", "38"]
    assert lines[2][:2] == [str(mixed.domains["many"]), "30"]
    short = queue("summary", "--limit", "1")
    assert "others" in short and str(mixed.domains["dead"]) not in short


def test_export(mixed, tmp_path):
    queue = Queue(mixed.relay)
    queue("export", mixed.ids["dead"], mixed.ids["flight"], "--out", str(tmp_path / "mail"))
    eml = (tmp_path / "mail" / f"{mixed.ids['dead']}.eml").read_bytes()
    assert eml.startswith(b"Received: ") and eml.endswith(message())
    envelope = json.loads((tmp_path / "mail" / f"{mixed.ids['dead']}.json").read_text())
    assert envelope["queue_id"] == mixed.ids["dead"] and envelope["message_size"] == len(eml)
    assert queue("export", mixed.ids["dead"], "--out", "-").encode() == eml.replace(b"\r\n", b"\n")      # text mode
    again = queue.run("export", mixed.ids["dead"], "--out", str(tmp_path / "mail"), status=1)
    assert "File exists" in again.stderr
    queue.run("export", "--all", "--out", "-", status=2)
    queue.run("export", "--out", str(tmp_path), status=2)


def test_large_content_comes_in_pieces(world, start_relay, tmp_path):
    relay = start_relay(**SLOWLY)
    domain = nobody(world, world.domain())
    data = message(body="".join(f"{i:070d}\r\n" for i in range(60_000)))
    queue_id = submit(relay.address, [domain.user()], data)
    Queue(relay)("export", queue_id, "--out", str(tmp_path))
    assert (tmp_path / f"{queue_id}.eml").read_bytes().endswith(data)


# Changing.

VERBS = ("retry", "hold", "release", "delete", "bounce")


def test_nothing_said_changes_nothing(mixed):
    queue = Queue(mixed.relay)
    before = queue.rows("list")
    for verb in VERBS:
        assert "which messages" in queue.run(verb, status=2).stderr
        assert "--all stands alone" in queue.run(verb, "--all", "--domain", "x.example", status=2).stderr
        assert "no queue id" in queue.run(verb, "U!", status=2).stderr
        gone = queue.run(verb, "0ZZZZ1", status=1)
        assert "not in the queue" in gone.stdout
        assert "no message fits" in queue(verb, "--domain", "nowhere.example")
    for verb in ("delete", "bounce"):
        assert "--yes" in queue.run(verb, "--all", status=1).stderr, "nobody is there to be asked"
    queue.run("hold", "--rule", "--state", "active", status=2)
    queue.run("hold", "--rule", mixed.ids["dead"], status=2)
    queue.run("list", "--state", "odd", status=1)
    queue.run("list", "--sender", "odd", status=1)
    assert [row["queue_id"] for row in queue.rows("list")] == [row["queue_id"] for row in before]


def test_retry_of_a_dead_host_tries_now(world, mixed):
    """Its wait, and the memory that its address was dead, count for nothing."""
    domain, queue = mixed.domains["dead"], Queue(mixed.relay)
    host = domain.world.mx(f"mx1.{domain}")
    done = queue.done("retry", "--domain", str(domain), "--reason", "it is back")
    assert (done["messages"], done["complete"]) == (1, True)
    host.wait_messages(timeout=10)
    [event] = mixed.relay.events(event="operator", id=mixed.ids["dead"])
    assert (event["action"], event["reason"]) == ("retry", "it is back")


def test_retry_of_a_dead_address_looks_at_it(world, mixed):
    domain, queue = mixed.domains["dead"], Queue(mixed.relay)
    before = len(mixed.relay.events(event="destination", id=domain.name, state="held"))
    queue("retry", mixed.ids["dead"])
    mixed.relay.wait_held(domain.name, before + 1, timeout=10)
    [recipient] = queue.recipients(mixed.ids["dead"])
    assert "left alone" not in recipient["delay_reason"]


def test_retry_of_a_recipient(mixed):
    domain, queue = mixed.domains["busy"], Queue(mixed.relay)
    queue("retry", "--state", "deferred", "--domain", str(domain))
    wait_until(lambda: queue.recipients(mixed.ids["busy"])[0]["attempts"] == 2, 10, "another attempt", interval=0.1)


def test_retry_leaves_what_is_held(mixed):
    queue = Queue(mixed.relay)
    assert "not tried before it is released" in queue("retry", mixed.ids["held"], status=1)
    assert "none of it is held" in queue("release", mixed.ids["dead"], status=1)
    queue("retry", "--all")
    time.sleep(1)
    assert queue.ids("--state", "hold") == mixed.named("held")
    assert mixed.ids["future"] in queue.ids("--state", "deferred"), "its sender wants it held"


def test_hold_and_release(world, mixed):
    queue, domain = Queue(mixed.relay), mixed.domains["dead"]
    assert queue.done("hold", "--domain", str(domain), "--reason", "wait")["messages"] == 1
    host = world.mx(f"mx1.{domain}")
    queue("retry", "--all")
    time.sleep(1.5)
    assert not host.messages and queue.ids("--state", "hold") == mixed.named("held", "dead")
    assert queue.done("release", "--domain", str(domain))["messages"] == 1
    host.wait_messages(timeout=10)
    assert queue.ids("--state", "hold") == mixed.named("held")


def test_hold_for_a_while(world, mixed):
    queue, domain = Queue(mixed.relay), mixed.domains["dead"]
    queue("hold", mixed.ids["dead"], "--for", "3s")
    began = time.monotonic()
    host = world.mx(f"mx1.{domain}")
    [recipient] = queue.recipients(mixed.ids["dead"])
    assert recipient["state"] == "hold" and recipient["next_attempt"]
    wait_until(lambda: mixed.ids["dead"] not in queue.ids("--state", "hold"), 20, "the hold ends by itself", interval=0.1)
    assert time.monotonic() - began > 2
    queue("retry", "--all")                 # its destination waits as before
    host.wait_messages(timeout=20)


def test_quarantine_is_looked_at_again_after_release(mixed):
    queue = Queue(mixed.relay)
    queue("release", mixed.ids["broken"])
    wait_until(lambda: len(mixed.relay.events(event="quarantine", id=mixed.ids["broken"])) == 2, 10, "found broken again", interval=0.1)
    assert queue.ids("--state", "quarantined") == mixed.named("broken")


def test_delete(world, mixed):
    queue, domain = Queue(mixed.relay), mixed.domains["dead"]
    assert queue.done("delete", mixed.ids["dead"], mixed.ids["report"], mixed.ids["broken"], mixed.ids["back"], "--yes", "--reason", "junk")["messages"] == 4
    assert not queue.ids() & mixed.named("dead", "report", "broken", "back")
    assert not mixed.home.host.messages, "nobody is told"
    host = world.mx(f"mx1.{domain}")
    queue("retry", "--all")
    time.sleep(1)
    assert not host.messages


def test_delete_of_some_recipients(mixed):
    queue, domain = Queue(mixed.relay), mixed.domains["many"]
    done = queue.done("delete", "--recipient", domain.user("u3"), "--yes")
    assert (done["messages"], done["recipients"]) == (1, 1)
    assert sorted(r["address"] for r in queue.recipients(mixed.ids["many"])) == sorted(domain.user(f"u{i}") for i in range(30) if i != 3)


def test_bounce_tells_the_sender_why(mixed):
    queue, domain = Queue(mixed.relay), mixed.domains["dead"]
    assert queue.done("bounce", "--domain", str(domain), "--yes", "--reason", "the company is gone")["messages"] == 1
    [notice] = mixed.home.host.wait_messages(timeout=10)
    text = notice.data.decode()
    assert domain.user() in text and "returned by the operator: the company is gone" in " ".join(text.split()) and "Status: 5.7.1" in text
    wait_until(lambda: mixed.ids["dead"] not in queue.ids(), 10, "it is gone", interval=0.1)
    assert mixed.relay.wait_delivery(domain.name, result="bounced")["reason"] == "returned"


def test_bounce_of_what_cannot_be_read_says_so(mixed):
    queue = Queue(mixed.relay)
    assert "queue delete removes that" in queue("bounce", mixed.ids["broken"], "--yes", status=1)
    assert mixed.ids["broken"] in queue.ids("--state", "quarantined")


def test_bounce_of_a_bounce_is_dropped(mixed):
    queue = Queue(mixed.relay)
    queue("bounce", mixed.ids["back"], "--yes")
    wait_until(lambda: mixed.ids["back"] not in queue.ids(), 10, "it is gone", interval=0.1)
    assert "nobody can be told" in mixed.relay.log_text()


def test_bounce_of_held_and_of_many(mixed):
    queue = Queue(mixed.relay)
    queue("bounce", mixed.ids["held"], mixed.ids["many"], mixed.ids["policy"], "--yes")
    notices = mixed.home.host.wait_messages(2, timeout=15)
    assert len(notices) == 2
    wait_until(lambda: not queue.ids() & mixed.named("held", "many", "policy"), 10, "they are gone", interval=0.1)


# What is being sent.

def slow_host(world, domain, reply=None):
    """Takes its time for the final reply."""
    return domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(3, reply)}))


@pytest.mark.parametrize("verb, after", [("delete", set()), ("hold", {"hold"}), ("bounce", set())])
def test_marked_in_flight_and_deferred_then(world, start_relay, home, verb, after):
    """It was being sent: the mark is honoured when its session lets go of it."""
    relay, domain = start_relay(**SLOWLY), world.domain()
    host = slow_host(world, domain, "451 4.3.0 not now")
    queue, queue_id = Queue(relay), submit(relay.address, [domain.user()], sender=home.user())
    wait_until(lambda: "DATA" in host.verbs(), 10, "it is being sent")
    done = queue.done(verb, queue_id, *([] if verb == "hold" else ["--yes"]))
    assert (done["messages"], done["marked"]) == (0, 1)
    relay.wait_delivery(domain.name, result="deferred")
    if verb == "bounce":
        home.host.wait_messages(timeout=15)
    wait_until(lambda: {row["queue_name"] for row in queue.rows("list")} == after, 15, f"as {verb} says", interval=0.1)


@pytest.mark.parametrize("verb", ["delete", "hold", "bounce"])
def test_marked_in_flight_and_delivered_is_delivered(world, start_relay, home, verb):
    relay, domain = start_relay(**SLOWLY), world.domain()
    host = slow_host(world, domain)
    queue, queue_id = Queue(relay), submit(relay.address, [domain.user()], sender=home.user())
    wait_until(lambda: "DATA" in host.verbs(), 10, "it is being sent")
    assert queue.done(verb, queue_id, *([] if verb == "hold" else ["--yes"]))["marked"] == 1
    host.wait_messages(timeout=10)
    relay.wait_empty()
    assert not home.host.messages


@pytest.mark.parametrize("verb", ["delete", "hold"])
def test_nothing_is_begun_after_it_was_confirmed(world, start_relay, verb):
    """A backlog in the memory of a shard, and a host that takes it slowly: what was not being sent is not sent."""
    relay, domain = start_relay(delivery={"concurrency": 2}), world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(0.3)}))
    for i in range(60):
        submit(relay.address, [domain.user()], message(f"m{i}"))
    host.wait_messages(3)
    done = Queue(relay).done(verb, "--all", *([] if verb == "hold" else ["--yes"]))
    time.sleep(0.25)                        # what was on its way to the host's eyes
    begun = host.verbs().count("MAIL")
    assert done["complete"] and begun < 40
    time.sleep(3)
    assert host.verbs().count("MAIL") == begun
    assert len(host.messages) == begun
    if verb == "delete":
        assert relay.queued() == []
    else:
        assert len(Queue(relay).ids("--state", "hold")) == 60 - begun
        host.behaviour = world.honest(host.name)
        Queue(relay)("release", "--all")
        host.wait_messages(60, timeout=30)
        relay.wait_empty()
        assert len(host.messages) == 60


# Rules.

def test_rule_holds_what_is_there_and_what_comes(world, start_relay, home):
    relay, domain, other = start_relay(**SLOWLY), nobody(world, world.domain()), world.domain()
    elsewhere = other.mx()
    queue, old = Queue(relay), submit(relay.address, [domain.user()], sender=home.user())
    deferred(relay, old)
    host = world.mx(f"mx1.{domain}")
    done = queue.done("hold", "--rule", "--domain", str(domain), "--reason", "maintenance")
    assert done["messages"] == 1
    new = submit(relay.address, [domain.user(), other.user()], sender=home.user())
    elsewhere.wait_messages()
    assert queue.ids("--state", "hold") == {old, new}
    [rule] = queue.rows("holds")
    assert (rule["id"], rule["domain"], rule["reason"], rule["until"]) == (done["rule"], str(domain), "maintenance", None)
    held = {r["address"]: r for r in queue.recipients(new)}
    assert (held[domain.user()]["hold_rule"], held[domain.user()]["hold_reason"]) == (rule["id"], "maintenance")
    relay.kill()
    relay.expect_failure = True
    relay.start()
    third = submit(relay.address, [domain.user()], sender=home.user())
    time.sleep(1)
    assert queue.ids("--held-by", rule["id"]) == {old, new, third} and not host.messages, "rules outlive a crash"
    assert rule["id"] in queue("holds") and "maintenance" in queue("holds")
    queue("holds", "remove", rule["id"])
    assert queue.ids("--state", "hold") == {old, new, third} and queue.rows("holds") == []
    last = submit(relay.address, [domain.user()], sender=home.user())
    queue("retry", last)                    # its destination waits since before the rule
    host.wait_messages(1)
    assert queue.done("release", "--held-by", rule["id"])["messages"] == 3
    host.wait_messages(4)
    queue.run("holds", "remove", rule["id"], status=1)


def test_rule_that_is_removed_with_what_it_holds(world, relay):
    domain, queue = world.domain(), Queue(relay)
    host = domain.mx()
    rule = queue.done("hold", "--rule", "--sender", "@noisy.example")["rule"]
    other = queue.done("hold", "--rule", "--recipient", domain.user("keep"))["rule"]
    for sender, local in (("a@noisy.example", "x"), ("b@noisy.example", "y"), ("c@calm.example", "keep"), ("c@calm.example", "z")):
        submit(relay.address, [domain.user(local)], sender=sender)
    host.wait_messages(1)
    assert len(queue.ids("--state", "hold")) == 3
    done = queue.done("holds", "remove", rule, "--release")
    assert (done["messages"], done["complete"]) == (2, True)
    host.wait_messages(3)
    assert len(queue.ids("--held-by", other)) == 1


def test_rule_that_ends_by_itself(world, relay):
    domain, queue = world.domain(), Queue(relay)
    host = domain.mx()
    queue("hold", "--rule", "--domain", str(domain), "--for", "3s")
    began = time.monotonic()
    submit(relay.address, [domain.user()])
    assert len(queue.ids("--state", "hold")) == 1
    host.wait_messages(1, timeout=20)
    assert time.monotonic() - began > 2 and queue.rows("holds") == []
    submit(relay.address, [domain.user()])
    host.wait_messages(2)


def test_bounces_of_ours_are_held_by_their_empty_sender_alone(world, relay, home):
    domain, queue = world.domain(), Queue(relay)
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "550 5.1.1 no"}))
    queue("hold", "--rule", "--domain", str(home))
    submit(relay.address, [domain.user()], sender=home.user())
    home.host.wait_messages(1)
    queue("hold", "--rule", "--sender", "<>")
    submit(relay.address, [domain.user()], sender=home.user())
    relay.wait_delivery(domain.name, count=2, result="bounced")
    wait_until(lambda: len(queue.ids("--state", "hold")) == 1, 10, "the bounce is held", interval=0.1)
    queue("release", "--all")
    home.host.wait_messages(2)


# Where no relay runs.

def test_on_a_spool_at_rest(world, mixed):
    relay, queue = mixed.relay, Queue(mixed.relay)
    relay.stop()
    assert queue.ids() == set(mixed.ids.values())
    refused = queue.run("bounce", mixed.ids["dead"], "--yes", status=1)
    assert "relay" in refused.stderr and "run" in refused.stderr
    queue("hold", mixed.ids["policy"], "--reason", "at rest")
    queue("release", mixed.ids["held"])
    queue("delete", mixed.ids["many"], "--yes")
    queue("retry", mixed.ids["dead"], mixed.ids["held"])            # their destinations wait
    rule = queue.done("hold", "--rule", "--sender", "later@x.example")["rule"]
    assert queue.ids("--state", "hold") == mixed.named("policy")
    assert queue("summary") and queue("show", mixed.ids["dead"])
    hosts = [world.mx(f"mx1.{mixed.domains[name]}") for name in ("dead", "held", "many")]
    relay.start()
    for host in hosts[:2]:
        host.wait_messages(timeout=20)
    assert not hosts[2].messages and [row["id"] for row in queue.rows("holds")] == [rule]
    later = submit(relay.address, [mixed.domains["dead"].user()], sender="later@x.example")
    assert later in queue.ids("--state", "hold")


def test_a_relay_that_has_the_spool_without_a_socket(world, start_relay):
    relay = start_relay(admin={"socket": ""})
    done = Queue(relay).run("list", status=1)
    assert "admin.socket" in done.stderr


# On a terminal.

def test_confirmation_on_a_terminal(mixed):
    relay, queue = mixed.relay, Queue(mixed.relay)
    words = [relay.binary, "queue", "delete", mixed.ids["dead"], mixed.ids["busy"], "--config", relay.config_file]
    for key, status, left in (("n", 1, True), ("", 1, True), ("y", 0, False)):
        with Terminal(words, 100, 20, env=relay.environment()) as terminal:
            terminal.wait_for("delete 2 messages, 2 recipients?")
            terminal.type(*([key] if key else []), "Enter")
            assert terminal.wait() == status
            assert left or "deleted: 2 messages, 2 recipients" in terminal.text()
        assert (mixed.ids["dead"] in queue.ids()) == left
    with Terminal([relay.binary, "queue", "delete", mixed.ids["policy"], "--config", relay.config_file], 100, 20, env=relay.environment()) as terminal:
        terminal.wait_for("delete 1 message")
        terminal.type("C-c")
        assert terminal.wait(5) != 0, "who leaves the question has said no"
        assert mixed.ids["policy"] in queue.ids()
    with Terminal([relay.binary, "queue", "hold", mixed.ids["policy"], "--config", relay.config_file], 100, 20, env=relay.environment()) as terminal:
        assert terminal.wait() == 0, "what does not destroy is not asked for"
    with Terminal([relay.binary, "queue", "list", "--config", relay.config_file], 60, 50, env=relay.environment()) as terminal:
        assert terminal.wait() == 0
        assert all(len(line) <= 60 for line in terminal.lines()) and mixed.ids["policy"] in terminal.text()


# Very many.

MANY = 100_000


def put_many(relay, count, domain):
    """At rest, with their destination waiting because its site failed."""
    text = message()
    now = int(time.time() * 1000)
    db = sqlite3.connect(f"{relay.config['state_dir']}/spool.db")
    with db:
        first = db.execute("SELECT coalesce(max(id), 0) + 1 FROM message").fetchone()[0]
        db.executemany("INSERT INTO message (id, kind, flags, arrived, size, header_len, sender, client, body) VALUES (?, 0, 0, ?, ?, ?, 'a@relay.example', 'test', ?)",
                       ((first + i, now, len(text), text.index(b"\r\n\r\n") + 4, text) for i in range(count)))
        db.executemany("INSERT INTO recipient (id, message, n, destination, address, next_at, deadline) VALUES (?, ?, 0, ?, ?, 0, ?)",
                       ((first + i, first + i, domain.name, domain.user(), now + 86400000) for i in range(count)))
        db.execute("UPDATE store SET value = value + ? WHERE name IN ('messages', 'recipients')", (count,))
        db.execute("INSERT INTO destination (name, next_at, failures, since, failure) VALUES (?, ?, 3, ?, 'connection refused')",
                   (domain.name, now + 3600_000, now))
    db.close()


class Latency:
    """Sends a message now and then to a host that takes them, and measures how long each takes."""

    def __init__(self, relay, world):
        self.relay, self.domain = relay, world.domain()
        self.host = self.domain.mx()
        self.times = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            began = time.monotonic()
            submit(self.relay.address, [self.domain.user()])
            self.host.wait_messages(len(self.times) + 1, timeout=60)
            self.times.append(time.monotonic() - began)
            time.sleep(0.05)

    def end(self):
        self.stop.set()
        self.thread.join(70)
        return self.times


def loaded(world, make_plain):
    relay = make_plain(**SLOWLY).start()
    relay.stop()
    domain = nobody(world, world.domain())
    put_many(relay, MANY, domain)
    relay.start()
    latency = Latency(relay, world)
    time.sleep(3)
    before = list(latency.times)
    return relay, domain, latency, before


def test_very_many_can_be_left_and_do_not_slow_the_rest(world, make_plain):
    relay, domain, latency, before = loaded(world, make_plain)
    queue = Queue(relay)
    with Terminal([relay.binary, "queue", "hold", "--domain", str(domain), "--config", relay.config_file], 100, 20) as terminal:
        terminal.wait_for("holding", timeout=60)
        terminal.type("C-c")
        assert terminal.wait(60) == 1
        assert "interrupted: about" in terminal.text()
    at = queue.rows("list", "--limit", "1", "--state", "hold")
    assert at and len(queue.rows("list", "--limit", "1", "--state", "deferred")) == 1, "half of it is done"
    assert queue.done("hold", "--domain", str(domain))["complete"]
    assert queue.done("release", "--domain", str(domain))["messages"] == MANY
    listed = subprocess.run([relay.binary, "queue", "list", "--domain", str(domain), "--json", "--config", relay.config_file], capture_output=True, check=True, timeout=120)
    assert listed.stdout.count(b"\n") == MANY
    assert queue.done("delete", "--domain", str(domain), "--yes")["messages"] == MANY
    times = latency.end()[len(before):]
    assert not queue.ids("--domain", str(domain))
    print(f"latency before {statistics.median(before):.3f} s, beside {statistics.median(times):.3f} s, worst {max(times):.3f} s, {len(times)} messages")
    assert statistics.median(times) < statistics.median(before) + 0.1 and max(times) < 3


def test_kill_in_the_middle_leaves_each_message_here_or_gone(world, make_plain):
    """What was deleted stays so, what was not is there as before; the same command does the rest."""
    relay, domain, latency, _before = loaded(world, make_plain)
    latency.end()
    command = subprocess.Popen([relay.binary, "queue", "delete", "--domain", str(domain), "--yes", "--config", relay.config_file],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(relay.events(event="operator", action="delete")) > 3000, 60, "some are deleted", interval=0.05)
    relay.kill()
    out, err = command.communicate(timeout=60)
    assert command.returncode == 1 and "deleted:" in out and err
    told = len(relay.events(event="operator", action="delete"))
    left = len(relay.queued())
    assert MANY - left >= told > 3000 and left > 0
    relay.start()
    queue = Queue(relay)
    assert queue.done("delete", "--domain", str(domain), "--yes")["messages"] == left
    assert relay.queued() == []
