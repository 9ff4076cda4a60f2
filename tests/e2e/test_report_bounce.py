"""Bounces of mailed reports: they come to report.contact, and the address they tell of gets no report for a while."""

import contextlib
import pathlib
import sqlite3
import time

import pytest

from lab.client import Client, queue_id

DAYS_30 = 30 * 86400
REPORT_ID = "20261121T010203.0123456789abcdef@submitter.example"


def notification(recipient, action="failed", status="5.1.1", before="", fields="", report_type="delivery-status", report_id=REPORT_ID):
    """A DSN of another system, as it would come."""
    return (f"From: MAILER-DAEMON@mx.there.example\r\nTo: contact\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n"
            f"Content-Type: multipart/report; report-type={report_type};\r\n\tboundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\n"
            f"It came to nothing.\r\n{before}\r\n--=_b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.there.example\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\n{fields}Action: {action}\r\nStatus: {status}\r\n"
            f"Diagnostic-Code: smtp; 550 5.1.1 no such\r\n user here\r\n\r\n--=_b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: Report Domain: there.example\r\n Report-ID: <{report_id}>\r\n\r\n--=_b--\r\n").encode()


def remember_mailed(relay, address, age_s=3600):
    """As if a report had been mailed there. The relay is at rest."""
    mailed = int(time.time()) - age_s
    with contextlib.closing(sqlite3.connect(f"{relay.config['state_dir']}/spool.db")) as db, db:
        db.execute("INSERT INTO rpt_endpoint (day, domain, uri, state, at, message, text, address, mailed) VALUES (?, ?, ?, 'delivered', ?, 7, '', ?, ?)",
                   (mailed // 86400 - 1, "there.example", f"mailto:{address}", mailed, address, mailed))
        db.execute("INSERT INTO rpt_report (day, domain, state, begun, report_id, due, expires, attempts, text)"
                   " VALUES (?, 'there.example', 'delivered', 1, ?, 0, 0, 1, '') ON CONFLICT DO NOTHING", (mailed // 86400 - 1, REPORT_ID))


def suppressed(relay):
    return {row["address"]: row for row in relay.query("SELECT * FROM rpt_suppressed")}


@pytest.fixture
def contact(world):
    """The submitter's domain, whose MX takes what we relay: (domain, host)."""
    domain = world.domain("submitter")
    return domain, domain.mx()


@pytest.fixture
def reporting(make_relay, contact):
    """A relay that has mailed reports to tls@there.example and old@there.example, to the latter long ago."""
    domain, _ = contact
    relay = make_relay(report={"submitter": str(domain), "contact": domain.user("TLS-Reports")}, limits={"inline_body": "8K"}).start()
    relay.stop()
    remember_mailed(relay, "tls@there.example")
    remember_mailed(relay, "Forwarded@there.example")
    remember_mailed(relay, "old@there.example", 8 * 86400)
    return relay.start()


def give(relay, data, *recipients, sender=""):
    with Client(relay.address) as client:
        client.hello()
        client.envelope(sender, recipients)
        return client.data(data)


def is_relayed(relay, contact, data, *recipients, sender=""):
    domain, host = contact
    before = len(host.messages)
    queue_id(give(relay, data, *(recipients or (domain.user("tls-reports"),)), sender=sender))
    host.wait_messages(before + 1)
    assert not suppressed(relay) and not relay.events(event="report-bounce")
    return True


def is_consumed(relay, contact, data):
    domain, host = contact
    code, text = give(relay, data, domain.user("tls-reports"))
    assert code == 250 and "queued" not in text
    assert not relay.queued() and not host.messages
    return True


def test_a_bounce_is_consumed(reporting, contact):
    """The address is suppressed when the 250 is said, through a crash too."""
    assert is_consumed(reporting, contact, notification("tls@there.example"))
    reporting.kill()
    row = suppressed(reporting)["tls@there.example"]
    assert row["until"] - row["since"] == DAYS_30 and abs(row["since"] - time.time()) < 60
    assert "5.1.1" in row["text"] and "no such user here" in row["text"]
    [event] = reporting.events(event="report-bounce")
    assert (event["address"], event["status"]) == ("tls@there.example", "5.1.1")
    assert not reporting.events(event="accepted")
    reporting.start()


def test_a_bounce_in_a_file_is_consumed(reporting, contact):
    """Nothing of it stays in the spool folder."""
    data = notification("tls@there.example", before="words\r\n" * 5000) + b"returned\r\n" * 200_000
    assert is_consumed(reporting, contact, data)
    assert "tls@there.example" in suppressed(reporting)
    reporting.stop()
    assert not any(path.is_file() for path in pathlib.Path(f"{reporting.config['state_dir']}/body").rglob("*"))
    reporting.start()


def test_what_was_written_to_counts_where_it_was_forwarded(reporting, contact):
    data = notification("somebody@else.example", fields="Original-Recipient: rfc822;Forwarded@There.Example\r\n")
    assert is_consumed(reporting, contact, data)
    assert list(suppressed(reporting)) == ["Forwarded@there.example"]


def test_the_contact_is_written_in_any_case(reporting, contact):
    domain, _ = contact
    code, text = give(reporting, notification("tls@there.example"), domain.user("tLS-rEPORTS").upper())
    assert code == 250 and "queued" not in text and suppressed(reporting)


def test_a_bounce_over_bdat_and_the_session_goes_on(reporting, contact):
    domain, host = contact
    data = notification("tls@there.example")
    with Client(reporting.address) as client:
        client.hello()
        client.send(f"MAIL FROM:<>\r\nRCPT TO:<{domain.user('tls-reports')}>\r\nBDAT {len(data)} LAST\r\n".encode() + data +
                    f"MAIL FROM:<>\r\nRCPT TO:<{domain.user('tls-reports')}>\r\nDATA\r\n".encode())
        assert [client.reply()[0] for _ in range(6)] == [250, 250, 250, 250, 250, 354]
        client.send(b"Subject: not a bounce\r\n\r\n.\r\n")
        queue_id(client.reply())
    assert len(host.wait_messages()) == 1 and suppressed(reporting)


RELAYED = {
    "about somebody else": notification("bob@there.example"),
    "about one of long ago": notification("old@there.example"),
    "delayed": notification("tls@there.example", action="delayed", status="4.4.1"),
    "delivered": notification("tls@there.example", action="delivered", status="2.0.0"),
    "failed for a time (4.y.z)": notification("tls@there.example", status="4.4.7"),
    "failed without a status": notification("tls@there.example", status="what"),
    "a local part in another case": notification("TLS@there.example"),
    "forged, without the id of the report": notification("tls@there.example", report_id="20261121T010203.ffffffffffffffff@submitter.example"),
    "a disposition notification": notification("tls@there.example", report_type="disposition-notification"),
    "a notification quoted in a text": b"Subject: look\r\n\r\n" + notification("tls@there.example"),
    "plain text": b"Subject: hello\r\n\r\nFinal-Recipient: rfc822; tls@there.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    "behind what is looked at": notification("tls@there.example", before="words\r\n" * 12_000),
    "nothing": b"",
}


@pytest.mark.parametrize("name", RELAYED)
def test_everything_else_is_relayed(reporting, contact, name):
    assert is_relayed(reporting, contact, RELAYED[name])


def test_a_bounce_to_somebody_else_is_relayed(reporting, contact):
    domain, _ = contact
    assert is_relayed(reporting, contact, notification("tls@there.example"), domain.user("bob"))


def test_a_bounce_to_two_is_relayed(reporting, contact):
    domain, _ = contact
    assert is_relayed(reporting, contact, notification("tls@there.example"), domain.user("tls-reports"), domain.user("bob"))


def test_a_bounce_with_a_sender_is_relayed(reporting, contact):
    """No notification has one (RFC 3464 2: the null sender): anybody may write such a text."""
    assert is_relayed(reporting, contact, notification("tls@there.example"), sender="eve@evil.example")


def test_without_reports_it_is_mail(reporting, contact):
    reporting.write_config(report={"enabled": False})
    reporting.restart()
    assert is_relayed(reporting, contact, notification("tls@there.example"))


def test_the_client_leaves_before_the_answer(reporting, contact):
    """It is taken note of all the same, and the relay lives."""
    domain, host = contact
    for _ in range(20):
        with Client(reporting.address) as client:
            client.hello()
            client.envelope("", [domain.user("tls-reports")])
            assert client.command("DATA")[0] == 354
            client.send(notification("tls@there.example", before="words\r\n" * 3000) + b".\r\n")
    reporting.wait_log("report-bounce")
    assert suppressed(reporting) and not host.messages
