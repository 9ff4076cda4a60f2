"""A small private internet for tests and for the demonstration.

Everything runs inside private network, mount and pid namespaces (see enter.py), so the servers use the
standard ports, and nothing outside is touched or in the way: an authoritative DNS server and a
validating resolver, an HTTPS policy host, MX hosts good and bad, Postfix, and the relay itself.
"""
