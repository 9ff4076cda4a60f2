"""The results for people, and the bars they are held against."""

SYNCS_BAR = 0.2             # fsyncs a message
INLINE = 128 * 1024         # octets: larger messages are files, and each has syncs of its own (file and folder) before its row
MEMORY_BAR = 96             # MiB
COUNTING_BAR = 0.8          # of the rate without counting sessions
RIG_BAR = 20000             # messages/s of 4 KiB, generator straight into sink

COLUMNS = f"{'':14}{'messages/s':>11}{'accept p50':>12}{'p99 ms':>9}{'CPU ms/msg':>12}{'PSS MiB':>9}{'fsync/msg':>11}"


def row(name, figures):
    """One line of the table; what was not measured stays empty."""
    def cell(value, width, digits):
        return f"{value:{width}.{digits}f}" if value is not None else " " * width
    accept = figures["accept_ms"]
    return (f"  {name:12}{figures['messages_per_s']:11.0f}{accept['p50']:12.2f}{accept['p99']:9.1f}"
            + cell(figures.get("cpu_ms"), 12, 3) + cell(figures.get("pss_mib"), 9, 1) + cell(figures.get("syncs"), 11, 3))


def ratio_row(postfix, strictpost):
    """How many times better strictpost is, column by column."""
    def times(theirs, ours):
        return f"{theirs / ours:.1f}x" if ours else "-"
    accept = postfix["accept_ms"], strictpost["accept_ms"]
    return (f"  {'ratio':12}{times(strictpost['messages_per_s'], postfix['messages_per_s']):>11}"
            f"{times(accept[0]['p50'], accept[1]['p50']):>12}{times(accept[0]['p99'], accept[1]['p99']):>9}"
            f"{times(postfix['cpu_ms'], strictpost['cpu_ms']):>12}{times(postfix['pss_mib'], strictpost['pss_mib']):>9}"
            f"{times(postfix['syncs'], strictpost['syncs']):>11}")


def bars(scenario, results):
    """Each bar of this scenario as (met, text)."""
    ours, theirs, uncounted = (results.get(name) for name in ("strictpost", "postfix", "uncounted"))
    found = []
    if ours and theirs:
        ratio = ours["messages_per_s"] / theirs["messages_per_s"]
        found.append((ratio >= scenario.bar, f"{ratio:.1f} times Postfix's rate (bar {scenario.bar:g})"))
    if ours and uncounted:
        ratio = ours["messages_per_s"] / uncounted["messages_per_s"]
        found.append((ratio >= COUNTING_BAR, f"{ratio:.2f} of the rate without counting sessions (bar {COUNTING_BAR})"))
    if ours and scenario.size <= INLINE:
        found.append((ours["syncs"] <= SYNCS_BAR, f"{ours['syncs']:.3f} fsyncs a message (bar {SYNCS_BAR})"))
    if ours:
        found.append((ours["pss_mib"] <= MEMORY_BAR, f"{ours['pss_mib']:.1f} MiB (bar {MEMORY_BAR})"))
    return found


def verdict_line(met, text):
    return f"  {'ok  ' if met else 'FAIL'} {text}"


def scenario_lines(scenario, results):
    """The table of one scenario."""
    yield f"{scenario.title} ({scenario.count} messages)"
    yield COLUMNS
    for name, figures in results.items():
        yield row(name, figures)
    if "postfix" in results and "strictpost" in results:
        yield ratio_row(results["postfix"], results["strictpost"])
    for name, figures in results.items():
        odd = {key: figures["sink"][key] for key in ("duplicates", "damaged", "foreign") if figures["sink"][key]}
        if odd:
            yield f"  {name}: " + ", ".join(f"{count} {what}" for what, count in odd.items())
    for met, text in bars(scenario, results):
        yield verdict_line(met, text)


def rig_bar(rig):
    """Whether the generator and the sink are fast enough not to be what is measured, and the text of it."""
    rate = rig["plain 4K"]["messages_per_s"]
    return rate >= RIG_BAR, f"{rate:.0f} messages/s (bar {RIG_BAR})"


def rig_lines(rig):
    """The table of the generator straight into the sink."""
    yield "rig: generator straight into sink"
    yield COLUMNS
    for name, figures in rig.items():
        yield row(name, figures)
    yield verdict_line(*rig_bar(rig))
