"""What is kept of attempts, and `strictpost explain`: the story that it tells, compared with what the laboratory did."""

import json
import sqlite3

import pytest

from lab.behaviour import Close, by_recipient
from lab.client import message, submit
from lab.process import wait_until


def rows(relay, sql, *values):
    """Out of the spool's evidence."""
    db = sqlite3.connect(f"file:{relay.config['state_dir']}/spool.db?mode=ro", uri=True)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def sessions(relay, domain):
    """Those with the destination, the oldest first."""
    return [json.loads(data) for data, in rows(relay, "SELECT data FROM evidence_session WHERE destination = ? ORDER BY id", str(domain))]


def all_events(relay):
    return [json.loads(data) for data, in rows(relay, "SELECT data FROM evidence_event ORDER BY id")]


def wait_event(relay, **wanted):
    """The first event that is so, once it is in the store."""
    def look():
        return next((event for event in all_events(relay) if all(event.get(key) == value for key, value in wanted.items())), None)
    return wait_until(look, 20, f"an event {wanted}")


def said(dialogue, who):
    """The lines of one side."""
    return [text for _, side, text in dialogue if side == who]


def test_smoke(world, relay, send):
    domain = world.domain().policy()
    host = domain.mx()
    send(domain.user())
    host.wait_messages()
    event = wait_event(relay, event="attempt")
    print(json.dumps(all_events(relay), indent=1))
    print(json.dumps(sessions(relay, domain), indent=1))
    assert event["recipients"][0]["outcome"] == "delivered"
