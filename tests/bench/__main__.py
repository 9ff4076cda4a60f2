"""tests/bench/run: options, the order of things, and the end of it."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import replace

from bench import meter, reporting, table
from bench.internet import Internet
from bench.reporting import REPORTING
from bench.scenario import SCENARIOS, Failed, Scenario, measure, measure_rig
from bench.systems import SYSTEMS
from lab.process import NotReady
from lab.reportsink import ReportSink

# File systems that keep nothing.
NOT_A_DISK = {"tmpfs", "ramfs"}


def parse(argv):
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=(
        "Measures strictpost against Postfix with postfix-mta-sts-resolver, or with DANE: same load, same sink, same disk."))
    parser.add_argument("--scenario", action="append", choices=[*SCENARIOS, *REPORTING], metavar="NAME",
                        help=f"only these, may be repeated: {', '.join([*SCENARIOS, *REPORTING])}")
    parser.add_argument("--system", action="append", choices=SYSTEMS, metavar="NAME",
                        help=f"only these, may be repeated: {', '.join(SYSTEMS)}")
    parser.add_argument("--count", type=int, default=5000,
                        help="messages of a scenario; of 1 MiB a twenty-fifth of that; of rows and domains to report twenty times that (%(default)s)")
    parser.add_argument("--sessions", type=int, default=50, help="client sessions (%(default)s)")
    parser.add_argument("--repeat", type=int, default=1, help="measure so often, keep the median (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=50,
                        help="Postfix's sessions to a destination (%(default)s)")
    parser.add_argument("--work", default="/var/tmp", help="folder on a real disk for the queues (%(default)s)")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--no-rig", action="store_true", help="leave out the generator straight into the sink")
    parser.add_argument("--log", action="store_true", help="let Postfix log, to a file (slower)")
    parser.add_argument("--keep", action="store_true", help="leave queues and logs in the work folder")
    return parser.parse_args(argv)


class Progress:
    """One changing line on a terminal, nothing elsewhere."""

    def __init__(self):
        self.shown = sys.stderr.isatty()

    def __call__(self, text):
        if self.shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self):
        self("")


def file_system(path):
    """The type of the file system that a path is on."""
    best = ("", "")
    with open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            _, point, kind, *_ = line.split()
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = point, kind
    return best[1]


def median_of(runs):
    return sorted(runs, key=lambda figures: figures["messages_per_s"])[len(runs) // 2]


class Bench:
    """One run of the whole."""

    def __init__(self, options, folder, progress):
        self.options = options
        self.folder = folder
        self.progress = progress
        self.internet = None
        self.number = 0

    def fresh(self):
        """A folder nobody used yet."""
        self.number += 1
        return f"{self.folder}/{self.number:03d}"

    def rig(self):
        small = Scenario("rig", "", 1, "d", 4096, 50000, 0)
        large = replace(small, size=1 << 20, count=400)
        results = {}
        for name, load, starttls in (("plain 4K", small, False), ("TLS 4K", small, True),
                                     ("plain 1M", large, False), ("TLS 1M", large, True)):
            self.progress(f"rig: {name}")
            results[name] = measure_rig(load, starttls, self.internet, self.fresh(), self.options)
        return results

    def scenario(self, scenario):
        """Each system in turn, as often as asked; the median of each."""
        runs = {}
        for turn in range(self.options.repeat):
            for name in self.options.system or scenario.systems:
                label = f"{scenario.name}, {name}, {turn + 1} of {self.options.repeat}"
                runs.setdefault(name, []).append(measure(
                    SYSTEMS[name], scenario, self.internet, self.fresh(), self.options,
                    lambda got, label=label: self.progress(f"{label}: {got}/{scenario.count}")))
        return {name: median_of(found) for name, found in runs.items()}

    def run(self, show):
        """All that was asked for; `show` gets each part's lines as soon as they are there."""
        names = self.options.scenario or [*SCENARIOS, *REPORTING]
        part = self.options.count / 5000
        chosen = [SCENARIOS[name] for name in names if name in SCENARIOS]
        chosen = [replace(s, count=max(1, int(s.count * part))) for s in chosen]
        result = {"disk_sync_ms": meter.sync_ms(self.folder), "scenarios": {}, "met": True}
        show([f"disk: {file_system(self.folder)}, {result['disk_sync_ms']:.2f} ms to write and sync 4 KiB"])
        domains = [max((s.domains for s in chosen if s.dane == dane), default=0) for dane in (False, True)]
        self.internet = Internet(f"{self.folder}/internet", *domains, self.progress)
        if chosen and not self.options.no_rig:
            result["rig"] = self.rig()
            result["met"] &= table.rig_bar(result["rig"])[0]
            show(table.rig_lines(result["rig"]))
        for scenario in chosen:
            found = result["scenarios"][scenario.name] = self.scenario(scenario)
            result["met"] &= all(met for met, _ in table.bars(scenario, found))
            show(table.scenario_lines(scenario, found))
        sink = ReportSink()
        for scenario in [REPORTING[name].scaled(part) for name in names if name in REPORTING]:
            found = result["scenarios"][scenario.name] = reporting.measure(
                scenario, self.options.binary, self.fresh(), self.internet, sink, self.progress)
            result["met"] &= all(met for met, _ in reporting.bars(found))
            show(reporting.lines(scenario, found))
        sink.stop()
        return result

    def stop(self):
        if self.internet:
            self.internet.stop()


def main(argv):
    options = parse(argv)
    if file_system(os.path.realpath(options.work)) in NOT_A_DISK:
        sys.exit(f"{options.work} is in memory: --work must name a folder on a disk")
    folder = tempfile.mkdtemp(prefix="strictpost-bench.", dir=options.work)
    os.chmod(folder, 0o755)             # Postfix and nginx come here as other users
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by a signal"))      # by way of the clean-up below
    progress = Progress()
    bench = Bench(options, folder, progress)

    def show(lines):
        progress.clear()
        if not options.json:
            print("\n".join(lines), end="\n\n", flush=True)
    try:
        result = bench.run(show)
    except (Failed, NotReady, FileNotFoundError) as failure:
        progress.clear()
        sys.exit(f"bench: {failure}")
    finally:
        progress.clear()
        bench.stop()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    if options.json:
        print(json.dumps(result, indent=1))
    return 0 if result["met"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
