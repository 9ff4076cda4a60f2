"""TLSA records (RFC 6698) for the certificates of the laboratory."""

import hashlib

from cryptography.hazmat.primitives import serialization

DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


def record(certificate, usage=3, selector=1, matching=1):
    """The record, in presentation format, that `certificate` matches: a lab Certificate, or an x509 one."""
    cert = getattr(certificate, "cert", certificate)
    if selector == 0:
        data = cert.public_bytes(serialization.Encoding.DER)
    else:
        data = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if matching:
        data = DIGESTS[matching](data).digest()
    return f"{usage} {selector} {matching} {data.hex().upper()}"


def wrong(usage=3, selector=1, matching=1):
    """A record of that kind that nothing matches."""
    return f"{usage} {selector} {matching} {DIGESTS[matching](b'somebody else').hexdigest().upper()}"


def publish(world, host, *records, port=25):
    """Makes these all the TLSA records of a host name."""
    world.dns.replace(f"_{port}._tcp.{host}", "TLSA", records)
