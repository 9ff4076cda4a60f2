"""Reports on their way: strictpost report send, list, show and suppressions, with the relay running and without, over https and by mail."""

import json
import sqlite3
import time

import pytest

from lab.oddhttps import answer, hang, raw, redirect
from lab.process import wait_until

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

    def row(self, domain):
        [row] = self.list("--domain", str(domain))
        return row


@pytest.fixture
def sender(world, make_relay):
    """Its spool is there, and nobody uses it."""
    relay = make_relay().start()
    relay.stop()
    return Sender(relay)


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
