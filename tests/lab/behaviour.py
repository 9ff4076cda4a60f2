"""What a scripted MX host does, as data.

A `Behaviour` says what EHLO offers, which certificate is shown, and for each stage of a session what happens there
instead of the usual. Stages are named by the command: CONNECT, EHLO, HELO, STARTTLS, HANDSHAKE, MAIL, RCPT, DATA, BODY (inside the
message), "." (the end of the message), BDAT, RSET, NOOP, QUIT.
"""

import dataclasses
import ssl
import threading


@dataclasses.dataclass
class Drop:
    """Close the connection; `after` bytes of the message, at stage BODY."""
    after: int = 0


@dataclasses.dataclass
class Reset:
    """Close the connection with a TCP RST."""


@dataclasses.dataclass
class Hang:
    """Say nothing more and keep the connection open."""


@dataclasses.dataclass
class Slow:
    """Wait, then do the usual, or `then`."""
    seconds: float
    then: object = None


@dataclasses.dataclass
class Raw:
    """Exactly these bytes as the reply."""
    data: bytes


@dataclasses.dataclass
class Close:
    """This reply, then close the connection."""
    reply: str


class Turns:
    """One action after the other, the last one for ever; None is the usual."""

    def __init__(self, *actions):
        self.actions = list(actions)
        self.lock = threading.Lock()

    def next(self):
        with self.lock:
            return self.actions.pop(0) if len(self.actions) > 1 else self.actions[0]


@dataclasses.dataclass
class Behaviour:
    """What a host does. `on` maps a stage to an action: a reply, one of the classes above, or a function of the
    session and the argument that returns one of these (None: the usual)."""
    certificate: object = None
    starttls: bool = True
    implicit: bool = False                      # TLS from the first octet
    keywords: tuple = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES")
    keywords_under_tls: tuple = None            # None: the same
    banner: str = "220 {name} ESMTP lab"
    inject: bytes = b""                         # sent in clear right behind the reply to STARTTLS
    tls_min: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    tls_max: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    certificate_for: dict = dataclasses.field(default_factory=dict)     # SNI to certificate
    on: dict = dataclasses.field(default_factory=dict)

    def but(self, **changes):
        """The same with some things different."""
        return dataclasses.replace(self, **changes)


def by_recipient(replies):
    """An action for RCPT: the reply for each address in `replies`, the usual for others."""
    def choose(_dialogue, argument):
        address = argument[len(b"TO:"):].partition(b">")[0].lstrip(b" <").decode("utf-8")
        return replies.get(address)
    return choose
