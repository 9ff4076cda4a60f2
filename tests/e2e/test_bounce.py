"""Bounces and delay notices."""

import email
import email.policy

import pytest

from lab.behaviour import Close, by_recipient
from lab.client import message, submit


class Report:
    """A DSN taken apart, with what every one of them must have already looked at."""

    def __init__(self, got, home):
        assert (got.mail_from, got.rcpt_to) == (b"", [home.user().encode()])
        mail = email.message_from_bytes(got.data, policy=email.policy.default)
        assert not mail.defects and mail.get_content_type() == "multipart/report"
        assert mail.get_param("report-type") == "delivery-status"
        assert mail["To"] and home.user() in mail["To"] and "relay.example" in mail["From"]
        assert mail["Auto-Submitted"] and mail["Date"] and mail["Message-ID"] and mail["Subject"]
        text, status, original = mail.get_payload()
        assert text.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
        assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
        self.text = text.get_content()
        self.message, *self.recipients = status.get_payload()
        assert self.message["Reporting-MTA"] == "dns; relay.example"
        self.original = original.as_string()
        assert all(len(line) <= 998 for line in got.wire.split(b"\r\n"))


def test_refused_recipient_bounces_with_the_whole_reply(world, relay, send, home):
    domain = world.domain()
    reply = "550-5.1.1 The account does not exist.\r\n550-5.1.1 Please check\r\n550 5.1.1 the spelling"
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": reply}))
    send(domain.user(), sender=home.user())
    report = Report(home.host.wait_messages()[0], home)
    [recipient] = report.recipients
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Final-Recipient"] == f"rfc822; {domain.user()}"
    assert f"mx1.{domain}" in recipient["Remote-MTA"]
    diagnosis = " ".join(recipient["Diagnostic-Code"].split())
    assert diagnosis.startswith("smtp; 550")
    for line in ("The account does not exist.", "Please check", "the spelling"):
        assert line in diagnosis and line in report.text.replace("\n", " ")
    assert "Subject: hello" in report.original
    relay.wait_empty()
    assert relay.wait_delivery(domain.name)["result"] == "bounced"


def test_one_refused_of_many(world, relay, send, home):
    domain = world.domain()
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": by_recipient({domain.user("gone"): "550 5.1.1 no such user"})}))
    send([domain.user("ann"), domain.user("gone"), domain.user("eve")], sender=home.user())
    assert sorted(host.wait_messages()[0].rcpt_to) == [domain.user("ann").encode(), domain.user("eve").encode()]
    report = Report(home.host.wait_messages()[0], home)
    assert [r["Final-Recipient"] for r in report.recipients] == [f"rfc822; {domain.user('gone')}"]
    relay.wait_empty()


@pytest.mark.parametrize("stage, reply, status", [
    ("MAIL", "550 5.7.1 not from you", "5.7.1"), ("RCPT", "553 no enhanced code", "5."), ("DATA", "554 5.6.0 no", "5.6.0"),
    (".", "554 5.7.1 spam", "5.7.1"), (".", "552 5.3.4 too big", "5.3.4")])
def test_permanent_refusal_bounces(world, relay, send, home, stage, reply, status):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={stage: reply}))
    send(domain.user(), sender=home.user())
    report = Report(home.host.wait_messages()[0], home)
    assert report.recipients[0]["Status"].startswith(status) and reply[4:] in report.recipients[0]["Diagnostic-Code"]
    relay.wait_empty()


def test_permanent_greeting_of_one_host_is_not_the_end(world, relay, send):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": Close("554 5.3.2 not here")}), preference=5)
    good = domain.mx(label="good", preference=10)
    send(domain.user())
    good.wait_messages()


def test_bounce_of_a_bounce_is_dropped_and_logged(world, relay, send):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "550 5.1.1 no such user"}))
    queue_id = send(domain.user(), sender="")
    event = relay.wait_delivery(domain.name, result="bounced")
    assert event["id"] == queue_id
    relay.wait_empty()
    assert len(relay.deliveries()) == 1


def test_bounce_that_cannot_be_delivered_is_dropped(world, relay, send):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "550 5.1.1 no such user"}))
    send(domain.user(), sender=domain.user("sender"))
    relay.wait_delivery(domain.name, result="bounced", count=2)
    relay.wait_empty()


def test_expired_mail_bounces_naming_the_policy(world, start_relay, home):
    relay = start_relay(delivery={"expire": "3s", "delay_notice": "1h"})
    domain = world.domain().policy()
    host = domain.mx(world.honest("other.example"))
    submit(relay.address, domain.user(), sender=home.user())
    report = Report(home.host.wait_messages(timeout=30)[0], home)
    [recipient] = report.recipients
    assert recipient["Action"] == "failed" and recipient["Status"][0] in "45"
    for word in ("MTA-STS", host.name, "other.example"):
        assert word in report.text, report.text
    relay.wait_empty()
    assert not host.messages


def test_expired_mail_bounces_naming_the_last_reply(world, start_relay, home):
    relay = start_relay(delivery={"expire": "3s", "delay_notice": "1h"})
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "450 4.2.1 mailbox busy"}))
    submit(relay.address, domain.user(), sender=home.user())
    report = Report(home.host.wait_messages(timeout=30)[0], home)
    assert "450 4.2.1 mailbox busy" in report.recipients[0]["Diagnostic-Code"]
    relay.wait_empty()


def test_delay_notice_once_and_then_delivery(world, start_relay, home):
    relay = start_relay(delivery={"delay_notice": "2s"})
    domain = world.domain().policy()
    host = domain.mx(world.honest("other.example"))
    submit(relay.address, domain.user(), sender=home.user())
    report = Report(home.host.wait_messages(timeout=30)[0], home)
    [recipient] = report.recipients
    assert recipient["Action"] == "delayed" and recipient["Status"].startswith("4.") and recipient["Will-Retry-Until"]
    assert "MTA-STS" in report.text and host.name in report.text
    host.behaviour = world.honest(host.name)
    host.wait_messages(timeout=30)
    relay.wait_empty()
    assert len(home.host.messages) == 1


def test_no_delay_notice_for_the_null_sender(world, start_relay):
    relay = start_relay(delivery={"delay_notice": "1s"})
    domain = world.domain().policy()
    host = domain.mx(world.honest("other.example"))
    submit(relay.address, domain.user(), sender="")
    relay.wait_held(domain.name, 3)
    assert len(relay.queued()) == 1
    host.behaviour = world.honest(host.name)
    host.wait_messages()


def test_bounce_of_a_long_and_eight_bit_message(world, relay, send, home):
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={".": "550 5.7.1 no"}))
    data = message(body="gr\u00fc\u00dfe\r\n" * 40000, headers="X-Long: " + "y" * 900 + "\r\n")
    send(domain.user(), data, sender=home.user(), args=" BODY=8BITMIME")
    got = home.host.wait_messages()[0]
    assert Report(got, home).recipients[0]["Status"] == "5.7.1"
    assert len(got.data) < len(data) + 20000
