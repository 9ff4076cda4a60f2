"""GET /metrics: every number held against what the laboratory knows; what it may cost; the rules and the dashboard that stand on it; the alarm in the log."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import time

import pytest

from conftest import PLAIN
from faults import make_faulty
from lab.client import Client, message, submit
from lab.process import wait_until
from test_admin import ask, status

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = f"{TOP}/conf/prometheus/strictpost.rules.yaml"
DASHBOARD = f"{TOP}/conf/grafana/strictpost.json"
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
FRESH_S = 10.1                          # what the store said is good for so long


def text_of(relay):
    """What /metrics answers, as it is."""
    code, headers, text = ask(relay, "/metrics")
    assert code == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return text


def metrics(relay):
    """{name: {(sorted labels): value}}."""
    found = {}
    for line in text_of(relay).splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = tuple(sorted(LABEL.findall(labels or "")))
            assert key not in found.setdefault(name, {}), line
            found[name][key] = float(value)
    return found


def value(found, name, **labels):
    return found[name][tuple(sorted(labels.items()))]


def not_zero(found, name):
    """{values of the labels: number}, of those that happened."""
    return {tuple(word for _, word in key): number for key, number in found[name].items() if number}


def promtool(*words, stdin=None):
    return subprocess.run(["promtool", *words], input=stdin, capture_output=True, text=True, timeout=250)


def unreachable(world):
    """A domain whose host does not answer."""
    domain = world.domain()
    domain.set_mx((10, f"mx1.{domain}"))
    world.set_addresses(f"mx1.{domain}", [world.address()])
    return domain


# The format.

def test_promtool_finds_nothing_wrong(relay):
    done = promtool("check", "metrics", stdin=text_of(relay))
    assert done.returncode == 0 and not done.stdout + done.stderr


def test_head_and_other_methods(relay):
    assert ask(relay, "/metrics", "HEAD")[0] == 200
    assert ask(relay, "/metrics", "POST")[0] == 405


def test_scrapes_are_not_in_the_log(relay):
    for _ in range(5):
        text_of(relay)
    about = [event for event in relay.events() if event.get("path") == "/metrics"]
    assert {event["level"] for event in about} <= {"debug"}


# A mixed day.

@pytest.fixture
def day(world, start_relay):
    """A relay that tries once: what it counts can be counted."""
    return start_relay(delivery={"retry": {"first": "1h", "max": "1h"}, "expire": "4s"})


def reported(relay):
    """{(type, result): sessions}, as the reports will say."""
    found = {}
    for row in relay.query("SELECT id, type, successes FROM rpt_policy"):
        if row["successes"]:
            found[row["type"], "success"] = found.get((row["type"], "success"), 0) + row["successes"]
        for failure in relay.query("SELECT result, count FROM rpt_failure WHERE policy = ?", row["id"]):
            key = (row["type"], failure["result"])
            found[key] = found.get(key, 0) + failure["count"]
    return found


def test_a_mixed_day(world, day):
    plain, encrypted, testing, enforced, refusing, bad = (world.domain() for _ in range(6))
    make_faulty(world, plain, "no-starttls")
    encrypted.mx()
    testing.policy(mode="testing")
    make_faulty(world, testing, "expired")
    enforced.policy()
    enforced.mx()
    bad.policy()
    make_faulty(world, bad, "wrong-name")
    refusing.mx(world.honest(f"mx1.{refusing}").but(on={"RCPT": "550 5.1.1 no such user"}))
    for domain, count in ((plain, 2), (encrypted, 1), (testing, 1), (enforced, 3), (refusing, 1), (bad, 1)):
        for _ in range(count):
            submit(day.address, domain.user())
    with Client(day.address) as client:
        client.hello()
        code, _ = client.command("MAIL FROM:<me@corp.example> SIZE=99999999999")
        assert code == 552
    for domain, count in ((plain, 2), (encrypted, 1), (testing, 1), (enforced, 3)):
        day.wait_delivery(domain.name, count=count, result="delivered")
    day.wait_delivery(refusing.name, result="bounced")
    day.wait_delivery(bad.name, result="deferred")
    wait_until(lambda: value(metrics(day), "strictpost_recipients_total", outcome="expired"), 40, "what waited to expire")
    time.sleep(1)
    found = metrics(day)
    assert value(found, "strictpost_messages_accepted_total") == 9
    assert value(found, "strictpost_recipients_accepted_total") == 9
    assert value(found, "strictpost_recipients_total", outcome="delivered") == len(day.deliveries(result="delivered"))
    assert value(found, "strictpost_recipients_total", outcome="deferred") == len(day.deliveries(result="deferred"))
    expired = [event for event in day.deliveries(result="bounced") if event["destination"] == bad.name]
    assert value(found, "strictpost_recipients_total", outcome="expired") == len(expired) > 0
    assert value(found, "strictpost_recipients_total", outcome="bounced") == len(day.deliveries(result="bounced")) - len(expired) > 0
    accepted = day.events(event="accepted")
    assert value(found, "strictpost_received_bytes_total") == sum(int(event["size"]) for event in accepted)
    # Sessions: as the reports have them, and as the log has them.
    wait_until(lambda: reported(day) == not_zero(metrics(day), "strictpost_tlsrpt_sessions_total"), 10, "the ledger")
    assert reported(day)
    sessions = [event for event in day.events(event="session") if event.get("report")]
    assert sum(not_zero(found, "strictpost_sessions_total").values()) == len(sessions)
    for policy in {event["policy"] for event in sessions}:
        mine = [event for event in sessions if event["policy"] == policy]
        counted = {key[1]: number for key, number in not_zero(found, "strictpost_sessions_total").items() if key[0] == policy}
        want = {}
        for event in mine:
            want[event.get("fault", "success")] = want.get(event.get("fault", "success"), 0) + 1
        assert counted == want, policy
    verdicts = {}
    for event in day.events(event="session"):
        verdicts[event["result"],] = verdicts.get((event["result"],), 0) + 1
    assert not_zero(found, "strictpost_session_verdicts_total") == verdicts
    # What was sent went over sessions that were begun, or were used again.
    transactions = not_zero(found, "strictpost_transactions_total")
    assert sum(transactions.values()) == value(found, "strictpost_attempt_seconds_count")
    assert value(found, "strictpost_delivery_seconds_count") == value(found, "strictpost_recipients_total", outcome="delivered")
    established = not_zero(found, "strictpost_sessions_established_total")
    assert established["clear",] >= 1 and established["verified",] >= 1 and established["encrypted",] >= 1
    assert value(found, "strictpost_connect_seconds_count") >= sum(established.values())
    assert value(found, "strictpost_policy_fetches_total", result="success") >= 3
    assert value(found, "strictpost_dns_seconds_count", type="MX") >= 5
    assert value(found, "strictpost_commit_seconds_count") > 9
    assert value(found, "strictpost_commit_batch_size_sum") == value(found, "strictpost_store_operations_total")
    assert status(day)["delivered"] == value(found, "strictpost_recipients_total", outcome="delivered")


def test_what_is_refused(start_relay):
    relay = start_relay(listen=[{"address": "127.0.0.1:2525", "allow": ["192.0.2.0/24"]}])
    with Client(relay.address) as client:
        client.hello()
        client.command("MAIL FROM:<ann@sender.example>")
        for _ in range(3):
            assert client.command("RCPT TO:<bob@nowhere.example>")[0] == 550
    found = metrics(relay)
    assert not_zero(found, "strictpost_recipients_refused_total") == {("permanent",): 3}
    assert not_zero(found, "strictpost_messages_refused_total") == {}
    assert value(found, "strictpost_messages_accepted_total") == value(found, "strictpost_recipients_accepted_total") == 0
    assert value(found, "strictpost_client_sessions_total") == 1


# What it has.

def test_queue_and_its_age(world, start_relay):
    relay = start_relay()
    domain = unreachable(world)
    for _ in range(3):
        submit(relay.address, [domain.user("a"), domain.user("b")])
    relay.wait_delivery(domain.name, count=6, result="deferred")
    time.sleep(1.5)
    found = metrics(relay)
    assert value(found, "strictpost_queue_messages") == 3
    assert value(found, "strictpost_queue_recipients") == 6
    assert value(found, "strictpost_queue_held_recipients") == value(found, "strictpost_queue_quarantined_recipients") == 0
    assert 1 < value(found, "strictpost_queue_oldest_waiting_seconds") < 60
    assert value(found, "strictpost_queue_oldest_seconds") >= value(found, "strictpost_queue_oldest_waiting_seconds")
    assert value(found, "strictpost_queue_waiting_destinations") == 1
    assert value(found, "strictpost_destination_waiting_recipients", destination=domain.name) == 6


def test_configuration_and_process(world, relay):
    found = metrics(relay)
    assert value(found, "strictpost_build_info", version=status(relay)["version"]) == 1
    assert abs(value(found, "process_start_time_seconds") - time.time()) < 120
    assert value(found, "process_resident_memory_bytes") > 1 << 20
    with open(f"/proc/{relay.process.pid}/limits", encoding="ascii") as file:
        limit = next(line.split()[3] for line in file if line.startswith("Max open files"))
    assert value(found, "process_max_fds") == float(limit)
    assert 5 < value(found, "process_open_fds") < 200
    assert sum(found["strictpost_dnssec_state"].values()) == 1
    assert value(found, "strictpost_store_accepting") == 1 and value(found, "strictpost_deliveries_paused") == 0
    assert value(found, "strictpost_config_last_reload_successful") == 1
    first = value(found, "strictpost_config_last_reload_success_timestamp_seconds")
    with open(relay.config_file, encoding="utf-8") as file:
        good = file.read()
    relay.write_config_text(good + "\nnonsense: 1\n")
    relay.reload()
    wait_until(lambda: value(metrics(relay), "strictpost_config_last_reload_successful") == 0, 10, "the reload")
    assert value(metrics(relay), "strictpost_config_last_reload_success_timestamp_seconds") == first
    relay.write_config_text(good)
    relay.reload()
    wait_until(lambda: value(metrics(relay), "strictpost_config_last_reload_successful") == 1, 10, "the reload")
    found = metrics(relay)
    assert not_zero(found, "strictpost_config_reloads_total") == {("failure",): 1, ("success",): 1}


def test_policies_in_the_cache(world, start_relay):
    relay = start_relay()
    for mode in ("enforce", "testing"):
        domain = world.domain()
        domain.policy(mode=mode)
        domain.mx()
        submit(relay.address, domain.user())
        relay.wait_delivery(domain.name, result="delivered")
    wait_until(lambda: len(relay.query("SELECT 1 FROM sts_policy")) == 2, 10, "the cache")
    found = metrics(relay)
    assert not_zero(found, "strictpost_policies") == {("enforce", "valid"): 1, ("testing", "valid"): 1}
    assert value(found, "strictpost_policy_refresh_failing") == 0
    assert "strictpost_policy_lapse_seconds" not in found


# What it may cost.

PATIENT = {"retry": {"first": "4h", "max": "4h"}}


def fill(relay, count, domains):
    """Recipients straight into the spool of a relay at rest, so that they wait for an hour."""
    now = int(time.time() * 1000)
    text = message()
    with contextlib.closing(sqlite3.connect(f"{relay.config['state_dir']}/spool.db")) as db, db:
        db.execute("INSERT INTO message (id, kind, flags, arrived, size, header_len, sender, client, body) VALUES (1, 0, 0, ?, ?, ?, ?, 'test', ?)",
                   (now, len(text), text.index(b"\r\n\r\n") + 4, "ann@sender.example", text))
        db.executemany("INSERT INTO recipient (id, message, n, destination, address, next_at, deadline) VALUES (?, 1, ?, ?, ?, 0, ?)",
                       ((n + 1, n, f"d{n % domains}.fill.example", f"x{n}@d{n % domains}.fill.example", now + 3600000) for n in range(count)))
        db.executemany("INSERT INTO destination (name, next_at, failures, since) VALUES (?, ?, 1, ?)",
                       ((f"d{n}.fill.example", now + 3600000, now) for n in range(domains)))
        db.execute("UPDATE store SET value = value + 1 WHERE name = 'messages'")
        db.execute("UPDATE store SET value = value + ? WHERE name = 'recipients'", (count,))


def test_10000_domains_add_no_series(start_relay):
    """TRAPS: metric labels are bounded: no domain as a label, except the top N."""
    def shape(found):
        return {name: len(samples) for name, samples in found.items() if name != "strictpost_destination_waiting_recipients"}
    relay = start_relay(delivery=PATIENT)
    before = shape(metrics(relay))
    relay.stop()
    fill(relay, 20000, 10000)
    relay.start()
    found = metrics(relay)
    assert shape(found) == before
    assert value(found, "strictpost_queue_recipients") == 20000
    wait_until(lambda: len(metrics(relay).get("strictpost_destination_waiting_recipients", ())) == 10, 60, "a whole round", interval=1)
    assert set(metrics(relay)["strictpost_destination_waiting_recipients"].values()) == {2}


def test_scrape_of_a_large_spool_is_quick(make_relay):
    relay = make_relay(PLAIN, delivery=PATIENT)
    relay.start()
    relay.stop()
    fill(relay, 300000, 2000)
    relay.start()
    took = []
    for _ in range(3):
        began = time.monotonic()
        found = metrics(relay)
        took.append(time.monotonic() - began)
        time.sleep(FRESH_S)
    assert value(found, "strictpost_queue_recipients") == 300000
    assert min(took) < 0.05, took


# What stands on it.

def names_in(path):
    with open(path, encoding="utf-8") as file:
        return set(re.findall(r"\b(?:strictpost|process)_[a-z_]+\b", file.read()))


def test_rules_hold():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", f"{TOP}/tests/prometheus/strictpost.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_has_a_case_that_fires_and_one_that_does_not():
    with open(RULES, encoding="utf-8") as file:
        rules = re.findall(r"- alert: (\w+)", file.read())
    with open(f"{TOP}/tests/prometheus/strictpost.test.yaml", encoding="utf-8") as file:
        cases = file.read()
    assert len(rules) == len(set(rules)) > 10
    for rule in rules:
        assert f"name: {rule} fires" in cases and f"name: {rule} does not" in cases, rule


def test_rules_and_dashboard_name_what_there_is(relay):
    there = set(re.findall(r"^# TYPE (\S+)", text_of(relay), re.M))
    families = there | {f"{name}_{part}" for name in there for part in ("bucket", "sum", "count")}
    for path in (RULES, DASHBOARD):
        assert names_in(path) <= families, path
    # And what there is, is shown.
    shown = {re.sub("_(bucket|sum|count)$", "", name) if name not in there else name for name in names_in(DASHBOARD) | names_in(RULES)}
    assert there - shown == set()


def test_dashboard_can_be_imported():
    with open(DASHBOARD, encoding="utf-8") as file:
        board = json.load(file)
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job", "instance"}
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Throughput", "Queue", "TLS posture", "Policies", "Latencies", "Store and machine", "Reports"]
    for panel in panels:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}" and 'instance=~"$instance"' in target["expr"]
    taken = set()
    for panel in panels:                                    # nothing lies over anything
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


# The alarm.

def alarms(relay, **wanted):
    return relay.events(event="alarm", **wanted)


def test_backlog_that_does_not_move_is_told(world, start_relay):
    """TRAPS: one relay delivered nothing for 23 days; the alert is on by default, and needs nobody who watches."""
    relay = start_relay(alarm={"oldest": "1s", "idle": "1s"})
    domain, sound = unreachable(world), world.domain()
    sound.mx()
    submit(relay.address, domain.user())
    wait_until(lambda: alarms(relay, level="error"), 20, "the alarm")
    time.sleep(1)
    [told] = alarms(relay)
    assert "does not move" in told["text"] and "strictpost queue summary" in told["text"]
    assert ask(relay, "/readyz")[0] == 200                  # it takes mail all the same
    submit(relay.address, sound.user())
    wait_until(lambda: alarms(relay, level="info"), 20, "its end")


def test_backlog_is_quiet_by_default_and_when_off(world, start_relay):
    relay = start_relay(alarm={"oldest": 0, "idle": "100ms"})
    domain = unreachable(world)
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    time.sleep(2)
    assert not alarms(relay)


def test_protection_that_lapses_is_told(world, start_relay):
    """TRAPS: repeated failure to refresh a policy that is not `none` is an alert."""
    relay = start_relay()
    domain = world.domain()
    domain.policy(max_age=86400 * 2)
    domain.mx()
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="delivered")
    wait_until(lambda: relay.query("SELECT 1 FROM sts_policy"), 10, "the cache")
    relay.stop()
    with contextlib.closing(sqlite3.connect(f"{relay.config['state_dir']}/spool.db")) as db, db:
        db.execute("UPDATE sts_policy SET failures = 3, failed_id = '1', failed_result = 'sts-policy-fetch-error', retry_s = ?, refresh_s = ?",
                   (int(time.time()) + 3600, int(time.time()) + 3600))
    relay.start()
    wait_until(lambda: alarms(relay, level="warning"), 20, "the alarm")
    [told] = alarms(relay)
    assert "cannot be refreshed" in told["text"] and "strictpost policy list" in told["text"]
    found = metrics(relay)
    assert value(found, "strictpost_policy_refresh_failing") == 1
    assert 86400 < value(found, "strictpost_policy_lapse_seconds") <= 2 * 86400
