"""A scripted MX host: a small SMTP server that does what a `Behaviour` says, and writes down all it sees."""

import socket
import ssl
import threading
import time
import warnings

from lab.dialogue import Dialogue, Gone
from lab.record import Session


class Mx:
    """A host named `name` listening on port 25 of each address."""

    def __init__(self, name, addresses, behaviour, port=25):
        self.name = name
        self.addresses = list(addresses)
        self.behaviour = behaviour
        self.sessions = []
        self.messages = []                      # those that got a 2xx
        self.seen = []                          # those that came to their end, whatever the reply
        self.arrived = threading.Condition()
        self.stopping = threading.Event()
        self.sockets = set()
        self.contexts = {}
        self.listeners = []
        for address in self.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, port), family=family, backlog=256)
            self.listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, address), daemon=True).start()

    def stop(self):
        self.stopping.set()
        for sock in [*self.listeners, *self.sockets]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def wait_messages(self, count=1, timeout=15.0):
        """The messages received, once there are at least `count`."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.messages) >= count, timeout):
                raise AssertionError(f"{self.name}: {len(self.messages)} of {count} messages within {timeout} s")
            return list(self.messages)

    def wait_sessions(self, count=1, timeout=15.0):
        """The sessions, once at least `count` are over."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: sum(s.ended is not None for s in self.sessions) >= count, timeout):
                raise AssertionError(f"{self.name}: {len(self.sessions)} sessions, {count} ended ones wanted")
            return list(self.sessions)

    def verbs(self):
        """The verbs of all sessions, in order."""
        return [verb for session in list(self.sessions) for verb in session.verbs()]

    def context(self, certificate):
        """One TLS context per certificate and version range, so that sessions can be resumed."""
        key = (certificate.pem_file, self.behaviour.tls_min, self.behaviour.tls_max)
        if key not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with warnings.catch_warnings():     # that an old version is old is the point of it here
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = key[1:]
            if self.behaviour.tls_max < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("ALL:@SECLEVEL=0")
            context.load_cert_chain(certificate.pem_file)
            context.sni_callback = self._choose
            self.contexts[key] = context
        return self.contexts[key]

    def _choose(self, tls, name, _context):
        tls.sni = name
        if name in self.behaviour.certificate_for:
            tls.context = self.context(self.behaviour.certificate_for[name])

    def _accept(self, listener, address):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            self.sockets.add(sock)
            session = Session(self, address, peer[0])
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(sock, session), daemon=True).start()

    def _serve(self, sock, session):
        try:
            sock.settimeout(700)
            Dialogue(self, sock, session).run()
        except (Gone, OSError):
            pass
        finally:
            self.sockets.discard(sock)
            with self.arrived:
                session.ended = time.monotonic()
                self.arrived.notify_all()
