"""The shape of the house: what stands at the top, which way includes point, who may know the outside world.

Prints one line a check, and as the last one `N passed, N failed`.
"""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ("relay", "smtp", "sts", "rpt", "queue", "core")
AT_THE_TOP = {*ROOMS, "tests", "conf", "meson.build", "meson_options.txt", "meson.options", "README.md", "LICENSE"}

# From which rooms a file in a room may include. relay/ may use everything.
ALLOWED = {
    "relay": set(ROOMS),
    "rpt": {"rpt", "core"},
    "smtp": {"smtp", "core"},
    "sts": {"sts", "core"},
    "queue": {"queue", "core"},
    "core": {"core"},
}
# rpt/ may also use the result types of sts/.
ALSO = {("rpt", "sts/verdict.h"), ("rpt", "sts/policy.h")}
# Only core/ knows these; in the others, only what a test of core/ itself needs.
OUTSIDE = ("uv.h", "openssl/ssl.h", "ares.h", "llhttp.h", "sqlite3.h")
# smtp/, sts/ and rpt/ are pure: no socket, no clock.
IMPURE = re.compile(r"\b(socket|connect|accept|gettimeofday|clock_gettime|time|localtime|gmtime|fork|sleep|usleep)\s*\(")
PURE = ("smtp", "sts", "rpt")
MOST_LINES = 700

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)


def sources(room):
    """The C files of a room: (path from the top, text)."""
    for folder, _, names in os.walk(os.path.join(TOP, room)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, TOP), file.read()


def top_level():
    """Nothing but the rooms, tests, conf and the few files stands at the top; dot-files and build folders are not looked at."""
    for name in sorted(os.listdir(TOP)):
        if name not in AT_THE_TOP and not name.startswith((".", "build")):
            yield f"{name}: does not belong at the top level"


def includes_point_down():
    for room in ROOMS:
        for path, text in sources(room):
            for _, header in INCLUDE.findall(text):
                other = header.split("/")[0]
                if other in ROOMS and other not in ALLOWED[room] and (room, header) not in ALSO:
                    yield f"{path}: includes {header}"


def only_core_knows_the_outside():
    for room in ROOMS:
        for path, text in sources(room):
            for _, header in INCLUDE.findall(text):
                if header in OUTSIDE and room != "core":
                    yield f"{path}: includes <{header}>"


def own_headers_are_named_from_the_top():
    for room in ROOMS:
        for path, text in sources(room):
            for mark, header in INCLUDE.findall(text):
                if mark == '"' and not os.path.exists(os.path.join(TOP, header)):
                    yield f"{path}: includes \"{header}\", which is no path from the top"


def pure_rooms_have_no_socket_and_no_clock():
    for room in PURE:
        for path, text in sources(room):
            for found in IMPURE.findall(COMMENT.sub(" ", text)):
                yield f"{path}: calls {found}()"


def headers_say_what_they_are_for():
    for room in ROOMS:
        for path, text in sources(room):
            if path.endswith(".h") and not text.startswith(f"/* {path} - "):
                yield f"{path}: does not begin with '/* {path} - what it is for'"


def a_file_is_one_idea():
    for room in ROOMS:
        for path, text in sources(room):
            lines = text.count("\n")
            if lines > MOST_LINES:
                yield f"{path}: {lines} lines"


CHECKS = (top_level, includes_point_down, only_core_knows_the_outside, own_headers_are_named_from_the_top,
          pure_rooms_have_no_socket_and_no_clock, headers_say_what_they_are_for, a_file_is_one_idea)


def main():
    failed = 0
    for check in CHECKS:
        faults = list(check())
        failed += bool(faults)
        print(f"layout: {check.__name__.replace('_', ' ')}: {'FAILED' if faults else 'ok'}")
        for fault in faults:
            print(f"  {fault}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
