"""Upstream routes and source addresses: a provider's host with AUTH on 587 and 465 (Postfix, and ourselves), routes by sender, where sessions come from."""

import os
import re
import subprocess

import pytest

from conftest import BINARY
from lab.accounts import Accounts
from lab.client import submit
from lab.postfix import postfix_smarthost
from lab.process import wait_until
from lab.relay import ENVIRONMENT
from lab.saslauth import SaslAuth

PASSWORD = "open sesame"


def password_file(relay, text=PASSWORD + "\n", name="password"):
    path = f"{relay.folder}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def account(relay, **named):
    return {"user": "app@corp.example", "password_file": password_file(relay, **named)}


@pytest.fixture(scope="module")
def smarthost(world, lab_dir):
    """Postfix that takes mail from those that log in only."""
    folder = f"{lab_dir}/smarthost"
    os.makedirs(folder)
    address = world.address()
    auth = world.keep(SaslAuth(f"{folder}/auth", {"app@corp.example": PASSWORD}))
    world.set_addresses("smart.example", [address])
    return world.keep(postfix_smarthost(folder + "/postfix", "smart.example", address, world.ca.good("smart.example"), auth.path, ["far.example"]))


@pytest.fixture
def by_ourselves(world, make_relay):
    """Another relay of ours as the provider: 587 and 465 with AUTH."""
    address = world.address()
    other = make_relay(hostname="upstream.example")
    accounts = Accounts(BINARY, f"{other.folder}/users", ENVIRONMENT)
    accounts.add("app@corp.example", PASSWORD)
    certificate = world.ca.good("upstream.example")
    common = {"certificate": certificate.cert_file, "key": certificate.key_file, "auth": "required", "allow": []}
    other.write_config(auth={"users_file": accounts.path}, listen=[{"address": f"{address}:587", "tls": "starttls", **common},
                                                                   {"address": f"{address}:465", "tls": "implicit", **common}])
    world.set_addresses("upstream.example", [address])
    return other.start()


# A provider's host.

@pytest.mark.parametrize("port", [587, 465])
def test_postfix_as_smarthost(world, make_relay, smarthost, port):
    relay = make_relay()
    relay.write_config(routes=[{"domain": "*", "via": f"smart.example:{port}", **account(relay)}])
    relay.start()
    before = len(smarthost.messages())
    submit(relay.address, f"bob{port}@far.example")
    [*_, data] = smarthost.wait_messages(before + 1)
    assert b"(using TLSv1.3" in data
    log = smarthost.wait_log("sasl_username=app@corp.example")
    assert re.search(r"sasl_method=(PLAIN|LOGIN), sasl_username=app@corp.example", log)
    relay.wait_empty()
    assert PASSWORD not in relay.log_text()


@pytest.mark.parametrize("port", [587, 465])
def test_our_own_relay_as_smarthost(world, make_relay, by_ourselves, port):
    relay = make_relay()
    relay.write_config(routes=[{"domain": "*", "via": f"upstream.example:{port}", **account(relay)}])
    relay.start()
    domain = world.domain()
    host = domain.mx()
    submit(relay.address, domain.user())
    [got] = host.wait_messages()
    assert got.data.count(b"\r\nReceived:") + got.data.startswith(b"Received:") == 2
    assert b"with ESMTPSA" in got.data
    relay.wait_empty()


def test_a_wrong_password_is_no_bounce(world, make_relay, smarthost):
    """The operator can mend it: the mail waits, and goes as soon as another password is read, whatever the retry interval."""
    relay = make_relay(delivery={"retry": {"first": "5m", "growth": 2, "max": "4h", "jitter": 0}})
    relay.write_config(routes=[{"domain": "*", "via": "smart.example:587", **account(relay, text="wrong\n")}])
    relay.start()
    before = len(smarthost.messages())
    submit(relay.address, "bob@far.example")
    [held] = relay.wait_held("smart.example:587/as=app@corp.example")[:1]
    assert held["reason"] == "auth-refused", held
    assert relay.events(event="delivery", result="bounced") == []
    password_file(relay)
    relay.reload()
    smarthost.wait_messages(before + 1)
    relay.wait_empty()


def test_credentials_never_go_in_clear(world, make_relay):
    """A host that offers AUTH and no TLS hears nothing of them, nor of the mail."""
    relay = make_relay()
    host = world.mx("plain.example", world.honest("plain.example").but(starttls=False, keywords=("PIPELINING", "AUTH PLAIN LOGIN")))
    relay.write_config(routes=[{"domain": "*", "via": "plain.example:25", **account(relay)}])
    relay.start()
    submit(relay.address, "bob@far.example")
    [held] = relay.wait_held("plain.example:25/as=app@corp.example")[:1]
    assert held["reason"] == "starttls-not-offered", held
    assert not {"AUTH", "MAIL"} & set(host.verbs())


def test_the_password_is_shown_nowhere(world, make_relay):
    relay = make_relay()
    relay.write_config(routes=[{"domain": "*", "via": "plain.example:25", **account(relay)}])
    shown = relay.command("config", "show")
    assert shown.returncode == 0
    assert "app@corp.example" in shown.stdout and PASSWORD not in shown.stdout + shown.stderr


# Which way.

def wait_gone(relay, reason):
    wait_until(lambda: relay.events(event="destination", state="held", reason=reason), 20, reason)


def test_routes_by_sender_come_first(world, make_relay):
    relay = make_relay()
    hosts = {name: world.mx(f"{name}.hops.example") for name in ("corp", "app", "domain")}
    domain = world.domain()
    usual = domain.mx()
    routed = world.domain()
    relay.write_config(routes=[{"sender": "corp.example", "via": "corp.hops.example:25"},
                               {"sender": "app@corp.example", "via": "app.hops.example:25"},
                               {"domain": routed.name, "via": "domain.hops.example:25"}])
    relay.start()
    for sender, to, host in (("ann@corp.example", domain, hosts["corp"]), ("app@corp.example", domain, hosts["app"]),
                             ("ann@corp.example", routed, hosts["corp"]), ("ann@sender.example", routed, hosts["domain"]),
                             ("ann@sender.example", domain, usual), ("ann@sub.corp.example", domain, usual), ("", domain, usual)):
        before = len(host.messages)
        submit(relay.address, to.user(), sender=sender)
        got = host.wait_messages(before + 1)[-1]
        assert got.mail_from == sender.encode()
    relay.wait_empty()


def test_two_accounts_at_one_host_share_no_session(world, make_relay):
    """Nor does mail without an account."""
    relay = make_relay()
    host = world.mx("both.example", world.honest("both.example").but(
        keywords_under_tls=("PIPELINING", "AUTH PLAIN"), on={"AUTH": "235 2.7.0 welcome"}))
    relay.write_config(routes=[{"sender": "a.example", "via": "both.example:25", "user": "a", "password_file": password_file(relay)},
                               {"sender": "b.example", "via": "both.example:25", "user": "b", "password_file": password_file(relay)},
                               {"domain": "*", "via": "both.example:25"}])
    relay.start()
    for sender in ("x@a.example", "x@b.example", "x@c.example") * 2:
        submit(relay.address, "bob@far.example", sender=sender)
    host.wait_messages(6)
    for session in host.sessions:
        senders = {m.mail_from.rpartition(b"@")[2] for m in host.messages if m.session is session}
        assert len(senders) <= 1
        assert ("AUTH" in session.verbs()) == (senders != {b"c.example"})


def test_what_a_route_was_for_waits_when_it_is_gone(world, make_relay):
    relay = make_relay()
    route = {"domain": "*", "via": "late.example:25", **account(relay)}
    relay.write_config(routes=[route])
    world.set_addresses("late.example", [world.address()])          # nobody there yet
    relay.start()
    queue_id = submit(relay.address, "bob@far.example")
    relay.wait_held("late.example:25/as=app@corp.example")
    relay.write_config(routes=[])
    relay.restart()
    wait_gone(relay, "route-gone")
    host = world.mx("late.example", world.honest("late.example").but(keywords_under_tls=("AUTH PLAIN",), on={"AUTH": "235 2.7.0 welcome"}))
    assert relay.queued() == [queue_id] and host.sessions == []
    relay.write_config(routes=[route])
    relay.reload()
    host.wait_messages()
    relay.wait_empty()


# Where from.

SOURCES = [{"name": "bulk", "addresses": ["127.30.0.1", "fd00:30::1"], "hostname": "bulk.relay.example", "senders": ["news.example"]},
           {"name": "rest", "addresses": ["127.30.0.2"], "senders": []}]


@pytest.fixture(scope="module")
def here():
    """IPv6 addresses of this machine."""
    for address in ("fd00:30::1", "fd00:30::9"):
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo"], check=True)


def test_senders_have_source_addresses(world, here, start_relay):
    relay = start_relay(source=SOURCES)
    domain = world.domain()
    host = domain.mx(addresses=[world.address()])
    for sender in ("ann@news.example", "ann@other.example", "ann@news.example"):
        submit(relay.address, domain.user(), sender=sender)
    host.wait_messages(3)
    for got in host.messages:
        bulk = got.mail_from == b"ann@news.example"
        assert got.session.peer == ("127.30.0.1" if bulk else "127.30.0.2")
        names = {line.split()[1] for line, _ in got.session.commands if line.startswith(b"EHLO")}
        assert names == {b"bulk.relay.example" if bulk else b"relay.example"}
    relay.wait_empty()


def test_each_family_has_its_address(world, here, start_relay):
    relay = start_relay(source=SOURCES)
    domain = world.domain()
    host = domain.mx(addresses=["fd00:30::9"])
    submit(relay.address, domain.user(), sender="ann@news.example")
    submit(relay.address, domain.user(), sender="ann@other.example")
    peers = {m.mail_from: m.session.peer for m in host.wait_messages(2)}
    assert peers[b"ann@news.example"] == "fd00:30::1"
    assert peers[b"ann@other.example"] in ("fd00:30::9", "fd00:30::1", "::1")        # as the system chooses


def test_an_address_that_is_not_ours_is_warned_of_and_holds_its_mail(world, start_relay):
    relay = start_relay(source=[{"name": "gone", "addresses": ["192.0.2.77"]}])
    domain = world.domain()
    host = domain.mx()
    assert any("192.0.2.77 is not an address of this machine" in e.get("text", "") for e in relay.events(event="config"))
    submit(relay.address, domain.user())
    relay.wait_held(domain.name)
    assert host.sessions == []


def test_what_a_source_was_for_waits_when_it_is_gone(world, here, make_relay):
    relay = make_relay(source=SOURCES)
    domain = world.domain()
    address = world.address()
    domain.add_mx(f"mx1.{domain}")
    world.set_addresses(f"mx1.{domain}", [address])
    relay.start()
    submit(relay.address, domain.user(), sender="ann@news.example")
    relay.wait_held(f"{domain}/from=bulk")
    relay.write_config(source=[])
    relay.restart()
    wait_gone(relay, "source-gone")
    host = world.mx(f"mx1.{domain}", addresses=[address])
    assert host.sessions == []
    relay.write_config(source=SOURCES)
    relay.reload()
    [got] = host.wait_messages()
    assert got.session.peer == "127.30.0.1"
