"""XCLIENT and the PROXY protocol as clients that are not ours speak them (swaks), and what is believed of them."""

import ipaddress
import smtplib
import ssl
import subprocess

import pytest

from conftest import BINARY
from lab.accounts import SUBMISSION, Accounts
from lab.client import Client, message, queue_id
from lab.relay import ENVIRONMENT

FRONT, OTHER, CLIENT = "127.0.0.5", "127.0.0.6", "192.0.2.55"


@pytest.fixture
def front(world, make_relay):
    """A relay that believes FRONT's XCLIENT, and relays for CLIENT alone; by AUTH for its users."""
    relay = make_relay()
    accounts = Accounts(BINARY, f"{relay.folder}/users", ENVIRONMENT)
    accounts.add("ann", "secret")
    certificate = world.ca.good("relay.example", "localhost")
    relay.write_config(auth={"users_file": accounts.path}, listen=[
        {"address": "%s:%d" % SUBMISSION, "tls": "starttls", "auth": "offered", "allow": [f"{CLIENT}/32", "2001:db8::55/128"], "xclient": [f"{FRONT}/32"],
         "certificate": certificate.cert_file, "key": certificate.key_file}])
    return relay.start()


@pytest.fixture
def domain(world):
    domain = world.domain("front")
    domain.host = domain.mx()
    return domain


def swaks(to, *arguments, local=FRONT):
    done = subprocess.run(["swaks", "--server", SUBMISSION[0], "--port", str(SUBMISSION[1]), "--from", "ann@sender.example", "--to", to, "--helo", "front.example",
                           "--timeout", "30", "--local-interface", local, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_swaks_says_who_the_client_is(front, domain):
    status, dialogue = swaks(domain.user(), "--xclient-addr", CLIENT, "--xclient-name", "app.example", "--xclient-helo", "app.helo.example",
                             "--xclient-proto", "ESMTP", "--xclient-port", "1234")
    assert status == 0, dialogue
    [got] = domain.host.wait_messages()
    trace = got.data.split(b"\r\n\r\n")[0]
    assert f"[{CLIENT}]".encode() in trace and FRONT.encode() not in trace
    [accepted] = front.events(event="accepted")
    assert (accepted["client"], accepted["via"]) == (CLIENT, FRONT)


def test_the_client_is_judged_not_the_front(front, domain):
    status, dialogue = swaks(domain.user(), "--xclient-addr", "192.0.2.56")
    assert status != 0 and " 550 5.7.1 " in dialogue
    status, dialogue = swaks(domain.user())
    assert status != 0 and " 550 5.7.1 " in dialogue
    status, dialogue = swaks(domain.user(), "--xclient-addr", "IPV6:2001:db8::55")
    assert status == 0, dialogue


def test_nobody_else_is_believed(front, domain):
    """It is not offered, and not obeyed."""
    with Client(SUBMISSION, source=OTHER) as client:
        assert "XCLIENT" not in client.hello()
        assert client.command(f"XCLIENT ADDR={CLIENT}")[0] in (500, 502, 550)
        client.command("MAIL FROM:<ann@sender.example>")
        assert client.command(f"RCPT TO:<{domain.user()}>")[0] == 550
    with Client(SUBMISSION, source=FRONT) as client:
        assert "XCLIENT" in client.hello()


def test_xclient_within_a_session(front, domain):
    """Again and again, each time with a new greeting; never inside a transaction."""
    with Client(SUBMISSION, source=FRONT) as client:
        client.hello()
        for last in (55, 56, 55):
            assert client.command(f"XCLIENT ADDR=192.0.2.{last} NAME=[UNAVAILABLE]")[0] == 220
            client.hello()
            client.command("MAIL FROM:<ann@sender.example>")
            assert client.command(f"RCPT TO:<{domain.user()}>")[0] == (250 if last == 55 else 550)
            if last == 55:
                assert client.command("XCLIENT ADDR=192.0.2.99")[0] == 503
            client.command("RSET")
        assert client.command("XCLIENT ADDR=no-address")[0] == 501


def test_login_of_a_front_that_has_checked_it(front, domain):
    """Postfix's LOGIN attribute: who logged in at the front relays."""
    with Client(SUBMISSION, source=FRONT) as client:
        client.hello()
        assert client.command("XCLIENT ADDR=198.51.100.7 LOGIN=bob")[0] == 220
        client.hello()
        client.envelope("bob@sender.example", [domain.user()])
        queue_id(client.data(message()))
    [accepted] = front.events(event="accepted")
    assert (accepted["client"], accepted["user"]) == ("198.51.100.7", "bob")


def test_the_login_of_a_client_is_not_the_next_ones(front, domain):
    """A front that uses its connection for another client, who has not logged in."""
    with Client(SUBMISSION, source=FRONT) as client:
        client.hello()
        assert client.command("XCLIENT ADDR=198.51.100.7")[0] == 220
        client.hello()
        assert client.command("XCLIENT LOGIN=bob")[0] == 220            # what it learnt of the same one
        client.hello()
        client.envelope("bob@sender.example", [domain.user()])
        client.command("RSET")
        assert client.command("XCLIENT ADDR=198.51.100.8")[0] == 220
        client.hello()
        client.command("MAIL FROM:<bob@sender.example>")
        assert client.command(f"RCPT TO:<{domain.user()}>")[0] == 550


def test_the_certificate_of_a_front_is_not_its_clients(world, start_relay, domain):
    """TLS behind XCLIENT is the front's, and what it shows proves the front alone."""
    certificate, shown = world.ca.good("relay.example"), world.ca.for_clients_only("front.example")
    start_relay(listen=[{"address": "%s:%d" % SUBMISSION, "tls": "starttls", "allow": [f"{CLIENT}/32"], "xclient": [f"{FRONT}/32"],
                         "certificate": certificate.cert_file, "key": certificate.key_file, "tls_client_ca": world.ca.ca_file}])
    tls = ssl.create_default_context(cafile=world.ca.ca_file)
    tls.load_cert_chain(shown.cert_file, shown.key_file)
    for address, wanted in (("192.0.2.99", 550), (CLIENT, 250), (None, 250)):
        with Client(SUBMISSION, source=FRONT) as client:
            client.hello()
            if address:
                assert client.command(f"XCLIENT ADDR={address}")[0] == 220
                client.hello()
            assert client.command("STARTTLS")[0] == 220
            client.start_tls(tls, "relay.example")
            client.hello()
            client.command("MAIL FROM:<ann@sender.example>")
            assert client.command(f"RCPT TO:<{domain.user()}>")[0] == wanted, address


def test_failures_are_counted_of_the_client(front, world):
    """Not of the front: else one guesser behind it would keep all others waiting."""
    tls = ssl.create_default_context(cafile=world.ca.ca_file)

    def wait_of(address):
        with smtplib.SMTP("localhost", SUBMISSION[1], local_hostname="front.example", source_address=(FRONT, 0)) as client:
            client.starttls(context=tls)
            client.ehlo()
            assert client.docmd("XCLIENT", f"ADDR={address}")[0] == 220
            client.ehlo()
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("ann", "wrong", initial_response_ok=True)
        return front.events(event="login")

    for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2"):
        events = wait_of(address)
        assert events[-1]["client"] == address
    assert all(ipaddress.ip_address(event["client"]) not in ipaddress.ip_network("127.0.0.0/8") for event in events)


@pytest.mark.parametrize("version", ["1", "2"])
def test_swaks_behind_a_load_balancer(world, start_relay, domain, version):
    relay = start_relay(listen=[{"address": "127.0.0.1:2587", "allow": [f"{CLIENT}/32"], "proxy": [f"{FRONT}/32"]}])
    for source, want in ((CLIENT, 0), ("192.0.2.56", 24)):
        status, dialogue = swaks(domain.user(), "--proxy-version", version, "--proxy-family", "TCP4" if version == "1" else "AF_INET",
                                 "--proxy-source", source, "--proxy-source-port", "1111", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25",
                                 *(["--proxy-protocol", "STREAM", "--proxy-command", "PROXY"] if version == "2" else []))
        assert (status == 0) == (want == 0), dialogue
    [got] = domain.host.wait_messages()
    assert f"[{CLIENT}]".encode() in got.data.split(b"\r\n\r\n")[0]
    assert relay.events(event="accepted")[0]["via"] == FRONT
