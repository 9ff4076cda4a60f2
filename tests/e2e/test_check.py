"""`strictpost check`: what it foretells is what the relay then does with a message, for every kind of domain of the laboratory; and what it tells their owners."""

import datetime
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import BINARY
from evidence import untouched
from faults import FAULTS, make_faulty
from lab import tlsa
from lab.behaviour import Close, Hang, Raw, Slow
from lab.client import submit
from lab.oddhttps import answer
from lab.process import wait_until
from lab.relay import ENVIRONMENT
from lab.tap import NXDOMAIN, REFUSED, SERVFAIL, SILENCE, STRIP_AD
from lab.terminal import Terminal

ONCE = {"retry": {"first": "1h", "max": "1h"}}


@pytest.fixture
def relay(world, start_relay):
    """It tries once, so that sessions can be compared."""
    return start_relay(delivery=ONCE)


def checked(relay, *words, status=None, timeout=150, **named):
    """What it says of each domain, by name."""
    done = relay.command("check", "--json", *map(str, words), timeout=timeout, **named)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert status in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
    return {told["domain"]: told for told in map(json.loads, done.stdout.splitlines())}


def check(relay, domain, *words, **named):
    [told] = checked(relay, domain, *words, **named).values()
    return told


def codes(told, *severities):
    return {finding["code"] for finding in told["findings"] if not severities or finding["severity"] in severities}


# Each kind of domain: what makes it. Unless it says otherwise, nothing is at the name.

KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def each(name, make, *parameters):
    for parameter in parameters:
        KINDS[f"{name}-{parameter}"] = lambda world, parameter=parameter: make(world, parameter)


def faulty(**policy):
    def make(world, fault):
        domain = world.domain()
        if policy:
            domain.policy(**policy)
        host, _ = make_faulty(world, domain, fault)
        if fault == "handshake-garbage":        # not in one packet with the 220, which is another fault; nor so late that a second session is begun
            host.behaviour = host.behaviour.but(on={"HANDSHAKE": Slow(0.1, host.behaviour.on["HANDSHAKE"])})
        return domain
    return make


each("enforce", faulty(mode="enforce"), *FAULTS)
each("testing", faulty(mode="testing"), *FAULTS)
each("mode-none", faulty(mode="none", mx=()), "no-starttls", "wrong-name", "handshake-garbage")
each("no-policy", faulty(), "no-starttls", "starttls-refused", "handshake-dropped", "expired", "old-tls")


@kind
def honest(world):
    domain = world.domain().policy()
    domain.mx()
    return domain


@kind
def plain(world):
    domain = world.domain()
    domain.mx()
    return domain


@kind
def next_host(world):
    domain = world.domain().policy(mx=("*.{domain}",))
    make_faulty(world, domain, "expired", "bad", 10)
    domain.mx(label="good", preference=20)
    return domain


@kind
def unlisted(world):
    domain = world.domain().policy(mx=("other.{domain}",))
    domain.mx()
    return domain


@kind
def one_unlisted(world):
    domain = world.domain().policy(mx=("good.{domain}",))
    domain.mx(label="evil", preference=5)
    domain.mx(label="good", preference=20)
    return domain


@kind
def unlisted_in_testing(world):
    domain = world.domain().policy(mode="testing", mx=("other.{domain}",))
    domain.mx()
    return domain


def unfetchable(world, how):
    domain = world.domain()
    if how == "missing":
        domain.policy()
        world.policy_host.serve(domain.name, None)
    elif how == "unreachable":
        domain.policy().policy_at(world.address())
    elif how == "no-such-host":
        domain.txt("v=STSv1; id=1;")
    elif how == "server-error":
        domain.odd_policy(answer(b"", "503 Service Unavailable"))
    elif how == "redirect":
        domain.odd_policy(answer(b"", "302 Found"))
    elif how == "bad-certificate":
        domain.policy(certificate=world.ca.expired(f"mta-sts.{domain}"))
    else:
        domain.policy(text="hello\r\n")
    make_faulty(world, domain, "wrong-name")
    return domain


each("policy", unfetchable, "missing", "unreachable", "no-such-host", "server-error", "redirect", "bad-certificate", "not-a-policy")


def records(world, how):
    domain = world.domain().policy()
    domain.mx()
    domain.txt(*{"two": ["v=STSv1; id=1;", "v=STSv1; id=2;"], "other": ["v=spf1 -all"], "no-id": ["v=STSv1;"],
                 "beside": ["v=spf1 -all", "v=STSv1; id=9;"]}[how])
    return domain


each("records", records, "two", "other", "no-id", "beside")


def record_fails(world, fault):
    domain = world.domain().policy()
    domain.mx()
    world.tap.break_name(f"_mta-sts.{domain}", "TXT", fault)
    return domain


each("record", record_fails, SERVFAIL, REFUSED, NXDOMAIN)


def mx_fails(world, fault):
    domain = world.domain()
    domain.mx()
    world.tap.break_name(domain.name, "MX", fault)
    return domain


each("mx", mx_fails, SERVFAIL, REFUSED)


@kind
def null_mx(world):
    domain = world.domain()
    domain.set_mx((0, ""))
    return domain


@kind
def no_such_domain(world):
    return world.domain("missing")


@kind
def implicit_mx(world):
    domain = world.domain()
    world.mx(domain.name)
    return domain


@kind
def mx_without_address(world):
    domain = world.domain()
    domain.set_mx((10, f"nowhere.{domain}"))
    return domain


@kind
def mx_is_an_alias(world):
    domain = world.domain().policy()
    world.mx(f"real.{domain}", world.honest(f"mx1.{domain}"))
    world.dns.replace(f"mx1.{domain}", "CNAME", [f"real.{domain}."])
    domain.add_mx(f"mx1.{domain}")
    return domain


@kind
def mx_is_us(world):
    domain = world.domain()
    domain.set_mx((10, "relay.example"))
    return domain


@kind
def nobody_listens(world):
    domain = world.domain().policy()
    world.set_addresses(f"mx1.{domain}", [world.address()])
    domain.add_mx(f"mx1.{domain}")
    return domain


@kind
def second_address(world):
    domain = world.domain().policy()
    dead, alive = world.address(), world.address()
    domain.mx(addresses=[alive])
    world.set_addresses(f"mx1.{domain}", [alive, dead])
    return domain


def says(world, how):
    domain = world.domain().policy()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": {"421": Close("421 4.3.2 later"), "554": Close("554 5.7.1 not you"),
                                                               "garbage": Raw(b"\x00\xff{}\r\n" * 20)}[how]}))
    return domain


each("greets-with", says, "421", "554", "garbage")


def own(world, host, usage=3):
    return tlsa.record(host.behaviour.certificate.cert if usage == 3 else world.ca.intermediate, usage)


def with_tlsa(world, how):
    domain = world.domain("dane", "test" if how == "unsigned" else "example")
    if how in ("beside-sts", "beside-sts-self-signed"):
        domain.policy()
    host = domain.mx()
    if how == "beside-sts-self-signed":
        host.behaviour = host.behaviour.but(certificate=world.ca.self_signed(host.name))
    published = {"mismatch": [tlsa.wrong()], "anchor": [own(world, host, 2)], "unusable": ["1 1 1 " + "AA" * 32],
                 "clear": [own(world, host)]}.get(how, [own(world, host)])
    tlsa.publish(world, host.name, *published)
    if how == "servfail":
        world.tap.break_name(f"_25._tcp.{host.name}", "TLSA", SERVFAIL)
    if how == "clear":
        host.behaviour = host.behaviour.but(starttls=False)
    return domain


each("tlsa", with_tlsa, "good", "anchor", "mismatch", "unusable", "servfail", "clear", "beside-sts", "beside-sts-self-signed", "unsigned")


@kind
def tlsa_beside_sts(world):
    """Each host is judged by itself."""
    domain = world.domain().policy(mx=("*.{domain}",))
    bad = domain.mx(label="bad", preference=10)
    worse = domain.mx(label="worse", preference=20)
    worse.behaviour = worse.behaviour.but(certificate=world.ca.self_signed(worse.name))
    tlsa.publish(world, bad.name, tlsa.wrong())
    return domain


@kind
def bogus(world):
    domain = world.domain()
    host = domain.mx()
    name = f"tlsa-of-{domain.name.partition('.')[0]}.bogus.example"
    world.dns.replace(name, "TLSA", [own(world, host)])
    world.dns.replace(f"_25._tcp.{host.name}", "CNAME", [f"{name}."])
    return domain


@kind
def international(world):
    domain = world.domain(name="xn--bcher-kva.example").policy()
    domain.mx()
    return domain


OUTCOMES = {"delivered": "deliver", "deferred": "defer", "bounced": "bounce"}


def what_was_done(relay, domain):
    """What came of a message, in the words of a prediction."""
    event = relay.wait_delivery(domain)
    sessions = relay.events(event="session", id=domain)
    report = [entry for session in sessions for entry in session.get("report", "").split()]
    delivered = event["result"] == "delivered"
    return {"outcome": OUTCOMES[event["result"]], "host": event.get("mx") if delivered else None, "policy": event.get("policy") if delivered else None,
            "fault": None if delivered else event.get("fault"), "reason": None if delivered else event.get("reason"), "report": sorted(report)}


def what_was_foretold(prediction):
    failure = prediction["failure"] or {}
    delivered = prediction["outcome"] == "deliver"
    return {"outcome": prediction["outcome"], "host": prediction["host"] if delivered else None, "policy": prediction["policy"] if delivered else None,
            "fault": failure.get("result") or failure.get("kind"), "reason": failure.get("reason") or None, "report": sorted(prediction["report"])}


@pytest.mark.parametrize("part", range(4))
def test_what_is_foretold_is_done(world, relay, send, home, part):
    """All kinds at once, by a list, then a message to each."""
    kinds = dict(list(KINDS.items())[part::4])
    others = len(world.started)
    domains = {str(make(world)): name for name, make in kinds.items()}
    listed = "".join(f"{domain}  # {name}\n" for domain, name in domains.items())
    told = checked(relay, "--connect", "--file", "-", input=listed)
    before = checked(relay, "--file", "-", input=listed)
    assert set(told) == set(before) == set(domains)
    for host in world.started[others:]:
        assert "MAIL" not in host.verbs()
    for domain in domains:
        send(f"bob@{domain}", sender=home.user())
    wrong = {}
    for domain, name in domains.items():
        done, foretold, without = what_was_done(relay, domain), what_was_foretold(told[domain]["prediction"]), before[domain]["prediction"]["outcome"]
        if done != foretold or without not in (done["outcome"], "attempt"):
            wrong[name] = (done, foretold, without)
    assert not wrong, json.dumps(wrong, indent=1)


# What it tells.

def test_a_sound_domain(world, relay):
    domain = world.domain().policy(max_age=30 * 86400).tlsrpt()
    host = domain.mx()
    tlsa.publish(world, host.name, own(world, host))
    told = check(relay, domain, "--connect", status=0)
    assert (told["status"], told["prediction"]["outcome"], told["findings"]) == ("sound", "deliver", [])
    assert told["mta_sts"]["records"] == [{"text": "v=STSv1; id=1;", "used": True}] and told["mta_sts"]["id"] == "1"
    fetch = told["mta_sts"]["fetch"]
    assert (fetch["status"], fetch["content_type"], fetch["address"], fetch["failure"]) == (200, "text/plain", world.policy_host.address, None)
    assert told["tls_rpt"]["rua"] == [f"{world.report_host()}/{domain}"]
    assert told["resolver"] == {"state": "trusted, validating", "believed": True, "remedy": None}
    plan = told["plan"]
    assert (plan["policy"]["mode"], plan["policy"]["mx"], plan["policy"]["max_age"], plan["mx_dnssec"]) == ("enforce", [host.name], 30 * 86400, "secure")
    [shown] = plan["hosts"]
    assert (shown["name"], shown["preference"], shown["addresses"], shown["dnssec"], shown["listed"]) == (host.name, 10, host.addresses, "secure", True)
    assert (shown["tlsa"]["state"], shown["tlsa"]["records"], shown["require"], shown["policy"]) == ("usable", [own(world, host)], "dane", "dane/usable")
    [session] = told["sessions"]
    [seen] = session["seen"]
    assert session["carries"] and (seen["tls"], seen["cert"], seen["verdict"]) == ("TLSv1.3", "verified", "proven")
    assert host.name in seen["chain"][0]["names"] and untouched(host) and "QUIT" in host.verbs()
    out = relay.command("check", str(domain), "--connect")
    assert out.returncode == 0 and f"{domain}: sound; mail would be delivered to {host.name} (dane/usable)" in out.stdout
    assert "TLSv1.3" in out.stdout and f"names {host.name}" in out.stdout


def mending(told, code):
    [finding] = [finding for finding in told["findings"] if finding["code"] == code]
    return finding["mend"]


def test_what_to_mend(world, relay):
    domain = world.domain().policy(mx=("mx1.{domain}", "mx9.{domain}"))
    domain.mx(world.honest("other.example"))
    domain.mx(label="mx2", preference=20)
    told = check(relay, domain, "--connect", status=1)
    assert codes(told, "problem") == {"mx-mismatch", "certificate-host-mismatch"}
    assert codes(told, "advice") == {"no-tls-rpt", "sts-max-age", "sts-unused-mx"}
    assert f'add "mx: mx2.{domain}" to the policy' in mending(told, "mx-mismatch") and "change the id" in mending(told, "mx-mismatch")
    assert "is for other.example" in mending(told, "certificate-host-mismatch") and f"with the name mx1.{domain}" in mending(told, "certificate-host-mismatch")
    assert f"tls-reports@{domain}" in mending(told, "no-tls-rpt")
    text = relay.command("check", str(domain), "--connect").stdout
    assert all(finding["text"] in text and finding["mend"] in text for finding in told["findings"])


def test_every_address_is_looked_at(world, relay):
    """Not only until one is good."""
    domain = world.domain().policy(mx=("*.{domain}",))
    domain.mx(addresses=[world.address(), world.address()])
    domain.mx(label="mx2", preference=20)
    told = check(relay, domain, "--connect", status=0)
    assert len(told["sessions"]) == 3 and all(session["carries"] for session in told["sessions"])


def test_a_certificate_that_ends_soon(world, relay):
    domain = world.domain().policy(max_age=30 * 86400).tlsrpt()
    soon = datetime.timedelta(days=9, hours=1)
    domain.mx(world.honest().but(certificate=world.ca.issue([f"mx1.{domain}"], end=soon)))
    told = check(relay, domain, "--connect", status=0)
    assert codes(told) == {"certificate-ends-soon"}
    assert "in 9 days" in told["findings"][0]["text"]


def test_records_of_reports(world, relay):
    domain = world.domain().tlsrpt("v=TLSRPTv1; rua=mailto:a@example.com,ftp://b.example", "v=spf1 -all")
    domain.mx()
    told = check(relay, domain)["tls_rpt"]
    assert told["rua"] == ["mailto:a@example.com"] and len(told["skipped"]) == 1
    assert {record["text"]: record["used"] for record in told["records"]} == {
        "v=TLSRPTv1; rua=mailto:a@example.com,ftp://b.example": True, "v=spf1 -all": False}
    domain.tlsrpt("v=TLSRPTv1; rua=ftp://b.example")
    assert "tls-rpt-invalid" in codes(check(relay, domain, status=1), "problem")


def test_warnings_of_the_policy(world, relay):
    domain = world.domain()
    domain.policy(text=f"version: STSv1\r\nmode: testing\r\nmx: mx1.{domain}\r\nMax_Age: 1\r\nmax_age: 2592000\r\n")
    domain.mx()
    told = check(relay, domain, status=0)
    assert {"sts-policy-warning", "sts-testing"} <= codes(told, "advice")
    assert any("Max_Age" in warning or "line 4" in warning for warning in told["mta_sts"]["fetch"]["warnings"])


# What cannot be found out.

def test_dead_dns(world, start_relay):
    relay = start_relay(resolver={"servers": ["127.0.0.99"], "timeout": "200ms"})
    told = check(relay, "somewhere.example", "--connect", status=2)
    assert (told["status"], told["prediction"]["outcome"]) == ("undetermined", "defer")


def test_a_resolver_that_does_not_validate(world, start_relay):
    world.tap.break_name(".", "SOA", STRIP_AD)
    relay = start_relay()
    domain = world.domain().policy(max_age=30 * 86400).tlsrpt()
    host = domain.mx()
    tlsa.publish(world, host.name, tlsa.wrong())
    told = check(relay, domain, "--connect", status=0)
    assert codes(told) == {"dnssec-not-judged"} and not told["resolver"]["believed"] and "unbound" in told["resolver"]["remedy"]
    assert told["plan"]["hosts"][0]["tlsa"] is None and told["plan"]["mx_dnssec"] == "unknown"
    submit(relay.address, domain.user())
    assert relay.wait_delivery(domain.name)["result"] == "delivered"


def drip(connection, stopping):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n")
    while not stopping.wait(0.1):
        connection.sendall(b"x")


def test_hostile_hosts_cost_no_more_than_the_time_given(world, relay):
    dripping, hanging, slow = world.domain().odd_policy(drip), world.domain(), world.domain()
    dripping.mx()
    hanging.mx(world.honest(f"mx1.{hanging}").but(on={"CONNECT": Hang()}))
    slow.mx(world.honest(f"mx1.{slow}").but(on={"EHLO": Slow(30)}))
    began = time.monotonic()
    told = checked(relay, dripping, hanging, slow, "--connect", "--timeout", "3s", status=2)
    assert time.monotonic() - began < 20
    assert {domain: told[domain.name]["prediction"]["outcome"] for domain in (dripping, hanging, slow)} == {dripping: "unknown", hanging: "unknown", slow: "unknown"}
    assert all("not-in-time" in codes(one, "unknown") for one in told.values())
    assert told[dripping.name]["plan"] is None and told[hanging.name]["plan"] and told[hanging.name]["sessions"][0]["cut"]


def test_peer_text_does_not_reach_the_terminal(world, relay):
    domain = world.domain()
    domain.txt("v=STSv1; \x1b[31mid=1;")
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": Close("554 \x1b[2Jgone")}))
    for words in ([], ["--json"]):
        done = relay.command("check", str(domain), "--connect", *words)
        assert done.returncode == 1 and "\x1b" not in done.stdout + done.stderr and "gone" in done.stdout


# Names.

def test_names(world, relay):
    domain = world.domain(name="xn--mnchen-3ya.example")
    domain.mx()
    [told] = checked(relay, "München.example.", "--connect", status=0).values()
    assert (told["domain"], told["prediction"]["outcome"]) == (domain.name, "deliver")
    host = world.mx("literal.example")
    told = check(relay, f"[{host.addresses[0]}]", "--connect", status=0)
    assert told["prediction"] == {**told["prediction"], "outcome": "deliver", "host": f"[{host.addresses[0]}]"}
    assert told["mta_sts"] is None and told["tls_rpt"] is None


@pytest.mark.parametrize("words", [[], ["a..b"], ["-x"], ["exa mple.com"], ["[1.2.3]"], ["a@b.example"], ["x" * 300], ["example.com", "--parallel", "0"], ["example.com", "--sender", "x"],
                                   ["example.com", "--timeout", "5"], ["--nonsense"]])
def test_usage_is_no_answer(relay, words):
    """64, not 1 or 2: a script must not take it for one."""
    done = relay.command("check", *words)
    assert done.returncode == 64 and done.stdout == "" and done.stderr


def test_configurations(world, relay, lab_dir):
    domain = world.domain()
    domain.mx()
    environment = {**os.environ, **ENVIRONMENT, "STRICTPOST_CONFIG": f"{lab_dir}/nowhere.yaml"}
    done = subprocess.run([BINARY, "check", str(domain)], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "built-in configuration" in done.stderr and done.returncode in (1, 2)         # its host has no public address
    done = subprocess.run([BINARY, "check", str(domain), "--config", f"{lab_dir}/nothing.yaml"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78 and "nothing.yaml" in done.stderr
    assert relay.command("check", "--file", f"{lab_dir}/no-list").returncode == 66


def test_rules_and_routes(world, start_relay):
    domain, ruled, smart = world.domain(), world.domain(), world.domain("smart")
    host = world.mx(f"host.{smart}", port=2026)
    ruled.mx(world.honest("other.example"))
    domain.mx()
    relay = start_relay(delivery=ONCE, routes=[{"domain": domain.name, "via": f"{host.name}:2026"}], domains=[{"domain": ruled.name, "tls": "verify", "reason": "contract"}])
    told = checked(relay, domain, ruled, "--connect", status=1)
    assert told[domain.name]["plan"]["route"] == f"{host.name}:2026" and told[domain.name]["prediction"]["host"] == host.name
    assert told[ruled.name]["plan"]["rule"] == "tls: verify (contract)" and told[ruled.name]["prediction"]["outcome"] == "defer"
    told = checked(relay, domain, ruled, "--connect", "--no-rules", status=0)
    assert told[domain.name]["prediction"]["host"] == f"mx1.{domain}" and told[ruled.name]["prediction"]["outcome"] == "deliver"
    assert told[ruled.name]["plan"]["rule"] is None


# Many.

def many(world, count=200):
    domains = [world.domain("many") for _ in range(count)]
    host = world.mx(f"mx.{domains[0]}", world.honest(f"mx.{domains[0]}"))
    world.dns.change("example.", lambda update: [update.add(f"{domain}.", 0, "MX", f"10 {host.name}.") for domain in domains])
    return domains


def test_a_list_of_200(world, relay, lab_dir):
    domains = many(world)
    path = f"{lab_dir}/list"
    with open(path, "w", encoding="utf-8") as file:
        file.write("# ours\n\n" + "".join(f"  {domain}\r\n" for domain in domains) + f"{domains[0]}\nno such..name\n{str(domains[1]).upper()}\n")
    done = relay.command("check", "--connect", "--file", path, "--json")
    assert f"{path}:204: 'no such..name' is no domain" in done.stderr and done.returncode == 2
    told = list(map(json.loads, done.stdout.splitlines()))
    assert len(told) == 200 and {one["domain"] for one in told} == {str(domain) for domain in domains}
    assert {one["prediction"]["outcome"] for one in told} == {"deliver"}
    done = relay.command("check", "--file", path)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:201]] == [str(domain) for domain in domains] and lines[201] == "200 domains: 200 sound, 0 with problems, 0 undetermined"


def test_in_a_terminal(world, relay):
    domains = many(world, 30)
    hanging = world.domain("hang")
    hanging.mx(world.honest(f"mx1.{hanging}").but(on={"CONNECT": Hang()}))
    with open(f"{relay.folder}/list", "w", encoding="utf-8") as file:
        file.write("".join(f"{domain}\n" for domain in [*domains, hanging]))
    command = [relay.binary, "check", "--connect", "--file", f"{relay.folder}/list", "--config", relay.config_file]
    with Terminal(command, 100, 45, env=ENVIRONMENT) as terminal:
        terminal.wait_for("checking", "30 of 31")
        terminal.type("C-c")
        assert terminal.wait() == 2
        text = terminal.text()
        assert "30 domains: 30 sound" in text and "1 of 31 domains were not looked at" in text and "checking" not in text
        assert "\x1b[" in terminal.coloured() and max(map(len, terminal.lines())) <= 100


def test_interrupt_gives_what_is_done(world, relay):
    domain, hanging = world.domain(), world.domain()
    domain.mx()
    hanging.mx(world.honest(f"mx1.{hanging}").but(on={"CONNECT": Hang()}))
    path = f"{relay.folder}/out"
    with open(path, "wb") as out:
        command = subprocess.Popen([relay.binary, "check", "--connect", "--json", str(domain), str(hanging), "--config", relay.config_file], stdout=out,
                                   stderr=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})
        wait_until(lambda: os.path.getsize(path) > 0, 30, "the first answer")
        command.send_signal(signal.SIGINT)
        assert command.wait(20) == 2
    with open(path, encoding="utf-8") as file:
        assert [json.loads(line)["domain"] for line in file] == [str(domain)]


# strictpost explain DOMAIN.

def explain(relay, domain, *words):
    done = relay.command("explain", str(domain), "--json", *words)
    assert "Sanitizer" not in done.stderr and done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_explain_tells_what_the_relay_has(world, relay, send):
    """What is cached and what it waits for, not what would be found anew."""
    domain = world.domain().policy()
    host, _ = make_faulty(world, domain, "expired")
    told = explain(relay, domain)
    assert (told["now"], told["state"], told["sessions"]) == ("try", {"state": "unknown"}, [])
    send(domain.user())
    relay.wait_held(domain.name)
    domain.txt()                                            # it has it cached
    told = explain(relay, domain)
    assert told["now"] == "wait" and "expired" in told["why"] and told["state"]["state"] == "held" and told["state"]["failures"] == 1
    assert told["state"]["held_until"] and told["plan"]["policy"]["mode"] == "enforce" and told["plan"]["hosts"][0]["require"] == "pkix"
    assert told["policy_refresh"]["failures"] == 0 and told["policy_refresh"]["due"]
    assert [address["address"] for address in told["addresses"]] == host.addresses
    session = told["sessions"][0]
    assert (session["data"]["verdict"], session["data"]["fault"]) == ("refused", "certificate-expired")
    text = relay.command("explain", str(domain)).stdout
    assert f"{domain}: mail would wait until {told['state']['held_until']}" in text and "latest sessions" in text and "TLSv1.3" in text


def test_explain_a_dead_address_and_a_domain_without_mail(world, relay, send):
    domain = world.domain()
    address = world.address()
    world.set_addresses(f"mx1.{domain}", [address])
    domain.add_mx(f"mx1.{domain}")
    send(domain.user())
    relay.wait_held(domain.name)
    [told] = explain(relay, domain)["addresses"]
    assert told["address"] == address and told["dead_for_ms"] > 0 and "refused" in told["why"]
    null = world.domain()
    null.set_mx((0, ""))
    told = explain(relay, null)
    assert told["now"] == "bounce" and "null MX" in told["why"]


def test_explain_tells_of_rules_that_hold(world, relay, send):
    domain = world.domain()
    domain.mx()
    done = relay.command("queue", "hold", "--rule", "--domain", domain.name, "--reason", "they asked", "--json")
    assert done.returncode == 0, done.stderr
    told = explain(relay, domain)
    assert told["now"] == "hold" and "they asked" in told["why"]
    assert "mail would stay here" in relay.command("explain", str(domain)).stdout
    other = world.domain()
    other.mx()
    assert explain(relay, other)["now"] == "try"


def test_explain_without_a_relay(world, make_relay):
    relay = make_relay().start()
    relay.stop()
    domain = world.domain()
    domain.mx()
    done = relay.command("explain", str(domain))
    assert done.returncode == 0 and "no relay runs" in done.stderr and f"{domain}: sound" in done.stdout, done.stderr
    assert relay.command("explain", "no such domain").returncode == 2


def test_explain_while_the_relay_stops(world, start_relay):
    """Who waits for a plan is told, and nothing is left over."""
    relay = start_relay(resolver={"timeout": "5s"})
    domain = world.domain()
    world.tap.break_name(domain.name, "MX", SILENCE)
    asking = subprocess.Popen([relay.binary, "explain", str(domain), "--config", relay.config_file], env={**os.environ, **ENVIRONMENT},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: world.tap.asked(domain.name, "MX"), 20, "the question")
    assert relay.stop() == 0
    assert asking.wait(30) in (0, 1)
    asking.communicate()
