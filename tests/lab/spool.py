"""Mail put into the spool of a relay that is at rest, with wishes that need no client that can say them."""

import sqlite3
import time

from lab.client import message

# queue/wish.c: the bits of a message.
REQUIRE_TLS, TLS_OPTIONAL = 8, 16
MARKS = {REQUIRE_TLS: "/requiretls", TLS_OPTIONAL: "/tls-optional", 0: ""}


def put(relay, recipient, flags=0, sender="alice@relay.example", data=None, destination=None):
    """A message to one recipient, due at once; returns its number."""
    text = data or message()
    destination = (destination or recipient.partition("@")[2]) + MARKS[flags]
    db = sqlite3.connect(f"{relay.config['state_dir']}/spool.db")
    with db:
        number = db.execute("SELECT coalesce(max(id), 0) + 1 FROM message").fetchone()[0]
        now = int(time.time() * 1000)
        db.execute("INSERT INTO message (id, kind, flags, arrived, size, header_len, sender, client, body) VALUES (?, 0, ?, ?, ?, ?, ?, 'test', ?)",
                   (number, flags, now, len(text), text.index(b"\r\n\r\n") + 4, sender, text))
        db.execute("INSERT INTO recipient (id, message, n, destination, address, next_at, deadline) VALUES (?, ?, 0, ?, ?, 0, ?)",
                   (number, number, destination, recipient, now + 86400000))
        db.execute("UPDATE store SET value = value + 1 WHERE name IN ('messages', 'recipients')")
        db.execute("INSERT INTO destination (name, next_at, failures, since) VALUES (?, 0, 0, 0) ON CONFLICT DO NOTHING", (destination,))
    db.close()
    return number
