"""A configured next hop: TLS from the first octet, an account, our own address and name; and DANE for it."""

import base64
import os

import pytest

from evidence import untouched
from lab import tlsa
from lab.behaviour import Raw
from lab.client import submit

KEYWORDS = ("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN")
ONCE = {"retry": {"first": "1h", "max": "1h"}}


@pytest.fixture
def upstream(world):
    """Makes a next hop on this port that takes any account under TLS."""
    def make(port, **changes):
        name = f"smart.{world.domain()}"
        behaviour = world.honest(name).but(keywords_under_tls=KEYWORDS, implicit=port == 465, on={"AUTH": "235 2.7.0 welcome"}, **changes)
        return world.mx(name, behaviour, port=port)
    return make


def route(host, port, **named):
    return {"domain": "*", "via": f"{host.name}:{port}", **named}


def account(folder):
    """A user and the file with the password."""
    path = f"{folder}/password"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write("open sesame\n")
    return {"user": "app", "password_file": path}


def logins(host):
    return [base64.b64decode(line.split(b" ")[2]) for session in host.sessions for line, tls in session.commands if line.startswith(b"AUTH PLAIN") and tls]


@pytest.mark.parametrize("port", [465, 587])
def test_an_account(world, start_relay, upstream, lab_dir, port):
    host = upstream(port)
    words = {"tls": "implicit"} if port == 465 else {}
    relay = start_relay(routes=[route(host, port, **words, **account(lab_dir))])
    submit(relay.address, world.domain().user())
    [got] = host.wait_messages()
    assert got.tls and logins(host) == [b"\0app\0open sesame"]
    assert ("STARTTLS" in host.verbs()) == (port == 587)
    assert "open sesame" not in relay.log_text()


@pytest.mark.parametrize("more, said", [({}, False), ({"tls": "encrypt"}, True)])
@pytest.mark.parametrize("port", [465, 587])
def test_credentials_go_to_a_proven_host_only(world, start_relay, upstream, lab_dir, port, more, said):
    """Whoever answers with a certificate of his own hears no password, unless an entry of `domains` says that any will do."""
    host = upstream(port)
    host.behaviour = host.behaviour.but(certificate=world.ca.self_signed(host.name))
    domains = {"domains": [{"domain": host.name, **more}]} if more else {}
    words = {"tls": "implicit"} if port == 465 else {}
    relay = start_relay(delivery=ONCE, routes=[route(host, port, **words, **account(lab_dir))], **domains)
    submit(relay.address, world.domain().user())
    if said:
        host.wait_messages()
    else:
        relay.wait_held(f"{host.name}:{port}/as=app")
    assert bool(logins(host)) == said and (said or untouched(host))


def test_implicit_tls_is_never_tried_in_clear(world, start_relay, upstream):
    host = upstream(465)
    host.behaviour = host.behaviour.but(on={"HANDSHAKE": Raw(b"220 hello\r\n")})
    relay = start_relay(delivery=ONCE, routes=[route(host, 465, tls="implicit")])
    submit(relay.address, world.domain().user())
    relay.wait_held(f"{host.name}:465")
    assert untouched(host) and len(host.sessions) == 1


@pytest.mark.parametrize("port", [465, 587])
@pytest.mark.parametrize("good", [True, False])
def test_dane_for_a_next_hop(world, start_relay, upstream, port, good):
    """It counts as securely named; its records stand at its port."""
    host = upstream(port)
    record = tlsa.record(host.behaviour.certificate) if good else tlsa.wrong()
    tlsa.publish(world, host.name, record, port=port)
    relay = start_relay(delivery=ONCE, routes=[route(host, port, **({"tls": "implicit"} if port == 465 else {}))])
    submit(relay.address, world.domain().user())
    if good:
        relay.wait_delivery(f"{host.name}:{port}", result="delivered", policy="dane/usable", cert="verified")
    else:
        relay.wait_held(f"{host.name}:{port}")
        assert untouched(host)


def test_our_address_and_name(world, start_relay):
    domain, other = world.domain(), world.domain()
    hosts = domain.mx(), other.mx()
    relay = start_relay(source=[{"name": "news", "addresses": ["127.0.0.77"], "hostname": "news.example", "senders": ["news.example"]}])
    submit(relay.address, domain.user(), sender="list@news.example")
    submit(relay.address, other.user(), sender="alice@sender.example")
    hosts[0].wait_messages()
    hosts[1].wait_messages()
    assert hosts[0].sessions[0].peer == "127.0.0.77" and hosts[0].sessions[0].commands[0][0] == b"EHLO news.example"
    assert hosts[1].sessions[0].peer != "127.0.0.77" and hosts[1].sessions[0].commands[0][0] == b"EHLO relay.example"
