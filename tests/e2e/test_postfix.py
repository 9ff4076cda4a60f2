"""With real MTAs: Postfix uses the relay as its relayhost, and Postfix is the MX host."""

import smtplib

import pytest

from lab.client import message, submit
from lab.postfix import postfix_client, postfix_mx
from lab.process import wait_until


@pytest.fixture(scope="module")
def local_mta(world, lab_dir):
    """A Postfix whose relayhost is where the relays of these tests listen."""
    postfix = postfix_client(f"{lab_dir}/postfix-client", "client.example", world.address(), "127.0.0.1", 2525)
    yield postfix
    postfix.stop()


@pytest.fixture(scope="module")
def postfix_domain(world, lab_dir):
    """A domain whose MX host is a Postfix with STARTTLS."""
    domain, address = world.domain("postfix"), world.address()
    name = f"mx1.{domain}"
    world.set_addresses(name, [address])
    domain.set_mx((10, name))
    domain.policy()
    domain.host = postfix_mx(f"{lab_dir}/postfix-mx", name, address, world.ca.good(name), [domain.name])
    yield domain
    domain.host.stop()


def hand_in(local_mta, recipients, data):
    with smtplib.SMTP(local_mta.address, 25, local_hostname="app.example") as client:
        client.sendmail("ann@sender.example", recipients, data)


def test_postfix_as_mx_host(relay, postfix_domain):
    data = message("to-postfix", body=".dots\r\n..\r\nend\r\n")
    submit(relay.address, [postfix_domain.user("a"), postfix_domain.user("b")], data)
    got = postfix_domain.host.wait_messages(2)[-1]
    assert got.replace(b"\r\n", b"\n").endswith(data.replace(b"\r\n", b"\n"))
    assert b"using TLSv1.3" in got
    event = relay.wait_delivery(postfix_domain.name, result="delivered")
    assert (event["policy"], event["cert"]) == ("sts/enforce", "verified")
    relay.wait_empty()


def test_postfix_uses_the_relay_as_its_relayhost(world, relay, local_mta, postfix_domain):
    honest, stripped = world.domain().policy(), world.domain().policy()
    good = honest.mx()
    bad = stripped.mx(world.honest(f"mx1.{stripped}").but(starttls=False))
    before = len(postfix_domain.host.messages())
    data = message("through-both", body=".x\r\n" * 100)
    hand_in(local_mta, [honest.user(), stripped.user(), postfix_domain.user()], data)

    [got] = good.wait_messages()
    assert got.data.endswith(data) and got.tls and got.rcpt_to == [honest.user().encode()]
    postfix_domain.host.wait_messages(before + 1)
    relay.wait_delivery(stripped.name, result="deferred")
    wait_until(lambda: not local_mta.queue(), what="an empty queue at the local MTA")
    assert local_mta.maillog().count("status=sent (250 2.0.0 Ok: queued as") >= 3
    assert len(relay.queued()) == 1 and not bad.seen


def test_postfix_keeps_its_mail_while_the_relay_is_down(world, relay, local_mta):
    domain = world.domain()
    host = domain.mx()
    relay.stop()
    hand_in(local_mta, [domain.user()], message("later"))
    local_mta.wait_log("Connection refused")
    assert local_mta.queue()
    relay.start()
    assert b"Subject: later" in host.wait_messages(timeout=40)[0].data


def offering(world, *keywords):
    """A domain, and its host, which offers these keywords besides the usual ones."""
    domain = world.domain()
    usual = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")
    return domain, domain.mx(world.honest(f"mx1.{domain}").but(keywords=usual + keywords))


def said(host, verb):
    """The only command of this verb that came to `host`, as text."""
    [line] = [line for session in host.sessions for line, _ in session.commands if line.upper().startswith(verb)]
    return line.decode("utf-8")


def test_what_postfix_is_asked_for_goes_through_us(world, local_mta, relay):
    domain, host = offering(world, "DSN")
    with smtplib.SMTP(local_mta.address, 25, local_hostname="app.example") as client:
        client.sendmail("ann@sender.example", [domain.user()], message("dsn"), mail_options=["RET=HDRS", "ENVID=QQ+2B1"],
                        rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;old+2B1@x.example"])
    host.wait_messages()
    mail, rcpt = said(host, b"MAIL"), said(host, b"RCPT")
    assert "RET=HDRS" in mail and "ENVID=QQ+2B1" in mail, mail
    assert "NOTIFY=SUCCESS,FAILURE" in rcpt and "ORCPT=rfc822;old+2B1@x.example" in rcpt, rcpt
    assert relay.wait_delivery(domain.name)["result"] == "delivered"


def test_postfix_hands_us_mail_beyond_ascii(world, local_mta, relay):
    domain, host = offering(world, "SMTPUTF8")
    data = message("j\u00f6rg")
    with smtplib.SMTP(local_mta.address, 25, local_hostname="app.example") as client:
        client.ehlo()
        client.sendmail("ann@sender.example", [f"j\u00f6rg@{domain}"], data, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    [got] = host.wait_messages()
    assert "SMTPUTF8" in said(host, b"MAIL") and f"<j\u00f6rg@{domain}>" in said(host, b"RCPT")
    assert got.data.endswith(data) and b" with UTF8SMTP id " in got.data.split(b"Subject:")[0], got.data
    assert relay.wait_delivery(domain.name)["result"] == "delivered"
