"""What the tests look at to say what happened: the message as received, and the relay's log of the attempt."""

import re
import time


def same_message(got, sent, queue_id=None):
    """True when `got` (bytes received) is `sent` with one Received field of the relay in front and nothing else changed."""
    assert got.endswith(sent), f"changed on the way:\n{got!r}\nwas sent as\n{sent!r}"
    added = got[:len(got) - len(sent)]
    fields = re.findall(rb"(?m)^\S[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", added)
    assert b"".join(fields) == added and len(fields) == 1, f"added: {added!r}"
    field = b" ".join(fields[0].split())
    assert field.startswith(b"Received: from ") and b" by relay.example " in field, field
    if queue_id:
        assert b" id " + queue_id.encode() in field, field
    return True


def untouched(host):
    """True when no byte of any envelope or message came to this host."""
    told = {"MAIL", "RCPT", "DATA", "BDAT"} & set(host.verbs())
    assert not told and not host.seen, f"{host.name} was told {told}"
    return True


def failure(event):
    """What an attempt's event says went wrong: an RFC 8460 result type, or another word; None when nothing did."""
    return event.get("fault")


def policy(event):
    """The policy that an attempt's event says applied: sts/enforce, sts/testing, sts/none, none."""
    return event["policy"]


def let_dns_age():
    """What DNS said is used for a second at least, whatever its time to live: this is a little longer."""
    time.sleep(1.3)
