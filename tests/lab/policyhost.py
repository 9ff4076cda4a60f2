"""The policy host as it should be: nginx, one for any number of domains, chosen by SNI.

Certificates and documents are looked up by name for each connection, so a domain is added by writing files.
"""

import os
import shutil
import socket

from lab.process import Process

CONFIG = """
user root;
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log {dir}/access.log combined;
    client_body_temp_path {dir}/tmp;
    proxy_temp_path {dir}/tmp;
    fastcgi_temp_path {dir}/tmp;
    uwsgi_temp_path {dir}/tmp;
    scgi_temp_path {dir}/tmp;
    default_type text/plain;
    server {{
        {listen}
        server_name _;
        ssl_certificate {dir}/certs/$ssl_server_name.pem;
        ssl_certificate_key {dir}/certs/$ssl_server_name.pem;
        root {dir}/www/$host;
    }}
}}
"""

WELL_KNOWN = ".well-known/mta-sts.txt"


class PolicyHost:
    """nginx on port 443 of `addresses`."""

    def __init__(self, folder, ca, addresses=("127.0.0.80",)):
        for sub in ("tmp", "certs", "www"):
            os.makedirs(f"{folder}/{sub}")
        self.folder = folder
        self.ca = ca
        self.address = addresses[0]
        listen = " ".join(f"listen {host_port(a)} ssl;" for a in addresses)
        with open(f"{folder}/nginx.conf", "w", encoding="ascii") as file:
            file.write(CONFIG.format(dir=folder, listen=listen))
        self.process = Process(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"],
                               f"{folder}/nginx.log")
        self.process.ready(self._listens)

    def stop(self):
        self.process.stop()

    def serve(self, domain, text, certificate=None):
        """Serves `text` (str or bytes) as the policy of `domain`; None serves 404."""
        name = f"mta-sts.{domain}"
        pem = f"{self.folder}/certs/{name}.pem"
        if certificate or not os.path.exists(pem):
            shutil.copyfile((certificate or self.ca.good(name)).pem_file, f"{pem}.new")
            os.replace(f"{pem}.new", pem)
        path = f"{self.folder}/www/{name}/{WELL_KNOWN}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text is None:
            if os.path.exists(path):
                os.unlink(path)
            return
        with open(f"{path}.new", "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        os.replace(f"{path}.new", path)

    def requests(self):
        """The access log's lines."""
        with open(f"{self.folder}/access.log", encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def _listens(self):
        try:
            socket.create_connection((self.address, 443), timeout=1).close()
            return True
        except OSError:
            return False


def host_port(address, port=443):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
