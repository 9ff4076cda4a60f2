"""What an operator sees of policies and does with them: strictpost policy list, show, history, refresh and forget against domains whose policies change."""

import contextlib
import json
import re
import sqlite3

import pytest

from evidence import let_dns_age
from lab.client import submit
from lab.process import wait_until
from lab.terminal import Terminal


def lines(done):
    """What a command with --json printed."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def cached(relay, *words):
    return {row["domain"]: row for row in lines(relay.command("policy", "list", "--json", *words))}


def show(relay, domain):
    return lines(relay.command("policy", "show", "--json", domain.name))[0]


def history(relay, domain, *words):
    """Oldest first, as "how from>to", with ! where it is weaker."""
    rows = lines(relay.command("policy", "history", "--json", domain.name, *words))
    assert all(row["domain"] == domain.name for row in rows)
    mode = lambda side: side["mode"] if side else "-"
    return [f"{row['how']} {mode(row['from'])}>{mode(row['to'])}{'!' if row['weaker'] else ''}" for row in reversed(rows)]


def refresh(relay, domain, status=0):
    done = relay.command("policy", "refresh", "--json", domain.name)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def noted(relay, domain, how):
    """The line of the log."""
    look = lambda: relay.events(event="policy-change", id=domain.name, how=how)
    return wait_until(look, 20, f"{how} in the log")[0]


def learn(relay, domain):
    """A message to it, so that the relay knows its policy."""
    host = domain.mx()
    submit(relay.address, domain.user())
    host.wait_messages()
    relay.wait_empty()
    return host


def test_list_and_show(world, relay):
    enforce, testing, none = (world.domain().policy(mode=mode, max_age=age, mx=mx) for mode, age, mx in
                              (("enforce", 2419200, ("mx.{domain}",)), ("testing", 86400 * 2, ("*.{domain}", "mx.{domain}")), ("none", 86400, ())))
    for domain in (enforce, testing, none):
        domain.mx()
        assert refresh(relay, domain)["outcome"] == "fetched"
    rows = cached(relay)
    assert {name: row["mode"] for name, row in rows.items()} == {enforce.name: "enforce", testing.name: "testing", none.name: "none"}
    assert rows[testing.name]["mx"] == [f"*.{testing}", f"mx.{testing}"]
    assert rows[none.name]["mx"] == []
    row = rows[enforce.name]
    assert (row["state"], row["max_age"], row["failures"], row["failure"]) == ("valid", 2419200, 0, None)
    assert row["source"] == f"https://mta-sts.{enforce}/.well-known/mta-sts.txt"
    assert 27.9 <= row["days_left"] <= 28 and row["fetched"] < row["refresh_due"] < row["expires"]
    assert show(relay, enforce) == {**row, "days_left": show(relay, enforce)["days_left"]}
    assert set(cached(relay, "--mode", "testing")) == {testing.name}
    assert set(cached(relay, "--within", "3d")) == {testing.name, none.name}
    assert set(cached(relay, "--within", "3d", "--mode", "none")) == {none.name}
    assert cached(relay, "--within", "500ms") == {}
    assert cached(relay, "--failing") == {}
    table = relay.command("policy", "list").stdout
    assert "\x1b" not in table and re.search(rf"^{enforce} +enforce +2[78]\.\d +.* 0 +mx\.{enforce}$", table, re.M), table
    text = relay.command("policy", "show", enforce.name).stdout
    assert "mode         enforce" in text and f"mx           mx.{enforce}" in text and "max_age      2419200 s" in text


def test_where_nothing_is_cached(relay):
    assert relay.command("policy", "list").stdout == "no such policy is cached\n"
    assert relay.command("policy", "history").stdout == "no such change is known\n"
    done = relay.command("policy", "show", "nobody.example")
    assert (done.returncode, done.stdout) == (1, "") and "nothing is cached of nobody.example" in done.stderr
    done = relay.command("policy", "forget", "--yes", "nobody.example")
    assert (done.returncode, done.stdout) == (1, "") and "nothing is cached of nobody.example" in done.stderr


def test_refresh_says_what_came_of_it(world, relay):
    domain = world.domain().policy()
    learn(relay, domain)
    answer = refresh(relay, domain)                             # under the same id, and at once: an operator asks
    assert (answer["outcome"], answer["mode"], answer["failure"]) == ("fetched", "enforce", None)
    world.policy_host.serve(domain.name, None)
    expires = show(relay, domain)["expires"]
    answer = refresh(relay, domain, status=1)
    assert (answer["outcome"], answer["mode"], answer["failure"]["result"]) == ("failed", "enforce", "sts-policy-fetch-error")
    assert answer["expires"] == expires                         # a failed refresh shortens nothing
    refresh(relay, domain, status=1)                            # and no back-off keeps an operator from asking
    row = show(relay, domain)
    assert (row["failures"], row["failure"]["result"], row["state"]) == (2, "sts-policy-fetch-error", "valid")
    assert set(cached(relay, "--failing")) == {domain.name}
    assert "last failure: sts-policy-fetch-error" in relay.command("policy", "list").stdout
    text = relay.command("policy", "refresh", domain.name)
    assert text.returncode == 1 and "failed: sts-policy-fetch-error" in text.stdout and f"holds until {expires}" in text.stdout
    domain.policy()
    assert refresh(relay, domain)["outcome"] == "fetched"
    assert show(relay, domain)["failures"] == 0


def test_refresh_of_a_domain_without_policy(world, relay):
    domain = world.domain()
    domain.mx()
    assert refresh(relay, domain)["outcome"] == "no-policy"
    assert relay.command("policy", "refresh", domain.name).stdout == f"{domain}: it announces no policy\n"
    assert cached(relay) == {}


def test_refresh_all(world, relay):
    domains = [world.domain().policy() for _ in range(5)]
    for domain in domains:
        refresh(relay, domain)
    world.policy_host.serve(domains[3].name, None)
    domains[1].policy(mode="testing", identifier="2")
    done = relay.command("policy", "refresh", "--all")
    assert done.returncode == 1 and "5 of 5: 4 fetched, 0 without a policy now, 1 failed" in done.stderr, done.stderr
    assert {name: row["mode"] for name, row in cached(relay).items()} == {d.name: "testing" if d is domains[1] else "enforce" for d in domains}
    assert cached(relay)[domains[3].name]["failures"] == 1


def test_history_marks_what_is_weaker(world, relay):
    domain = world.domain().policy(mode="testing")
    domain.mx()
    for number, change in enumerate(({"mode": "enforce"}, {"mx": ("mx.{domain}", "*.{domain}")}, {"max_age": 3600}, {"mode": "testing"}, {"mode": "none", "mx": ()}, {})):
        refresh(relay, domain)
        refresh(relay, domain)                                  # the same once more is no change
        domain.policy(**{"mode": "enforce", "mx": ("mx.{domain}",), "max_age": 2419200, "identifier": str(number + 2), **change})
        let_dns_age()
    refresh(relay, domain)
    want = ["first-seen ->testing", "changed testing>enforce", "changed enforce>enforce!", "changed enforce>enforce!", "changed enforce>testing!",
            "removed testing>none", "changed none>enforce"]
    assert history(relay, domain) == want
    assert history(relay, domain, "--weaker") == [row for row in want if row.endswith("!")]
    why = [row["why"] for row in lines(relay.command("policy", "history", "--json", domain.name, "--weaker"))]
    assert why == ["mode enforce became testing", "max_age fell from 2419200 to 3600 s", f"mx *.{domain} was added"]
    warned = [event for event in relay.events(event="policy-change") if event["level"] == "warning"]
    assert [event["why"] for event in warned] == why[::-1] and all(event["id"] == domain.name for event in warned)
    text = relay.command("policy", "history").stdout
    assert text.count("WEAKER") == 3 and "weaker: mode enforce became testing" in text
    relay.restart()
    assert history(relay, domain) == want
    relay.stop()
    assert history(relay, domain) == want                       # and without a relay
    assert set(cached(relay)) == {domain.name}


def test_a_policy_that_expires(world, relay):
    """Its times are moved back in the spool, as if it had been fetched a month ago."""
    domain = world.domain().policy(max_age=86400)
    domain.mx()
    refresh(relay, domain)
    relay.stop()
    world.policy_host.serve(domain.name, None)
    domain.txt()
    with contextlib.closing(sqlite3.connect(f"{relay.config['state_dir']}/spool.db", isolation_level=None)) as spool:
        spool.execute("UPDATE sts_policy SET fetched_s = fetched_s - 90000, expires_s = expires_s - 90000")
    assert show(relay, domain)["state"] == "expired"
    relay.start()
    wait_until(lambda: len(history(relay, domain)) == 2, 20, "the expiry is noted")
    assert history(relay, domain) == ["first-seen ->enforce", "expired enforce>-!"]
    assert noted(relay, domain, "expired")["level"] == "warning"
    assert "expired" in relay.command("policy", "list").stdout
    domain.policy(max_age=86400)
    refresh(relay, domain)
    assert history(relay, domain)[2:] == ["seen-again ->enforce"]


def test_forget_asks_is_logged_and_is_forgotten_everywhere(world, relay, single):
    domain = world.domain().policy()
    host = learn(relay, domain)
    done = relay.command("policy", "forget", domain.name)       # no terminal: nobody can be asked
    assert done.returncode == 1 and "--yes" in done.stderr and set(cached(relay)) == {domain.name}
    domain.txt()                                                # the domain has none any more, and its host shows no TLS
    world.policy_host.serve(domain.name, None)
    host.behaviour = host.behaviour.but(starttls=False)
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")         # the cached one protects
    done = relay.command("policy", "forget", "--json", "--yes", "--reason", "ticket 7: moved", domain.name)
    assert json.loads(done.stdout) == {"forgotten": True, "mode": "enforce", "weaker": True}, done.stderr
    assert cached(relay) == {}
    event = noted(relay, domain, "forgotten")
    assert (event["level"], event["reason"]) == ("warning", "ticket 7: moved")
    assert history(relay, domain) == ["first-seen ->enforce", "forgotten enforce>-!"]
    assert lines(relay.command("policy", "history", "--json", domain.name))[0]["reason"] == "ticket 7: moved"
    assert host.wait_messages(2)[1].tls is None                 # what waited goes with its next retry
    relay.restart()
    assert cached(relay) == {}


def test_what_is_forgotten_is_learnt_anew(world, relay, single):
    """Mail right behind it asks the domain, and is protected by what it says."""
    domain = world.domain().policy()
    host = learn(relay, domain)
    assert relay.command("policy", "forget", "--yes", domain.name).returncode == 0
    host.behaviour = host.behaviour.but(starttls=False)
    submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert len(host.seen) == 1 and history(relay, domain)[-1] == "seen-again ->enforce"


def test_forget_without_a_relay(world, relay):
    domain = world.domain().policy()
    domain.mx()
    refresh(relay, domain)
    relay.stop()
    assert relay.command("policy", "forget", "--yes", domain.name).stdout.startswith(f"{domain}: forgotten")
    assert cached(relay) == {}
    done = relay.command("policy", "refresh", domain.name)
    assert done.returncode == 1 and done.stdout == "" and "strictpost run" in done.stderr, done.stderr


@pytest.mark.parametrize("answer, forgotten", [("n", False), ("y", True)])
def test_forget_asks_on_a_terminal(world, relay, answer, forgotten):
    domain = world.domain().policy()
    domain.mx()
    refresh(relay, domain)
    with Terminal([relay.binary, "policy", "forget", "--config", relay.config_file, domain.name], 100, 24, env=relay.environment()) as terminal:
        terminal.wait_for("Forget the policy of", "without a verified certificate")
        terminal.type(answer, "Enter")
        assert terminal.wait() == (0 if forgotten else 1)
    assert (cached(relay) == {}) == forgotten


@pytest.mark.parametrize("words", [("refresh",), ("refresh", "--all", "x.example"), ("show",), ("forget",), ("list", "x"), ("list", "--within", "3"),
                                   ("show", "a..b"), ("history", "--weaker=1")])
def test_usage(relay, words):
    done = relay.command("policy", *words)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("strictpost policy ")


def test_what_is_asked_wrongly(relay):
    done = relay.command("policy", "list", "--mode", "strict")
    assert done.returncode == 1 and "none of enforce, testing, none" in done.stderr
