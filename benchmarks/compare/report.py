"""Tables of what was measured: a summary for the README, and a report with every figure."""

import statistics

from leader_cpu import leader_tables

_PUT_4000_SHARE = 0.9  # Of the throughput at 1,000 clients: more clients than it can serve do not slow a server down.

_LATENCIES = (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9"))
_BAR_TITLES = {
    "per_second": "requests/s", "p99_us": "p99", "server_cpu_us_per_op": "server CPU per request",
    "server_rss_bytes_mean": "resident memory", "gap_ms": "time without writes",
}


class Figures:
    """Medians over the rounds, by scenario and system."""

    def __init__(self, runs, scenarios):
        self.conditions = next(run for run in runs if run["kind"] == "conditions")
        measured = {run["scenario"] for run in runs if "scenario" in run}
        self.scenarios = [s for s in scenarios if s.key in measured]
        self.etcds = [name for name in self.conditions["systems"] if name.startswith("etcd")]
        self.keel = next(name for name in self.conditions["systems"] if name.startswith("Keel"))
        self.systems = [*self.etcds, self.keel]
        self._runs = runs

    def runs(self, key, system=None):
        return [run for run in self._runs if run.get("scenario") == key and system in (None, run["system"])]

    def of_kind(self, *kinds):
        return [s for s in self.scenarios if s.kind in kinds]

    def values(self, key, system, figure):
        return [run[figure] for run in self.runs(key, system) if figure in run]

    def median(self, key, system, figure):
        """None if it was not measured."""
        values = self.values(key, system, figure)
        return statistics.median(values) if values else None

    def ratio(self, key, etcd, figure):
        keel, other = self.median(key, self.keel, figure), self.median(key, etcd, figure)
        return keel / other if keel is not None and other else None

    def others_share(self):
        shares = [run["others_share"] for run in self._runs if "others_share" in run]
        return statistics.median(shares) if shares else 0


def _number(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value):
    return "-" if value is None else f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def _table(header, rows, names=1):
    """The first so many columns hold names, the others figures."""
    lines = ["| " + " | ".join(header) + " |", "| --- " * names + "| ---: " * (len(header) - names) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _conditions(figures):
    c = figures.conditions
    rounds = "one round" if c["rounds"] == 1 else f"{c['rounds']} alternating rounds"
    text = (f"Medians of {rounds} of {c['duration']:g} s on {c['date'][:10]}: {' and '.join(c['systems'])} "
            f"(commit {c['commit']}), three members each on loopback, their own defaults and fsync on, {c['keys']:,} "
            f"keys of 16 bytes with values of 256, 6 connections spread over the members. {c['cores']} cores "
            f"({c['cpu']}), which members and load share, {c['memory_gib']} GiB, kernel {c['kernel']}, "
            f"{c['filesystem']} on which a synced write of 4 KiB takes {c['sync_ms']:g} ms, gRPC {c['grpc']}.")
    if figures.others_share() >= 0.05:
        text += (f" Programs that have nothing to do with this took {figures.others_share():.0%} of the machine "
                 "meanwhile.")
    return text + "\n"


def _cell(figures, key, figure, scale=1):
    """What each etcd has, what Keel has, and the ratios."""
    medians = [figures.median(key, system, figure) for system in figures.systems]
    if medians[-1] is None:
        return ["", "", ""]
    texts = [_number(None if m is None else m / scale) for m in medians]
    ratios = [_ratio(figures.ratio(key, etcd, figure)) for etcd in figures.etcds]
    return [" / ".join(texts[:-1]) or "-", texts[-1], " / ".join(ratios) or "-"]


def _etcd_title(figures):
    return " / ".join(figures.etcds) or "etcd"


def summary(figures):
    etcd = _etcd_title(figures)
    parts = [_conditions(figures)]
    rows = []
    for scenario in figures.of_kind("load", "program"):
        if figures.median(scenario.key, figures.keel, "per_second") is None or scenario.rate \
                or scenario.key == "watch-last":
            continue
        rows.append([scenario.title] + _cell(figures, scenario.key, "per_second")
                    + _cell(figures, scenario.key, "p99_us", 1000)
                    + _cell(figures, scenario.key, "server_cpu_us_per_op"))
    if rows:
        parts.append(_table(["", f"per second: {etcd}", "Keel", "ratio", "p99, ms: etcd", "Keel", "ratio",
                             "server CPU, µs each: etcd", "Keel", "ratio"], rows))
    rows = []
    for scenario in figures.of_kind("load"):
        if scenario.rate:
            rows.append([f"{scenario.title}: p99, ms"] + _cell(figures, scenario.key, "p99_us", 1000))
    for key, title, figure, scale in (
            ("watch-last", "put until 1,000 watchers have heard of it: p50, ms", "p50_us", 1000),
            ("lock-handover", "a lock from its holder to who waits: p50, ms", "p50_us", 1000),
            ("leader-kill", "kill -9 of the leader until a write is taken, ms", "gap_ms", 1),
            ("memory", "resident memory of a member after the same puts, MiB", "server_rss_bytes_mean", 1 << 20)):
        if figures.median(key, figures.keel, figure) is not None:
            rows.append([title] + _cell(figures, key, figure, scale))
    if rows:
        parts.append(_table(["", etcd, "Keel", "ratio"], rows))
    return "\n".join(parts)


def _bars(figures):
    rows = []
    for scenario in figures.scenarios:
        for bar in scenario.bars:
            for etcd in figures.etcds:
                ratio = figures.ratio(scenario.key, etcd, bar.figure)
                if ratio is not None:
                    rows.append([f"{scenario.title}: {_BAR_TITLES[bar.figure]}", etcd, str(bar), _ratio(ratio),
                                 "met" if bar.is_met(ratio) else "**missed**"])
    many = figures.median("put-4000", figures.keel, "per_second")
    some = figures.median("put-1000", figures.keel, "per_second")
    if many is not None and some:
        rows.append(["put, 4,000 clients: requests/s", "itself at 1,000", f"at least {_PUT_4000_SHARE:g}x",
                     _ratio(many / some), "met" if many / some >= _PUT_4000_SHARE else "**missed**"])
    return rows


def _spread(figures, key, system, figure):
    values = figures.values(key, system, figure)
    if not values:
        return ""
    median = _number(statistics.median(values))
    return median if len(values) == 1 else f"{median} ({_number(min(values))} to {_number(max(values))})"


def _all_rows(figures):
    for scenario in figures.of_kind("load", "program", "memory"):
        for system in figures.systems:
            if figures.median(scenario.key, system, "p50_us") is None and figures.median(
                    scenario.key, system, "per_second") is None:
                continue
            memory = figures.median(scenario.key, system, "server_rss_bytes_largest")
            row = [scenario.title, system, _spread(figures, scenario.key, system, "per_second")]
            for figure, _ in _LATENCIES:
                value = figures.median(scenario.key, system, figure)
                row.append("" if value is None else _number(value / 1000))
            cpu = figures.median(scenario.key, system, "server_cpu_us_per_op")
            row.append("" if cpu is None else _number(cpu))
            row.append("" if memory is None else _number(memory / (1 << 20)))
            row.append(f"{sum(figures.values(scenario.key, system, 'errors'))}")
            yield row


def _memory_rows(figures):
    names = ("server_rss_bytes_mean", "server_rss_bytes_own", "server_rss_bytes_files", "server_rss_bytes_peak")
    for scenario in figures.of_kind("memory"):
        for system in figures.systems:
            medians = [figures.median(scenario.key, system, name) for name in names]
            if medians[0] is not None:
                yield [system] + [_number(median / (1 << 20)) for median in medians]


def _batch_rows(figures):
    for run in figures.runs("batches"):
        for i, member in enumerate(run["members"]):
            calls = member["sync_calls"]
            syncs = member["log_syncs"]
            yield [run["system"], f"{i + 1}", f"{member['entries']:,.0f}", f"{syncs:,.0f}",
                   "not counted" if calls is None else f"{calls:,}",
                   _number(member["entries"] / syncs if syncs else None)]


def _sync_rows(figures):
    for scenario in figures.of_kind("load"):
        for system in figures.systems:
            runs = [run for run in figures.runs(scenario.key, system) if run.get("entries")]
            if not runs or sum(sum(run["syncs"]) for run in runs) == 0:
                continue
            each = statistics.median(run["entries"] * len(run["syncs"]) / max(sum(run["syncs"]), 1) for run in runs)
            yield [scenario.title, system, _number(each)]


def full(figures, pictures):
    """`pictures`: names of files beside it."""
    parts = ["# Keel beside etcd\n", "Written by `scripts/bench`; [benchmarks/README.md](../README.md) says what each "
             "line means and how it is measured.\n", _conditions(figures)]
    bars = _bars(figures)
    if bars:
        parts += ["## What is wanted, and what there is\n",
                  _table(["", "beside", "wanted", "measured", "so it is"], bars, names=2)]
    parts += [f"![{name.partition('.')[0]}]({name})\n" for name in pictures]
    parts += ["## Everything\n", _table(
        ["", "", "per second (lowest to highest round)", "p50, ms", "p99, ms", "p99.9, ms", "server CPU, µs each",
         "largest member, MiB", "errors"], list(_all_rows(figures)), names=2)]
    gaps = [(system, [gap for run in figures.runs("leader-kill", system) for gap in run["milliseconds"]])
            for system in figures.systems]
    gaps = [(system, sorted(values)) for system, values in gaps if values]
    if gaps:
        parts += ["## kill -9 of the leader until a write is taken\n", _table(
            ["", "kills", "shortest, ms", "median", "longest"],
            [[system, str(len(v)), _number(v[0]), _number(statistics.median(v)), _number(v[-1])]
             for system, v in gaps])]
    memory = list(_memory_rows(figures))
    if memory:
        parts += ["## Memory\n",
                  "Of a member, in MiB, after the same number of puts on a cluster that was started for it.\n",
                  _table(["", "resident, mean of the members", "its own", "of files that it maps",
                          "highest of any member"], memory)]
    batches = list(_batch_rows(figures))
    if batches:
        parts += ["## Syncs\n",
                  "Puts of 1,000 clients. A member's log syncs once for all entries that waited when it began to "
                  "write. The system calls are those of the whole process, so what they exceed the log's syncs by is "
                  "what else it syncs.\n",
                  _table(["", "member", "entries", "syncs of the log", "fsync and fdatasync calls", "entries per sync"],
                         batches, names=2)]
    syncs = list(_sync_rows(figures))
    if syncs:
        parts += ["Entries per sync and member under each load:\n",
                  _table(["", "", "entries per sync"], syncs, names=2)]
    for scenario in figures.of_kind("leader"):
        for run in figures.runs(scenario.key):
            parts += [f"## The leader's CPU: {scenario.title}\n", leader_tables(run, _table)]
    return "\n".join(parts)
