"""Finding a policy: the TXT record, the fetch, the document. What is looked at is always whether the policy then rules: the
only MX host hides STARTTLS, so that mail arrives without a policy and is kept with one.
"""

import gzip

import pytest

from evidence import policy
from lab.client import submit
from lab.oddhttps import OddHttps, answer, chunked, drip, endless, hang, raw, redirect, slow
from lab.tap import SERVFAIL
from lab.world import policy_text


@pytest.fixture
def rules(relay, send):
    """rules(domain): True when the domain's enforce policy is in force, False when mail goes as if there were none."""
    def look(domain):
        host = domain.mx(domain.world.honest().but(starttls=False))
        queue_id = send(domain.user())
        event = relay.wait_delivery(domain.name, id=queue_id)
        enforced = event["result"] == "deferred"
        assert (policy(event) == "sts/enforce") == enforced
        assert bool(host.messages) != enforced
        return enforced
    return look


# The record.

@pytest.mark.parametrize("records, found", [
    (["v=STSv1; id=20261122;"], True),
    (["v=STSv1; id=20261122"], True),
    ([["v=STSv1", "; id=2026", "1122;"]], True),                    # the strings of one record are one text
    (["v=STSv1;id=a"], True),
    (["v=STSv1 ; id=a;"], True),                                    # DESIGN.md: accepted
    (["v=STSv1; id=a; ext=value;"], True),
    (["v=spf1 -all", "v=STSv1; id=a;", "google-site-verification=x"], True),    # others at the name do not matter
    (["v=STSv1;", "v=STSv1; id=a;"], False),                        # two begin with v=STSv1: none
    (["v=STSv10; id=a;"], False),
    (["v=STSv1; id=;"], False),
    (["v=STSv1;"], False),
    (["v=STSv1; id=" + "a" * 32 + ";"], True),
    (["v=STSv1; id=" + "a" * 33 + ";"], False),
    (["v=STSv1; id=not-alphanumeric;"], False),
    (["id=a; v=STSv1;"], False),
    (["V=STSv1; id=a;"], False),
])
def test_record(world, rules, records, found):
    domain = world.domain().policy()
    domain.txt(*records)
    assert rules(domain) == found


def test_record_behind_a_cname(world, rules):
    domain, provider = world.domain().policy(), world.domain("provider")
    provider.txt("v=STSv1; id=1;")
    world.dns.remove(f"_mta-sts.{domain}")
    world.dns.replace(f"_mta-sts.{domain}", "CNAME", [f"_mta-sts.{provider}."])
    assert rules(domain)


def test_policy_host_behind_a_cname(world, rules):
    """The certificate is for mta-sts.<domain> all the same (RFC 8461 8.2)."""
    domain = world.domain().policy()
    world.dns.remove(f"mta-sts.{domain}")
    world.set_addresses("policies.provider.example", [world.policy_host.address])
    world.dns.replace(f"mta-sts.{domain}", "CNAME", ["policies.provider.example."])
    assert rules(domain)


def test_parent_policy_is_never_used(world, rules):
    parent = world.domain().policy(mx=("*.{domain}",))
    assert not rules(world.domain(name=f"sub.{parent}"))


def test_record_servfail_with_nothing_cached_delivers(world, rules):
    domain = world.domain().policy()
    world.tap.break_name(f"_mta-sts.{domain}", "TXT", SERVFAIL)
    assert not rules(domain)


def test_first_contact_defer_waits_for_the_record(world, start_relay):
    """(A failed look-up is kept for half a minute.)"""
    relay = start_relay(sts={"first_contact": "defer"}, resolver={"timeout": "1s"})
    domain = world.domain().policy()
    host = domain.mx()
    world.tap.break_name(f"_mta-sts.{domain}", "TXT", SERVFAIL)
    queue_id = submit(relay.address, domain.user())
    relay.wait_delivery(domain.name, result="deferred")
    assert relay.queued() == [queue_id] and not host.seen
    world.tap.mend()
    assert host.wait_messages(timeout=60)[0].tls


# The fetch.

def good(domain):
    return policy_text(mx=(f"mx1.{domain}",)).encode()


@pytest.mark.parametrize("headers", [
    {"kind": "text/plain; charset=utf-8"}, {"kind": "Text/Plain; Charset=UTF-8"}, {"kind": "text/plain"},
    {"version": "HTTP/1.0", "length": False}, {"length": False},
    {"headers": ("Cache-Control: no-store", "Expires: 0", "ETag: \"x\"")}])
def test_answers_that_are_fine(world, rules, headers):
    domain = world.domain()
    assert rules(domain.odd_policy(answer(good(domain), **headers)))


def test_chunked_answer_is_fine(world, rules):
    domain = world.domain()
    assert rules(domain.odd_policy(chunked(good(domain))))


@pytest.mark.parametrize("size, fine", [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_body_up_to_the_limit_and_never_cut(world, rules, size, fine):
    domain = world.domain()
    body = good(domain)
    body += b"x: " + b"y" * (size - len(body) - 5) + b"\r\n"
    assert len(body) == size
    assert rules(domain.odd_policy(answer(body))) == fine


@pytest.mark.parametrize("name, behaviour", [
    ("redirect-301", lambda d: redirect(f"https://policies.{d}/mta-sts.txt")),
    ("redirect-302", lambda d: redirect(f"https://mta-sts.{d}/elsewhere.txt", "302 Found")),
    ("redirect-307", lambda d: redirect(f"https://mta-sts.{d}/elsewhere.txt", "307 Temporary Redirect")),
    ("404-with-a-policy", lambda d: answer(good(d), "404 Not Found")),
    ("500", lambda d: answer(good(d), "500 Internal Server Error")),
    ("201-is-not-200", lambda d: answer(good(d), "201 Created")),
    ("html", lambda d: answer(good(d), kind="text/html")),
    ("no-content-type", lambda d: answer(good(d), kind=None)),
    ("text-plainer", lambda d: answer(good(d), kind="text/plainer")),
    ("gzip-unasked", lambda d: answer(gzip.compress(good(d)), headers=("Content-Encoding: gzip",))),
    ("endless-body", lambda d: endless()),
    ("endless-header", lambda d: raw(b"HTTP/1.1 200 OK\r\n" + b"X-Fill: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 2000)),
    ("end-without-close-notify", lambda d: raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + good(d))),
    ("cut-short", lambda d: raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\n" + good(d))),
    ("chunked-cut-short", lambda d: raw(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(good(d)), good(d)))),
    ("not-http", lambda d: raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")),
    ("nothing", lambda d: raw(b"")),
    ("empty-body", lambda d: answer(b"")),
])
def test_answers_that_are_no_policy(world, relay, rules, name, behaviour):
    domain = world.domain()
    assert not rules(domain.odd_policy(behaviour(domain)))
    assert world.odd_host.asked(domain.name) == 1       # nothing was followed, nothing tried again at once
    wanted = "sts-policy-invalid" if name == "empty-body" else "sts-policy-fetch-error"
    assert relay.events(event="policy", id=domain.name, result=wanted)


@pytest.mark.parametrize("behaviour", [hang(), drip(gap_s=0.3), slow(30, hang())], ids=["hang", "drip", "late"])
def test_fetch_has_one_deadline_for_all_of_it(world, start_relay, behaviour):
    relay = start_relay(sts={"fetch_timeout": "2s"})
    domain = world.domain().odd_policy(behaviour)
    host = domain.mx()
    submit(relay.address, domain.user())
    host.wait_messages(timeout=8)
    assert relay.events(event="policy", id=domain.name, result="sts-policy-fetch-error")


@pytest.mark.parametrize("kind", ["expired", "not_yet_valid", "self_signed", "without_intermediate", "cn_only",
                                  "for_clients_only", "other-name", "other-ca", "wildcard-of-the-wrong-level"])
def test_bad_certificate_of_the_policy_host(world, relay, rules, kind):
    domain = world.domain()
    name = f"mta-sts.{domain}"
    make = {"other-name": lambda n: world.ca.good(domain.name), "other-ca": lambda n: world.other_ca.good(n),
            "wildcard-of-the-wrong-level": lambda n: world.ca.wildcard("example")}
    certificate = make.get(kind, getattr(world.ca, kind, None))(name)
    assert not rules(domain.odd_policy(answer(good(domain)), certificate))
    assert world.odd_host.asked(domain.name) == 0       # not even asked: the handshake is broken off
    assert relay.events(event="policy", id=domain.name, result="sts-webpki-invalid")


def test_wildcard_certificate_of_the_policy_host_is_fine(world, rules):
    domain = world.domain()
    assert rules(domain.odd_policy(answer(good(domain)), world.ca.wildcard(domain.name)))


def test_fetch_asks_for_the_right_thing(world, rules):
    domain = world.domain()
    assert rules(domain.odd_policy(answer(good(domain))))
    [(name, head)] = [(n, h) for n, h in world.odd_host.requests if n == f"mta-sts.{domain}"]
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /.well-known/mta-sts.txt HTTP/1.1"
    fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:] if line}
    assert fields["host"] == f"mta-sts.{domain}"
    assert fields.get("accept-encoding", "identity") == "identity"


def test_policy_host_with_ipv6_only(world, rules):
    server = world.keep(OddHttps("::1"))
    domain = world.domain().policy()
    world.set_addresses(f"mta-sts.{domain}", ["::1"])
    server.serve(domain.name, answer(good(domain)), world.ca.good(f"mta-sts.{domain}"))
    assert rules(domain)


def test_second_address_of_the_policy_host(world, rules):
    domain = world.domain().policy()
    world.set_addresses(f"mta-sts.{domain}", [world.address(), world.policy_host.address])
    assert rules(domain)


def test_private_policy_host_is_not_contacted(world, start_relay):
    relay = start_relay(delivery={"allow_private": ["127.20.0.0/16"]})      # where the MX hosts are
    domain = world.domain()
    domain.odd_policy(answer(good(domain)))
    before = world.odd_host.connections
    host = domain.mx(world.honest().but(starttls=False))
    submit(relay.address, domain.user())
    host.wait_messages()
    assert world.odd_host.connections == before


def test_many_messages_one_fetch(world, relay, send):
    domain = world.domain()
    domain.odd_policy(slow(1, answer(good(domain))))
    host = domain.mx()
    for _ in range(20):
        send(domain.user())
    host.wait_messages(20)
    assert world.odd_host.asked(domain.name) == 1


def test_failed_fetch_is_not_tried_again_soon(world, relay, send):
    domain = world.domain().odd_policy(answer(b"", "503 Busy"))
    host = domain.mx()
    send(domain.user())
    host.wait_messages(1)
    relay.restart()
    send(domain.user())
    host.wait_messages(2)
    assert world.odd_host.asked(domain.name) == 1       # also not after a restart


# The document.

@pytest.mark.parametrize("label, text, valid", [
    ("lf", "version: STSv1\nmode: enforce\nmx: {mx}\nmax_age: 86400\n", True),
    ("no-final-newline", "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400", True),
    ("trailing-blanks", "version: STSv1 \r\nmode: enforce\t\r\nmx: {mx}  \r\nmax_age: 86400 \r\n", True),
    ("no-blank-after-colon", "version:STSv1\r\nmode:enforce\r\nmx:{mx}\r\nmax_age:86400\r\n", True),
    ("first-mode-counts", "version: STSv1\r\nmode: enforce\r\nmode: none\r\nmx: {mx}\r\nmax_age: 86400\r\n", True),
    ("first-max-age-counts", "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\nmax_age: x\r\n", True),
    ("unknown-keys", "version: STSv1\r\nx-y: https://a:b/\r\nmode: enforce\r\nmx: {mx}\r\nz: \u00e9\r\nmax_age: 9\r\n", True),
    ("huge-max-age", "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 9999999999\r\n", True),
    ("key-case", "Version: STSv1\r\nMode: enforce\r\nMX: {mx}\r\nmax_age: 86400\r\n", False),
    ("unknown-mode", "version: STSv1\r\nmode: report\r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
    ("mode-case", "version: STSv1\r\nmode: Enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
    ("no-mode", "version: STSv1\r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
    ("no-max-age", "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\n", False),
    ("eleven-digits", "version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 00000086400\r\n", False),
    ("no-version", "mode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
    ("no-mx", "version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\n", False),
    ("empty-mx", "version: STSv1\r\nmode: enforce\r\nmx: \r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
    ("bare-star", "version: STSv1\r\nmode: enforce\r\nmx: *\r\nmx: {mx}\r\nmax_age: 86400\r\n", False),
])
def test_document(world, rules, label, text, valid):
    domain = world.domain()
    assert rules(domain.policy(text=text.replace("{mx}", f"mx1.{domain}"))) == valid


@pytest.mark.parametrize("pattern, host, match", [
    ("mx.{domain}", "mx.{domain}", True),
    ("MX.{domain}", "mx.{domain}", True),
    ("*.{domain}", "mx.{domain}", True),
    ("*.{domain}", "a.mx.{domain}", False),
    ("*.{domain}", "{domain}", False),
    (".{domain}", "mx.{domain}", False),
    ("{domain}", "mx.{domain}", False),
])
def test_mx_pattern_matches_one_label(world, relay, send, pattern, host, match):
    domain = world.domain()
    domain.policy(mx=(pattern, "nothing.example"))
    name = host.format(domain=domain)
    mx = world.mx(name)
    domain.set_mx((10, name))
    send(domain.user())
    event = relay.wait_delivery(domain.name)
    assert event["result"] == ("delivered" if match or policy(event) == "none" else "deferred")
    assert (event["result"] == "delivered" and policy(event) == "sts/enforce") == match
    assert bool(mx.messages) == (event["result"] == "delivered")
