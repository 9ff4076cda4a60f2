"""Postfix instances of the laboratory: a real MX host, and a real client of the relay.

Each instance has its own configuration, queue and data folders, so the system's own Postfix is not used nor touched.
"""

import glob
import os
import pwd
import shutil
import smtplib
import subprocess

from lab.process import NotReady, Process, wait_until

COMMON = """
compatibility_level = 3.6
config_directory = {dir}/etc
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_protocols = ipv4
inet_interfaces = loopback-only
myhostname = {name}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
smtp_host_lookup = dns
disable_dns_lookups = no
smtpd_peername_lookup = no
biff = no
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
"""

MX = """
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = {level}
smtpd_tls_chain_files = {pem}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
"""

SMARTHOST = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_tls_auth_only = yes
mynetworks =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

SUBMISSION = """
{address}:587 inet n - n - - smtpd
{address}:465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
"""

CLIENT = """
relayhost = [{relay_host}]:{relay_port}
smtp_tls_security_level = may
"""

MASTER = """
{address}:25 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
"""


class Postfix:
    """One running instance; `config` and `services` are added to what is common to all."""

    def __init__(self, folder, name, address, config, services="", **values):
        self.folder = folder
        self.address = address
        for sub in ("etc", "queue", "data", "mail"):
            os.makedirs(f"{folder}/{sub}")
        user = pwd.getpwnam("postfix")
        for sub in ("data", "mail"):
            os.chown(f"{folder}/{sub}", user.pw_uid, user.pw_gid)
        values.update(dir=folder, name=name, address=address, uid=user.pw_uid, gid=user.pw_gid)
        for file_name, text in (("main.cf", COMMON + config), ("master.cf", MASTER + services)):
            with open(f"{folder}/etc/{file_name}", "w", encoding="ascii") as file:
                file.write(text.format(**values))
        shutil.copy("/etc/postfix/dynamicmaps.cf", f"{folder}/etc/")
        self.process = Process(["postfix", "-c", f"{folder}/etc", "start-fg"], f"{folder}/postfix.log")
        try:
            self.process.ready(self._greets)
        except NotReady as error:
            raise NotReady(f"{error}\n{self.maillog()}") from None

    def stop(self):
        """`start-fg` is a script in front of the master, which is the one to be told."""
        subprocess.run(["postfix", "-c", f"{self.folder}/etc", "stop"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process.wait()

    def maillog(self):
        try:
            with open(f"{self.folder}/maillog", encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, text, timeout=15.0):
        """Waits for a text in the log; returns the log."""
        wait_until(lambda: text in self.maillog(), timeout, f"{text!r} in {self.folder}/maillog")
        return self.maillog()

    def messages(self):
        """The messages in all mailboxes, as bytes, oldest first."""
        paths = glob.glob(f"{self.folder}/mail/all/new/*")
        return [open(path, "rb").read() for path in sorted(paths, key=os.path.getmtime)]

    def wait_messages(self, count=1, timeout=15.0):
        return wait_until(lambda: (found := self.messages()) and len(found) >= count and found, timeout,
                          f"{count} messages in {self.folder}/mail")

    def queue(self):
        """The queue's files' names."""
        found = []
        for sub in ("incoming", "active", "deferred"):
            for _, _, files in os.walk(f"{self.folder}/queue/{sub}"):
                found += files
        return found

    def _greets(self):
        try:
            with smtplib.SMTP(self.address, 25, timeout=2) as smtp:
                return smtp.noop()[0] == 250
        except OSError:
            return False


def postfix_mx(folder, name, address, certificate, domains, level="may"):
    """Postfix as the MX host of `domains`, with STARTTLS; it keeps what it gets in mailboxes."""
    return Postfix(folder, name, address, MX, pem=certificate.pem_file, domains=" ".join(domains), level=level)


def postfix_smarthost(folder, name, address, certificate, auth, domains):
    """Postfix as a provider's host: 25, 587 and 465, for those that log in at `auth` (lab.saslauth) only."""
    return Postfix(folder, name, address, MX + SMARTHOST, SUBMISSION, pem=certificate.pem_file, auth=auth, domains=" ".join(domains), level="may")


def postfix_client(folder, name, address, relay_host, relay_port):
    """Postfix as a local MTA that hands all its mail to the relay."""
    return Postfix(folder, name, address, CLIENT, relay_host=relay_host, relay_port=relay_port)
