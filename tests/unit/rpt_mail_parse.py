"""Prints what Python's email package makes of a report's mail, a line a fact; for rpt_mail_test.c. A defect is a fact too."""

import email.policy
import gzip
import json
import sys


def main():
    with open(sys.argv[1], "rb") as file:
        octets = file.read()
    strict = email.policy.SMTP.clone(raise_on_defect=True)
    message = email.message_from_bytes(octets, policy=strict)
    for name in ("From", "To", "Date", "Message-ID", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter", "TLS-Required", "Auto-Submitted",
                 "MIME-Version"):
        print(f"{name}: {message[name]}")
    print("fields:", len(message.keys()))
    print("to:", [str(a.addr_spec) for a in message["To"].addresses], "from:", [str(a.addr_spec) for a in message["From"].addresses])
    print(message.get_content_type(), message.get_param("report-type"))
    parts = list(message.iter_parts())
    print([part.get_content_type() for part in parts], message.preamble.strip(), repr(message.epilogue))
    print(parts[1].get_content_disposition(), parts[1].get_filename())
    document = parts[1].get_payload(decode=True)
    print("text lines:", len(parts[0].get_content().splitlines()), "document:", len(document))
    if document[:2] == b"\x1f\x8b":
        print("domain:", json.loads(gzip.decompress(document))["policies"][0]["policy"]["policy-domain"])


if __name__ == "__main__":
    main()
