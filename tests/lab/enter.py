"""Runs a command inside the laboratory's namespaces: python3 -m lab.enter COMMAND [ARGUMENT...]

The namespaces end with the command: its first process is process 1 of a pid namespace, so the kernel
ends whatever the command left running, and `--kill-child` ends the command if we are ended first.
"""

import os
import sys


def main(argv):
    if len(argv) < 2:
        sys.exit("usage: python3 -m lab.enter COMMAND [ARGUMENT...]")
    inside = [sys.executable, "-m", "lab.inside", *argv[1:]]
    # Propagation stays unchanged here because unshare(1) cannot make "/" private in a plain chroot;
    # inside.py does it in a way that works there too, before it mounts anything.
    unshare = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child",
               "--propagation", "unchanged", "--"]
    os.execvp("unshare", unshare + inside)


if __name__ == "__main__":
    main(sys.argv)
