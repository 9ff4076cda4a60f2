"""One measurement: a load, put through one system (or straight into the sink), and what it took."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from bench.internet import Sink, domain, mx_address, parent
from bench.meter import Memory, SyncCounter, cpu_seconds
from bench.systems import HOST, PORT

KIB, MIB = 1024, 1024 * 1024
STALL_S = 60                # nothing arrives for so long: it will not


@dataclass(frozen=True)
class Scenario:
    """A load, and how many times Postfix's rate strictpost must reach."""

    name: str
    title: str
    domains: int
    prefix: str
    size: int
    count: int
    bar: float
    systems: tuple = ("postfix", "strictpost")

    @property
    def dane(self):
        """Its domains have TLSA records and no policy."""
        return self.prefix == "t"


COUNTING = ("postfix", "strictpost", "uncounted")

SCENARIOS = {s.name: s for s in (
    Scenario("one", "1 domain under enforce, 4 KiB", 1, "d", 4 * KIB, 5000, 5, COUNTING),
    Scenario("hundred", "100 domains under enforce, 4 KiB", 100, "d", 4 * KIB, 5000, 5),
    Scenario("thousand", "1000 domains under enforce, all cold, 4 KiB", 1000, "d", 4 * KIB, 5000, 3, COUNTING),
    Scenario("nopolicy", "1 domain without policy, 4 KiB", 1, "n", 4 * KIB, 5000, 5),
    Scenario("dane-hundred", "100 domains with TLSA records, 4 KiB", 100, "t", 4 * KIB, 5000, 5),
    Scenario("dane-thousand", "1000 domains with TLSA records, all cold, 4 KiB", 1000, "t", 4 * KIB, 5000, 3),
    Scenario("large", "1 domain under enforce, 1 MiB", 1, "d", MIB, 200, 3),
)}


class Failed(Exception):
    """The system under test did not do its work."""


def generate(tools, scenario, target, *more):
    """Starts the generator; its result is JSON on standard output."""
    return subprocess.Popen([f"{tools}/smtpgen", "--count", str(scenario.count), "--size", str(scenario.size),
                             "--domains", str(scenario.domains), "--prefix", scenario.prefix, "--suffix", parent(scenario.prefix),
                             *more, target],
                            stdout=subprocess.PIPE, text=True)


def wait_delivered(sink, count, progress, alive):
    """Waits until `count` different messages are in the sink; returns its report."""
    seen, since = -1, time.monotonic()
    while True:
        report = sink.report()
        progress(report["unique"])
        if report["unique"] >= count:
            return report
        if report["messages"] != seen:
            seen, since = report["messages"], time.monotonic()
        if time.monotonic() - since > STALL_S or not alive():
            raise Failed(f"{report['unique']} of {count} messages arrived, then nothing")
        time.sleep(0.05)


def measure(system, scenario, internet, folder, options, progress):
    """Starts the system and the sink, sends the load, returns the figures as a dictionary."""
    os.makedirs(folder)
    syncs = SyncCounter(f"{folder}/syncs", f"{options.tools}/synccount.so")
    sink = Sink(folder, f"{options.tools}/smtpsink", internet)
    under_test = None
    try:
        under_test = system(f"{folder}/{system.name}", internet.ca_file, syncs.environment, options, scenario.dane)
        return put_through(under_test, sink, syncs, scenario, options, progress)
    except Failed as failure:
        raise Failed(f"{system.name}: {failure}\n{under_test.log_tail()}") from None
    finally:
        if under_test:
            under_test.stop()
        sink.stop()
        if not options.keep:
            shutil.rmtree(folder)


def put_through(under_test, sink, syncs, scenario, options, progress):
    roots = under_test.roots()
    cpu, synced = cpu_seconds(roots), syncs.count()
    with Memory(roots) as memory:
        generator = generate(options.tools, scenario, f"{HOST}:{PORT}", "--sessions", str(options.sessions))
        try:
            arrived = wait_delivered(sink, scenario.count, progress,
                                     lambda: generator.poll() in (None, 0))
        finally:
            sent = ended(generator)
        time.sleep(0.5)             # what it does once the last message is gone is its cost too
    seconds = (arrived["last_ns"] - sent["start_ns"]) / 1e9
    return {
        "messages": scenario.count,
        "seconds": seconds,
        "messages_per_s": scenario.count / seconds,
        "accept_ms": sent["accept_ms"],
        "accepted_per_s": sent["messages_per_s"],
        "cpu_ms": (cpu_seconds(roots) - cpu) * 1000 / scenario.count,
        "pss_mib": memory.peak,
        "syncs": (syncs.count() - synced) / scenario.count,
        "sink": sink.report(),
    }


def ended(generator):
    """The generator's result, once it has ended; it is ended if it does not by itself."""
    try:
        out, _ = generator.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        generator.terminate()
        out, _ = generator.communicate()
    return json.loads(out) if out else {}


def measure_rig(scenario, starttls, internet, folder, options):
    """The generator straight into the sink: what no system between them can be measured beyond."""
    os.makedirs(folder)
    sink = Sink(folder, f"{options.tools}/smtpsink", internet)
    more = ["--sessions", str(options.sessions), "--per-session", "2000"]
    if starttls:
        more += ["--starttls", "--sni", f"mx.{domain(scenario.prefix, 0)}"]
    try:
        sent = ended(generate(options.tools, scenario, f"{mx_address(0)}:25", *more))
        report = sink.report()
    finally:
        sink.stop()
        shutil.rmtree(folder)
    if report["unique"] != scenario.count:
        raise Failed(f"rig: {report['unique']} of {scenario.count} messages arrived")
    return {"messages": scenario.count, "seconds": sent["seconds"], "messages_per_s": sent["messages_per_s"],
            "accept_ms": sent["accept_ms"], "sink": report}
