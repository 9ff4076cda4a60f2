"""DKIM signatures of relayed mail, verified by an independent verifier (Debian's python3-dkim) as the MX hosts got it."""

import base64
import os
import re
import ssl

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from conftest import BINARY
from lab.accounts import SUBMISSIONS, Accounts, listeners
from lab.client import Client, message, queue_id, submit
from lab.relay import ENVIRONMENT

DOMAIN = "sender.example"           # of lab.client.message()


def make_key(path, kind="rsa", bits=2048):
    """A private key in a file; the TXT record of its public half."""
    key = rsa.generate_private_key(65537, bits) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    if kind == "rsa":
        public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"


class Keys:
    """Keys of domains, the `dkim:` that names them, and the DNS that shows them."""

    def __init__(self, folder):
        self.folder = folder
        self.entries = []
        self.records = {}

    def add(self, domain, selector, kind="rsa"):
        path = f"{self.folder}/{selector}.{domain}.pem"
        self.records[f"{selector}._domainkey.{domain}."] = make_key(path, kind)
        self.entries.append({"domain": domain, "selector": selector, "key_file": path})
        return self

    def look_up(self, name, timeout=5):
        return self.records.get(name.decode("ascii")).encode("ascii")

    def check(self, data, *selectors):
        """The message has exactly these signatures, in this order, on top but for our Received field, and each holds."""
        fields = re.findall(rb"(?im)^dkim-signature:(?:.*\r\n)(?:[ \t].*\r\n)*", data.partition(b"\r\n\r\n")[0] + b"\r\n")
        assert [re.search(rb"[ \t;]s=([^;]+);", f).group(1).decode() for f in fields] == list(selectors)
        verifier = dkim.DKIM(data, minkey=1024)
        for index in range(len(fields)):
            assert verifier.verify(idx=index, dnsfunc=self.look_up), selectors[index]
        return fields


@pytest.fixture
def keys(tmp_path):
    return Keys(str(tmp_path)).add(DOMAIN, "s1")


@pytest.fixture
def inbox(world):
    """A domain whose host takes everything: (domain, host)."""
    domain = world.domain("signed")
    return domain, domain.mx()


@pytest.fixture
def signing(start_relay, keys):
    """A relay that signs for sender.example."""
    return start_relay(dkim=keys.entries)


def deliver(relay, inbox, data, count=1):
    """Hands it over by DATA; the message as the host got it, and the event of its acceptance."""
    domain, host = inbox
    identifier = submit(relay.address, domain.user(), data)
    got = host.wait_messages(count)[-1]
    return got.data, relay.events(event="accepted", id=identifier)[0]


def big(size):
    """Lines of text, dots and blanks at their ends, and empty lines at the end of all."""
    line = b".. it goes on  and on \t\r\n.\r\n\r\n" + b"x" * 900 + b"\r\n"
    return line * (size // len(line)) + b"\r\n\r\n"


def test_a_message_in_memory(signing, keys, inbox):
    data, event = deliver(signing, inbox, message())
    [field] = keys.check(data, "s1")
    assert event["dkim"] == "sender.example/s1"
    assert re.match(rb"Received: (?:.*\r\n)(?:[ \t].*\r\n)*DKIM-Signature: ", data)
    assert b" c=relaxed/relaxed;" in field and b"l=" not in field and re.search(rb"h=From:From:", field)
    assert not keys_hold(keys, data.replace(b"Hello", b"hello"))
    assert not keys_hold(keys, data.replace(b"Subject: hello", b"Subject: other"))
    assert not keys_hold(keys, data.replace(b"Subject:", b"From: Eve <eve@evil.example>\r\nSubject:", 1))


def keys_hold(keys, data):
    try:
        return dkim.DKIM(data).verify(dnsfunc=keys.look_up)
    except dkim.ValidationError:                # two From fields
        return False


@pytest.mark.parametrize("size", [130_000, 1_100_000, 5_000_000])
def test_a_message_in_a_file(signing, keys, inbox, size):
    data, event = deliver(signing, inbox, message() + big(size))
    keys.check(data, "s1")
    assert event["dkim"] == "sender.example/s1" and event["size"] == len(data)


@pytest.mark.parametrize("size", [2000, 30_000, 60_000, 65_000, 66_000])
def test_a_small_message_in_a_file(start_relay, keys, inbox, size):
    """limits.inline_body may be less than what is gathered before it is written: then the end comes before anything was."""
    relay = start_relay(dkim=keys.entries, limits={"inline_body": "1K"})
    data, event = deliver(relay, inbox, message() + big(size))
    keys.check(data, "s1")
    assert event["dkim"] == "sender.example/s1" and event["size"] == len(data)


def test_a_file_is_read_back_after_a_restart(world, keys, start_relay):
    """The values are on disk, not only in the memory that wrote them."""
    domain = world.domain("later")
    host = domain.mx(world.honest(f"mx1.{domain}").but(on={"CONNECT": "421 4.3.2 later"}))
    relay = start_relay(dkim=keys.entries)
    submit(relay.address, domain.user(), message() + big(1_100_000))
    submit(relay.address, domain.user(), message())
    relay.restart()
    host.behaviour = world.honest(f"mx1.{domain}")
    for got in host.wait_messages(2):
        keys.check(got.data, "s1")


@pytest.mark.parametrize("size", [0, 200, 1_100_000])
@pytest.mark.parametrize("chunk", [7, 1000, 300_000])
def test_chunks(signing, keys, inbox, size, chunk):
    """By BDAT, cut anywhere; without a line end at the end, which we add and sign."""
    if size // chunk > 5000:
        chunk = size // 5000
    domain, host = inbox
    wire = message(body="") + big(size) + b"no line end"
    with Client(signing.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        for at in range(0, len(wire), chunk):
            piece = wire[at:at + chunk]
            client.send(f"BDAT {len(piece)}{' LAST' if at + chunk >= len(wire) else ''}\r\n".encode() + piece)
            reply = client.reply()
            assert reply[0] == 250, reply
    data = host.wait_messages()[0].data
    keys.check(data, "s1")
    assert data.endswith(b"no line end\r\n")


@pytest.mark.parametrize("cut", range(-6, 4))
def test_the_end_of_the_header_cut_anywhere(signing, keys, inbox, cut):
    domain, host = inbox
    wire = message(body="a line\r\n")
    at = wire.index(b"\r\n\r\n") + 4 + cut
    with Client(signing.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        for piece, last in ((wire[:at], ""), (wire[at:], " LAST")):
            client.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            assert client.reply()[0] == 250
    keys.check(host.wait_messages()[0].data, "s1")


def test_two_keys_at_once(start_relay, keys, inbox):
    """RSA and Ed25519 beside each other (RFC 8463 5), for a message in memory and for one in a file."""
    keys.add(DOMAIN, "e1.relay", "ed25519")
    relay = start_relay(dkim=keys.entries)
    for number, data in enumerate((message(), message() + big(1_100_000)), 1):
        got, event = deliver(relay, inbox, data, number)
        rsa_field, ed_field = keys.check(got, "s1", "e1.relay")
        assert b"a=rsa-sha256;" in rsa_field and b"a=ed25519-sha256;" in ed_field
        assert event["dkim"] == "sender.example/s1,sender.example/e1.relay"


@pytest.mark.parametrize("drop", ["Date", "Message-ID", "Date Message-ID"])
def test_what_we_add_is_signed(signing, keys, inbox, drop):
    wire = message()
    for name in drop.split():
        wire = re.sub(rf"(?m)^{name}: .*\r\n".encode(), b"", wire)
    data, _ = deliver(signing, inbox, wire)
    [field] = keys.check(data, "s1")
    for name in drop.split():
        assert data.count(f"\r\n{name}: ".encode()) == 1
        assert name.encode() in re.search(rb"h=([^;]*);", field).group(1)
        assert not keys_hold(keys, re.sub(rf"(?m)^{name}: .*\r\n".encode(), b"", data))


@pytest.mark.parametrize("wire", [
    b"From: ann@sender.example\r\n",                                        # nothing but a header section
    b"From: ann@sender.example\r\n\r\n",
    b"From: ann@sender.example\r\n\r\n\r\n\r\n",
    b"From: ann@sender.example\r\nthis is no field\r\nbody\r\n",            # the section ends without an empty line
    b"From: ann@sender.example\r\nSubject:  two  blanks \r\n\tfolded  \r\n \r\n\r\nbody  \r\n \t\r\nx\r\n\r\n",
    b"from:ann@sender.example\r\nSUBJECT:\r\n\r\n\r\nbody\r\n",
    "From: =?utf-8?q?J=C3=BCrgen?= <ann@Sender.Example>\r\nSubject: Größe\r\n\r\nGrüße ä\r\n".encode(),
    b"From: (a, b) ann@sender.example (c)\r\nFrom-Me: x\r\nTo: a, b\r\nTo: c\r\n\r\n.\r\n..\r\n",
], ids=range(8))
def test_odd_forms(signing, keys, inbox, wire):
    """By BDAT, so that it comes exactly like this."""
    domain, host = inbox
    with Client(signing.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()], " BODY=8BITMIME")
        client.send(f"BDAT {len(wire)} LAST\r\n".encode() + wire)
        assert client.reply()[0] == 250
    keys.check(host.wait_messages()[0].data, "s1")


def test_normalised_line_ends_are_what_is_signed(start_relay, keys, inbox):
    domain, host = inbox
    relay = start_relay(dkim=keys.entries, listen=[{"address": "127.0.0.1:2525", "allow": ["127.0.0.1/32"], "bare_lf": ["127.0.0.1/32"]}])
    with Client(relay.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        assert client.command("DATA")[0] == 354
        client.send(message(body="one\r\ntwo\r\n").replace(b"\r\n", b"\n") + b"three\r\n.\r\n")
        queue_id(client.reply())
    data = host.wait_messages()[0].data
    keys.check(data, "s1")
    assert data.endswith(b"one\r\ntwo\r\nthree\r\n")


def test_a_long_header_is_signed(signing, keys, inbox):
    """Some hundred KiB of it."""
    headers = "".join(f"X-Long-{n}: {'y' * 900}\r\n" for n in range(700)) + "To: " + ",\r\n ".join(f"user{n}@b.example" for n in range(3000)) + "\r\n"
    data, _ = deliver(signing, inbox, message(headers=headers))
    keys.check(data, "s1")


def test_a_header_with_too_much_to_name_is_not_signed(start_relay, keys, inbox):
    """h= would take more room than all the rest; the mail goes all the same, and the log tells."""
    for selector in ("s2", "s3", "s4", "s5", "s6", "s7", "s8"):
        keys.add(DOMAIN, selector, "ed25519")
    relay = start_relay(dkim=keys.entries)
    names = ("Content-Description", "Content-Transfer-Encoding", "List-Unsubscribe-Post", "List-Unsubscribe", "In-Reply-To")
    data, event = deliver(relay, inbox, message(headers="".join(f"{name}: x\r\n" for name in names for _ in range(100))))
    assert b"DKIM-Signature" not in data and "dkim" not in event
    assert "not signed" in relay.events(event="dkim")[0]["text"]


# What is left alone.

UNSIGNED = {
    "another domain": b"From: ann@other.example\r\nSubject: x\r\n\r\nbody\r\n",
    "a part of the domain": b"From: ann@sub.sender.example\r\nSubject: x\r\n\r\nbody\r\n",
    "a name that ends like it": b"From: ann@mysender.example\r\nSubject: x\r\n\r\nbody\r\n",
    "the domain in a comment only": b"From: ann@other.example (ann@sender.example)\r\nSubject: x\r\n\r\nbody\r\n",
    "no From": b"Sender: ann@sender.example\r\nSubject: x\r\n\r\nbody\r\n",
    "an empty From": b"From: \r\nSubject: x\r\n\r\nbody\r\n",
    "two authors": b"From: ann@sender.example, bob@other.example\r\nSender: ann@sender.example\r\nSubject: x\r\n\r\nbody\r\n",
    "two From fields": b"From: ann@sender.example\r\nFrom: eve@evil.example\r\nSubject: x\r\n\r\nbody\r\n",
    "From in the body": b"Subject: x\r\n\r\nFrom: ann@sender.example\r\nbody\r\n",
    "no header": b"\r\nFrom: ann@sender.example\r\n",
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_not_signed(signing, inbox, name):
    data, event = deliver(signing, inbox, UNSIGNED[name])
    assert b"dkim-signature" not in data.lower() and "dkim" not in event


def test_already_signed_is_left_alone(signing, keys, inbox, start_relay):
    """Through the relay twice: the second time there is nothing to add; another key adds one of its own."""
    once, _ = deliver(signing, inbox, message())
    twice, event = deliver(signing, inbox, once, 2)
    keys.check(twice, "s1")
    assert "dkim" not in event
    signing.stop()
    keys.add(DOMAIN, "s2", "ed25519")
    thrice, event = deliver(start_relay(dkim=keys.entries), inbox, once, 3)
    keys.check(thrice, "s2", "s1")
    assert event["dkim"] == "sender.example/s2"


def test_signed_by_somebody_else_is_signed(signing, keys, inbox):
    other = b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=s1; h=From; bh=x; b=y\r\n"
    data, event = deliver(signing, inbox, other + message())
    assert event["dkim"] == "sender.example/s1"
    assert dkim.DKIM(data).verify(idx=0, dnsfunc=keys.look_up)


# Our own.

def test_notifications_are_signed(world, start_relay, keys, home):
    keys.add("relay.example", "n1", "ed25519")
    relay = start_relay(dkim=keys.entries)
    domain = world.domain()
    domain.mx(world.honest(f"mx1.{domain}").but(on={"RCPT": "550 5.1.1 no such user"}))
    submit(relay.address, domain.user(), sender=home.user())
    keys.check(home.host.wait_messages()[0].data, "n1")
    submit(relay.address, domain.user(), message() + big(1_100_000), sender=home.user())
    keys.check(home.host.wait_messages(2)[1].data, "n1")


# Reload.

def reload_and_wait(relay, times=1):
    before = len(relay.events(event="reload"))
    relay.reload()
    relay._wait(lambda: relay.events(event="reload"), before + times, 20, "reload")
    return relay.events(event="reload")[before:]


def test_reload_takes_a_new_key(signing, keys, inbox):
    """The same file with another key in it, and an entry more."""
    first, _ = deliver(signing, inbox, message())
    old = dict(keys.records)
    keys.records["s1._domainkey.sender.example."] = make_key(keys.entries[0]["key_file"])
    keys.add(DOMAIN, "s2")
    signing.write_config(dkim=keys.entries)
    reload_and_wait(signing)
    second, _ = deliver(signing, inbox, message(), 2)
    keys.check(second, "s1", "s2")
    keys.records = old
    keys.check(first, "s1")
    assert not keys_hold(keys, second)


def test_reload_in_the_middle_of_a_message(signing, keys, inbox):
    """The key that began a message ends it, whatever becomes of the configuration meanwhile."""
    domain, host = inbox
    wire = message() + big(300_000)
    with Client(signing.address) as client:
        client.hello()
        client.envelope("ann@sender.example", [domain.user()])
        client.send(f"BDAT 150000\r\n".encode() + wire[:150_000])
        assert client.reply()[0] == 250
        signing.write_config(dkim=[])
        reload_and_wait(signing)
        client.send(f"BDAT {len(wire) - 150_000} LAST\r\n".encode() + wire[150_000:])
        assert client.reply()[0] == 250
    keys.check(host.wait_messages()[0].data, "s1")
    data, event = deliver(signing, inbox, message(), 2)
    assert b"DKIM-Signature" not in data and "dkim" not in event


def test_a_key_that_is_gone_keeps_the_old_configuration(signing, keys, inbox):
    os.unlink(keys.entries[0]["key_file"])
    signing.write_config(limits={"recipients": 500})
    [event] = reload_and_wait(signing)
    assert "the running configuration stays" in event["text"]
    assert f"{keys.entries[0]['key_file']}" in signing.log_text() and "dkim.key_file" in signing.log_text()
    data, _ = deliver(signing, inbox, message())
    keys.check(data, "s1")


def test_no_start_without_the_key(make_relay, tmp_path):
    relay = make_relay(dkim=[{"domain": DOMAIN, "selector": "s1", "key_file": f"{tmp_path}/none.pem"}])
    result = relay.command("run")
    assert result.returncode == 78 and "dkim.key_file" in result.stderr and f"{tmp_path}/none.pem" in result.stderr


def test_start_tells_that_reports_cannot_be_mailed(start_relay, keys):
    """And what makes a key; not where there is one, nor where nobody reports."""
    def told(relay):
        return [e["text"] for e in relay.events(event="config", level="warning")]

    relay = start_relay()
    [text] = told(relay)
    assert "strictpost dkim keygen --domain relay.example --selector" in text and "https reports go out" in text
    reload_and_wait(relay)
    assert len(told(relay)) == 2
    relay.write_config(report={"enabled": False})
    reload_and_wait(relay)
    relay.write_config(report={"enabled": True}, dkim=keys.add("relay.example", "tlsrpt").entries)
    reload_and_wait(relay)
    assert len(told(relay)) == 2


def test_a_user_gets_no_signature_of_a_domain_that_is_not_its_own(world, make_relay, keys, inbox):
    """MAIL FROM is held against the user's senders, and is nothing that a reader sees: a null path, or its own address, does not buy a signature for another
    domain's From."""
    domain, host = inbox
    relay = make_relay()
    accounts = Accounts(BINARY, f"{relay.folder}/users", ENVIRONMENT)
    accounts.add("app", "secret", f"app@{DOMAIN}")
    accounts.add("any", "secret", "*")
    accounts.add("other", "secret", "@other.example,app@news.sender.example")
    relay.write_config(dkim=keys.entries, auth={"users_file": accounts.path}, listen=listeners(world.ca.good("relay.example")))
    relay.start()
    tls = ssl.create_default_context(cafile=world.ca.ca_file)
    rows = [("app", f"app@{DOMAIN}", ["s1"]), ("app", "", ["s1"]), ("any", "ann@elsewhere.example", ["s1"]), ("other", "x@other.example", []), ("other", "", [])]
    for count, (user, sender, selectors) in enumerate(rows, 1):
        with Client(SUBMISSIONS, tls=tls, name="relay.example") as client:
            client.hello()
            assert client.command("AUTH PLAIN " + base64.b64encode(f"\0{user}\0secret".encode()).decode())[0] == 235
            client.envelope(sender, [domain.user()])
            queue_id(client.data(message(f"m{count}")))
        keys.check(host.wait_messages(count)[-1].data, *selectors)
