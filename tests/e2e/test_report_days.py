"""Days of mail, and the reports that follow: each is held against what the hosts themselves counted."""

import dataclasses
import random
import threading
import time

import pytest

from bench import reporting
from conftest import PLAIN
from evidence import let_dns_age
from faults import FAULTS, NO_TLS, make_faulty
from lab.behaviour import Slow
from lab.client import message, submit
from lab.oddhttps import answer
from lab.process import wait_until
from lab.tap import NXDOMAIN, SERVFAIL
from lab.world import policy_text
from reports import SETTINGS, WEEK_S, applied, at, day_text, differences, document, failure, lint, plain, seen, sessions_of, tomorrow


@pytest.fixture
def clocked(world, make_plain):
    """A relay at noon of a day, with reports that are due when the day is over; not started."""
    def make(**changes):
        relay = make_plain(**{"report": SETTINGS, **changes})
        relay.day = tomorrow()
        relay.set_clock(at(relay.day))
        return relay
    return make


def send_reports(relay, day):
    """Makes it the day after, and sends the reports of the day from the command line. The relay has been stopped."""
    relay.set_clock(at(day + 1, "06:00:00"))
    done = relay.command("report", "send", "--day", day_text(day))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def failures_of(mode, fault):
    """(result type, reason code) of a session with a host that has this fault, under a policy of this mode; None: no failure."""
    if fault is None or (mode not in ("enforce", "testing") and fault not in NO_TLS):
        return None
    _, result, reason = FAULTS[fault]
    if fault == "old-tls" and mode == "enforce":
        reason = "alert-protocol-version"         # it does not get as far as in testing
    return result, reason


# The policy table.

class Row:
    """One row of the design's table: a domain, its hosts, and what its report is to say after one message."""

    def __init__(self, world, mode="enforce", fault=None, label="mx1", mx=("mx1.{domain}",), policy=True):
        self.world = world
        self.domain = world.domain().tlsrpt()
        self.mode, self.fault = mode, fault
        if policy:
            mx = () if mode == "none" else mx
            self.domain.policy(mode, mx, max_age=WEEK_S)
            self.text = policy_text(mode, [pattern.format(domain=self.domain) for pattern in mx], WEEK_S)
        else:
            self.mode = self.text = None
        self.host = make_faulty(world, self.domain, fault, label)[0] if fault else self.domain.mx(label=label)

    def then(self):
        """Changes the world before a second message; false where there is none."""
        return False

    def want(self):
        failed = failures_of(self.mode, self.fault)
        [session] = seen(self.host)
        return [applied(self.domain, self.text, 0 if failed else 1, [failure(*failed, self.host, session)] if failed else ())]


class NoRecord(Row):
    """Nothing found, nothing cached; what stands there instead must not matter."""

    def __init__(self, world, *records, fault=None):
        super().__init__(world, None, fault, policy=False)
        self.domain.txt(*records)


class Unfetchable(Row):
    """A record, but no policy behind it, and nothing cached."""

    def __init__(self, world, break_it, result, reason):
        super().__init__(world)
        self.told = result, reason
        break_it(world, self.domain)

    def want(self):
        [session] = seen(self.host)
        return [applied(self.domain, "", failures=[failure(*self.told, self.host, session)])]


class Cached(Row):
    """A cached policy that cannot be confirmed when the second message comes."""

    def __init__(self, world, lose, fetch_failure=None):
        super().__init__(world)
        self.lose, self.fetch_failure = lose, fetch_failure

    def then(self):
        self.lose(self.world, self.domain)
        return True

    def want(self):
        _, second = seen(self.host)
        unfetched = [failure(*self.fetch_failure, self.host, second)] if self.fetch_failure else []
        return [applied(self.domain, self.text, 2), *([applied(self.domain, "", failures=unfetched)] if unfetched else [])]


class Unlisted(Row):
    """The host is not one of the policy's."""

    def __init__(self, world, mode):
        super().__init__(world, mode, label="evil")

    def want(self):
        if self.mode == "enforce":
            assert not self.host.sessions
            told = failure("validation-failure", "mx-mismatch", self.host)
        else:
            [session] = seen(self.host)
            told = failure("validation-failure", "mx-mismatch", self.host, session)
        return [applied(self.domain, self.text, failures=[told])]


class Next(Row):
    """The first host may not be used, the next one may."""

    def __init__(self, world, mode="enforce", fault=None, listed=True):
        super().__init__(world, mode, fault, mx=("mx1.{domain}", "mx2.{domain}") if listed else ("mx2.{domain}",))
        self.listed = listed
        self.second = self.domain.mx(label="mx2", preference=20)

    def want(self):
        assert len(seen(self.second)) == 1
        if self.listed:
            [session] = seen(self.host)
            told = failure(*failures_of(self.mode, self.fault), self.host, session)
        else:
            assert not self.host.sessions
            told = failure("validation-failure", "mx-mismatch", self.host)
        return [applied(self.domain, self.text, 1, [told])]


def without_document(world, domain):
    world.policy_host.serve(domain.name, None)


def new_id_without_document(world, domain):
    domain.txt("v=STSv1; id=2;")
    without_document(world, domain)


FETCH, WEBPKI, INVALID = "sts-policy-fetch-error", "sts-webpki-invalid", "sts-policy-invalid"
ROWS = {
    "no record": NoRecord,
    "another record": lambda w: NoRecord(w, "v=spf1 -all"),
    "two records": lambda w: NoRecord(w, "v=STSv1; id=1;", "v=STSv1; id=2;"),
    "no record, certificate for another": lambda w: NoRecord(w, fault="wrong-name"),
    **{f"no record, {fault}": lambda w, fault=fault: NoRecord(w, fault=fault) for fault in NO_TLS},
    "policy missing": lambda w: Unfetchable(w, without_document, FETCH, "http-status-404"),
    "policy host in trouble": lambda w: Unfetchable(
        w, lambda _, d: d.odd_policy(answer(b"", "503 Service Unavailable")), FETCH, "http-status-503"),
    "policy host's certificate": lambda w: Unfetchable(
        w, lambda w, d: d.policy(certificate=w.ca.expired(f"mta-sts.{d}")), WEBPKI, "X509_V_ERR_CERT_HAS_EXPIRED"),
    "not a policy": lambda w: Unfetchable(w, lambda _, d: d.policy(text="hello\r\n"), INVALID, "policy-syntax"),
    "cached, record gone": lambda w: Cached(w, lambda _, d: d.txt()),
    "cached, NXDOMAIN": lambda w: Cached(w, lambda w, d: w.tap.break_name(f"_mta-sts.{d}", "TXT", NXDOMAIN)),
    "cached, record unreachable": lambda w: Cached(w, lambda w, d: w.tap.break_name(f"_mta-sts.{d}", "TXT", SERVFAIL)),
    "cached, new one missing": lambda w: Cached(w, new_id_without_document, (FETCH, "http-status-404")),
    "cached, new one invalid": lambda w: Cached(w, lambda _, d: d.policy(text="hello\r\n", identifier="2"), (INVALID, "policy-syntax")),
    **{f"{mode}, not listed": lambda w, mode=mode: Unlisted(w, mode) for mode in ("enforce", "testing")},
    **{f"{mode}, {fault or 'honest'}": lambda w, mode=mode, fault=fault: Row(w, mode, fault)
       for mode in ("enforce", "testing") for fault in (None, *FAULTS)},
    "enforce, the next host": lambda w: Next(w, fault="expired"),
    "enforce, not listed, the next host": lambda w: Next(w, listed=False),
    **{f"none, {fault or 'honest'}": lambda w, fault=fault: Row(w, "none", fault) for fault in (None, "wrong-name", *NO_TLS)},
}


def test_every_row_of_the_policy_table_is_reported_as_it_says(world, clocked, lab_dir):
    """A message to each row's domain; then the whole report, octet for octet but for its identifier. (TLSA has no rows yet.)"""
    relay = clocked(delivery={"retry": {"first": "1h", "max": "1h"}, "messages_per_session": 1})
    rows = {label: build(world) for label, build in ROWS.items()}
    relay.start()
    for row in rows.values():
        submit(relay.address, row.domain.user())
    for row in rows.values():
        relay.wait_delivery(row.domain.name)
    again = [row for row in rows.values() if row.then()]
    let_dns_age()
    for row in again:
        submit(relay.address, row.domain.user())
    for row in again:
        relay.wait_delivery(row.domain.name, 2)
    assert relay.stop() == 0
    send_reports(relay, relay.day)
    wrong, ids = [], set()
    for label, row in rows.items():
        posts = world.report_sink.posted(f"/{row.domain}")
        if len(posts) != 1:
            wrong.append(f"{label}: {len(posts)} reports")
            continue
        got, want = posts[0].json(), document(relay.day, *row.want())
        wrong += [f"{label}: {line}" for line in differences(plain(got), plain(want))]
        ids.add(got["report-id"])
        if fault := lint(relay, posts[0].body, lab_dir):
            wrong.append(f"{label}: lint: {fault}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert len(ids) == len(rows)


# A day of mixed traffic.

@dataclasses.dataclass(eq=False)
class Place:
    """A domain of the fifty: what is published, and the faults of its hosts."""
    domain: object
    mode: str                       # None: no policy
    text: str
    faults: dict                    # host to fault; "unlisted" is one too
    unfetched: tuple = None         # how fetching its policy fails
    shared: bool = False            # the hosts have mail for other domains too

    def sessions(self):
        """(session, host, fault) of all that its hosts counted."""
        return [(session, host, fault) for host, fault in self.faults.items()
                for session in seen(host, self.domain if self.shared else None)]

    def result(self, fault):
        if self.unfetched:
            return self.unfetched
        if fault == "unlisted":
            return "validation-failure", "mx-mismatch"
        return failures_of(self.mode, fault)

    def barred(self, relay):
        """How often hosts that the policy does not list were passed over. They cannot know: this is out of the relay's log."""
        return [(host, len(relay.events(event="session", id=self.domain.name, mx=host.name, result="refused")))
                for host, fault in self.faults.items() if fault == "unlisted" and self.mode == "enforce"]

    def want(self, relay):
        """Its entry in the report, by the hosts' own count."""
        successes, failed = 0, {}
        for session, host, fault in self.sessions():
            told = self.result(fault)
            if told is None:
                successes += 1
                continue
            entry = failed.setdefault((host.name, session.address, *told), failure(*told, host, session, 0))
            entry["failed-session-count"] += 1
        barred = [failure(*self.result("unlisted"), host, count=count) for host, count in self.barred(relay) if count]
        return applied(self.domain, self.text, successes, [*failed.values(), *barred])


def place(world, mode, fault=None, extra=None, unfetched=None, name=None):
    """A domain with a host; `extra` adds others and tells what was added."""
    domain = world.domain(name=name).tlsrpt()
    mx = () if mode == "none" else ("*.{domain}",) if fault != "unlisted" else ("mx2.{domain}",)
    text = policy_text(mode, [pattern.format(domain=domain) for pattern in mx], WEEK_S) if mode else None
    if mode:
        domain.policy(mode, mx, WEEK_S)
    host = make_faulty(world, domain, fault)[0] if fault in FAULTS else domain.mx()
    faults = {host: fault, **(extra(domain) if extra else {})}
    if unfetched:
        domain.policy()
        break_it, *unfetched = unfetched
        break_it(world, domain)
        mode, text, unfetched = None, "", tuple(unfetched)
    return Place(domain, mode, text, faults, unfetched)


def sharing(world):
    """Two domains with one host, one of them under a policy."""
    first, second = place(world, "enforce"), world.domain().tlsrpt()
    [host] = first.faults
    world.ca.good(host.name)
    first.domain.policy("enforce", (host.name,), WEEK_S)
    first.text = policy_text("enforce", (host.name,), WEEK_S)
    second.add_mx(host.name)
    first.shared = True
    return [first, Place(second, None, None, {host: None}, shared=True)]


def dead_address(world, domain):
    """A second address at which nobody is."""
    host = f"mx1.{domain}"
    world.dns.change("example.", lambda update: update.add(f"{host}.", 0, "A", world.address()))
    return {}


def fifty(world):
    """The domains."""
    kinds = (None, "expired", "wrong-name", "self-signed", "other-ca", "no-starttls", "handshake-dropped", "handshake-garbage")
    unfetchable = ((without_document, FETCH, "http-status-404"),
                   (lambda w, d: d.policy_at(w.address()), FETCH, "refused"),
                   (lambda w, d: d.policy(certificate=w.other_ca.good(f"mta-sts.{d}")), WEBPKI, "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
                   (lambda w, d: d.policy(text="hello\r\n"), INVALID, "policy-syntax"))
    return [
        *(place(world, mode, fault) for mode in ("enforce", "testing", "none", None) for fault in kinds),
        *(place(world, mode, "unlisted") for mode in ("enforce", "testing")),
        *(place(world, "enforce", fault, unfetched=how) for how in unfetchable for fault in (None, "expired")),
        place(world, "enforce", "expired", lambda d: {d.mx(label="mx2", preference=20): None}),
        place(world, "enforce", "unlisted", lambda d: {d.mx(label="mx2", preference=20): None}),
        place(world, "testing", "self-signed", lambda d: {d.mx(label="mx2"): None}),
        place(world, "enforce", "starttls-refused", lambda d: {d.mx(label="mx2", preference=20): None}),
        place(world, "enforce", None, lambda d: dead_address(world, d)),
        *sharing(world),
        place(world, "testing", "old-tls", name="xn--bcher-kva.example"),
    ]


class Traffic:
    """Messages to places at random, some to several of them, from several threads, for as long as it runs."""

    def __init__(self, relay, places, threads=4):
        self.relay = relay
        self.names = [place.domain.name for place in places]
        self.stop = threading.Event()
        self.count = 0
        self.threads = [threading.Thread(target=self._run, args=(random.Random(i),), daemon=True) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def _run(self, rng):
        while not self.stop.is_set():
            chosen = rng.sample(self.names, rng.choice((1, 1, 1, 3)))
            submit(self.relay.address, [f"bob@{name}" for name in chosen], message(f"n{self.count}"))
            self.count += 1


def wait_quiet(places, quiet_s=2.0, timeout=60.0):
    """Waits until no host has had a new session for a while: what is deferred waits for long by then."""
    hosts = [host for place in places for host in place.faults]
    last = [0, time.monotonic()]

    def quiet():
        count = sum(len(host.sessions) for host in hosts) + sum(s.ended is not None for host in hosts for s in host.sessions)
        if count != last[0]:
            last[:] = [count, time.monotonic()]
        return time.monotonic() - last[1] > quiet_s
    wait_until(quiet, timeout, "no new sessions", interval=0.1)


def added(reports):
    """The policies of several reports of one domain, as if they were one."""
    total = {}
    for report in reports:
        for p in report["policies"]:
            entry = total.setdefault(str(p["policy"]), {"policy": p["policy"], "failure-details": {}, "summary": {
                "total-successful-session-count": 0, "total-failure-session-count": 0}})
            for key, count in p["summary"].items():
                entry["summary"][key] += count
            for detail in p.get("failure-details", []):
                same = entry["failure-details"].setdefault(str(sorted(
                    (k, v) for k, v in detail.items() if k != "failed-session-count")), {**detail, "failed-session-count": 0})
                same["failed-session-count"] += detail["failed-session-count"]
    return [{**entry, "failure-details": list(entry["failure-details"].values())} for entry in total.values()]


def test_a_day_of_mixed_traffic_is_reported_as_the_hosts_counted_it(world, clocked, lab_dir):
    """Fifty domains from the first seconds of a day to beyond its end; the relay sends by itself, and every count is the hosts'."""
    relay = clocked(delivery={"retry": {"first": "1s", "growth": 6, "max": "1h"}, "messages_per_session": 3})
    places = fifty(world)
    assert len(places) == 50
    silent = [place(world, "enforce"), place(world, None)]          # nobody wants their reports
    silent[0].domain.tlsrpt("v=TLSRPTv1; rua=mailto:a@a.example", "v=TLSRPTv1; rua=mailto:b@b.example")
    world.dns.remove(f"_smtp._tls.{silent[1].domain}")
    relay.set_clock(at(relay.day, "00:00:00.5"))
    relay.start()
    traffic = Traffic(relay, places + silent)
    time.sleep(2.5)
    relay.set_clock(at(relay.day, "23:59:57"))
    midnight = time.monotonic() + at(relay.day + 1) - 12 * 3600 - relay.clock()
    time.sleep(midnight + 1.5 - time.monotonic())
    traffic.end()
    wait_quiet(places)
    relay.restart()                     # it looks for what is due at its start, and then once a minute
    for p in places:
        world.report_sink.wait_posts(path=f"/{p.domain}", timeout=30)
    wait_quiet(places)
    assert relay.stop() == 0
    wants = {p: p.want(relay) for p in places}
    relay.set_clock(at(relay.day + 2, "00:00:10"))
    relay.start()
    wait_until(lambda: all(sum(map(sessions_of, p.domain.reports())) >= sum(wants[p]["summary"].values()) for p in places),
               30, "reports that tell of every session", interval=0.2)
    relay.stop()

    wrong = []
    for p in places:
        reports = p.domain.reports()
        wrong += [f"{p.domain} {p.mode} {list(p.faults.values())}: {line}" for line in differences(
            plain(document(relay.day, *added(reports))), plain(document(relay.day, wants[p])))]
        days = [r["date-range"]["start-datetime"][:10] for r in reports]
        if days != [day_text(relay.day), day_text(relay.day + 1)][:len(days)]:
            wrong.append(f"{p.domain}: reports of {days}")
        counted = sum(s.ended is not None and s.ended < midnight - 0.5 for s, _, _ in p.sessions())     # it may hear of the end later
        before = sum(s.started < midnight for s, _, _ in p.sessions())
        if not p.barred(relay) and not counted <= sessions_of(reports[0]) <= before:
            wrong.append(f"{p.domain}: {sessions_of(reports[0])} sessions on the first day, and the hosts have {counted} to {before}")
        wrong += [f"{p.domain}: lint: {fault}" for post in world.report_sink.posted(f"/{p.domain}") if (fault := lint(relay, post.body, lab_dir))]
    assert not wrong, "\n" + "\n".join(wrong)
    assert not [s for s in silent if s.domain.reports()]
    sessions = [session for p in places for session, _, _ in p.sessions()]
    assert any(session.tls and session.tls.reused for session in sessions), "no resumed session was among them"
    assert any(session.verbs().count("MAIL") > 1 for session in sessions), "no session carried several messages"
    assert traffic.count > 200


def test_session_belongs_to_the_day_it_was_proved_on(world, clocked):
    """Its message is answered, and with it the result committed, when the next day has begun."""
    relay = clocked()
    domain = world.domain().tlsrpt().policy()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={".": Slow(3)}))
    relay.set_clock(at(relay.day, "23:59:58.5"))
    relay.start()
    submit(relay.address, domain.user())
    host.wait_messages(timeout=20)
    assert relay.clock() > at(relay.day + 1, "00:00:00")
    relay.wait_empty()
    relay.restart()
    [post] = world.report_sink.wait_posts(path=f"/{domain}", timeout=30)
    assert post.json()["date-range"]["start-datetime"] == f"{day_text(relay.day)}T00:00:00Z"
    assert sessions_of(post.json()) == 1
    assert relay.stop() == 0
    relay.set_clock(at(relay.day + 2, "06:00:00"))
    assert relay.command("report", "send").returncode == 0
    assert len(domain.reports()) == 1                   # nothing is left for the next day


def test_reports_go_out_within_the_spread(world, clocked):
    """Each domain's at its own moment, and not before the day is over."""
    relay = clocked(report={**SETTINGS, "spread": "8s"})
    domains = [world.domain().tlsrpt() for _ in range(12)]
    for domain in domains:
        domain.mx()
    relay.set_clock(at(relay.day, "23:59:50"))
    relay.start()
    submit(relay.address, [domain.user() for domain in domains])
    for domain in domains:
        relay.wait_delivery(domain.name, result="delivered")
    relay.restart()
    time.sleep(1.5)                                     # it would have sent by now what it thinks is due
    assert not any(domain.reports() for domain in domains)
    assert relay.stop() == 0
    relay.set_clock(at(relay.day + 1, "00:00:00"))
    midnight = time.monotonic()
    relay.start()
    when = [world.report_sink.wait_posts(path=f"/{domain}", timeout=25)[0].at - midnight for domain in domains]
    assert max(when) < 8 + 3
    assert max(when) - min(when) > 2


@pytest.mark.parametrize("name, part", [("report-rows", 0.2), ("report-domains", 0.03)])
def test_days_of_any_size_are_reported_in_little_memory(world, lab_dir, name, part):
    """The benchmark's scenarios in short."""
    scenario = reporting.REPORTING[name].scaled(part)
    figures = reporting.measure(scenario, PLAIN, f"{lab_dir}/relays/{name}", world, world.report_sink)
    assert all(met for met, _ in reporting.bars(figures)), figures
