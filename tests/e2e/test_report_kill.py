"""Reports across SIGKILL: what they count is what the relay committed; no session is lost that was, and none is there twice.

A session's count and the results of its messages are one transaction. So the last session that brought a message to its host is the one whose
result was committed, for what is committed is never sent again; sessions before it were cut off, and are in no report. With that the
hosts know exactly which of their sessions must have been counted, and which few may have been besides (Case.idle, Case.alone). $KILLS says how often: a quarter of test_kill.py's.
"""

import bisect
import os
import random
import time

import pytest

from faults import FAULTS, make_faulty
from lab.client import submit
from lab.process import wait_until
from lab.world import policy_text
from reports import SETTINGS, WEEK_S, applied, at, day_text, differences, document, failure, plain, seen, tomorrow
from test_kill import Load

KILLS = max(5, int(os.environ.get("KILLS", "200")) // 4)


def number_of(recipient):
    """Out of u17@example.com."""
    return int(recipient.partition(b"@")[0][1:])


def last_sessions(hosts, domain):
    """For each message to the domain, the session that brought it to a host last."""
    last = {}
    for host in hosts:
        for got in list(host.messages):
            for recipient in got.rcpt_to:
                if recipient.endswith(b"@" + domain.name.encode()):
                    number = number_of(recipient)
                    if number not in last or last[number].at < got.at:
                        last[number] = got
    return [got.session for got in last.values()]


class Case:
    """A domain whose hosts say how many of their sessions were committed."""

    def __init__(self, world, mode, fault=None, second=False):
        self.domain = world.domain().tlsrpt()
        self.mode, self.fault = mode, fault
        self.text = None
        if mode:
            self.domain.policy(mode, ("*.{domain}",), WEEK_S)
            self.text = policy_text(mode, (f"*.{self.domain}",), WEEK_S)
        self.host = make_faulty(world, self.domain, fault)[0] if fault else self.domain.mx()
        self.hosts = [self.host, *([self.domain.mx(label="mx2", preference=20)] if second else [])]

    def want(self):
        """Its policy in the report. What failed on the first host, where there are two, was committed with what came of the second."""
        served = set(last_sessions(self.hosts, self.domain))
        if not self.fault:
            return applied(self.domain, self.text, len(served))
        told = failure(*FAULTS[self.fault][1:], self.host, seen(self.host)[0], len(served))
        return applied(self.domain, self.text, len(served) if len(self.hosts) > 1 else 0, [told])

    def idle(self):
        """Sessions that were proved, found nothing to do, and took their leave: committed alone then."""
        return sum("QUIT" in session.verbs() and "MAIL" not in session.verbs() for session in seen(self.hosts[-1]))

    def alone(self, kills):
        """Sessions that failed at the first of two hosts, and for which none was begun at the second: it would have had to wait for room there, and
        meanwhile others had done all the work. Each is committed alone, too. That is at most what ended at the first in a life of the relay and
        not because it was killed, without what began at the second."""
        if len(self.hosts) == 1:
            return 0
        more = [0] * (len(kills) + 1)
        for session in seen(self.hosts[0]):
            life = bisect.bisect(kills, session.started)
            more[life] += life == len(kills) or session.ended < kills[life]
        for session in self.hosts[1].sessions:
            more[bisect.bisect(kills, session.started)] -= 1
        return sum(max(0, n) for n in more)


def counts(report):
    """(successes, failures) of all of a report."""
    summaries = [p["summary"] for p in report["policies"]]
    return tuple(sum(s[key] for s in summaries) for key in ("total-successful-session-count", "total-failure-session-count"))


@pytest.mark.kill
def test_kill_at_random_moments_leaves_exact_reports(world, make_plain):
    """Several messages a session, several sessions at a time, one and two hosts, with and without failures that are let pass."""
    relay = make_plain(limits={"inline_body": "16K"}, log={"level": "info"}, report=SETTINGS,
                       delivery={"retry": {"first": "100ms", "max": "100ms"}, "messages_per_session": 4})
    cases = [Case(world, "enforce"), Case(world, None), Case(world, "testing", "expired"), Case(world, "enforce", "wrong-name", second=True)]
    refused = Case(world, "enforce", "self-signed")
    day = tomorrow()
    relay.set_clock(at(day))
    rng = random.Random(20261123)
    relay.start()
    submit(relay.address, refused.domain.user())
    load = Load(relay, [case.domain.name for case in cases])
    kills = []
    lives = [0]                         # sessions that the refusing host had at each kill
    for turn in range(KILLS):
        time.sleep(rng.uniform(0.01, 0.45))
        kills.append(time.monotonic())
        relay.kill()
        lives.append(len(refused.host.sessions))
        if turn % 20 == 19:
            print(f"  killed {turn + 1} times, {len(load.accepted)} messages accepted", flush=True)
        relay.start()
    load.end()
    wait_until(lambda: len(relay.queued()) == 1, 120, "nothing in the queue but what is refused", interval=0.1)
    assert relay.stop() == 0
    tried = len(seen(refused.host))

    relay.set_clock(at(day + 1, "06:00:00"))
    done = relay.command("report", "send", "--day", day_text(day))
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = []
    for case in cases:
        [got], want = case.domain.reports(), document(day, case.want())
        idle, alone = case.idle(), case.alone(kills)
        limits = [(have, have + idle + more) if have else (0, 0) for have, more in zip(counts(want), (0, alone))]
        print(f"  {KILLS} kills: {case.mode} {case.fault}: counted {counts(got)}, committed by the hosts' count {counts(want)}, "
              f"{sum(len(seen(host)) for host in case.hosts)} sessions, {idle} of them idle, "
              f"{alone} at most without a second", flush=True)
        if idle + alone == 0:
            wrong += [f"{case.mode} {case.fault}: {line}" for line in differences(plain(got), plain(want))]
        elif not all(least <= told <= most for told, (least, most) in zip(counts(got), limits)):
            wrong.append(f"{case.mode} {case.fault}: counted {counts(got)}, between these: {limits}, idle {idle}, alone {alone}")
    # The next try waits until the last one is committed: in each life, all but the last one must be counted.
    [got] = refused.domain.reports()
    least = tried - sum(1 for before, after in zip(lives, lives[1:]) if after > before)
    print(f"  {KILLS} kills: refused: counted {counts(got)}, the host had {tried} sessions, at least {least} of them committed", flush=True)
    if counts(got)[0] or not least <= counts(got)[1] <= tried:
        wrong.append(f"refused: counted {counts(got)}, and the host had {tried} sessions, at least {least} of them committed")
    assert not wrong, "\n" + "\n".join(wrong)
    assert len(load.accepted) > KILLS
