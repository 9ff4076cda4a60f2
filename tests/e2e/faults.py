"""What can be wrong with an MX host: how to make it so, and how a report calls it."""

import ssl

from lab.behaviour import Drop, Raw

# By name: what makes the host's behaviour, the result type of RFC 8460 4.3, and our own reason code.
FAULTS = {
    "no-starttls": (lambda world, name: world.honest(name).but(starttls=False), "starttls-not-supported", "starttls-not-offered"),
    "starttls-refused": (lambda world, name: world.honest(name).but(on={"STARTTLS": "454 4.7.0 not now"}),
                         "starttls-not-supported", "starttls-refused"),
    "handshake-garbage": (lambda world, name: world.honest(name).but(on={"HANDSHAKE": Raw(b"this is not TLS\r\n" * 4)}),
                          "validation-failure", "wrong-version-number"),
    "handshake-dropped": (lambda world, name: world.honest(name).but(on={"HANDSHAKE": Drop()}), "validation-failure", "lost"),
    "old-tls": (lambda world, name: world.honest(name).but(tls_min=ssl.TLSVersion.TLSv1, tls_max=ssl.TLSVersion.TLSv1_1),
                "validation-failure", "tls-version"),
    "wrong-name": (lambda world, name: world.honest("other.example"),
                   "certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH"),
    "name-in-cn-only": (lambda world, name: world.honest().but(certificate=world.ca.cn_only(name)),
                        "certificate-host-mismatch", "X509_V_ERR_HOSTNAME_MISMATCH"),
    "expired": (lambda world, name: world.honest().but(certificate=world.ca.expired(name)),
                "certificate-expired", "X509_V_ERR_CERT_HAS_EXPIRED"),
    "not-yet-valid": (lambda world, name: world.honest().but(certificate=world.ca.not_yet_valid(name)),
                      "certificate-not-trusted", "X509_V_ERR_CERT_NOT_YET_VALID"),
    "self-signed": (lambda world, name: world.honest().but(certificate=world.ca.self_signed(name)),
                    "certificate-not-trusted", "X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"),
    "other-ca": (lambda world, name: world.honest().but(certificate=world.other_ca.good(name)),
                 "certificate-not-trusted", "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
    "no-intermediate": (lambda world, name: world.honest().but(certificate=world.ca.without_intermediate(name)),
                        "certificate-not-trusted", "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
}
# What keeps TLS from coming about: these are failures also where nothing is verified.
NO_TLS = ("no-starttls", "starttls-refused", "handshake-garbage", "handshake-dropped")


def make_faulty(world, domain, fault, label="mx1", preference=10):
    build, result, _ = FAULTS[fault]
    return domain.mx(build(world, f"{label}.{domain}"), label, preference), result
