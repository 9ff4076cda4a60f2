"""Counts what `meson test` ran: python3 tally.py BUILD/meson-logs/testlog.json

A cmocka program counts with its test functions, any other program as one. The output of what failed is printed; the last line is
`N passed, N failed`.
"""

import json
import re
import sys

PASSED = re.compile(r"\[  PASSED  \] (\d+) test")
FAILED = re.compile(r"\[  FAILED  \] (\d+) test")
GOOD = ("OK", "EXPECTEDFAIL")


def count(entry):
    """(passed, failed) of one program."""
    text = entry.get("stdout", "") + entry.get("stderr", "")
    passed = sum(map(int, PASSED.findall(text)))
    failed = sum(map(int, FAILED.findall(text)))
    good = entry["result"] in GOOD
    if good:
        return max(passed, 1), failed
    return passed, max(failed, 1)               # it may have crashed in the middle


def main(path):
    total = [0, 0]
    with open(path, encoding="utf-8") as log:
        for line in log:
            entry = json.loads(line)
            passed, failed = count(entry)
            total[0] += passed
            total[1] += failed
            if failed:
                print(f"--- {entry['name']}: {entry['result']}")
                print((entry.get("stdout", "") + entry.get("stderr", ""))[-6000:])
    print(f"{total[0]} passed, {total[1]} failed")


if __name__ == "__main__":
    main(sys.argv[1])
