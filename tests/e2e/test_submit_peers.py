"""Mail servers that submit to the relay with an account of their own, on 587 and 465: Postfix, Exim, OpenSMTPD, msmtp; and what Postfix asks for with its mail (DSN, SMTPUTF8)
goes on as asked."""

import os
import pwd
import smtplib
import subprocess

import pytest

from conftest import BINARY
from lab.accounts import SUBMISSION, SUBMISSIONS, Accounts, listeners
from lab.client import Client, message
from lab.postfix import Postfix
from lab.process import Process, wait_until
from lab.relay import ENVIRONMENT
from lab.unpacked import environment, program

SASL = """
relayhost = [relay.submit.example]:{port}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = relay.submit.example
smtp_tls_wrappermode = {wrapper}
smtp_tls_CAfile = {ca}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{{ {{ [relay.submit.example]:{port} = {login} }} }}
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = {mechanism}
smtp_address_preference = ipv4
"""


@pytest.fixture
def submitted(world, make_relay):
    """A running relay, found by name, with the user mta, who may send as anybody of sender.example."""
    world.set_addresses("relay.submit.example", ["127.0.0.1"])
    relay = make_relay()
    relay.accounts = Accounts(BINARY, f"{relay.folder}/users", ENVIRONMENT)
    relay.accounts.add("mta", "of the house", "@sender.example")
    relay.certificate = world.ca.good("relay.submit.example")
    relay.write_config(auth={"users_file": relay.accounts.path}, listen=listeners(relay.certificate))
    return relay.start()


@pytest.fixture
def domain(world):
    domain = world.domain("peers")
    domain.host = domain.mx()
    return domain


@pytest.fixture
def postfix(world, lab_dir):
    """Makes a Postfix whose relayhost is the relay, with the account mta."""
    made = []

    def make(at=SUBMISSION, mechanism="plain", login="mta:of the house"):
        made.append(Postfix(f"{lab_dir}/submit-{len(os.listdir(lab_dir))}-{len(made)}", "client.example", world.address(), SASL, ca=world.ca.ca_file, port=at[1],
                            wrapper="yes" if at == SUBMISSIONS else "no", mechanism=mechanism, login=login))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("at", [SUBMISSION, SUBMISSIONS], ids=["587", "465"])
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_postfix(submitted, postfix, domain, at, mechanism):
    mta = postfix(at, mechanism)
    with smtplib.SMTP(mta.address, 25, local_hostname="app.example") as client:
        client.sendmail("ann@sender.example", [domain.user()], message("through-postfix"))
    [got] = domain.host.wait_messages(timeout=30)
    assert b"Subject: through-postfix" in got.data and b"with ESMTPSA" in got.data
    wait_until(lambda: not mta.queue(), 15, "an empty queue at Postfix")
    assert submitted.events(event="accepted")[0]["user"] == "mta"


def test_postfix_with_a_wrong_password_keeps_its_mail(submitted, postfix, domain):
    """It is told 535, waits, and delivers once the password is right at the relay."""
    mta = postfix(login="mta:wrong")
    with smtplib.SMTP(mta.address, 25, local_hostname="app.example") as client:
        client.sendmail("ann@sender.example", [domain.user()], message("later"))
    assert "535 5.7.8" in mta.wait_log("SASL authentication failed", 30)
    assert mta.queue() and not submitted.queued()
    submitted.accounts.passwd("mta", "wrong")
    domain.host.wait_messages(timeout=90)


def test_postfix_with_the_sender_of_another(submitted, postfix, domain):
    mta = postfix()
    with smtplib.SMTP(mta.address, 25, local_hostname="app.example") as client:
        client.sendmail("boss@elsewhere.example", [domain.user()], message("as-another"))
    log = mta.wait_log("status=bounced", 30)
    assert "5.7.1" in log and not domain.host.seen


def test_postfix_asks_for_notices_and_they_go_on(submitted, postfix, domain, world):
    """RFC 3461 5.2.1: ENVID, RET, NOTIFY and ORCPT reach a next hop that offers DSN."""
    domain.host.behaviour = domain.host.behaviour.but(keywords=(*domain.host.behaviour.keywords, "DSN"))
    mta = postfix()
    with Client((mta.address, 25)) as client:
        client.hello()
        assert client.command("MAIL FROM:<ann@sender.example> RET=HDRS ENVID=QQ314159")[0] == 250
        assert client.command(f"RCPT TO:<{domain.user()}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx+40{domain}")[0] == 250
        assert client.data(message("dsn"))[0] == 250
    [got] = domain.host.wait_messages(timeout=30)
    commands = b"\n".join(line for line, _ in got.session.commands)
    for word in (b"RET=HDRS", b"ENVID=QQ314159", b"NOTIFY=SUCCESS,FAILURE", b"ORCPT=rfc822;Bob+2Bx@"):     # xtext: '+' must be encoded, '@' need not
        assert word in commands, commands


def test_postfix_sends_smtputf8(submitted, postfix, domain):
    """A recipient whose local part is not ASCII, to a next hop that takes it (RFC 6531)."""
    domain.host.behaviour = domain.host.behaviour.but(keywords=(*domain.host.behaviour.keywords, "SMTPUTF8"))
    mta = postfix()
    with Client((mta.address, 25)) as client:
        assert "SMTPUTF8" in client.hello()
        assert client.command("MAIL FROM:<ann@sender.example> BODY=8BITMIME SMTPUTF8")[0] == 250
        assert client.command(f"RCPT TO:<jürgen@{domain}>")[0] == 250
        assert client.data(message("utf8", headers=f"X-To: jürgen@{domain}\r\n"))[0] == 250
    [got] = domain.host.wait_messages(timeout=30)
    assert got.rcpt_to == [f"jürgen@{domain}".encode()] and "jürgen".encode() in got.data


# --- Exim ---

EXIM = """
exim_path = {exim}
exim_user = {user}
exim_group = {group}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%s
primary_hostname = exim.example
trusted_users = root
tls_advertise_hosts =
keep_environment =
queue_only = false
begin routers
all:
  driver = manualroute
  route_list = * relay.submit.example::{port} byname
  self = send
  transport = relay
begin transports
relay:
  driver = smtp
  hosts_require_tls = *
  hosts_require_auth = *
  protocol = {protocol}
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
begin retry
* * F,1h,2s
begin authenticators
{mechanism}:
  driver = plaintext
  public_name = {public}
  client_send = {send}
"""
SENDS = {"plain": ("PLAIN", "^mta^of the house"), "login": ("LOGIN", ": mta : of the house")}


@pytest.mark.parametrize("at", [SUBMISSION, SUBMISSIONS], ids=["587", "465"])
@pytest.mark.parametrize("mechanism", SENDS)
def test_exim(submitted, domain, world, lab_dir, at, mechanism):
    exim = program("exim4", "exim")
    folder = f"{lab_dir}/exim-{mechanism}-{at[1]}"
    user = pwd.getpwnam("mail")
    for sub in ("", "spool", "log"):
        os.makedirs(f"{folder}/{sub}", exist_ok=True)
        os.chown(f"{folder}/{sub}", user.pw_uid, user.pw_gid)
    public, send = SENDS[mechanism]
    with open(f"{folder}/exim.conf", "w", encoding="ascii") as file:
        file.write(EXIM.format(exim=exim, user=user.pw_uid, group=user.pw_gid, dir=folder, port=at[1], protocol="smtps" if at == SUBMISSIONS else "smtp",
                               ca=world.ca.ca_file, mechanism=mechanism, public=public, send=send))
    add_user("Debian-exim", user.pw_uid, user.pw_gid)
    sent = subprocess.run([exim, "-C", f"{folder}/exim.conf", "-odf", "-f", "ann@sender.example", domain.user()], input=message("through-exim"), timeout=60,
                          capture_output=True, check=False, env=environment())
    log = open(f"{folder}/log/main", encoding="utf-8").read() if os.path.exists(f"{folder}/log/main") else ""
    assert sent.returncode == 0, (sent.stderr, log)
    assert " => " in log and " A=" in log and "queued as" in log, (log, sent.stderr)
    [got] = domain.host.wait_messages()
    assert b"with ESMTPSA" in got.data
    assert submitted.events(event="accepted")[0]["user"] == "mta"


def add_user(name, uid, gid):
    """What a package's script would have done, in the laboratory's own /etc."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        with open("/etc/passwd", "a", encoding="ascii") as file:
            file.write(f"{name}:x:{uid}:{gid}::/:/usr/sbin/nologin\n")
        with open("/etc/group", "a", encoding="ascii") as file:
            file.write(f"{name}:x:{gid}:\n")


# --- msmtp ---


@pytest.mark.parametrize("at", [SUBMISSION, SUBMISSIONS], ids=["587", "465"])
def test_msmtp(submitted, domain, world, at):
    done = subprocess.run([program("msmtp"), "--host=relay.submit.example", f"--port={at[1]}", "--tls=on", f"--tls-starttls={'off' if at == SUBMISSIONS else 'on'}",
                           f"--tls-trust-file={world.ca.ca_file}", "--auth=on", "--user=mta", "--passwordeval=echo of the house", "--from=ann@sender.example",
                           domain.user()], input=message("through-msmtp"), capture_output=True, timeout=60, check=False,
                          env=environment())
    assert done.returncode == 0, done.stderr
    domain.host.wait_messages()
    assert submitted.running()


# --- OpenSMTPD ---

OPENSMTPD = """
table secrets {{ house = "mta:of the house" }}
listen on {address} port 25 hostname "client.example"
action "out" relay host "{scheme}://house@[127.0.0.1]:{port}" auth <secrets> tls no-verify
match from any for any action "out"
"""
# Its folders are compiled in, and a tmpfs is over them in a mount namespace of its own.
OPENSMTPD_FOLDERS = """
set -e
for each in /var/spool /var/lib /run; do mount -t tmpfs -o mode=0755 none $each; done
mkdir -p /var/lib/opensmtpd/empty /run/opensmtpd
mkdir -m 0711 /var/spool/smtpd
test ! -d "$2" || mount --bind "$2" /usr/libexec
exec "$1" -d -f "$3"
"""


@pytest.mark.parametrize("at", [SUBMISSION, SUBMISSIONS], ids=["587", "465"])
def test_opensmtpd(submitted, domain, world, lab_dir, at):
    smtpd = program("smtpd")
    address, folder = world.address(), f"{lab_dir}/opensmtpd-{at[1]}"
    os.makedirs(folder)
    for number, name in enumerate(("opensmtpd", "opensmtpq")):
        add_user(name, 9002 + number, 9002 + number)
    with open(f"{folder}/smtpd.conf", "w", encoding="ascii") as file:
        file.write(OPENSMTPD.format(address=address, scheme="smtps" if at == SUBMISSIONS else "smtp+tls", port=at[1]))
    process = Process(["unshare", "-m", "--propagation", "private", "sh", "-c", OPENSMTPD_FOLDERS, "sh", smtpd,
                       os.path.abspath(f"{os.path.dirname(smtpd)}/../libexec"), f"{folder}/smtpd.conf"], f"{folder}/log", env=environment())
    try:
        process.ready(lambda: greets(address))
        with smtplib.SMTP(address, 25, local_hostname="app.example") as client:
            client.sendmail("ann@sender.example", [domain.user()], message("through-opensmtpd"))
        [got] = domain.host.wait_messages(timeout=30)
        assert b"with ESMTPSA" in got.data
        assert submitted.events(event="accepted")[0]["user"] == "mta"
        wait_until(lambda: 'result="Ok"' in process.tail(), 10, "OpenSMTPD to know")
    finally:
        print(process.tail())
        process.stop()


def greets(address):
    try:
        with smtplib.SMTP(address, 25, timeout=2) as client:
            return client.noop()[0] == 250
    except OSError:
        return False
