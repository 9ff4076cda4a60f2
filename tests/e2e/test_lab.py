"""The laboratory itself: what the other tests rely on is so."""

import email.utils
import gzip
import http.client
import smtplib
import socket
import ssl
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from lab.behaviour import Close, Drop, Hang, Turns
from lab.client import Client, message, submit
from lab.oddhttps import answer, chunked, hang, raw, redirect
from lab.postfix import postfix_client, postfix_mx
from lab.tap import SERVFAIL, SILENCE, STRIP_AD, TRUNCATE


def ask(name, kind, server="127.0.0.1", timeout=5):
    query = dns.message.make_query(name, kind, want_dnssec=True)
    return dns.query.udp_with_fallback(query, server, timeout=timeout)[0]


def values(answer):
    return sorted(record.to_text() for rrset in answer.answer for record in rrset
                  if rrset.rdtype != dns.rdatatype.RRSIG)


def fetch(world, domain, address=None):
    """The policy as a careful client fetches it: (status, body)."""
    name = f"mta-sts.{domain}"
    context = ssl.create_default_context(cafile=world.ca.ca_file)
    context.hostname_checks_common_name = False
    sock = socket.create_connection((address or values(ask(name, "A"))[0], 443), 5)
    connection = http.client.HTTPSConnection(name, context=context)
    connection.sock = context.wrap_socket(sock, server_hostname=name)
    connection.request("GET", "/.well-known/mta-sts.txt")
    response = connection.getresponse()
    return response.status, response.read()


def test_records_change_at_once(world):
    domain = world.domain()
    assert ask(domain.name, "MX").rcode() == dns.rcode.NXDOMAIN
    domain.set_mx((10, "a.example"), (20, "b.example"))
    assert values(ask(domain.name, "MX")) == ["10 a.example.", "20 b.example."]
    domain.set_mx((30, "c.example"))
    assert values(ask(domain.name, "MX")) == ["30 c.example."]
    world.dns.remove(domain.name)
    assert ask(domain.name, "MX").rcode() == dns.rcode.NXDOMAIN


def test_signed_zone_is_authenticated_and_unsigned_is_not(world):
    for zone, secure in (("example", True), ("test", False)):
        domain = world.domain(zone=zone)
        domain.txt("v=STSv1; id=1;")
        answer = ask(f"_mta-sts.{domain}", "TXT")
        assert values(answer) == ['"v=STSv1; id=1;"']
        assert bool(answer.flags & dns.flags.AD) == secure


def test_faults_concern_one_name_and_type(world):
    domain = world.domain()
    domain.txt("v=STSv1; id=1;")
    name = f"_mta-sts.{domain}"
    world.tap.break_name(name, "TXT", SERVFAIL)
    assert ask(name, "TXT").rcode() == dns.rcode.SERVFAIL
    assert ask(name, "A").rcode() == dns.rcode.NOERROR
    world.tap.break_name(name, "TXT", STRIP_AD)
    assert not ask(name, "TXT").flags & dns.flags.AD
    world.tap.break_name(name, "TXT", TRUNCATE)
    assert values(ask(name, "TXT")) == ['"v=STSv1; id=1;"']
    world.tap.break_name(name, "TXT", SILENCE)
    with pytest.raises(dns.exception.Timeout):
        ask(name, "TXT", timeout=0.2)
    world.tap.mend(name)
    assert ask(name, "TXT").flags & dns.flags.AD
    assert world.tap.asked(name, "TXT") == 6


def test_policy_host_serves_each_domain_its_own(world):
    first, second = world.domain().policy(max_age=1), world.domain().policy(mode="none", mx=())
    assert fetch(world, first) == (200, f"version: STSv1\r\nmode: enforce\r\nmx: mx1.{first}\r\nmax_age: 1\r\n".encode())
    assert fetch(world, second) == (200, b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n")
    first.policy(text=None, mode="testing")
    assert b"mode: testing" in fetch(world, first)[1]
    world.policy_host.serve(first.name, None)
    assert fetch(world, first)[0] == 404


@pytest.mark.parametrize("kind, complaint", [
    ("expired", "certificate has expired"), ("not_yet_valid", "not yet valid"), ("self_signed", "self-signed"),
    ("without_intermediate", "unable to get local issuer"), ("for_clients_only", "unsuitable certificate purpose"),
    ("cn_only", "Hostname mismatch"), ("other name", "Hostname mismatch"), ("other ca", "unable to get local issuer"),
])
def test_bad_certificates_are_bad(world, kind, complaint):
    domain = world.domain()
    name = f"mta-sts.{domain}"
    make = {"other name": lambda n: world.ca.good("other.example"), "other ca": lambda n: world.other_ca.good(n)}
    certificate = make.get(kind, getattr(world.ca, kind, None))(name)
    domain.policy(certificate=certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
        fetch(world, domain)


def test_odd_https_does_as_told(world):
    domain = world.domain().odd_policy(chunked(b"version: STSv1\r\n"))
    assert fetch(world, domain) == (200, b"version: STSv1\r\n")
    domain.odd_policy(answer(b"no", "500 Oops", version="HTTP/1.0", length=False))
    assert fetch(world, domain) == (500, b"no")
    assert world.odd_host.asked(domain.name) == 2


def post(world, host, path, report):
    """Posts a report as the relay does; the status."""
    context = ssl.create_default_context(cafile=world.ca.ca_file)
    sock = socket.create_connection((values(ask(host, "A"))[0], 443), 5)
    connection = http.client.HTTPSConnection(host, context=context)
    connection.sock = context.wrap_socket(sock, server_hostname=host)
    connection.sock.settimeout(0.3)
    connection.request("POST", path, gzip.compress(report), {"Content-Type": "application/tlsrpt+gzip"})
    return connection.getresponse().status


def test_report_sink_keeps_what_is_posted_and_answers_as_told(world):
    domain = world.domain().tlsrpt()
    assert values(ask(f"_smtp._tls.{domain}", "TXT")) == [f'"v=TLSRPTv1; rua=https://reports.example/{domain}"']
    sink, path = world.report_sink, f"/{domain}"
    assert post(world, "reports.example", path, b'{"a": 1}') == 201
    [got] = sink.wait_posts(path=path)
    assert (got.host, got.method, got.headers["content-type"]) == ("reports.example", "POST", "application/tlsrpt+gzip")
    assert domain.reports() == [{"a": 1}]
    sink.script(path, answer(b"no", "500 Oops"), redirect("https://reports.example/there"), raw(b""), hang())
    assert post(world, "reports.example", path, b"2") == 500
    assert post(world, "reports.example", path, b"3") == 301
    with pytest.raises((http.client.RemoteDisconnected, ssl.SSLEOFError)):
        post(world, "reports.example", path, b"4")
    with pytest.raises(socket.timeout):
        post(world, "reports.example", path, b"5")
    assert domain.reports() == [{"a": 1}, 2, 3, 4, 5]
    assert sink.posted("/there") == []
    world.report_host("bad.example", world.ca.expired("bad.example"))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        post(world, "bad.example", path, b"6")


def smtp(world, host):
    """A verified STARTTLS session with the scripted host."""
    context = ssl.create_default_context(cafile=world.ca.ca_file)
    client = smtplib.SMTP(host.addresses[0], 25, local_hostname="client.example", timeout=5)
    client._host = host.name
    client.starttls(context=context)
    return client


def test_mx_records_every_byte(world):
    domain = world.domain()
    host = domain.mx()
    data = b"Subject: dots\r\n\r\n.\r\n..two\r\n.x\r\nend\r\n"
    with smtp(world, host) as client:
        client.sendmail("ann@sender.example", [domain.user(), domain.user("eve")], data, ["BODY=8BITMIME"])
    [got] = host.wait_messages()
    assert (got.mail_from, got.mail_args) == (b"ann@sender.example", b"size=%d BODY=8BITMIME" % len(data))
    assert got.rcpt_to == [domain.user().encode(), domain.user("eve").encode()]
    assert got.data == data
    assert got.wire == b"Subject: dots\r\n\r\n..\r\n...two\r\n..x\r\nend\r\n"
    assert (got.tls.version, got.tls.sni, got.reply) == ("TLSv1.3", host.name, "250 2.0.0 taken")
    [session] = host.wait_sessions()
    assert session.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert [under_tls for _, under_tls in session.commands] == [False, False] + [True] * 6


def test_mx_takes_bdat(world):
    host = world.domain().mx(world.honest("x.example").but(keywords=("CHUNKING",)))
    with Client((host.addresses[0], 25)) as client:
        client.hello()
        client.envelope("", ["bob@x.example"])
        client.send(b"BDAT 7\r\nA: b\r\n\rBDAT 6 LAST\r\n\nx\r\n.\r")
        assert [client.reply()[0], client.reply()[0]] == [250, 250]
    [got] = host.wait_messages()
    assert (got.data, got.mail_from) == (b"A: b\r\n\r\nx\r\n.\r", b"")


def test_mx_misbehaves_as_described(world):
    host = world.domain().mx(world.honest("x.example").but(
        on={"MAIL": Turns("451 4.3.0 not now", Close("421 4.3.2 bye")), "RSET": Drop(), "NOOP": Hang()}))
    with Client((host.addresses[0], 25), timeout=0.3) as client:
        client.hello()
        assert client.command("MAIL FROM:<>") == (451, "4.3.0 not now")
        assert client.command("MAIL FROM:<>") == (421, "4.3.2 bye")
        assert client.ended()
    with Client((host.addresses[0], 25), timeout=0.3) as client:
        assert client.command("RSET") == (0, "")
    with Client((host.addresses[0], 25), timeout=0.3) as client:
        with pytest.raises(socket.timeout):
            client.command("NOOP")


def test_postfix_delivers_to_postfix_and_to_the_scripted_mx(world, lab_dir):
    """One Postfix hands mail to the other as its relayhost stands in for the relay in the other tests."""
    domain = world.domain()
    address = world.address()
    world.set_addresses(f"mx1.{domain}", [address])
    mx = world.keep(postfix_mx(f"{lab_dir}/postfix-lab-mx", f"mx1.{domain}", address,
                               world.ca.good(f"mx1.{domain}"), [domain.name]))
    client = world.keep(postfix_client(f"{lab_dir}/postfix-lab-client", "client.example", world.address(), address, 25))
    with smtplib.SMTP(client.address, 25, local_hostname="a.example") as smtp_client:
        smtp_client.sendmail("ann@sender.example", [domain.user()], message())
    [got] = mx.wait_messages()
    assert b"Subject: hello" in got and b"using TLSv1.3" in got
    client.wait_log("status=sent")
    assert client.queue() == []


def test_relay_has_a_clock_of_its_own(world, make_plain):
    """Set before it starts and again while it runs; what it waits for takes as long as ever."""
    relay = make_plain()
    domain = world.domain().policy()
    host = domain.mx()
    noon = time.time() // 86400 * 86400 + 86400 + 43200
    relay.set_clock(noon)
    relay.start()
    for number, moment in enumerate((noon, noon + 20 * 86400)):
        relay.set_clock(moment)
        submit(relay.address, domain.user())
        received = host.wait_messages(number + 1)[number].data.split(b"\r\n\r\n")[0].split(b";")[1].strip()
        stamped = email.utils.parsedate_to_datetime(received.split(b"\r\n")[0].decode()).timestamp()
        assert 0 <= stamped - moment < 10, received
    assert abs(relay.clock() - (noon + 20 * 86400)) < 10
