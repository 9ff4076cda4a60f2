"""Listeners: STARTTLS and implicit TLS, clients known by certificate, unix sockets, the PROXY protocol, and certificates that are renewed."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.ca import DAY
from lab.client import Client, message, queue_id, submit
from lab.process import wait_until

ADDRESS = ("127.0.0.1", 2525)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def inbox(world):
    """A domain whose host takes everything: (domain, host)."""
    domain = world.domain("inbox")
    return domain, domain.mx()


@pytest.fixture
def pair(world, lab_dir):
    """The relay's certificate and key, in files of its own that a test may change: (certificate, key)."""
    folder = f"{lab_dir}/pairs/{time.monotonic_ns()}"
    os.makedirs(folder)
    put(world.ca.good("relay.example"), f"{folder}/tls.crt", f"{folder}/tls.key")
    return f"{folder}/tls.crt", f"{folder}/tls.key"


def put(certificate, cert_file, key_file):
    """As a renewal does: written beside it, then renamed over it."""
    for source, target in ((certificate.key_file, key_file), (certificate.cert_file, cert_file)):
        shutil.copy(source, f"{target}.new")
        os.rename(f"{target}.new", target)


@pytest.fixture
def listen(start_relay, pair):
    """Starts a relay with one listener at ADDRESS, TLS by STARTTLS unless said otherwise."""
    def start(tls="starttls", allow=("127.0.0.0/8",), limits=None, **keys):
        files = {} if tls == "none" else {"certificate": pair[0], "key": pair[1]}
        return start_relay(listen=[{"address": "127.0.0.1:2525", "tls": tls, "allow": list(allow), **files, **keys}], limits=limits or {})
    return start


def context(world, certificate=None):
    """A client's, that verifies the relay's name; `certificate`: what it shows."""
    result = ssl.create_default_context(cafile=world.ca.ca_file)
    if certificate:
        result.load_cert_chain(certificate.cert_file, certificate.key_file)
    return result


def starttls(client, tls):
    """STARTTLS and the handshake; EHLO's keywords after it."""
    assert client.command("STARTTLS")[0] == 220
    client.start_tls(tls, "relay.example")
    return client.hello()


# STARTTLS.

def test_starttls(world, listen, inbox):
    domain, host = inbox
    relay = listen()
    with Client(ADDRESS) as client:
        assert "STARTTLS" in client.hello()
        assert "STARTTLS" not in starttls(client, context(world))
        client.envelope("ann@sender.example", [domain.user()])
        queue_id(client.data(message()))
        assert client.command("STARTTLS")[0] == 503
        assert client.command("QUIT")[0] == 221
    [got] = host.wait_messages()
    assert b" with ESMTPS id " in got.data
    [accepted] = relay.events(event="accepted")
    assert accepted["tls"].startswith("TLSv1.3 TLS_") and "user" not in accepted


def test_what_was_said_in_clear_is_forgotten(world, listen, inbox):
    """RFC 3207 4.2: EHLO is due again, and so is the transaction."""
    domain, _ = inbox
    listen()
    with Client(ADDRESS) as client:
        client.hello()
        assert client.command("STARTTLS")[0] == 220
        client.start_tls(context(world), "relay.example")
        assert client.command("MAIL FROM:<ann@sender.example>")[0] == 503
        assert client.hello()
        client.envelope("ann@sender.example", [domain.user()])


def test_cve_2011_0411_commands_behind_starttls(world, listen, inbox):
    """What a man in the middle puts behind STARTTLS in clear is not obeyed under TLS, in one segment or in two."""
    listen()
    for gap in (0, 0.2):
        with Client(ADDRESS) as client:
            client.hello()
            client.send("STARTTLS\r\nRSET\r\n" if gap == 0 else "STARTTLS\r\n")
            assert client.reply()[0] == 220
            if gap:
                client.send("RSET\r\n")
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    client.start_tls(context(world), "relay.example")
            else:
                client.start_tls(context(world), "relay.example")
                client.sock.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    client.sock.recv(1)             # no reply to RSET
                client.sock.settimeout(30)
                client.hello()


def test_required(world, listen, inbox):
    domain, host = inbox
    listen(tls_required=True)
    with Client(ADDRESS) as client:
        client.hello()
        assert client.command("MAIL FROM:<ann@sender.example>")[0] == 530
        assert client.command("NOOP")[0] == 250
        starttls(client, context(world))
        client.envelope("ann@sender.example", [domain.user()])
        queue_id(client.data(message()))
    host.wait_messages()


def test_versions_and_tickets(world, listen):
    listen(tls="implicit", tickets=False)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(ADDRESS, tls=old)
    shown = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:2525", "-tls1_2", "-ign_eof", "-CAfile", world.ca.ca_file],
                           input="QUIT\r\n", capture_output=True, text=True, timeout=30, check=False).stdout
    assert "Verify return code: 0 (ok)" in shown and "Reused" not in shown and "TLS session ticket:" not in shown


# Implicit TLS.

def test_implicit(world, listen, inbox):
    domain, host = inbox
    relay = listen(tls="implicit")
    with Client(ADDRESS, tls=context(world), name="relay.example") as client:
        assert client.greeting[0] == 220 and "STARTTLS" not in client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        queue_id(client.data(message()))
    host.wait_messages()
    with Client(ADDRESS, greeting=False) as client:
        client.send("EHLO a.example\r\n")               # clear text where a handshake is due
        while client.sock.recv(1024):                   # an alert, then the end: no banner
            pass
    [lost] = relay.events(event="client-lost")
    assert lost["in"] == "handshake" and lost["client"] == "127.0.0.1"


def test_clients_killed_in_the_handshake(world, listen, inbox):
    """At any octet, and the relay goes on."""
    domain, _ = inbox
    relay = listen(tls="implicit")
    hello = ssl.MemoryBIO()
    half = context(world).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="relay.example")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    octets = hello.read()
    for cut in range(0, len(octets) + 1, 37):
        with socket.create_connection(ADDRESS) as sock:
            sock.sendall(octets[:cut])
            if cut % 2:                                 # a reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with Client(ADDRESS, tls=context(world), name="relay.example") as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
    assert relay.running()


def test_a_stop_waits_for_no_handshake(world, start_relay, pair):
    """Nor for a PROXY header, nor for a client that has said nothing yet."""
    files = {"tls": "implicit", "certificate": pair[0], "key": pair[1]}
    relay = start_relay(listen=[{"address": "127.0.0.1:2525", **files}, {"address": "127.0.0.1:2526", "proxy": ["127.0.0.0/8"]}])
    held = [socket.create_connection(("127.0.0.1", port)) for port in (2525, 2526) for _ in range(3)]
    held[0].sendall(b"\x16\x03\x01")
    held[3].sendall(b"PROXY TCP4 ")
    talking = Client(ADDRESS, tls=context(world), name="relay.example")
    talking.hello()
    started = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - started < 8
    for sock in held:
        sock.close()
    talking.close()


# Who may relay.

def test_client_certificate(world, listen, inbox):
    domain, host = inbox
    relay = listen(allow=[], tls_client_ca=world.ca.ca_file)
    cases = {
        "none": None,
        "good": world.ca.for_clients_only("app1.example"),
        "expired": world.ca.issue(["app1.example"], start=-30 * DAY, end=-DAY, usage=CLIENT),
        "of another authority": world.other_ca.for_clients_only("app1.example"),
        "for servers": world.ca.good("app1.example"),
    }
    for label, certificate in cases.items():
        with Client(ADDRESS) as client:
            client.hello()
            starttls(client, context(world, certificate))
            assert client.command("MAIL FROM:<ann@sender.example>")[0] == 250
            code, text = client.command(f"RCPT TO:<{domain.user()}>")
            assert code == (250 if label == "good" else 550), (label, code, text)
            if label == "good":
                queue_id(client.data(message()))
    host.wait_messages()
    [accepted] = relay.events(event="accepted")
    assert accepted["subject"] == "CN=Laboratory leaf"
    assert len(relay.events(event="client-certificate")) == 3, "the log says why"


def test_unix_socket(start_relay, inbox, lab_dir):
    domain, host = inbox
    path = f"{lab_dir}/submit.sock"
    relay = start_relay(listen=[{"address": f"unix:{path}", "unix_mode": "0666"}, {"address": "127.0.0.1:2525", "allow": []}])
    assert os.stat(path).st_mode & 0o777 == 0o666
    submit(path, domain.user())
    [got] = host.wait_messages()
    assert b"(local)" in got.data.split(b"\r\n\r\n")[0]
    assert relay.events(event="accepted")[0]["client"] == path
    relay.kill()                                        # leaves the file behind
    assert os.path.exists(path)
    relay.start()
    submit(path, domain.user())
    relay.write_config(listen=[{"address": f"unix:{path}", "unix_mode": "0600"}])
    relay.reload()
    wait_until(lambda: os.stat(path).st_mode & 0o777 == 0o600, 10, "the mode of the socket")
    submit(path, domain.user())
    relay.stop()
    assert not os.path.exists(path)


def test_unix_socket_in_a_folder_that_a_boot_has_emptied(start_relay, inbox, lab_dir):
    """As /run/strictpost is not there: the relay did not start with the socket that README shows."""
    domain, host = inbox
    path = f"{lab_dir}/run-strictpost/submit.sock"
    start_relay(listen=[{"address": f"unix:{path}"}])
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o755
    submit(path, domain.user())
    host.wait_messages()


# The PROXY protocol.

def v1(client="192.0.2.77"):
    return f"PROXY TCP4 {client} 192.0.2.1 40000 25\r\n".encode()


def v2(client="192.0.2.77", command=0x21):
    return V2 + struct.pack("!BBH", command, 0x11, 12) + socket.inet_aton(client) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 40000, 25)


@pytest.mark.parametrize("header", [v1, v2])
def test_proxy_names_the_client(listen, inbox, header):
    """What counts is who is behind the load balancer: for `allow`, the log and the trace field."""
    domain, host = inbox
    relay = listen(tls="none", allow=["192.0.2.77/32"], proxy=["127.0.0.0/8"])
    with Client(ADDRESS, first=header()) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        queue_id(client.data(message()))
    [got] = host.wait_messages()
    assert b"[192.0.2.77]" in got.data.split(b"\r\n\r\n")[0]
    [accepted] = relay.events(event="accepted")
    assert (accepted["client"], accepted["via"]) == ("192.0.2.77", "127.0.0.1")
    with Client(ADDRESS, first=header("192.0.2.78")) as client:
        client.hello()
        client.command("MAIL FROM:<ann@sender.example>")
        assert client.command(f"RCPT TO:<{domain.user()}>")[0] == 550


@pytest.mark.parametrize("header", [v1, v2])
def test_proxy_before_implicit_tls(world, listen, inbox, header):
    """In one segment with the client's first record, too."""
    domain, host = inbox
    listen(tls="implicit", allow=["192.0.2.77/32"], proxy=["127.0.0.0/8"])
    with Client(ADDRESS, first=header(), tls=context(world), name="relay.example") as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        queue_id(client.data(message()))
    host.wait_messages()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(world).wrap_bio(incoming, outgoing, server_hostname="relay.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(ADDRESS, 10) as sock:
        sock.sendall(header() + outgoing.read())
        while True:
            incoming.write(sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass


def test_proxy_and_who_is_none(listen, inbox):
    """A health check, a client that speaks SMTP, one that says nothing; and whoever is not in listen.proxy is not believed."""
    domain, _ = inbox
    relay = listen(tls="none", proxy=["127.0.0.2/32"])
    with Client(ADDRESS, source="127.0.0.2", first=v2(command=0x20)) as client:         # LOCAL: the connection's own address
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
    with Client(ADDRESS, source="127.0.0.2", greeting=False) as client:
        client.send("EHLO a.example\r\n")
        assert client.ended()
    assert "no PROXY header" in relay.events(event="client-lost", **{"in": "proxy"})[0]["why"]
    started = time.monotonic()
    with Client(ADDRESS, source="127.0.0.2", greeting=False) as client:
        assert client.ended()
    assert 5 < time.monotonic() - started < 25
    with Client(ADDRESS, source="127.0.0.3") as client:                                 # greeted: it is not asked for a header
        assert client.greeting[0] == 220
        assert client.command(v1().decode().strip())[0] == 500


def test_proxy_and_the_limit_of_a_client(listen):
    """connections_per_client counts who is behind the load balancer, not the balancer."""
    listen(tls="none", proxy=["127.0.0.0/8"], limits={"connections_per_client": 2})
    held = [Client(ADDRESS, first=v1(f"192.0.2.{i // 2 + 1}")) for i in range(8)]
    assert all(client.greeting[0] == 220 for client in held)
    with Client(ADDRESS, first=v1("192.0.2.1")) as client:
        assert client.greeting[0] == 421
    held[0].close()
    def free():
        with Client(ADDRESS, first=v1("192.0.2.1")) as client:
            return client.greeting[0] == 220
    wait_until(free, 10, "the place of the session that ended")
    for client in held:
        client.close()


# Certificates.

def test_a_certificate_renewed_under_load(world, listen, pair, inbox):
    """No session fails, and the new one is shown within seconds, without a restart or a signal; half of a pair changes nothing."""
    domain, _ = inbox
    relay = listen(tls="implicit")
    stop, failures, done = threading.Event(), [], []

    def load():
        while not stop.is_set():
            try:
                with Client(ADDRESS, tls=context(world), name="relay.example") as client:
                    client.hello()
                    client.envelope("ann@sender.example", [domain.user()])
                    done.append(queue_id(client.data(message())))
            except Exception as error:          # pylint: disable=broad-except
                failures.append(error)
            time.sleep(0.05)

    def serial():
        with Client(ADDRESS, tls=context(world), name="relay.example") as client:
            return int(client.sock.getpeercert()["serialNumber"], 16)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        first = serial()
        stranger = world.other_ca.good("relay.example")
        with open(stranger.key_file, encoding="ascii") as file, open(pair[1], "w", encoding="ascii") as target:
            target.write(file.read())                   # a key that is not the certificate's yet
        relay.wait_log("belongs to another certificate", 30)
        time.sleep(11)
        assert len(relay.events(event="reread", level="error")) == 1, "it is said once"
        assert serial() == first
        renewed = world.ca.good("relay.example")
        put(renewed, *pair)
        wait_until(lambda: serial() == renewed.cert.serial_number, 30, "the new certificate")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures and len(done) > 10


def test_config_check_warns(world, make_relay, pair, lab_dir):
    relay = make_relay(listen=[{"address": "127.0.0.1:2525", "tls": "implicit", "certificate": pair[0], "key": pair[1]}])
    assert "certificate" not in relay.command("config", "check").stderr
    for certificate, text in ((world.ca.expired("relay.example"), " expired on "), (world.ca.issue(["relay.example"], end=5 * DAY), " expires on "),
                              (world.ca.good("other.example"), "is not for the hostname relay.example")):
        put(certificate, *pair)
        assert text in relay.command("config", "check").stderr
    os.chmod(pair[1], 0)
    if os.geteuid() != 0:
        assert "mend it with" in relay.command("config", "check").stderr
    os.unlink(pair[1])
    assert "there is no such file" in relay.command("config", "check").stderr


def test_idle_sessions_are_small(world, make_plain, pair):
    """DESIGN.md, measures: under 64 KiB an idle TLS session."""
    count = 400
    relay = make_plain(shards=1, listen=[{"address": "127.0.0.1:2525", "tls": "implicit", "certificate": pair[0], "key": pair[1]}]).start()
    tls = context(world)

    def memory():
        with open(f"/proc/{relay.process.popen.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    held = [Client(ADDRESS, tls=tls, name="relay.example") for _ in range(50)]
    before = memory()
    for _ in range(count):
        held.append(Client(ADDRESS, tls=tls, name="relay.example"))
        held[-1].hello()
    each = (memory() - before) / count
    print(f"{each:.1f} KiB a session")
    assert each < 64
    for client in held:
        client.close()
