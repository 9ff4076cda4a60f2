"""A certificate authority for the laboratory, and every way in which a certificate can be wrong."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Certificate:
    """A certificate with its chain and its key, in files as servers want them."""

    def __init__(self, base, cert, key, chain):
        self.cert = cert
        self.cert_file = f"{base}.crt"
        self.key_file = f"{base}.key"
        self.pem_file = f"{base}.pem"       # key and chain in one
        certs = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (cert, *chain))
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                   serialization.NoEncryption())
        for path, data in ((self.cert_file, certs), (self.key_file, secret), (self.pem_file, secret + certs)):        # Postfix wants the key first
            with open(path, "wb") as file:
                file.write(data)


class CertificateAuthority:
    """A root, an intermediate under it, and the certificates they issue."""

    def __init__(self, folder, name="Laboratory"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.name = name
        self.count = 0
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._authority(f"{name} Root", self.root_key, None, None)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.intermediate = self._authority(f"{name} Intermediate", self.key, self.root, self.root_key)
        self.leaf_key = ec.generate_private_key(ec.SECP256R1())     # one for all leaves: it is faster
        self.ca_file = f"{folder}/root.crt"
        with open(self.ca_file, "wb") as file:
            file.write(self.root.public_bytes(serialization.Encoding.PEM))

    def good(self, *names):
        return self.issue(names)

    def expired(self, *names):
        return self.issue(names, start=-30 * DAY, end=-DAY)

    def not_yet_valid(self, *names):
        return self.issue(names, start=20 * DAY, end=40 * DAY)

    def cn_only(self, name):
        """The name stands in the subject's common name, where nobody may look for it any more."""
        return self.issue([], common_name=name)

    def wildcard(self, parent):
        return self.issue([f"*.{parent}"])

    def for_clients_only(self, *names):
        """May be used to authenticate a client, not a server."""
        return self.issue(names, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def without_intermediate(self, *names):
        """A good certificate whose server forgets to send what links it to the root."""
        return self.issue(names, chain=())

    def self_signed(self, *names):
        return self.issue(names, self_signed=True)

    def issue(self, names, *, common_name=None, start=-DAY, end=30 * DAY, usage=ExtendedKeyUsageOID.SERVER_AUTH,
              self_signed=False, chain=None):
        """A leaf for `names` (DNS names, or addresses) valid from now+start to now+end."""
        now = datetime.datetime.utcnow()
        key = self.leaf_key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or f"{self.name} leaf")])
        builder = (x509.CertificateBuilder()
                   .subject_name(subject)
                   .issuer_name(subject if self_signed else self.intermediate.subject)
                   .public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + start)
                   .not_valid_after(now + end)
                   .add_extension(x509.BasicConstraints(False, None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative(n) for n in names]), critical=False)
        if not self_signed:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        cert = builder.sign(key if self_signed else self.key, hashes.SHA256())
        if chain is None:
            chain = () if self_signed else (self.intermediate,)
        self.count += 1
        return Certificate(f"{self.folder}/{self.count:04d}", cert, key, chain)

    def _authority(self, name, key, issuer, issuer_key):
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder()
                   .subject_name(subject)
                   .issuer_name(issuer.subject if issuer else subject)
                   .public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - 365 * DAY)
                   .not_valid_after(now + 365 * DAY)
                   .add_extension(x509.BasicConstraints(True, None), critical=True)
                   .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
        if issuer_key is not None:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        return builder.sign(issuer_key or key, hashes.SHA256())


def alternative(name):
    """A subjectAltName entry: dNSName, or iPAddress for an address."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
