"""Programs of Debian packages that cannot be installed beside Postfix: from the system where they are, else from a folder that they were unpacked to.

    mkdir /tmp/peers && cd /tmp/peers
    apt-get download exim4-base exim4-daemon-light opensmtpd msmtp libgsasl18 libgssglue1 libntlm0 libsecret-1-0 libnet-ssleay-perl
    for p in *.deb; do dpkg -x $p root; done
    STRICTPOST_PEERS=/tmp/peers/root tests/run
"""

import functools
import glob
import os
import shutil
import subprocess

import pytest


def program(*names):
    """The path of the first of these that is there; the test is skipped without any."""
    folder = os.environ.get("STRICTPOST_PEERS", "/nowhere")
    for name in names:
        for place in ("/usr/sbin", "/usr/bin", f"{folder}/usr/sbin", f"{folder}/usr/bin"):
            if os.access(f"{place}/{name}", os.X_OK):
                return f"{place}/{name}"
        if shutil.which(name):
            return shutil.which(name)
    return pytest.skip(f"{names[0]} is not here; see tests/lab/unpacked.py")


@functools.cache
def make_libraries_known():
    """To the laboratory's own /etc/ld.so.cache: a program that is setuid, as Exim is, looks nowhere else."""
    folder = os.environ.get("STRICTPOST_PEERS", "/nowhere")
    with open("/etc/ld.so.conf.d/strictpost-peers.conf", "w", encoding="ascii") as file:
        file.writelines(f"{path}\n" for path in glob.glob(f"{folder}/usr/lib/*-linux-gnu") + glob.glob(f"{folder}/lib/*-linux-gnu"))
    subprocess.run(["ldconfig", "-X"], check=True, stderr=subprocess.DEVNULL)


def environment():
    """What programs that were unpacked are to be run with; harmless to others."""
    if "STRICTPOST_PEERS" in os.environ:
        make_libraries_known()
    return {**os.environ, "PERL5LIB": ":".join(glob.glob(f"{os.environ.get('STRICTPOST_PEERS', '/nowhere')}/usr/lib/*/perl5/5.*"))}


@functools.cache
def swaks_has_tls():
    """swaks needs a package that it only suggests: libnet-ssleay-perl."""
    return subprocess.run(["perl", "-MNet::SSLeay", "-e1"], env=environment(), stderr=subprocess.DEVNULL, check=False).returncode == 0
