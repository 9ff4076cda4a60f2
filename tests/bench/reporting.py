"""What sending the reports of a day takes: one of very many rows, and very many of them. For strictpost alone.

The day's rows are written straight into the spool, as the sessions of a day would have left them; `strictpost report send` then looks up who
wants a report, makes it, and posts it to a sink on this machine.
"""

import contextlib
import random
import sqlite3
import subprocess
import time
from dataclasses import dataclass, replace

from bench.internet import UNSIGNED, TTL
from lab.process import NotReady
from lab.relay import Relay

MEMORY_BAR = 64             # MiB, resident, at the most
AT_ONCE = 200               # records in one DNS update
HOST = f"reports.{UNSIGNED}"
DAY_S = 86400
POLICY = "version: STSv1\nmode: testing\nmx: *.{domain}\nmax_age: 604800\n"


@dataclass(frozen=True)
class Reporting:
    """A day: so many domains, every `share`th of which wants its report, with so many rows of failures each."""

    name: str
    title: str
    domains: int
    share: int
    failures: int

    def scaled(self, part):
        """A part of it."""
        if self.domains == 1:
            return replace(self, failures=max(1, int(self.failures * part)))
        return replace(self, domains=max(1, int(self.domains * part)))

    def domain(self, number):
        return f"{self.name}-{number:06d}.{UNSIGNED}"

    def wanted(self):
        """The domains that want their report."""
        return [self.domain(number) for number in range(0, self.domains, self.share)]


REPORTING = {r.name: r for r in (
    Reporting("report-rows", "a report with many rows of failures", 1, 1, 100000),
    Reporting("report-domains", "a day with many domains, one in 50 of which wants its report", 100000, 50, 1),
)}


def yesterday():
    return int(time.time()) // DAY_S - 1


def publish(scenario, dns, sink):
    """The records of those who want reports, and the host that takes them."""
    dns.replace(HOST, "A", [sink.address], TTL)
    names = scenario.wanted()
    for first in range(0, len(names), AT_ONCE):
        dns.change("test.", lambda update, part=names[first:first + AT_ONCE]: [
            update.add(f"_smtp._tls.{name}.", TTL, "TXT", f'"v=TLSRPTv1; rua=https://{HOST}/{name}"') for name in part])


def fill(path, scenario, day):
    """The rows of the day in a spool that the relay has made: a policy, ten good sessions and the failures of each domain."""
    rng = random.Random(8460)

    def failure(number, i):
        name = scenario.domain(number)
        return (number + 1, rng.getrandbits(60), rng.randint(1, 9), "certificate-expired", f"192.0.2.{i % 250}", f"mx{i}.{name}", f"mx{i}.{name}",
                f"2001:db8::{rng.getrandbits(16):x}:{rng.getrandbits(16):x}", "X509_V_ERR_CERT_HAS_EXPIRED")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for number in range(scenario.domains):
            rows = [failure(number, i) for i in range(scenario.failures)]
            name = scenario.domain(number)
            db.executemany("INSERT INTO rpt_failure (policy, hash, count, result, sending_ip, mx_host, mx_helo, mx_ip, reason)"
                           " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.execute("INSERT INTO rpt_policy (id, day, domain, hash, type, successes, failures, details, mx, strings)"
                       " VALUES (?, ?, ?, ?, 'sts', 10, ?, ?, ?, ?)",
                       (number + 1, day, name, rng.getrandbits(60), sum(row[2] for row in rows), len(rows), f"*.{name}\n", POLICY.format(domain=name)))
            db.execute("INSERT INTO rpt_report (day, domain, state, begun, report_id, due, expires, attempts, text)"
                       " VALUES (?, ?, 'open', 0, '', ?, 0, 0, '')", (day, name, (day + 1) * DAY_S))


def totals(path):
    """(sessions, rows) that the spool has of all domains."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {name: (sessions, rows) for name, sessions, rows in db.execute(
            "SELECT domain, successes + failures, details FROM rpt_policy")}


def run(argv, log):
    """Runs a program to its end: (exit status, seconds, peak of its memory in MiB). The peak is what /proc told last: what wait4(2) tells
    begins with the memory of whoever started it."""
    began, peak = time.monotonic(), 0
    with open(log, "ab") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    while child.poll() is None:
        peak = max(peak, high_water_kib(child.pid))
        time.sleep(0.005)
    return child.returncode, time.monotonic() - began, peak / 1024


def high_water_kib(pid):
    """The most memory it had so far; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def measure(scenario, binary, folder, internet, sink, progress=lambda text: None):
    """Sends the day's reports to `sink`; the figures. `internet` has the DNS and the CA. Raises NotReady where a report is missing, came twice, or says
    something else than the rows."""
    progress(f"{scenario.name}: {scenario.domains} domains, {scenario.failures} rows each")
    sink.serve(HOST, internet.ca.good(HOST))
    publish(scenario, internet.dns, sink)
    relay = Relay(folder, binary, internet.ca.ca_file, {"log": {"level": "warning"}, "report": {"organization": "Bench", "submitter": UNSIGNED}})
    relay.start().stop()
    spool, day = f"{relay.config['state_dir']}/spool.db", yesterday()
    fill(spool, scenario, day)
    want, before = totals(spool), len(sink.posts)
    progress(f"{scenario.name}: sending")
    status, seconds, peak = run([binary, "report", "send", "--config", relay.config_file,
                                 "--day", time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))], f"{folder}/send.log")
    if status != 0:
        with open(f"{folder}/send.log", encoding="utf-8", errors="replace") as file:
            raise NotReady(f"report send: status {status}\n{file.read()[-2000:]}")
    posts = sink.posts[before:]
    check(scenario, posts, want)
    return {"domains": scenario.domains, "rows": scenario.domains * scenario.failures, "reports": len(posts), "seconds": seconds,
            "domains_per_s": scenario.domains / seconds, "reports_per_s": len(posts) / seconds,
            "octets": sum(len(post.body) for post in posts), "peak_mib": peak}


def check(scenario, posts, want):
    """Each report that was wanted came once, and tells what the rows have."""
    if sorted(post.path for post in posts) != sorted(f"/{name}" for name in scenario.wanted()):
        raise NotReady(f"{len(posts)} reports came, {len(scenario.wanted())} were wanted")
    for post in posts:
        [policy] = post.json()["policies"]
        details = policy["failure-details"]
        got = sum(policy["summary"].values()), len(details)
        if got != want[post.path[1:]] or sum(d["failed-session-count"] for d in details) != policy["summary"]["total-failure-session-count"]:
            raise NotReady(f"{post.path}: the report has {got} sessions and rows, the spool {want[post.path[1:]]}")


def bars(figures):
    """As (met, text)."""
    return [(figures["peak_mib"] < MEMORY_BAR, f"{figures['peak_mib']:.1f} MiB (bar {MEMORY_BAR})")]


def lines(scenario, figures):
    """The figures for people."""
    yield f"{scenario.title} (strictpost report send)"
    yield (f"  {figures['domains']} domain{'s'[:figures['domains'] - 1]}, {figures['rows']} rows: {figures['seconds']:.1f} s; "
           f"{figures['domains_per_s']:.1f} domains/s, {figures['rows'] / figures['seconds']:.0f} rows/s; "
           f"{figures['reports']} reports of {figures['octets'] / 1024:.0f} KiB in all, {figures['reports_per_s']:.1f} reports/s")
    for met, text in bars(figures):
        yield f"  {'ok  ' if met else 'FAIL'} {text}"
