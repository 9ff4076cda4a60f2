"""What others wrote never reaches a terminal, or a program's JSON, as it came: replies, certificates, policies, records and addresses full of what a terminal obeys."""

import json
import re

import pytest

from lab.behaviour import Close, Raw
from lab.client import Client, message, submit
from lab.terminal import Terminal
from lab.world import policy_text

# Escape sequences, their 8-bit forms as UTF-8, a carriage return, what turns the direction of text round, and octets that are no UTF-8.
EVIL = "\x1b[2J\x1b]0;x\x07\u009b31mred\u202eesrever\u2066\r\x7f"
OCTETS = EVIL.encode() + b"\x9b2J\xff\xfe"

# No line may hold these: C0 but tab and line feed, DEL, C1, and bidirectional controls.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

LATER = {"retry": {"first": "1h", "max": "4h"}}


def offered(text):
    """Extensions, and what else the host says to EHLO."""
    return lambda *_: Raw(b"250-mx " + text + b"\r\n250-PIPELINING\r\n250-X" + text + b"\r\n250 STARTTLS\r\n")


@pytest.fixture
def hostile(world):
    """Domains that say it at each place where something of theirs is kept."""
    plain = OCTETS.replace(b"\r", b"")
    replies = world.domain()
    replies.mx(world.honest(f"mx1.{replies}").but(on={"RCPT": Raw(b"451-" + plain + b"\r\n451 4.0.0 " + OCTETS + b"\r\n")}))
    banner = world.domain()
    banner.mx(world.honest(f"mx1.{banner}").but(on={"CONNECT": Raw(b"554 " + plain + b"\r\n")}))
    ehlo = world.domain()
    ehlo.mx(world.honest(f"mx1.{ehlo}").but(on={"EHLO": offered(plain), "MAIL": Raw(b"451 4.3.0 " + plain + b"\r\n")}))
    named = world.domain()
    named.mx(world.honest().but(certificate=world.ca.issue([f"other.{named}"], common_name=EVIL[:60])))
    named.policy()
    text = world.domain()
    text.mx()
    text.policy(text=policy_text("enforce", [f"mx2.{text}"]).encode() + b"x-" + plain + b": " + plain + b"\r\n")
    wrong = world.domain()
    wrong.mx()
    wrong.policy(text=b"version: STSv1\r\nmode: " + plain + b"\r\nmx: *." + plain + b"\r\nmax_age: 86400\r\n")
    records = world.domain()
    records.mx()
    escaped = "".join(chr(b) if 32 <= b < 127 else f"\\{b:03d}" for b in plain)
    name = f"_mta-sts.{records}"
    world.dns.replace(name, "TXT", [f'"v=STSv1; id={escaped};"'])
    world.dns.replace(f"_smtp._tls.{records}", "TXT", [f'"v=TLSRPTv1; rua=mailto:{escaped}"'])
    return [replies, banner, ehlo, named, text, wrong, records]


def harmless(what, text):
    found = OBEYED.search(text)
    assert not found, f"{what}: {text[max(0, found.start() - 80):found.end() + 40]!r}"


def every_command(domains, names):
    yield from (["explain", name, *words] for name in names for words in (["--transcript", "--pem"], ["--json"]))
    yield from (["explain", str(domain), *words] for domain in domains for words in ([], ["--json"]))
    for words in (["check", *map(str, domains), "--connect"], ["check", *map(str, domains), "--connect", "--full"], ["queue", "list"],
                  ["queue", "show", *names], ["queue", "summary"], ["queue", "holds"], ["policy", "list"], ["policy", "history"], ["status"],
                  ["policy", "show", *map(str, domains)], ["policy", "refresh", *map(str, domains)], ["report", "list"]):
        yield words
        if "--full" not in words:
            yield [*words, "--json"]


def test_nothing_that_a_terminal_obeys_comes_through(world, hostile, make_relay):
    relay = make_relay(delivery=LATER, listen=[{"address": "127.0.0.1:2525", "allow": ["127.0.0.1/32"]}]).start()
    names = [submit(relay.address, domain.user()) for domain in hostile]
    for domain in hostile[:4]:
        relay.wait_delivery(domain.name, result="deferred")
    done = relay.command("queue", "hold", "--rule", "--sender", "@evil.example", "--reason", EVIL)
    harmless("hold", done.stdout + done.stderr)
    for words in every_command(hostile, names):
        done = relay.command(*words)
        print(words, done.returncode, len(done.stdout))
        harmless(words, done.stdout + done.stderr)
        for line in done.stdout.splitlines() if "--json" in words else []:
            json.loads(line)
    harmless("log", relay.log_text())


def test_addresses_of_utf8_are_shown_as_what_they_are_not_as_what_they_do(world, make_relay):
    """U+009B and U+202E are legal in an SMTPUTF8 local part as far as octets go."""
    relay = make_relay(delivery=LATER).start()
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": Close("421 later")}))
    with Client(relay.address) as client:
        client.command("EHLO client.example")
        accepted = []
        for local in ("a\u009b31mb", "a\u202eb", "gr\u00fc\u00df"):
            client.command(f"MAIL FROM:<{local}@sender.example> SMTPUTF8")
            if client.command(f"RCPT TO:<{local}@{domain}>")[0] == 250 and client.command("DATA")[0] == 354:
                client.send(message("x") + b".\r\n")
                code, text = client.reply()
                assert code == 250
                accepted.append(text.split()[-1])
            else:
                client.command("RSET")
    assert accepted
    relay.wait_delivery(domain.name, result="deferred")
    for words in every_command([domain], accepted):
        done = relay.command(*words)
        print(words, done.returncode, len(done.stdout))
        harmless(words, done.stdout + done.stderr)


def test_top_shows_none_of_it(world, hostile, make_relay):
    relay = make_relay(delivery=LATER).start()
    for domain in hostile[:4]:
        submit(relay.address, domain.user())
        relay.wait_delivery(domain.name, result="deferred")
    with Terminal([relay.binary, "top", "--config", relay.config_file], 140, 40) as terminal:
        terminal.wait_for("most waits for", hostile[0].name, "451")
        harmless("top", terminal.text())
        terminal.type("q")
        assert terminal.wait() == 0
