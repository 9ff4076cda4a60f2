"""Our DKIM signatures under a verifier that is not ours (Debian's python3-dkim), over odd messages.

tests/unit/dkim_sign signs as the relay does: the fields first with zeros, then the body in pieces, then the fields again.
"""

import base64
import os
import random
import re
import subprocess

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from conftest import BINARY
from lab.relay import ENVIRONMENT

SIGN = os.path.join(os.path.dirname(BINARY), "tests/unit/dkim_sign")
DOMAIN = "example.com"
HEADER = (b"From: A <a@example.com>\r\nTo: b@example.net\r\nSubject: s\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700\r\n"
          b"Message-ID: <1@example.com>\r\n")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Selector: (file, DNS record)."""
    folder = tmp_path_factory.mktemp("dkim")
    made = {"r1": rsa.generate_private_key(65537, 1024), "r2": rsa.generate_private_key(65537, 2048), "ed": ed25519.Ed25519PrivateKey.generate()}
    found = {}
    for selector, key in made.items():
        path = folder / f"{selector}.pem"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        public = key.public_key()
        if selector == "ed":
            value = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            value = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        kind = "ed25519" if selector == "ed" else "rsa"
        found[selector] = (str(path), f"v=DKIM1; k={kind}; p={base64.b64encode(value).decode()}".encode())
    return found


def sign(keys, message, selectors=("r1", "ed"), piece=4096):
    signers = [part for selector in selectors for part in (DOMAIN, selector, keys[selector][0])]
    done = subprocess.run([SIGN, str(piece), "1528637909", *signers], input=message, capture_output=True, timeout=60,
                          env={**os.environ, **ENVIRONMENT})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(message)
    return done.stdout


def holds(keys, signed, index):
    """Does the signature number `index` hold, when the message arrives by SMTP: its last line has an end?"""
    verifier = dkim.DKIM(signed if signed.endswith(b"\r\n") else signed + b"\r\n")
    record = {f"{selector}._domainkey.{DOMAIN}.".encode(): value for selector, (_, value) in keys.items()}
    return verifier.verify(idx=index, dnsfunc=lambda name, timeout=5: record[name])


def verified(keys, message, selectors=("r1", "ed"), piece=4096):
    signed = sign(keys, message, selectors, piece)
    for index in range(len(selectors)):
        assert holds(keys, signed, index), (selectors[index], message[:400])
    fields = signed[:len(signed) - len(message)]
    assert fields.count(b"DKIM-Signature:") == len(selectors)
    assert max(map(len, fields.split(b"\r\n"))) <= 78
    return signed


BODIES = {
    "empty": b"", "empty line": b"\r\n", "empty lines": b"\r\n\r\n\r\n", "blank lines": b" \r\n\t\r\n", "no line end": b"text",
    "plain": b"Hello\r\n", "runs of blanks": b"a  b\t\tc \t d\r\n", "blanks at ends": b"a \r\nb\t\r\n c\r\n", "trailing lines": b"a\r\n\r\n\r\n",
    "blank trailing lines": b"a\r\n \r\n\t \r\n", "inner lines": b"a\r\n\r\n \r\nb\r\n", "leading lines": b"\r\n\r\na\r\n",
    "eight bits": "Grüße\r\n".encode() + bytes(range(128, 256)) + b"\r\n", "dots": b".\r\n..\r\n", "long line": b"x" * 100000 + b"\r\n",
    "large": b"".join(b"line  %d \r\n" % i for i in range(30000)),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("piece", [1, 2, 3, 4096])
def test_bodies(keys, body, piece):
    verified(keys, HEADER + b"\r\n" + BODIES[body], piece=max(piece, len(BODIES[body]) // 5000 + 1))


HEADERS = {
    "folded": b"From: A\r\n <a@example.com>\r\nSubject: one\r\n\ttwo\r\n   three  \r\n",
    "case": b"FROM: a@example.com\r\nsUBJECT: x\r\nmessage-ID: <1@x>\r\n",
    "blanks": b"From:   a@example.com  \r\nSubject:\tx \t y \r\nTo:b\r\n",
    "empty value": b"From: a@example.com\r\nSubject:\r\nTo: \r\n",
    "value on the second line": b"From:\r\n a@example.com\r\nSubject:\r\n x\r\n",
    "several of a name": b"From: a@example.com\r\nTo: one\r\nTo: two\r\nReply-To: q\r\nto: three\r\nCc: x\r\nCC: y\r\n",
    "trace": b"Return-Path: <x>\r\nReceived: a\r\n\tby b\r\nReceived: c\r\nDKIM-Signature: v=1; b=x\r\nFrom: a@example.com\r\n",
    "lists": b"From: a@example.com\r\nList-Id: <x>\r\nList-Unsubscribe: <mailto:x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    "resent": b"Resent-From: q@example.com\r\nResent-Date: now\r\nResent-To: z\r\nFrom: a@example.com\r\n",
    "report": b"From: a@example.com\r\nTLS-Report-Domain: example.net\r\nTLS-Report-Submitter: example.com\r\nTLS-Required: No\r\n"
              b"MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"b\"\r\n",
    "eight bits": "From: Jörg <a@example.com>\r\nSubject: Grüße\r\n".encode(),
    "encoded": b"From: =?utf-8?Q?J=C3=B6rg?= <a@example.com>\r\nSubject: =?utf-8?B?w7w=?=\r\n =?utf-8?B?w7w=?=\r\n",
    "long": b"From: a@example.com\r\nReferences:" + b"".join(b"\r\n <%d@example.com>" % i for i in range(500)) + b"\r\n",
}


@pytest.mark.parametrize("header", HEADERS)
def test_headers(keys, header):
    already = HEADERS[header].count(b"DKIM-Signature")
    signed = verified(keys, HEADERS[header] + b"\r\nHello\r\n")
    assert signed.count(b"DKIM-Signature") == 2 + already


def test_many_signers(keys):
    verified(keys, HEADER + b"\r\nHello\r\n", ("r2", "ed", "r1", "r2", "ed", "r1", "r2", "ed"))


def test_tags(keys):
    message = HEADER + b"\r\nHello\r\n"
    field = sign(keys, message, ("r2",))[:-len(message)]
    assert re.sub(rb"\s+", b"", field).startswith(b"DKIM-Signature:v=1;a=rsa-sha256;c=relaxed/relaxed;d=example.com;s=r2;t=1528637909;h=From:From:")


@pytest.mark.parametrize("change", [
    (b"Hello", b"Hallo"), (b"Hello\r\n", b"Hello\r\nmore\r\n"), (b"Subject: s", b"Subject: t"), (b"To: b", b"To: c"),
    (b"Date: Fri, 11", b"Date: Fri, 12"), (b"From: A <a@", b"From: A <b@"), (b"t=1528637909", b"t=1528637910"),
    (b"d=example.com", b"d=Example.com"), (b"From: A", b"From: evil@example.org\r\nFrom: A"),
])
def test_a_change_breaks_it(keys, change):
    """So the tests above can fail."""
    signed = sign(keys, HEADER + b"\r\nHello\r\n", ("r1", "ed"))
    broken = signed.replace(*change)
    assert broken != signed and holds(keys, signed, 0) and holds(keys, signed, 1)
    for index in range(2):
        try:
            assert not holds(keys, broken, index)
        except (dkim.DKIMException, KeyError):
            pass


def test_what_may_change_on_the_way(keys):
    signed = sign(keys, HEADER + b"\r\nHello  you \r\n", ("r1", "ed"))
    for change in [(b"Subject: s", b"subject:\r\n   s  "), (b"Hello  you \r\n", b"Hello you\r\n\r\n\r\n"),
                   (b"To: b@example.net", b"X-New: y\r\nTo: b@example.net")]:
        changed = signed.replace(*change)
        assert changed != signed
        assert holds(keys, changed, 0) and holds(keys, changed, 1), change
    assert holds(keys, b"Return-Path: <x>\r\nReceived: from q\r\n" + signed, 0)


def odd_text(rng, words):
    return b"".join(rng.choice(words) for _ in range(rng.randrange(40)))


def odd_message(rng):
    """What a relay may be handed: fields in any case and folding, bodies of blanks and line ends."""
    names = [b"Subject", b"to", b"CC", b"List-Id", b"X-Other", b"Received", b"References", b"MIME-Version", b"Content-Type", b"Reply-To"]
    folds = [b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t ", b"a", b"Bc", b"d:e", b";", b"\xc3\xa4", b"=?x?="]
    fields = [rng.choice(names) + b":" + (odd_text(rng, folds).strip() or b"x") + rng.choice([b"", b" ", b"\t"]) + b"\r\n"
              for _ in range(rng.randrange(12))]
    fields.insert(rng.randrange(len(fields) + 1), rng.choice([b"From: a@example.com\r\n", b"from:  A\r\n <a@example.com> \r\n"]))
    body = odd_text(rng, [b"\r\n", b"\r\n", b" ", b"\t", b"word", b"x", b".", b"\xff", b"\r\n\r\n", b" \r\n"])
    return b"".join(fields) + b"\r\n" + body


@pytest.mark.parametrize("seed", range(150))
def test_odd_messages(keys, seed):
    rng = random.Random(seed)
    message = odd_message(rng)
    verified(keys, message, piece=rng.choice([1, 2, 3, 7, 4096]))
