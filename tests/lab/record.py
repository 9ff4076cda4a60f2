"""What a scripted MX host writes down: sessions, their commands, and messages byte for byte."""

import dataclasses
import time


@dataclasses.dataclass
class Tls:
    """What the handshake came to."""
    version: str
    cipher: str
    sni: str
    reused: bool


@dataclasses.dataclass
class Message:
    """A message as it was received: `data` has CRLF line ends and no dot stuffing; `wire` is what came over the line."""
    session: object
    mail_from: bytes
    mail_args: bytes
    rcpt_to: list
    data: bytes
    wire: bytes
    tls: Tls
    reply: str = ""                             # "" when none was sent
    at: float = 0.0


class Session:
    """All that happened on one connection."""

    def __init__(self, host, address, peer):
        self.host = host
        self.address = address
        self.peer = peer
        self.started = time.monotonic()
        self.ended = None
        self.commands = []                      # (line without CRLF, under TLS?)
        self.tls = None
        self.handshake_error = ""
        self.ahead_of_handshake = b""           # sent by the client in clear after STARTTLS

    def verbs(self):
        """The commands' verbs, in order."""
        return [line.split(b" ")[0].split(b":")[0].upper().decode("latin-1") for line, _ in self.commands]
