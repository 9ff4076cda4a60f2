"""What a tree of processes costs: CPU time, memory, and how often it has the disk sync.

Read from /proc, so it works the same for one process with threads and for a hundred that come and go.
"""

import glob
import mmap
import os
import struct
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def tree(roots):
    """The process ids of `roots` and all that descends from them."""
    children = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        fields = stat_fields(path)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.split("/")[2]))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return found


def stat_fields(path):
    """The fields of a stat file behind the command's name; None when the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(roots):
    """CPU time of the tree so far, with that of children which ended and were waited for."""
    return sum(process_cpu(pid) for pid in tree(roots))


def process_cpu(pid):
    fields = stat_fields(f"/proc/{pid}/stat")
    if not fields:
        return 0.0
    own, reaped = (sum(map(int, fields[i:i + 2])) / TICK for i in (11, 13))
    exact = 0.0             # in nanoseconds, but without the threads that have ended
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as file:
                exact += int(file.read().split()[0]) / 1e9
        except OSError:
            pass
    return max(own, exact) + reaped


def pss_mib(roots):
    """Memory of the tree, pages that several processes share divided among them."""
    total = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
        except OSError:
            pass
    return total / 1024


class Memory:
    """Samples a tree's memory while a block runs, taking at most a twentieth of the time."""

    def __init__(self, roots):
        self.roots = roots
        self.peak = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.peak = max(self.peak, pss_mib(self.roots))

    def _sample(self):
        pause = 0.05
        while not self.done.wait(pause):
            began = time.monotonic()
            self.peak = max(self.peak, pss_mib(self.roots))
            pause = max(0.05, 20 * (time.monotonic() - began))


class SyncCounter:
    """Counts fsync and fdatasync of every process started with `environment`, and of their children."""

    def __init__(self, path, library):
        with open(path, "wb") as file:
            file.write(bytes(16))
        os.chmod(path, 0o666)           # the systems under test change their user
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 16, prot=mmap.PROT_READ)
        self.environment = {"LD_PRELOAD": library, "SYNCCOUNT_FILE": path}

    def count(self):
        return sum(struct.unpack("QQ", self.map[:16]))


def sync_ms(folder, times=50):
    """How long it takes here to write 4 KiB and have them on the disk: the median."""
    taken = []
    path = f"{folder}/sync-test"
    with open(path, "wb", buffering=0) as file:
        for _ in range(times):
            began = time.monotonic()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.monotonic() - began)
    os.unlink(path)
    return sorted(taken)[times // 2] * 1000
