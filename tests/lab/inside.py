"""The first process inside the namespaces: sets the scene, runs the command, ends with its status.

It makes the mounts private, puts a copy of /etc over /etc so that the laboratory has a resolv.conf and a hosts file of
its own, mounts the /proc of the new pid namespace, and brings the loopback interface up. Then it is
what process 1 has to be: the parent of whatever daemons leave behind.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys

MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

# Where the laboratory's own /etc is put together; a tmpfs that only these namespaces see.
PRIVATE = "/mnt"

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, data=None):
    """mount(2)."""
    def enc(text):
        return text.encode() if text is not None else None
    if libc.mount(enc(source), enc(target), enc(kind), ctypes.c_ulong(flags), enc(data)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {target}: {os.strerror(error)}")


def make_mounts_private():
    """Nothing mounted from here on is seen outside.

    In a chroot "/" may be no mount point, and mount(2) then refuses: so step out to the real root of this
    namespace, change it there, and step back in.
    """
    try:
        mount("none", "/", flags=MS_REC | MS_PRIVATE)
        return
    except OSError:
        pass
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.chroot(PRIVATE)              # the working directory is now outside the root, so ".." leads out
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    os.fchdir(here)
    os.chroot(".")
    os.close(here)


def own_etc():
    """A copy of /etc over /etc, with names resolved by the laboratory's DNS server only."""
    mount("lab", PRIVATE, "tmpfs", data="mode=0755")
    shutil.copytree("/etc", f"{PRIVATE}/etc", symlinks=True, copy_function=copy_with_owner)
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"),
                       ("hosts", "127.0.0.1 localhost\n::1 localhost\n")):
        path = f"{PRIVATE}/etc/{name}"
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    mount(f"{PRIVATE}/etc", "/etc", flags=MS_BIND)


def copy_with_owner(source, target, *, follow_symlinks=True):
    """copy2, and the owner: servers refuse configuration files of the wrong one."""
    shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    stat = os.lstat(source)
    os.lchown(target, stat.st_uid, stat.st_gid)
    return target


def loopback_up():
    """127.0.0.0/8 and ::1 are then there; other addresses can be added to it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def run(command):
    """Runs the command, reaps every orphan, returns the command's exit status."""
    try:
        child = subprocess.Popen(command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _frame: child.send_signal(n))
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode


def main(argv):
    # Read before /proc is replaced: the process id by which the outside knows us, for nsenter(1).
    os.environ["LAB_PID"] = os.readlink("/proc/self")
    make_mounts_private()
    mount("proc", "/proc", "proc")
    own_etc()
    loopback_up()
    sys.exit(run(argv[1:]))


if __name__ == "__main__":
    main(sys.argv)
