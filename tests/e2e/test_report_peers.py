"""Reports with peers that are not ours: Postfix keeps the mailed ones, nginx takes the others, DNS answers in its odd ways."""

import dataclasses
import email
import glob
import gzip
import json
import os
import random
import smtplib
import threading
import time

import dkim
import pytest

from lab.behaviour import Raw
from lab.client import message, submit
from lab.inside import mount
from lab.oddhttps import answer, endless, raw, redirect, slow
from lab.postfix import postfix_client, postfix_mx
from lab.process import Process, wait_until
from lab.tap import REFUSED, SILENCE, TRUNCATE
from reports import SETTINGS, at, lint, seen, tomorrow
from test_report_send import day_text, key, sender, today     # noqa: F401 (key and sender are fixtures)

NGINX = """
user root;
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log {dir}/access.log combined;
    client_body_temp_path {dir}/bodies;
    proxy_temp_path {dir}/tmp;
    fastcgi_temp_path {dir}/tmp;
    uwsgi_temp_path {dir}/tmp;
    scgi_temp_path {dir}/tmp;
    server {{
        listen {plain}:8080;
        return 201;
    }}
    {servers}
}}
"""

SERVER = """
    server {{
        listen {address}:443 ssl{listen};
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        {more}
        keepalive_timeout 300s;
        location /kept {{ client_body_in_file_only on; proxy_pass http://{plain}:8080; }}
        location /413 {{ client_max_body_size 1; return 201; }}
        location /308 {{ return 308 https://$host/308; }}
        location /500 {{ return 500; }}
        location /chunked {{ ssi on; ssi_types *; return 200 "thank you"; }}
        location /204 {{ return 204; }}
        location /closes {{ return 444; }}
    }}
"""


@dataclasses.dataclass
class Nginx:
    """The kinds of hosts there are, by name; what came to /kept of any of them is in files."""
    folder: str
    addresses: dict

    def bodies(self):
        return [open(path, "rb").read() for path in glob.glob(f"{self.folder}/bodies/*")]


KINDS = {"modern": ("", ""), "tls12": ("", "ssl_protocols TLSv1.2;"), "h2": (" http2", ""), "expired": ("", ""),
         "asks": ("", "ssl_verify_client optional; ssl_client_certificate {ca};"),
         "unchunked": ("", "chunked_transfer_encoding off;")}


@pytest.fixture(scope="module")
def nginx(world, lab_dir):
    """nginx as the endpoint of reports: KIND-nginx.example for each kind."""
    folder = f"{lab_dir}/report-nginx"
    for sub in ("bodies", "tmp"):
        os.makedirs(f"{folder}/{sub}")
    plain, servers, addresses = world.address(), "", {}
    for kind, (listen, more) in KINDS.items():
        name, address = f"{kind}-nginx.example", world.address()
        certificate = world.ca.expired(name) if kind == "expired" else world.ca.good(name)
        world.set_addresses(name, [address])
        addresses[name] = address
        servers += SERVER.format(address=address, listen=listen, more=more.format(ca=world.ca.ca_file), pem=certificate.pem_file, plain=plain)
    with open(f"{folder}/nginx.conf", "w", encoding="ascii") as file:
        file.write(NGINX.format(dir=folder, plain=plain, servers=servers))
    process = Process(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"], f"{folder}/nginx.log")
    process.ready(lambda: os.path.exists(f"{folder}/nginx.pid"))
    yield Nginx(folder, addresses)
    process.stop()


def asked(world, sender, *uris):
    """A domain with sessions of yesterday, whose reports go there."""
    return sender.count(world.domain()).tlsrpt(f"v=TLSRPTv1; rua={','.join(uris)}")


# Postfix.

@pytest.fixture(scope="module")
def postfix_inbox(world, lab_dir):
    """A domain whose mail, the reports it gets too, is kept by a Postfix."""
    domain, address = world.domain("inbox"), world.address()
    name = f"mx1.{domain}"
    world.set_addresses(name, [address])
    domain.set_mx((10, name))
    domain.host = postfix_mx(f"{lab_dir}/postfix-inbox", name, address, world.ca.good(name), [domain.name])
    yield domain
    domain.host.stop()


@pytest.fixture(scope="module")
def postfix_client_of_relay(world, lab_dir):
    """A Postfix that hands its mail to the relay."""
    postfix = postfix_client(f"{lab_dir}/postfix-signed", "client.example", world.address(), "127.0.0.1", 2525)
    yield postfix
    postfix.stop()


def test_report_mailed_through_postfix_arrives_as_sent(world, sender, key, postfix_inbox):
    domain = asked(world, sender, f"mailto:{postfix_inbox.user('tlsrpt')}")
    sender.relay.start()
    sender.send()
    row = sender.wait_state(domain, "delivered")
    [got] = postfix_inbox.host.wait_messages()
    assert dkim.DKIM(got).verify(dnsfunc=key.look_up)
    mail = email.message_from_bytes(got)
    assert not mail.defects and not any(part.defects for part in mail.walk())
    part = next(p for p in mail.walk() if p.get_content_type() == "application/tlsrpt+gzip")
    assert json.loads(gzip.decompress(part.get_payload(decode=True)))["report-id"] == row["report_id"]
    assert not lint(sender.relay, got, sender.relay.folder)


def test_mail_of_a_postfix_is_signed_on_its_way_and_verifies_at_another(sender, key, postfix_inbox, postfix_client_of_relay):
    sender.relay.start()
    before = len(postfix_inbox.host.messages())
    body = "First.\r\n.dot\r\n" + "blank behind \t \r\n" + "\r\n" * 3 + "x" * 900 + "\r\n" * 4
    with smtplib.SMTP(postfix_client_of_relay.address, 25, local_hostname="app.example") as client:
        client.sendmail("ann@relay.example", postfix_inbox.user(),
                        "From: Ann <ann@relay.example>\r\nTo: bob:;\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\r\n" + body)
    got = postfix_inbox.host.wait_messages(before + 1)[-1]
    assert b"d=relay.example" in got and dkim.DKIM(got).verify(dnsfunc=key.look_up)


# nginx.

@pytest.mark.parametrize("kind", KINDS)
def test_report_posted_to_nginx_is_taken_whole(world, sender, nginx, kind):
    domain = asked(world, sender, f"https://{kind}-nginx.example/kept")
    results, _ = sender.send()
    [endpoint] = results[str(domain)]["endpoints"]
    assert endpoint["state"] == "delivered" and endpoint["text"].startswith("HTTP status 201")
    assert ("certificate" in endpoint["text"]) == (kind == "expired")
    assert results[str(domain)]["report_id"] in [json.loads(gzip.decompress(body))["report-id"] for body in nginx.bodies()]


@pytest.mark.parametrize("path, state, text", [("413", "failed", "HTTP status 413"), ("308", "failed", "HTTP status 308; redirects are not followed"),
                                               ("500", "failed", "HTTP status 500"), ("chunked", "delivered", "HTTP status 200"),
                                               ("204", "delivered", "HTTP status 204"),
                                               ("closes", "failed", "{address}:443 ended the connection without closing TLS")])
def test_answers_of_nginx(world, sender, nginx, path, state, text):
    domain = asked(world, sender, *(f"https://{kind}-nginx.example/{path}" for kind in KINDS))
    results, _ = sender.send(status=0 if state == "delivered" else 1)
    assert len(results[str(domain)]["endpoints"]) == len(KINDS)
    for endpoint in results[str(domain)]["endpoints"]:
        address = nginx.addresses[endpoint["uri"].split("/")[2]]
        assert (endpoint["state"], endpoint["text"].partition("; certificate")[0]) == (state, text.format(address=address)), endpoint


# Endpoints that nobody would want.

CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize("how, state", [
    (raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + CREATED + b"Content-Length: 0\r\n\r\n"), "delivered"),
    (raw(b"HTTP/1.1 100 Continue\r\n\r\n" + CREATED + b"Content-Length: 0\r\n\r\n"), "delivered"),
    (raw(b"HTTP/1.0 201 Created\r\n\r\nok"), "delivered"),
    (raw(CREATED + b"Content-Length: 10000000\r\n\r\n" + b"x" * 10000000), "delivered"),
    (endless(), "delivered"),
    (redirect("https://reports.example/itself", "307 Temporary Redirect"), "open"),
    (raw(b""), "open"),
    (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "open"),
    (raw(b"HTTP/1.1 201 " + b"x" * 100000 + b"\r\n\r\n"), "open"),
    (raw(b"HTTP/1.1 99999 No\r\n\r\n"), "open"),
    (raw(b"HTTP/1.1 201 Cre\0\x1b[31mated\r\nContent-Length: 0\r\n\r\n"), None),
], ids=["103", "100", "http-1.0", "10-megabytes", "endless", "redirects-to-itself", "closes", "ssh", "long-reason", "no-status", "control-characters"])
def test_odd_answers_of_an_endpoint(world, sender, how, state):
    domain = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", how)
    began = time.monotonic()
    done = sender.relay.command("report", "send")
    assert done.returncode in (0, 1) and time.monotonic() - began < 20 and "\x1b" not in done.stdout + done.stderr
    print(done.stdout, done.stderr)
    assert state in (None, sender.row(domain)["state"]), sender.row(domain)
    assert len(domain.reports()) == 1


# DNS.

def test_record_of_several_strings_truncated_behind_a_cname(world, sender):
    domain, other = sender.count(world.domain()), world.domain()
    uri = f"{world.report_host()}/{domain}"
    filler = ";".join(f"x{n}={'y' * 200}" for n in range(4))
    text = f"v=TLSRPTv1; rua={uri};{filler}"
    other.tlsrpt([text[:7], *(text[i:i + 250] for i in range(7, len(text), 250))])
    world.dns.replace(f"_smtp._tls.{domain}", "CNAME", [f"_smtp._tls.{other}."])
    world.tap.break_name(f"_smtp._tls.{domain}", "TXT", TRUNCATE)
    results, _ = sender.send()
    assert results[str(domain)]["state"] == "delivered" and len(domain.reports()) == 1


@pytest.mark.parametrize("fault", [SILENCE, REFUSED])
def test_resolver_that_dies_during_the_send_costs_nothing(world, sender, fault):
    sender.relay.write_config(resolver={"timeout": "250ms"})
    domains = [sender.count(world.domain().tlsrpt()) for _ in range(5)]
    world.tap.break_name("*", "ANY", fault)
    _, summary = sender.send(status=1)
    assert summary["open"] == 5
    world.tap.mend()
    assert sender.send()[1]["delivered"] == 5 and all(len(domain.reports()) == 1 for domain in domains)


def test_second_run_without_a_relay_is_not_told_to_start_or_mend_one(world, sender):
    domain = sender.count(world.domain().tlsrpt())
    world.report_sink.script(f"/{domain}", slow(3, answer(status="201 Created")))
    first = threading.Thread(target=sender.send)
    first.start()
    world.report_sink.wait_posts(path=f"/{domain}")
    told = sender.relay.command("report", "send").stderr
    first.join()
    assert "in use" in told and "try again" in told and "strictpost run" not in told
    assert len(domain.reports()) == 1


# MX hosts that would like to be read.

HOSTILE = {"terminal": '\x1b]0;x\x07"\\\x7f', "markup": '"</td><script>alert(1)</script>&amp;', "ten-kilobytes": "A" * 10000,
           "json": '\\u0000\\"}]},{"', "format": "%s%n%d" * 50, "sql": "'; DROP TABLE rpt_policy;--", "utf-8": "\u202e\ufffd\xff"}


def test_names_that_hosts_give_themselves_reach_reports_in_printable_form(world, start_relay):
    relay, domains = start_relay(report=SETTINGS), []
    for word in HOSTILE.values():
        banner = f"220 {word}".replace("{", "{{").replace("}", "}}")
        for change in ({"banner": banner, "starttls": False}, {"on": {"STARTTLS": Raw(f"454 {word}\r\n".encode())}},
                       {"certificate": world.ca.issue([], common_name=word[:60])}):
            domain = world.domain().policy("testing").tlsrpt()
            domain.mx(world.honest(f"mx1.{domain}").but(**change))
            domains.append(domain)
    for domain in domains:
        submit(relay.address, domain.user())
    silent = domains[3 * list(HOSTILE).index("ten-kilobytes")]          # there is no session without a greeting
    wait_until(lambda: len(relay.query("SELECT DISTINCT domain FROM rpt_policy")) == len(domains) - 1, 20, "a session with each is counted")
    relay.command("report", "send", "--day", day_text(today()))
    assert not silent.reports()
    for domain in set(domains) - {silent}:
        [report] = domain.reports()
        text = json.dumps(report, ensure_ascii=False)
        assert text.isascii() and text.isprintable() and len(text) < 2000, text
        assert report["policies"][0]["summary"]["total-failure-session-count"] > 0
        assert not lint(relay, json.dumps(report), relay.folder)
        shown = relay.command("report", "show", str(domain))
        assert shown.returncode == 0 and shown.stdout.replace("\n", "").isprintable(), shown
    assert "\x1b" not in relay.log_text()


# What befalls the relay.

def test_killed_at_random_moments_of_a_send_it_delivers_each_report_and_none_that_was_taken_again(world, sender):
    domains = [sender.count(world.domain().tlsrpt(), due=int(time.time()) + 36000) for _ in range(60)]
    for domain in domains[::4]:
        world.report_sink.script(f"/{domain}", slow(0.5, answer(status="201 Created")))
    world.report_sink.script(f"/{domains[1]}", slow(5, answer(status="201 Created")))           # one that no kill is too late for
    rng, taken = random.Random(20261122), {}
    sender.relay.expect_failure = True
    for turn in range(30):
        if turn >= 6 and taken:         # on a slow machine the first kills come before anything was sent
            break
        sender.relay.start()
        run = threading.Thread(target=sender.relay.command, args=("report", "send"))
        run.start()
        time.sleep(rng.uniform(0.02, 0.2) * (1 + turn / 6))
        sender.relay.kill()
        run.join()
        for row in sender.relay.query("SELECT domain FROM rpt_endpoint WHERE state = 'delivered'"):
            taken.setdefault(row["domain"], len(world.report_sink.posted(f"/{row['domain']}")))
    left = sender.relay.query("SELECT domain FROM rpt_report WHERE state = 'open'")         # one that was taken may be: its end is noted after its endpoint's
    assert len(domains) > len(left) >= len(domains) - len(taken) > 0
    assert sender.send()[1]["done"] == len(left)
    assert all(row["state"] == "delivered" for row in sender.list())
    assert {name: len(world.report_sink.posted(f"/{name}")) for name in taken} == taken
    for domain in domains:
        assert len({report["report-id"] for report in domain.reports()}) == 1


def test_full_disk_loses_no_count_and_no_report(world, lab_dir, make_relay):
    folder = f"{lab_dir}/full-disk"
    os.makedirs(folder)
    mount("full", folder, "tmpfs", data="size=12m,mode=0700")
    relay = make_relay(state_dir=folder, report=SETTINGS, delivery={"messages_per_session": 1}).start()
    domain, refused = world.domain().tlsrpt(), world.domain().policy().tlsrpt()
    host, bad = domain.mx(), refused.mx(world.honest("other.example"))
    for number in range(10):
        submit(relay.address, domain.user(f"u{number}"))
    submit(relay.address, refused.user())
    relay.wait_held(refused.name)
    with open(f"{folder}/filler", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    with pytest.raises(AssertionError, match="452"):
        for number in range(100):
            submit(relay.address, domain.user(f"full{number}"), message(body="y" * 4000 + "\r\n"))
    relay.command("report", "send", "--day", day_text(today()))
    assert relay.running()
    os.unlink(f"{folder}/filler")
    wait_until(lambda: json.loads(relay.command("status", "--json").stdout)["ready"], 30, "mail is taken again", interval=0.2)
    submit(relay.address, domain.user("after"))
    wait_until(lambda: len(relay.queued()) == 1, 20, "nothing but what is refused")
    assert relay.stop() == 0
    done = relay.command("report", "send", "--day", day_text(today()))
    assert done.returncode == 0, done.stdout + done.stderr
    for asking, mx, kind in ((domain, host, "successful"), (refused, bad, "failure")):
        last = asking.reports()[-1]
        assert sum(p["summary"][f"total-{kind}-session-count"] for p in last["policies"]) == len(seen(mx))


def test_clock_that_jumps_days_ahead_and_back_counts_each_session_once(world, make_plain):
    relay, day = make_plain(report=SETTINGS, delivery={"messages_per_session": 1}), tomorrow() + 3
    relay.set_clock(at(day))
    relay.start()
    domain = world.domain().tlsrpt()
    host, number = domain.mx(), 0
    for days, messages in ((0, 3), (2, 4), (0, 2), (-2, 5), (1, 1)):
        relay.set_clock(at(day + days))
        for _ in range(messages):
            submit(relay.address, domain.user(f"u{number}"))
            number += 1
        relay.wait_empty()
    assert relay.stop() == 0
    rows = relay.query("SELECT day, sum(successes) AS sessions FROM rpt_policy GROUP BY day")
    assert sum(row["sessions"] for row in rows) == len(seen(host))
    assert {row["day"] - day for row in rows} == {-2, 0, 1, 2}
