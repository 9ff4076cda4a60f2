"""Reports on their way: strictpost report send, list, show and suppressions, with the relay running and without, over https and by mail."""

import base64
import email
import email.policy
import gzip
import json
import sqlite3
import subprocess
import threading
import time

import dkim
import pytest

from lab.oddhttps import answer, hang, raw, redirect
from lab.process import wait_until
from lab.tap import SERVFAIL

DAY_S = 86400


def day_text(day):
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))


def today():
    return int(time.time()) // DAY_S


YESTERDAY = -1
POLICY = "INSERT INTO rpt_policy (day, domain, hash, type, successes, failures, details, mx, strings) VALUES (?, ?, 0, 'sts', ?, ?, 1, ?, ?)"
FAILURE = ("INSERT INTO rpt_failure (policy, hash, count, result, sending_ip, mx_host, mx_helo, mx_ip, reason)"
           " VALUES (?, 0, ?, 'certificate-expired', '192.0.2.1', 'mx1.example', 'helo.example', '192.0.2.2', 'expired')")
REPORT = ("INSERT INTO rpt_report (day, domain, state, begun, report_id, due, expires, attempts, text)"
          " VALUES (?, ?, 'open', 0, '', ?, 0, 0, '')")


class Sender:
    """A relay that is not running, whose ledger is filled by hand, and the command line beside it."""

    def __init__(self, relay):
        self.relay = relay

    def db(self):
        return sqlite3.connect(f"{self.relay.config['state_dir']}/spool.db", timeout=10)

    def change(self, sql, *values):
        """Only while nobody has the spool open."""
        with self.db() as db:
            db.execute(sql, values)
        db.close()

    def count(self, domain, day=YESTERDAY, successes=10, failures=2, due=None):
        """Sessions of a day, as days from today."""
        day += today()
        with self.db() as db:
            db.execute(POLICY, (day, str(domain), successes, failures, f"mx1.{domain}", "version: STSv1\nmode: testing"))
            if failures:
                db.execute(FAILURE, (db.execute("SELECT max(id) FROM rpt_policy").fetchone()[0], failures))
            db.execute(REPORT, (day, str(domain), (day + 1) * DAY_S if due is None else due))
        db.close()
        return domain

    def command(self, *words, status=0):
        """A subcommand of report; its standard output."""
        done = self.relay.command("report", *words)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Sanitizer" not in done.stderr
        self.stderr = done.stderr
        return done.stdout

    def send(self, *words, status=0):
        """The results of a run, by domain, and its summary."""
        lines = [json.loads(line) for line in self.command("send", "--json", *words, status=status).splitlines()]
        return {line["domain"]: line for line in lines[:-1]}, lines[-1]

    def list(self, *words):
        return [json.loads(line) for line in self.command("list", "--json", *words).splitlines()]

    def overdue(self, domain, **columns):
        """Its next attempt is due; other columns as told."""
        columns["due"] = 0
        self.change(f"UPDATE rpt_report SET {', '.join(f'{name} = ?' for name in columns)} WHERE domain = ?", *columns.values(), str(domain))

    def wait_state(self, domain, state, timeout=20):
        wait_until(lambda: self.row(domain)["state"] == state, timeout, f"{domain} {state}")
        return self.row(domain)

    def row(self, domain):
        [row] = self.list("--domain", str(domain))
        return row


class Key:
    """A DKIM key of the submitter, made by strictpost dkim keygen."""

    def __init__(self, relay):
        self.path = f"{relay.folder}/tlsrpt.pem"
        made = subprocess.run([relay.binary, "dkim", "keygen", "--domain", "relay.example", "--selector", "tlsrpt", "--out", self.path, "--json"],
                              capture_output=True, check=True, text=True)
        self.record = json.loads(made.stdout)["record"]

    def look_up(self, name, timeout=5):
        return self.record.encode("ascii") if name == b"tlsrpt._domainkey.relay.example." else None


@pytest.fixture
def sender(world, make_relay):
    """Its spool is there, and nobody uses it."""
    relay = make_relay().start()
    relay.stop()
    return Sender(relay)


@pytest.fixture
def key(sender):
    """The submitter has a key."""
    made = Key(sender.relay)
    sender.relay.write_config(dkim=[{"domain": "relay.example", "selector": "tlsrpt", "key_file": made.path}])
    return made


def mailbox(world, behaviour=None):
    """A domain that takes reports by mail: (domain, host, record)."""
    domain = world.domain("inbox")
    return domain, domain.mx(behaviour), f"v=TLSRPTv1; rua=mailto:{domain.user('tlsrpt')}"


def test_https_report_is_delivered_without_a_relay_and_not_sent_again(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    results, summary = sender.send()
    result = results[str(domain)]
    assert result["state"] == "delivered" and result["endpoints"][0]["text"] == "HTTP status 201"
    assert summary["delivered"] == 1 and summary["error"] is None
    [post] = world.report_sink.posted(f"/{domain}")
    assert post.headers["content-type"] == "application/tlsrpt+gzip"
    report = post.json()
    assert report["report-id"] == result["report_id"]
    assert report["date-range"]["start-datetime"] == f"{day_text(today() - 1)}T00:00:00Z"
    assert report["policies"][0]["summary"] == {"total-successful-session-count": 10, "total-failure-session-count": 2}
    assert sender.row(domain)["state"] == "delivered"
    assert sender.send()[1]["done"] == 0 and len(domain.reports()) == 1
    results, _ = sender.send("--again")
    again = domain.reports()[1]
    assert len(domain.reports()) == 2 and again["report-id"] == results[str(domain)]["report_id"] != report["report-id"]


def test_mx_host_with_a_record_of_its_own_gets_its_report(world, sender):
    """RFC 8460 3: under DANE the policy domain is the host's name, and the record that counts is the host's."""
    domain = sender.count(world.domain().tlsrpt())
    host = sender.count(f"mx1.{domain}")
    sender.change("UPDATE rpt_policy SET type = 'tlsa', strings = '3 1 1 ab12', mx = '' WHERE domain = ?", host)
    world.dns.replace(f"_smtp._tls.{host}", "TXT", [f'"v=TLSRPTv1; rua={world.report_host()}/{host}"'])
    _, summary = sender.send()
    assert summary["delivered"] == 2
    [report] = domain.reports()
    assert [policy["policy"]["policy-type"] for policy in report["policies"]] == ["sts"]
    [post] = world.report_sink.posted(f"/{host}")
    [policy] = post.json()["policies"]
    assert policy["policy"] == {"policy-type": "tlsa", "policy-string": ["3 1 1 ab12"], "policy-domain": host, "mx-host": []}
    assert policy["summary"] == {"total-successful-session-count": 10, "total-failure-session-count": 2}


# Endpoints over https.

@pytest.mark.parametrize("how, told", [
    (answer(status="500 Oops", kind=None), "HTTP status 500"),
    (answer(status="404 Not Found", kind=None), "HTTP status 404"),
    (redirect("https://reports.example/there"), "redirects are not followed"),
    (raw(b""), "ended the connection"),
], ids=["500", "404", "301", "close"])
def test_endpoint_that_does_not_take_it_is_tried_again(world, sender, how, told):
    domain = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", how, answer(status="200 OK"))
    results, summary = sender.send(status=1)
    assert results[str(domain)]["state"] == "open" and told in results[str(domain)]["text"] and summary["open"] == 1
    row = sender.row(domain)
    assert (row["state"], row["attempts"]) == ("open", 1) and row["due"] and told in row["text"]
    sender.relay.start()
    time.sleep(1)
    assert len(domain.reports()) == 1                           # not before its time
    sender.relay.stop()
    sender.overdue(domain)
    sender.relay.start()
    assert sender.wait_state(domain, "delivered")["attempts"] == 2
    first, second = domain.reports()
    assert first == second                                      # under the same report-id
    assert not world.report_sink.posted("/there")
    [event] = sender.relay.events(event="report", id=str(domain), state="delivered")
    assert event["report_id"] == first["report-id"] and event["day"] == day_text(today() - 1)


def test_bad_certificate_does_not_stop_a_report(world, sender):
    world.report_host("expired-sink.example", world.ca.expired("expired-sink.example"))
    domain = sender.count(world.domain())
    domain.tlsrpt(f"v=TLSRPTv1; rua=https://expired-sink.example/{domain}")
    results, _ = sender.send()
    assert results[str(domain)]["state"] == "delivered" and "certificate" in results[str(domain)]["endpoints"][0]["text"]
    assert "certificate" in sender.stderr and len(domain.reports()) == 1


def test_endpoint_that_hangs_keeps_nobody_waiting_when_the_relay_stops(world, sender):
    domain, other = sender.count(world.domain().tlsrpt()), sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", hang(), answer(status="201 Created"))
    sender.relay.start()
    sender.wait_state(other, "delivered")
    world.report_sink.wait_posts(path=f"/{domain}")
    began = time.monotonic()
    assert sender.relay.stop() == 0 and time.monotonic() - began < 12
    assert (sender.row(domain)["state"], sender.row(domain)["attempts"]) == ("open", 0)
    sender.relay.start()
    sender.wait_state(domain, "delivered")
    assert [report["report-id"] for report in domain.reports()] == [domain.reports()[0]["report-id"]] * 2


def test_all_endpoints_are_tried_and_one_is_enough(world, sender):
    domain = sender.count(world.domain())
    host = world.report_host()
    domain.tlsrpt(f"v=TLSRPTv1; rua={host}/{domain}/a,{host}/{domain}/b,ftp://x.example/,foo@example.com, {host}/{domain}/c%2Cd?q=1")
    world.report_sink.script(f"/{domain}/a", answer(status="503 No"))
    results, _ = sender.send()
    assert results[str(domain)]["state"] == "delivered"
    assert {e["uri"].removeprefix(host): e["state"] for e in results[str(domain)]["endpoints"]} == {
        f"/{domain}/a": "failed", f"/{domain}/b": "delivered", f"/{domain}/c,d?q=1": "delivered"}
    assert len(world.report_sink.posted(f"/{domain}/c,d?q=1")) == 1
    assert sender.send()[1]["done"] == 0


def test_fifty_endpoints_are_cut_at_ten(world, sender):
    domain, host = sender.count(world.domain()), world.report_host()
    uris = ",".join(f"{host}/{domain}/{n}" for n in range(50))
    strings = [uris[i:i + 200] for i in range(0, len(uris), 200)]
    domain.tlsrpt(["v=TLSRPTv1; rua=", *strings])
    results, _ = sender.send()
    assert len(results[str(domain)]["endpoints"]) == 10
    assert [len(world.report_sink.posted(f"/{domain}/{n}")) for n in range(50)] == [1] * 10 + [0] * 40


# Who asks.

@pytest.mark.parametrize("records", [(), ("v=spf1 -all",), ("v=TLSRPTv1; rua=https://a.example/", "v=TLSRPTv1; rua=https://b.example/"),
                                     ("v=TLSRPTv1; rua=",)], ids=["none", "other", "several", "invalid"])
def test_nobody_asked(world, sender, records):
    domain = sender.count(world.domain())
    if records:
        domain.tlsrpt(*records)
    results, summary = sender.send()
    assert results[str(domain)]["state"] == "no-record" and results[str(domain)]["text"] and summary["no-record"] == 1


def test_record_that_changed_counts_as_it_is_now(world, sender):
    domain, host = sender.count(world.domain().tlsrpt()), world.report_host()
    world.report_sink.script(f"/{domain}", answer(status="500 Oops"))
    sender.send(status=1)
    domain.tlsrpt(f"v=TLSRPTv1; rua={host}/{domain}/new")
    results, _ = sender.send()
    assert results[str(domain)]["state"] == "delivered"
    assert (len(domain.reports()), len(world.report_sink.posted(f"/{domain}/new"))) == (1, 1)


def test_record_that_went_ends_it(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", answer(status="500 Oops"))
    sender.send(status=1)
    domain.tlsrpt("v=spf1 -all")
    assert sender.send()[0][str(domain)]["state"] == "no-record" and len(domain.reports()) == 1


def test_it_is_given_up_after_a_day(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", answer(status="500 Oops"))
    sender.send(status=1)
    sender.overdue(domain, expires=int(time.time()) - 1)
    results, summary = sender.send(status=1)
    assert results[str(domain)]["state"] == "failed" and summary["failed"] == 1 and sender.row(domain)["state"] == "failed"
    assert sender.send()[1]["done"] == 0
    world.report_sink.script(f"/{domain}", answer(status="200 OK"))
    assert sender.send("--again", "--domain", str(domain))[0][str(domain)]["state"] == "delivered"


def test_dns_failure_is_tried_again(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    world.tap.break_name(f"_smtp._tls.{domain}", "TXT", SERVFAIL)
    assert sender.send(status=1)[0][str(domain)]["state"] == "open"
    world.tap.mend()
    assert sender.send()[0][str(domain)]["state"] == "delivered"


# What is asked of the command.

def test_dry_run_sends_and_stores_nothing(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    results, summary = sender.send("--dry-run")
    assert results[str(domain)]["state"] == "dry" and summary["dry"] == 1 and results[str(domain)]["octets"] > 100
    assert not domain.reports() and sender.row(domain)["attempts"] == 0 and sender.row(domain)["report_id"] == ""


def test_unfinished_day_is_sent_only_when_named_and_again_when_over(world, sender):
    domain = sender.count(world.domain().tlsrpt(), day=0)
    assert sender.send()[1]["done"] == 0
    for _ in range(2):
        results, _ = sender.send("--day", day_text(today()))
        assert results[str(domain)]["state"] == "delivered"
    first, second = domain.reports()
    assert first["report-id"] != second["report-id"]
    assert (sender.row(domain)["state"], sender.row(domain)["attempts"], sender.row(domain)["endpoints"]) == ("open", 0, [])


def test_one_domain_and_one_day_of_many(world, sender):
    one, other = world.domain().tlsrpt(), world.domain().tlsrpt()
    for domain in (one, other):
        for day in (-3, -2):
            sender.count(domain, day=day)
    results, summary = sender.send("--domain", str(one).upper(), "--day", day_text(today() - 3))
    assert list(results) == [str(one)] and summary["done"] == 1
    assert [(row["day"], row["domain"]) for row in sender.list("--state", "delivered")] == [(day_text(today() - 3), str(one))]
    assert len(sender.list("--state", "open")) == 3
    assert sender.send()[1]["delivered"] == 3


def test_wrong_words(sender):
    for words in (["--day", "2026-02-30"], ["--day", "yesterday"], ["--domain", "a..b"], ["--state", "open"], ["more"]):
        sender.command("send", *words, status=2)
    sender.command("show", status=2)
    sender.command("list", "--state", "nonsense", status=1)


def test_text_for_people(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    assert "strictpost dkim keygen --domain relay.example" in (sender.command("list") and sender.stderr)
    text = sender.command("send")
    assert f"{day_text(today() - 1)} {domain}: delivered, 12 sessions, 2 of them failed" in text and "1 reports: 1 delivered" in text
    assert str(domain) in sender.command("list") and "HTTP status 201" in sender.command("list")
    assert str(domain) in sender.command("show", str(domain))
    assert sender.command("send") == "no report is to be sent\n"


def test_show_before_and_after(world, sender):
    domain = sender.count(world.domain().tlsrpt(), day=-2)
    sender.count(domain, day=0, successes=7, failures=0)
    before = json.loads(sender.command("show", str(domain), "--day", day_text(today() - 2), "--json"))
    sender.send()
    after = json.loads(sender.command("show", str(domain), "--day", day_text(today() - 2), "--json"))
    assert after == domain.reports()[0] and {**before, "report-id": 0} == {**after, "report-id": 0}
    last = json.loads(sender.command("show", str(domain), "--json"))
    assert last["policies"][0]["summary"]["total-successful-session-count"] == 7
    sender.command("show", "nobody.example", status=1)
    assert "no session" in sender.stderr


# With the relay running.

def test_by_the_control_socket(world, sender):
    domain = sender.count(world.domain().tlsrpt(), due=int(time.time()) + 3600)
    sender.relay.start()
    assert sender.row(domain)["state"] == "open"
    assert sender.send()[0][str(domain)]["state"] == "delivered" and len(domain.reports()) == 1
    assert json.loads(sender.command("show", str(domain), "--json")) == domain.reports()[0]


def test_one_run_at_a_time(world, sender):
    domain = sender.count(world.domain().tlsrpt(), due=int(time.time()) + 3600)
    world.report_sink.script(f"/{domain}", hang())
    sender.relay.start()
    first = threading.Thread(target=lambda: sender.relay.command("report", "send"))
    first.start()
    world.report_sink.wait_posts(path=f"/{domain}")
    sender.command("send", status=1)
    assert "under way" in sender.stderr
    sender.relay.stop()
    first.join()


def test_spool_of_a_relay_without_control_socket(sender):
    sender.relay.write_config(admin={"socket": ""})
    sender.relay.start()
    sender.command("send", status=1)
    assert "admin.socket" in sender.stderr and "in use" in sender.stderr


def test_schedule_is_external(world, sender):
    fresh = sender.count(world.domain().tlsrpt())
    begun = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{begun}", answer(status="500 Oops"), answer(status="200 OK"))
    sender.send("--domain", str(begun), status=1)
    sender.overdue(begun)
    sender.relay.write_config(report={"schedule": "external"})
    sender.relay.start()
    sender.wait_state(begun, "delivered")                       # what was begun is retried
    assert sender.row(fresh)["attempts"] == 0 and not fresh.reports()


def test_reports_that_are_not_enabled(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    sender.relay.write_config(report={"enabled": False})
    sender.relay.start()
    sender.command("send", status=1)
    assert "report.enabled" in sender.stderr
    time.sleep(1)
    assert not domain.reports()


def test_killed_in_the_middle_it_sends_no_report_twice_that_was_taken(world, sender):
    domain, host = sender.count(world.domain()), world.report_host()
    domain.tlsrpt(f"v=TLSRPTv1; rua={host}/{domain}/taken,{host}/{domain}/hangs")
    world.report_sink.script(f"/{domain}/hangs", hang(), answer(status="201 Created"))
    sender.relay.start()
    world.report_sink.wait_posts(path=f"/{domain}/hangs")
    wait_until(lambda: sender.row(domain)["endpoints"], 10, "the first answer is stored")
    sender.relay.expect_failure = True
    sender.relay.kill()
    sender.relay.start()
    sender.wait_state(domain, "delivered")
    assert len(world.report_sink.posted(f"/{domain}/taken")) == 1
    first, second = world.report_sink.posted(f"/{domain}/hangs")
    assert first.json() == second.json()


# By mail.

def test_mailed_report(world, sender, key):
    inbox, host, record = mailbox(world)
    domain = sender.count(world.domain())
    domain.tlsrpt(record)
    results, summary = sender.send()
    assert results[str(domain)]["state"] == "mailed" and summary["mailed"] == 1
    assert sender.send()[1]["done"] == 0                        # it is on its way
    sender.relay.start()                                        # it waited in the spool for a relay
    [got] = host.wait_messages()
    assert sender.wait_state(domain, "delivered")["endpoints"][0]["state"] == "delivered"
    mail = email.message_from_bytes(got.data, policy=email.policy.default)
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt"
    assert mail["TLS-Report-Domain"] == str(domain) and mail["TLS-Report-Submitter"] == "relay.example"
    assert mail["TLS-Required"] == "No" and got.mail_from == b"postmaster@relay.example"
    part = next(p for p in mail.walk() if p.get_content_type() == "application/tlsrpt+gzip")
    assert part.get_filename().startswith(f"relay.example!{domain}!") and part.get_filename().endswith(".json.gz")
    report = json.loads(gzip.decompress(part.get_payload(decode=True)))
    assert report["report-id"] == results[str(domain)]["report_id"] and report["policies"][0]["summary"]["total-failure-session-count"] == 2
    assert dkim.DKIM(got.data).verify(dnsfunc=key.look_up)
    assert not [row for row in sender.list() if row["domain"] == str(inbox)]    # the session that carried it is counted nowhere


def test_mailed_report_goes_out_at_once_with_the_relay(world, sender, key):
    _, host, record = mailbox(world)
    domain = sender.count(world.domain(), due=int(time.time()) + 3600)
    domain.tlsrpt(record)
    sender.relay.start()
    assert sender.send()[0][str(domain)]["state"] in ("mailed", "delivered")
    host.wait_messages()
    sender.wait_state(domain, "delivered")


def test_mail_without_a_key_does_not_go_out(world, sender):
    _, _, record = mailbox(world)
    domain = sender.count(world.domain())
    domain.tlsrpt(f"{record},{world.report_host()}/{domain}")
    results, _ = sender.send()
    assert results[str(domain)]["state"] == "delivered"
    states = {e["uri"].partition(":")[0]: e for e in results[str(domain)]["endpoints"]}
    assert states["mailto"]["state"] == "failed" and "strictpost dkim keygen --domain relay.example" in states["mailto"]["text"]


def test_address_that_bounces_is_left_alone(world, sender, key):
    inbox, host, record = mailbox(world, world.honest(f"mx1.inbox{world.domains + 1}.example").but(on={"RCPT": "550 5.1.1 no such user"}))
    domain = sender.count(world.domain())
    domain.tlsrpt(record)
    sender.relay.start()
    wait_until(lambda: json.loads(sender.command("suppressions", "--json") or "{}"), 20, "the address is suppressed")
    wait_until(lambda: sender.row(domain)["endpoints"][0]["state"] == "suppressed", 70, "it is not tried again")
    [suppressed] = [json.loads(line) for line in sender.command("suppressions", "--json").splitlines()]
    assert suppressed["address"] == inbox.user("tlsrpt") and "no such user" in suppressed["text"]
    assert host.sessions and not host.messages
    sender.command("suppressions", "--remove", inbox.user("tlsrpt"))
    assert sender.command("suppressions", "--json") == ""
    sender.command("suppressions", "--remove", inbox.user("tlsrpt"), status=1)


def test_large_mailed_report_goes_through_a_file(world, sender, key):
    _, host, record = mailbox(world)
    domain = sender.count(world.domain())
    domain.tlsrpt(record)
    with sender.db() as db:
        policy = db.execute("SELECT id FROM rpt_policy").fetchone()[0]
        rows = [(policy, n, base64.b32encode(n.to_bytes(4, "big") * 5).decode()) for n in range(30000)]
        db.executemany("INSERT INTO rpt_failure (policy, hash, count, result, sending_ip, mx_host, mx_helo, mx_ip, reason)"
                       " VALUES (?, ?, 1, 'validation-failure', '192.0.2.1', 'mx.example', '', '192.0.2.9', ?)", rows)
    sender.relay.start()
    [got] = host.wait_messages()
    assert len(got.data) > 131072 and dkim.DKIM(got.data).verify(dnsfunc=key.look_up)
    part = next(p for p in email.message_from_bytes(got.data).walk() if p.get_content_type() == "application/tlsrpt+gzip")
    assert len(json.loads(gzip.decompress(part.get_payload(decode=True)))["policies"][0]["failure-details"]) == 30001
    sender.wait_state(domain, "delivered")
