"""The systems under test: each is started fresh, accepts mail at ADDRESS, and delivers it to the sink."""

import os
import pwd
import shutil
import subprocess
import tempfile

from bench.internet import wait_for_greeting
from lab.inside import PRIVATE
from lab.process import Process
from lab.yaml import dump

HOST, PORT = "127.0.0.1", 2525

# Durable as it comes; everything else as fast as a relay is made by those who know it. No log: its logging
# daemon or syslog would cost it time, and strictpost writes its log to a file. The TLS session cache, which it
# syncs for each session, is in memory.
POSTFIX_MAIN = """
compatibility_level = 3.6
config_directory = {dir}/etc
queue_directory = {dir}/queue
data_directory = {data}
import_environment = MAIL_CONFIG MAIL_LOGTAG TZ LANG=C LD_PRELOAD SYNCCOUNT_FILE
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
biff = no
in_flow_delay = 0
max_use = 5000
default_process_limit = 300
initial_destination_concurrency = {concurrency}
default_destination_concurrency_limit = {concurrency}
smtp_host_lookup = dns
smtp_tls_CAfile = {ca_file}
{security}
smtp_tls_connection_reuse = yes
smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache
smtp_connection_cache_on_demand = yes
smtp_connection_cache_time_limit = 10s
smtp_connection_reuse_time_limit = 300s
message_size_limit = 51200000
"""

# What proves the next hop: the policy daemon, or TLSA records by way of the validating resolver.
POSTFIX_STS = """smtp_tls_security_level = may
smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix"""
POSTFIX_DANE = """smtp_tls_security_level = dane
smtp_dns_support_level = dnssec"""

POSTFIX_MASTER = """
127.0.0.1:2525 inet n - n - - smtpd
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
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
postlog unix-dgram n - n - 1 postlogd
"""

# The cache in memory is the daemon's fastest.
POLICY_DAEMON = """
host: 127.0.0.1
port: 8461
cache:
  type: internal
  options: {cache_size: 10000}
default_zone: {strict_testing: false, timeout: 30}
"""


class Postfix:
    """Debian's Postfix: with Debian's postfix-mta-sts-resolver, or with smtp_tls_security_level=dane and no daemon."""

    name = "postfix"

    def __init__(self, folder, ca_file, environment, options, dane):
        self.folder = folder
        for sub in ("etc", "queue"):
            os.makedirs(f"{folder}/{sub}")
        data = tempfile.mkdtemp(prefix="postfix-data.", dir=PRIVATE)
        os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
        main = POSTFIX_MAIN.format(dir=folder, data=data, ca_file=ca_file, concurrency=options.concurrency,
                                    security=POSTFIX_DANE if dane else POSTFIX_STS)
        if options.log:
            main += f"maillog_file = {folder}/maillog\nmaillog_file_prefixes = {folder}\n"
        write(f"{folder}/etc/main.cf", main)
        write(f"{folder}/etc/master.cf", POSTFIX_MASTER)
        write(f"{folder}/daemon.yml", POLICY_DAEMON)
        shutil.copy("/etc/postfix/dynamicmaps.cf", f"{folder}/etc/")
        self.daemon = None if dane else Process(["mta-sts-daemon", "-c", f"{folder}/daemon.yml"], f"{folder}/daemon.log",
                                                env={**environment, "SSL_CERT_FILE": ca_file})
        self.master = Process(["postfix", "-c", f"{folder}/etc", "start-fg"], f"{folder}/postfix.log", env=environment)
        wait_for_greeting(self.master, HOST, PORT)

    def roots(self):
        return [process.pid for process in (self.daemon, self.master) if process]

    def stop(self):
        """`start-fg` is a script in front of the master, which is the one to be told."""
        subprocess.run(["postfix", "-c", f"{self.folder}/etc", "stop"], check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.master.wait()
        if self.daemon:
            self.daemon.stop()

    def log_tail(self):
        return self.master.tail() + (self.daemon.tail() if self.daemon else "")


class Strictpost:
    """strictpost with its defaults, but for what names the private internet."""

    name = "strictpost"
    reports = True

    def __init__(self, folder, ca_file, environment, options, dane):
        os.makedirs(f"{folder}/state", mode=0o700)
        write(f"{folder}/strictpost.yaml", dump({
            "hostname": "relay.example",
            "state_dir": f"{folder}/state",
            "listen": [{"address": f"{HOST}:{PORT}", "allow": ["127.0.0.0/8"]}],
            "tls": {"ca_file": ca_file},
            "delivery": {"allow_private": ["127.0.0.0/8"], **({"dane": "required"} if dane else {})},
            "admin": {"socket": f"{folder}/control.sock"},
            "report": {"enabled": self.reports},
        }))
        self.process = Process([options.binary, "run", "--config", f"{folder}/strictpost.yaml"],
                               f"{folder}/strictpost.log", env=environment)
        wait_for_greeting(self.process, HOST, PORT)

    def roots(self):
        return [self.process.pid]

    def stop(self):
        self.process.stop(timeout=60)

    def log_tail(self):
        return self.process.tail()


class Uncounted(Strictpost):
    """The same without the ledger of sessions: what counting costs."""

    name = "uncounted"
    reports = False


SYSTEMS = {system.name: system for system in (Postfix, Strictpost, Uncounted)}


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
