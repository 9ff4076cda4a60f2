"""What `strictpost report read|lint|txt` says to who gets reports, and to who writes them."""

import base64
import email.message
import email.mime.multipart
import gzip
import json
import os
import pty
import subprocess

import pytest

from conftest import BINARY
from lab.relay import ENVIRONMENT

REPORT = {
    "organization-name": "Sender Inc.",
    "date-range": {"start-datetime": "2026-11-21T00:00:00Z", "end-datetime": "2026-11-21T23:59:59Z"},
    "contact-info": "tls@sender.example", "report-id": "r1",
    "policies": [{
        "policy": {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: enforce", "mx: mx.d.example"], "policy-domain": "d.example",
                   "mx-host": ["mx.d.example"]},
        "summary": {"total-successful-session-count": 90, "total-failure-session-count": 10},
        "failure-details": [
            {"result-type": "starttls-not-supported", "sending-mta-ip": "192.0.2.1", "receiving-mx-hostname": "mx.d.example", "failed-session-count": 3},
            {"result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1", "receiving-mx-hostname": "mx.d.example",
             "receiving-ip": "2001:db8::1", "failed-session-count": 7}]}]}
TEXT = json.dumps(REPORT).encode()


def mail(**changes):
    """The mail after RFC 8460 5.3, made by Python's email package."""
    fields = {"TLS-Report-Domain": "d.example", "TLS-Report-Submitter": "sender.example",
              "Subject": "Report Domain: d.example Submitter: sender.example Report-ID: <r1@sender.example>",
              "DKIM-Signature": "v=1; d=sender.example; h=From:TLS-Report-Domain:TLS-Report-Submitter; b=x", "From": "tls@sender.example"} | changes
    whole = email.mime.multipart.MIMEMultipart("report", **{"report-type": "tlsrpt"})
    for name, value in fields.items():
        if value is not None:
            whole[name] = value
    people, data = email.message.Message(), email.message.Message()
    people["Content-Type"] = "text/plain"
    people.set_payload("A report.\n")
    data["Content-Type"] = "application/tlsrpt+gzip"
    data["Content-Transfer-Encoding"] = "base64"
    data.add_header("Content-Disposition", "attachment", filename="sender.example!d.example!1795219200!1795305599!r1.json.gz")
    data.set_payload(base64.encodebytes(gzip.compress(TEXT)).decode())
    whole.attach(people)
    whole.attach(data)
    return whole.as_bytes()


def run(*arguments, stdin=b"", **environment):
    done = subprocess.run([BINARY, "report", *arguments], input=stdin, capture_output=True, timeout=60, env={**os.environ, **ENVIRONMENT, **environment})
    assert "ERROR: AddressSanitizer" not in done.stderr.decode() and "runtime error" not in done.stderr.decode(), done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


FORMS = {"json": TEXT, "gzip": gzip.compress(TEXT), "mail": mail(), "mail-crlf": mail().replace(b"\n", b"\r\n"),
         "forwarded": b"Subject: Fwd\nContent-Type: message/rfc822\n\n" + mail()}


@pytest.mark.parametrize("form", FORMS)
def test_read_understands_every_form(form, tmp_path):
    path = tmp_path / "any-name"
    path.write_bytes(FORMS[form])
    status, out, err = run("read", "--json", str(path))
    assert (status, err, out.count("\n"), json.loads(out)) == (0, "", 1, REPORT)
    assert run("read", "--json", "-", stdin=FORMS[form]) == (0, out, "")


def test_read_as_a_table():
    status, out, err = run("read", "-", stdin=TEXT)
    assert (status, err) == (0, "")
    for part in ("TLS report of Sender Inc.\n", "Policy of d.example: sts\n", "100: 90 ok (90.0 %), 10 failed (10.0 %)", "mode: enforce\n",
                 "  starttls-not-supported\n    The MX host did not offer STARTTLS", "Renew it"):
        assert part in out
    rows = [line.split() for line in out.splitlines() if line[:1] == " " and line.split()[0] in ("7", "3")]
    assert [row[:2] for row in rows] == [["7", "certificate-expired"], ["3", "starttls-not-supported"]]
    assert "\033" not in out and max(map(len, out.splitlines())) <= 100
    assert max(map(len, run("read", "-", stdin=TEXT, COLUMNS="60")[1].splitlines())) <= 60


def test_read_of_several_files(tmp_path):
    paths = [str(tmp_path / name) for name in FORMS]
    for path, octets in zip(paths, FORMS.values()):
        with open(path, "wb") as file:
            file.write(octets)
    status, out, err = run("read", *paths)
    assert (status, err) == (0, "") and out.count("TLS report of") == len(paths) and all(f"{path}\n" in out for path in paths)
    (tmp_path / "none").write_text("hello\n")
    status, out, err = run("read", "--json", paths[0], str(tmp_path / "none"), paths[1])
    assert status == 1 and out.count("\n") == 2 and err == f"strictpost report read: {tmp_path}/none: this is neither JSON, nor gzip, nor a mail\n"
    status, out, err = run("read", str(tmp_path / "missing"), paths[0])
    assert status == 2 and "TLS report of" in out and "cannot read" in err


def test_read_of_a_zip_archive_is_refused_with_a_word():
    status, out, err = run("read", "-", stdin=b"PK\x03\x04" + bytes(50))
    assert (status, out) == (1, "") and "zip archive" in err and "unpack it" in err


def test_colour_on_a_terminal_only_and_nothing_of_the_sender_in_it(tmp_path):
    path = tmp_path / "evil.json"
    path.write_text(json.dumps(REPORT | {"organization-name": "\033]0;x\007\u009b2J\u202eevil"}))
    ours, theirs = pty.openpty()
    environment = {**os.environ, **ENVIRONMENT, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    subprocess.run([BINARY, "report", "read", str(path)], stdout=theirs, timeout=60, env=environment, check=True)
    os.close(theirs)
    out = b""
    try:
        while part := os.read(ours, 65536):
            out += part
    except OSError:             # the other end is closed
        pass
    os.close(ours)
    text = out.decode()
    assert "\033[1mTLS report of ?]0;x??2J?evil\033[0m" in text and "\033[31m10 failed" in text
    plain = text.replace("\033[1m", "").replace("\033[31m", "").replace("\033[0m", "")
    assert all(c in "\r\n" or c.isprintable() for c in plain)


def test_lint():
    assert run("lint", "-", stdin=TEXT) == (0, "standard input: valid\n", "")
    assert json.loads(run("lint", "--json", "-", stdin=mail())[1]) == {"valid": True, "errors": [], "warnings": []}
    changed = json.loads(TEXT)
    changed["policies"][0]["summary"]["total-failure-session-count"] = "10"
    changed["policies"][0]["policy"]["mx-host"] = "mx.d.example"
    status, out, err = run("lint", "-", stdin=json.dumps(changed).encode())
    assert (status, err) == (1, "") and out.startswith("standard input: not valid: 1 error, 1 warning\n")
    assert "  error    policies[0].summary.total-failure-session-count: is a string, and must be a whole number (RFC 8460 4.4)\n" in out
    status, out, _ = run("lint", "--json", "-", stdin=json.dumps(changed).encode())
    answer = json.loads(out)
    assert status == 1 and out.count("\n") == 1 and not answer["valid"]
    assert [found["where"] for found in answer["errors"]] == ["policies[0].summary.total-failure-session-count"]
    assert set(answer["warnings"][0]) == {"where", "section", "text"}


@pytest.mark.parametrize("field, value, section", [
    ("DKIM-Signature", None, "RFC 8460 3"), ("TLS-Report-Domain", None, "RFC 8460 5.3"), ("TLS-Report-Submitter", "no name", "RFC 8460 5.3")])
def test_lint_of_a_mail(field, value, section):
    status, out, _ = run("lint", "--json", "-", stdin=mail(**{field: value}))
    [error] = json.loads(out)["errors"]
    assert (status, error["where"], error["section"]) == (1, field, section)


def test_what_cannot_be_read_beside_a_report_is_told():
    """In a mailbox with one broken mail the others are read, and the exit status tells."""
    box = b"".join(b"From a@b Sun Nov 22 00:00:00 2026\n" + m + b"\n" for m in (mail(), mail().replace(b"H4sI", b"H4sJ"), mail()))
    status, out, err = run("read", "--json", "-", stdin=box)
    assert (status, out.count("\n")) == (1, 2) and err == "strictpost report read: standard input: the gzip data cannot be unpacked: this is not gzip, or it is damaged\n"
    status, out, err = run("lint", "-", stdin=box)
    assert (status, err) == (1, "") and "  error    the gzip data cannot be unpacked: this is not gzip, or it is damaged\n" in out


def test_lint_of_several_reports_in_a_file_tells_of_which():
    bad = mail().replace(b"TLS-Report-Domain: d.example", b"TLS-Report-Domain: x y")
    box = b"".join(b"From a@b Sun Nov 22 00:00:00 2026\n" + m + b"\n" for m in (bad, mail(), bad))
    assert [e["where"] for e in json.loads(run("lint", "--json", "-", stdin=box)[1])["errors"]] == ["TLS-Report-Domain", "report 3: TLS-Report-Domain"]


def test_lint_of_what_is_no_report():
    status, out, err = run("lint", "-", stdin=b"hello")
    assert (status, err) == (1, "") and "neither JSON, nor gzip, nor a mail" in out
    assert run("lint", "/nonexistent")[0] == 2 and run("lint")[0] == 2 and run("lint", "-", "-")[0] == 2


def test_lint_of_very_many_faults_stays_short():
    changed = json.loads(TEXT)
    changed["policies"][0]["failure-details"] = [{}] * 10000
    status, out, _ = run("lint", "-", stdin=json.dumps(changed).encode())
    assert status == 1 and out.count("\n") < 1000 and "error    ... and 19800 more\n" in out


def test_txt():
    record = "v=TLSRPTv1; rua=mailto:a@d.example,https://d.example/x"
    assert json.loads(run("txt", "--json", "v=spf1 -all", record)[1]) == {"valid": True, "rua": ["mailto:a@d.example", "https://d.example/x"]}
    assert run("txt", record) == (0, "_smtp._tls: valid\n  rua      mailto:a@d.example\n  rua      https://d.example/x\n", "")
    status, out, _ = run("txt", f"{record},b@d.example")
    assert status == 0 and "  skipped: 'b@d.example' has no scheme" in out
    assert len(json.loads(run("txt", "--json", f"{record},b@d.example")[1])["skipped"]) == 1


@pytest.mark.parametrize("records", [["v=spf1 -all"], ["v=TLSRPTv1; rua=mailto:a@d.example"] * 2, ["v=TLSRPTv1;"], ["v=TLSRPTv1; rua=a@d.example"]])
def test_txt_says_what_is_wrong(records):
    status, out, err = run("txt", "--json", *records)
    answer = json.loads(out)
    assert (status, err, answer["valid"], set(answer)) == (1, "", False, {"valid", "error"})
    assert run("txt", *records) == (1, f"_smtp._tls: not valid: {answer['error']}\n", "")


def test_usage():
    for arguments in ((), ("nonsense",), ("read",), ("txt",), ("read", "--nonsense", "x")):
        assert run(*arguments)[0] == 2
    assert "there is no verb 'nonsense'" in run("nonsense")[2]
    for arguments in (("--help",), ("read", "--help"), ("lint", "--help"), ("txt", "--help")):
        status, out, err = run(*arguments)
        assert status == 0 and err == "" and out.startswith("usage: strictpost report ")
