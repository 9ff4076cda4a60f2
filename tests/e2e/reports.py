"""What a report must say, put together from what the hosts themselves saw; and how it is held against the one that came."""

import gzip
import subprocess
import time

DAY_S, WEEK_S = 86400, 7 * 86400
ORGANIZATION, CONTACT, SUBMITTER = "Laboratory", "tls@relay.example", "relay.example"

# Every report of the day is due as soon as the day is over.
SETTINGS = {"organization": ORGANIZATION, "contact": CONTACT, "submitter": SUBMITTER, "spread": "0s"}


def day_of(moment):
    """A UTC day as the number of days since 1970."""
    return int(moment // DAY_S)


def tomorrow():
    """A day that the laboratory's certificates are valid on, and on those after it too, and that no test's clock has seen yet."""
    return day_of(time.time()) + 1


def at(day, clock="12:00:00"):
    """A moment of a day, in Unix time."""
    hours, minutes, seconds = clock.split(":")
    return day * DAY_S + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def day_text(day):
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))


# What is wanted.

def failure(result, reason=None, host=None, session=None, count=1):
    """Sessions that failed in one way; how far they got is what is known of them: the host, and a session with it."""
    detail = {"result-type": result, "failed-session-count": count}
    if host:
        detail["receiving-mx-hostname"] = host.name
    if session:
        detail |= {"sending-mta-ip": session.peer, "receiving-ip": session.address, "receiving-mx-helo": host.name}
    if reason:
        detail["failure-reason-code"] = reason
    return detail


def applied(domain, text=None, successes=0, failures=()):
    """A policy as it was applied: the document, or None where there is none."""
    lines = text.split("\r\n")[:-1] if text else []
    policy = {"policy-type": "sts" if text is not None else "no-policy-found", "policy-string": lines, "policy-domain": domain.name,
              "mx-host": [line.removeprefix("mx: ") for line in lines if line.startswith("mx: ")]}
    return {"policy": policy, "failure-details": list(failures), "summary": {
        "total-successful-session-count": successes, "total-failure-session-count": sum(f["failed-session-count"] for f in failures)}}


def document(day, *policies):
    """A whole report, but for its identifier."""
    return {"organization-name": ORGANIZATION, "contact-info": CONTACT, "date-range": {
        "start-datetime": f"{day_text(day)}T00:00:00Z", "end-datetime": f"{day_text(day)}T23:59:59Z"}, "policies": list(policies)}


# What the hosts saw.

def seen(host, domain=None):
    """The sessions that a report has to tell of, as the host has them: those in which TLS was tried or was not to be had, for mail of
    `domain` where the host serves several. What follows in clear behind a broken handshake belongs to that session."""
    def counts(session):
        verbs = session.verbs()
        mine = domain is None or any(line.endswith(f"@{domain}>".encode()) for line, _ in session.commands if line.startswith(b"RCPT"))
        return "EHLO" in verbs and mine and ("STARTTLS" in verbs or not host.behaviour.starttls)
    return [session for session in list(host.sessions) if counts(session)]


# What came.

def plain(report):
    """A report without its identifier, its lists in one order, so that two can be compared. An absent list of failures is an empty one."""
    policies = [{**p, "failure-details": sorted(p.get("failure-details", []), key=sorted_items)} for p in report["policies"]]
    return {**{key: value for key, value in report.items() if key != "report-id"},
            "policies": sorted(policies, key=lambda p: (p["policy"]["policy-type"], p["policy"]["policy-string"]))}


def sorted_items(mapping):
    return sorted((key, str(value)) for key, value in mapping.items())


def differences(got, want, where=""):
    """Where two documents differ, a line each: what a person needs to see of fifty reports."""
    if isinstance(got, dict) and isinstance(want, dict):
        return [line for key in sorted(got.keys() | want.keys())
                for line in differences(got.get(key), want.get(key), f"{where}.{key}")]
    if isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        return [line for i, pair in enumerate(zip(got, want)) for line in differences(*pair, f"{where}[{i}]")]
    return [] if got == want else [f"{where}: got {got!r}, want {want!r}"]


def sessions_of(report):
    """How many sessions a report tells of."""
    return sum(sum(p["summary"].values()) for p in report["policies"])


def lint(relay, report, folder):
    """What `strictpost report lint` has against a report; "" for nothing."""
    with open(f"{folder}/report.json.gz", "wb") as file:
        file.write(report if isinstance(report, bytes) else gzip.compress(report.encode()))
    done = subprocess.run([relay.binary, "report", "lint", file.name], capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else f"status {done.returncode}: {done.stdout}{done.stderr}"
