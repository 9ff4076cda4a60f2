"""Log-ins, with clients that are not ours: swaks, Python's smtplib, openssl s_client; who may send as whom; how late failures are answered; and what others
notice of it."""

import base64
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import BINARY
from lab.accounts import SUBMISSION, SUBMISSIONS, Accounts, listeners
from lab.client import message
from lab.process import wait_until
from lab.relay import ENVIRONMENT
from lab.unpacked import environment, swaks_has_tls


@pytest.fixture
def submitted(world, make_relay, lab_dir):
    """A running relay with the users ann (any sender) and app (its own address, and example.net)."""
    relay = make_relay()
    relay.accounts = Accounts(BINARY, f"{relay.folder}/users", ENVIRONMENT)
    relay.accounts.add("ann", "ann's password")
    relay.accounts.add("app@example.com", "tr0ub4dor", "app@example.com,@example.net")
    relay.certificate = world.ca.good("relay.example", "localhost")
    relay.write_config(auth={"users_file": relay.accounts.path},
                       listen=[*listeners(relay.certificate), {"address": "127.0.0.1:2525", "allow": ["127.0.0.0/8"]}])
    return relay.start()


@pytest.fixture
def tls(world):
    """What a client checks a certificate with."""
    return ssl.create_default_context(cafile=world.ca.ca_file)


@pytest.fixture
def domain(world):
    """Where mail goes: domain.host has it."""
    domain = world.domain("auth")
    domain.host = domain.mx()
    return domain


def swaks(to, *arguments, at=SUBMISSION, sender="ann@sender.example", local="127.0.0.1"):
    """(exit status, its dialogue): 0 when the message was taken."""
    if any(word.startswith("--tls") for word in arguments) and not swaks_has_tls():
        pytest.skip("swaks has no TLS: libnet-ssleay-perl is not here")
    done = subprocess.run(["swaks", "--server", at[0], "--port", str(at[1]), "--from", sender, "--to", to, "--helo", "app.example", "--timeout", "60",
                           "--local-interface", local, *arguments], capture_output=True, text=True, timeout=120, check=False,
                          env=environment())
    return done.returncode, done.stdout + done.stderr


ANN = ["--auth-user", "ann", "--auth-password", "ann's password"]
WAYS = {
    "PLAIN under STARTTLS": (SUBMISSION, ["--tls", "--auth", "PLAIN", *ANN]),
    "LOGIN under STARTTLS": (SUBMISSION, ["--tls", "--auth", "LOGIN", *ANN]),
    "what is offered first": (SUBMISSION, ["--tls", "--auth", *ANN]),
    "TLS 1.2": (SUBMISSION, ["--tls", "--tls-protocol", "tlsv1_2", "--auth", "PLAIN", *ANN]),
    "TLS 1.3": (SUBMISSION, ["--tls", "--tls-protocol", "tlsv1_3", "--auth", "PLAIN", *ANN]),
    "PLAIN under implicit TLS": (SUBMISSIONS, ["--tls-on-connect", "--auth", "PLAIN", *ANN]),
    "LOGIN under implicit TLS": (SUBMISSIONS, ["--tls-on-connect", "--auth", "LOGIN", *ANN]),
}


@pytest.mark.parametrize("way", WAYS)
def test_swaks_submits(submitted, domain, way):
    at, arguments = WAYS[way]
    status, dialogue = swaks(domain.user(), *arguments, at=at)
    assert status == 0 and " 235 2.7.0 " in dialogue, dialogue
    [got] = domain.host.wait_messages()
    trace = got.data.split(b"Received:")[1]
    assert b"with ESMTPSA" in trace                         # RFC 3848
    assert b"ann's" not in got.data and "ann's password" not in submitted.log_text()
    [accepted] = submitted.events(event="accepted")
    assert accepted["user"] == "ann"


REFUSED = {
    "a wrong password": (SUBMISSION, ["--tls", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "wrong"], " 535 5.7.8 "),
    "a wrong password by LOGIN": (SUBMISSIONS, ["--tls-on-connect", "--auth", "LOGIN", "--auth-user", "ann", "--auth-password", "x"], " 535 5.7.8 "),
    "no such user": (SUBMISSION, ["--tls", "--auth", "PLAIN", "--auth-user", "eve", "--auth-password", "ann's password"], " 535 5.7.8 "),
    "names have case": (SUBMISSION, ["--tls", "--auth", "PLAIN", "--auth-user", "ANN", "--auth-password", "ann's password"], " 535 5.7.8 "),
    "without a log-in": (SUBMISSION, ["--tls"], " 530 5.7.0 "),
    "without one on 465": (SUBMISSIONS, ["--tls-on-connect"], " 530 5.7.0 "),
}


@pytest.mark.parametrize("way", REFUSED)
def test_swaks_is_refused(submitted, domain, way):
    at, arguments, reply = REFUSED[way]
    status, dialogue = swaks(domain.user(), *arguments, at=at)
    assert status != 0 and reply in dialogue, dialogue
    assert not submitted.queued() and not domain.host.seen


def test_no_log_in_in_clear(submitted, domain):
    """It is not offered (RFC 4954 4), and who sends a password all the same is refused before it is looked at: right and wrong sound alike."""
    status, dialogue = swaks(domain.user(), "--auth", "PLAIN", *ANN)
    assert status != 0 and "AUTH" not in dialogue.split("-> ")[1], dialogue
    right, wrong = (base64.b64encode(b"\0ann\0" + password).decode() for password in (b"ann's password", b"wrong"))
    for credentials in (right, wrong):
        with smtplib.SMTP(*SUBMISSION, local_hostname="app.example") as client:
            client.ehlo()
            assert not client.has_extn("auth")
            assert client.docmd("AUTH", f"PLAIN {credentials}")[0] in (502, 503, 523, 538)
            assert client.docmd("AUTH", "LOGIN")[0] in (502, 503, 523, 538)
    assert not submitted.events(event="login")


def test_python_submits(submitted, domain, tls):
    with smtplib.SMTP("localhost", SUBMISSION[1], local_hostname="app.example") as client:
        client.starttls(context=tls)
        assert client.login("app@example.com", "tr0ub4dor")[0] == 235
        client.sendmail("app@example.com", [domain.user()], message("one"))
        client.sendmail("app@example.com", [domain.user()], message("two"))
    with smtplib.SMTP_SSL("localhost", SUBMISSIONS[1], local_hostname="app.example", context=tls) as client:
        client.login("app@example.com", "tr0ub4dor")
        client.sendmail("anything@example.net", [domain.user()], message("three"))
        assert client.docmd("AUTH", "PLAIN")[0] == 503         # RFC 4954 4: once in a session
    domain.host.wait_messages(3)


def test_openssl_submits(submitted, domain, world):
    """By hand, as an operator tries it."""
    credentials = base64.b64encode(b"\0ann\0ann's password").decode()
    lines = ["EHLO app.example", f"AUTH PLAIN {credentials}", "MAIL FROM:<ann@sender.example>", f"rcpt to:<{domain.user()}>", "DATA",
             "Subject: by hand", "", "x", ".", "QUIT"]
    for arguments, at in ((["-starttls", "smtp"], SUBMISSION), ([], SUBMISSIONS)):
        dialogue = by_hand(["openssl", "s_client", "-quiet", "-crlf", "-connect", "%s:%d" % at, "-verify_return_error", "-CAfile", world.ca.ca_file,
                            *arguments], lines, greeted=bool(at == SUBMISSIONS))
        assert "235 2.7.0" in dialogue and "queued as" in dialogue, dialogue
    domain.host.wait_messages(2)


def by_hand(command, lines, greeted):
    """Types one line after another, each when the last one was answered."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1) as process:
        said = ""
        content = False
        if greeted:
            said += process.stdout.readline()
        for line in lines:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            content = (content or line == "DATA") and line != "."
            if content and line != "DATA":
                continue
            while True:
                answer = process.stdout.readline()
                said += answer
                if answer[3:4] != "-":
                    break
        process.stdin.close()
        process.wait(20)
        return said


def test_senders(submitted, domain, tls):
    """Who may send as whom; bounces always (RFC 5321 4.5.5)."""
    rows = {"app@example.com": 250, "app@EXAMPLE.COM": 250, "App@example.com": 553, "boss@example.com": 553, "x@example.net": 250, "x@sub.example.net": 553,
            "": 250}
    with smtplib.SMTP_SSL("localhost", SUBMISSIONS[1], local_hostname="app.example", context=tls) as client:
        client.login("app@example.com", "tr0ub4dor")
        for sender, want in rows.items():
            code, text = client.mail(sender)
            if code == 250:
                code, text = client.rcpt(domain.user())
            assert code == want or (want == 553 and code in (550, 553)), (sender, code, text)
            client.rset()


# --- delays ---


def log_in(password, name="ann", source="127.0.0.1", tls=None):
    """The reply's code, and how long it took."""
    client = smtplib.SMTP_SSL("localhost", SUBMISSIONS[1], local_hostname="app.example", context=tls, source_address=(source, 0), timeout=60)
    try:
        client.ehlo()
        start = time.monotonic()
        code, _ = client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode())
        return code, time.monotonic() - start
    finally:
        client.close()


def test_failures_are_answered_later_each_time(submitted, tls):
    """By address; a name that is not there as late as a wrong password; nobody else waits."""
    for number, name in enumerate(["ann", "nobody", "ann"]):
        code, took = log_in("wrong", name, "127.0.0.7", tls)
        assert code == 535 and 2 ** number <= took < 2 ** number + 2
    code, took = log_in("wrong", "nobody", "127.0.0.8", tls)
    assert code == 535 and 1 <= took < 3
    code, took = log_in("ann's password", "ann", "127.0.0.9", tls)
    assert code == 235 and took < 1.5
    code, took = log_in("ann's password", "ann", "127.0.0.7", tls)     # the right one, once the wait of the last failure is over
    assert code == 235 and took < 1.5


def test_hanging_up_does_not_shorten_the_wait(submitted, tls):
    def give_up():
        client = smtplib.SMTP_SSL("localhost", SUBMISSIONS[1], local_hostname="a.example", context=tls, source_address=("127.0.0.11", 0))
        client.ehlo()
        client.send("AUTH PLAIN " + base64.b64encode(b"\0ann\0wrong").decode() + "\r\n")
        time.sleep(0.7)                                     # computed by now, and not answered
        client.close()
    give_up()
    code, took = log_in("another", "ann", "127.0.0.11", tls)
    assert code == 535 and took > 1.9                       # what was left of the first second, and two


def test_a_second_log_in_costs_no_hash(submitted, tls):
    """An application that logs in for each message."""
    first = log_in("ann's password", tls=tls)
    rest = [log_in("ann's password", tls=tls) for _ in range(10)]
    assert first[0] == 235 and all(code == 235 for code, _ in rest)
    assert sorted(took for _, took in rest)[5] < first[1] / 2


def test_others_are_served_while_hashes_are_computed(submitted, domain, tls):
    """20 log-ins at once, each with a user of its own; meanwhile another session's commands are answered at once, and mail is delivered."""
    for i in range(20):
        submitted.accounts.add(f"user{i}", f"password {i}")
    submitted.reload()
    wait_until(lambda: log_in("password 0", "user0", tls=tls)[0] == 235, 30, "the new users")
    done, slowest = [], 0.0

    def one(i):
        done.append(log_in(f"password {i}", f"user{i}", f"127.0.1.{i + 1}", tls))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    with smtplib.SMTP("127.0.0.1", 2525, local_hostname="app.example") as other:
        other.ehlo()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            start = time.monotonic()
            assert other.noop()[0] == 250
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.005)
        other.sendmail("ann@sender.example", [domain.user()], message("meanwhile"))
    for thread in threads:
        thread.join()
    print(f"slowest NOOP {slowest * 1000:.1f} ms, slowest log-in {max(took for _, took in done) * 1000:.0f} ms")
    assert len(done) == 20 and all(code == 235 for code, _ in done)
    assert slowest < 0.3                                    # a hash on the loop would hold all of them up
    domain.host.wait_messages()


# --- the users file changes ---


def test_the_users_file_changes_while_it_runs(submitted, tls):
    """Without a restart and without a signal; a file that does not hold changes nothing."""
    accounts = submitted.accounts
    assert log_in("ann's password", tls=tls)[0] == 235      # and remembered
    accounts.passwd("ann", "new")
    wait_until(lambda: log_in("new", source=next_source(), tls=tls)[0] == 235, 30, "the new password", interval=1)
    assert log_in("ann's password", source="127.0.0.21", tls=tls)[0] == 535
    accounts.add("eve", "eve's")
    wait_until(lambda: log_in("eve's", "eve", next_source(), tls=tls)[0] == 235, 30, "the new user", interval=1)
    with open(accounts.path, "a", encoding="ascii") as file:
        file.write("broken\n")
    wait_until(lambda: "users:4: a line has three fields" in submitted.log_text(), 30, "the fault in the log")
    assert log_in("eve's", "eve", next_source(), tls=tls)[0] == 235
    accounts.run("remove", "broken")
    accounts.remove("eve")
    wait_until(lambda: log_in("eve's", "eve", next_source(), tls=tls)[0] == 535, 30, "eve to be gone", interval=1)


sources = iter(f"127.0.3.{i}" for i in range(1, 250))


def next_source():
    """An address that has not failed yet."""
    return next(sources)


def test_a_client_that_leaves_while_its_password_is_checked(submitted, tls):
    """Killed at this instant many times: the slots come back, the relay stays."""
    for i in range(30):
        client = smtplib.SMTP_SSL("localhost", SUBMISSIONS[1], local_hostname="a.example", context=tls, source_address=(f"127.0.4.{i + 1}", 0))
        client.ehlo()
        client.send("AUTH PLAIN " + base64.b64encode(b"\0ann\0" + b"ann's password" * (i % 2)).decode() + "\r\n")
        time.sleep(0.01 * (i % 4))
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert log_in("ann's password", source="127.0.0.30", tls=tls)[0] == 235


def test_it_stops_while_passwords_are_checked(submitted, tls):
    threads = [threading.Thread(target=ignore, args=(i, tls)) for i in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert submitted.stop() == 0
    for thread in threads:
        thread.join()


def ignore(i, tls):
    try:
        log_in("wrong", "ann", f"127.0.5.{i + 1}", tls)
    except (OSError, smtplib.SMTPException):
        pass
