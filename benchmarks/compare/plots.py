"""The same as pictures."""

import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

import leader_cpu
from scenarios import CLIENTS, OPEN_LOOP_RATES

_KEEL = "#0b6e99"
_ETCDS = ("#b8b8b8", "#8a7f72", "#d9c7a8")
_PART_COLOURS = ("#0b6e99", "#3d9970", "#d98e04", "#a23b72", "#6a4c93", "#8a7f72", "#c8c8c8")

plt.rcParams.update({
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e8e8e8",
    "axes.axisbelow": True, "svg.fonttype": "none", "svg.hashsalt": "keel", "legend.frameon": False,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
})

_THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")


def _colours(figures):
    colours = dict(zip(figures.etcds, _ETCDS * 2))
    colours[figures.keel] = _KEEL
    return colours


def _save(figure, folder, name):
    figure.savefig(os.path.join(folder, name), metadata={"Date": None})
    plt.close(figure)


def _lines(axes, figures, points, figure, scale=1):
    """`points`: (x, scenario's key). With the lowest and the highest round as a band."""
    for system, colour in _colours(figures).items():
        found = [(x, [v / scale for v in figures.values(key, system, figure)],
                  figures.median(key, system, figure)) for x, key in points]
        found = [(x, values, median / scale) for x, values, median in found if values]
        if not found:
            continue
        xs = [x for x, _, _ in found]
        axes.fill_between(xs, [min(v) for _, v, _ in found], [max(v) for _, v, _ in found], color=colour, alpha=0.2,
                          linewidth=0)
        axes.plot(xs, [median for _, _, median in found], marker="o", markersize=4, color=colour, label=system)
    axes.set_xscale("log")
    axes.set_xticks([x for x, _ in points], [f"{x:,}" for x, _ in points])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(_THOUSANDS)


def _bars(axes, figures, scenarios, figure, scale=1):
    """One group of bars for each scenario, the first on top."""
    colours = _colours(figures)
    height = 0.8 / len(colours)
    for i, (system, colour) in enumerate(colours.items()):
        for y, scenario in enumerate(scenarios):
            median = figures.median(scenario.key, system, figure)
            if median is None:
                continue
            values = figures.values(scenario.key, system, figure)
            place = y + (i - (len(colours) - 1) / 2) * height
            axes.barh(place, median / scale, height * 0.92, color=colour, label=system if y == 0 else None)
            axes.plot([min(values) / scale, max(values) / scale], [place, place], color="#333333", linewidth=0.8)
            axes.annotate(f" {median / scale:,.0f}" if median / scale >= 10 else f" {median / scale:.2g}",
                          (max(values) / scale, place), va="center", fontsize=7)
    axes.set_yticks(range(len(scenarios)), [s.title for s in scenarios])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(_THOUSANDS)


def _dots(axes, figures, scenarios, figure):
    """One row for each scenario; distances are ratios."""
    for y, scenario in enumerate(scenarios):
        medians = [figures.median(scenario.key, system, figure) for system in figures.systems]
        found = [median for median in medians if median]
        axes.plot([min(found), max(found)], [y, y], color="#d8d8d8", linewidth=3, zorder=1, solid_capstyle="round")
    for system, colour in _colours(figures).items():
        found = [(figures.median(s.key, system, figure), y) for y, s in enumerate(scenarios)]
        found = [(median, y) for median, y in found if median]
        axes.scatter([median for median, _ in found], [y for _, y in found], color=colour, s=36, zorder=2, label=system)
        for median, y in found:
            text = f"{median:,.0f}" if median >= 10 else f"{median:.1f}"
            axes.annotate(text, (median, y), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=6.5)
    axes.set_yticks(range(len(scenarios)), [s.title for s in scenarios])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_THOUSANDS)


def _throughput(figures, folder):
    puts = [(count, f"put-{count}") for count in CLIENTS]
    rest = [s for s in figures.of_kind("load") if s.group == "mixed"
            and figures.median(s.key, figures.keel, "per_second") is not None]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.1))
    _lines(left, figures, puts, "per_second")
    left.set(title="Puts a second, by clients", xlabel="clients", ylim=(0, None))
    left.legend()
    if rest:
        _bars(right, figures, rest, "per_second")
        right.set_title("Other requests a second")
    else:
        right.set_visible(False)
    _save(figure, folder, "throughput.svg")


def _latency(figures, folder):
    quantiles = (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9"))
    figure, grid = plt.subplots(2, 3, figsize=(11, 6))
    rows = (([(count, f"put-{count}") for count in CLIENTS], "clients, each waiting for its answer"),
            ([(rate, f"open-loop-{rate}") for rate in OPEN_LOOP_RATES], "puts a second, sent when due"))
    for axes_row, (points, xlabel) in zip(grid, rows):
        for axes, (name, title) in zip(axes_row, quantiles):
            _lines(axes, figures, points, name, 1000)
            axes.set(title=f"{title} of a put, ms", xlabel=xlabel, yscale="log")
            axes.yaxis.set_major_formatter(_THOUSANDS)
    grid[0][0].legend()
    _save(figure, folder, "latency.svg")


def _cpu(figures, folder):
    measured = [s for s in figures.of_kind("load", "program")
                if figures.median(s.key, figures.keel, "server_cpu_us_per_op") is not None and s.key != "watch-last"]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.42 * len(measured)))
    _dots(axes, figures, measured, "server_cpu_us_per_op")
    axes.set_title("Server CPU for each request or event, all members, µs")
    axes.legend(loc="lower right")
    _save(figure, folder, "cpu.svg")


def _memory(figures, folder):
    figure, axes = plt.subplots(figsize=(9, 2.6))
    names = (("server_rss_bytes_mean", "resident"), ("server_rss_bytes_own", "of that, its own"),
             ("server_rss_bytes_files", "of that, files it maps"))
    colours = _colours(figures)
    height = 0.8 / len(colours)
    for i, (system, colour) in enumerate(colours.items()):
        for y, (name, _) in enumerate(names):
            median = figures.median("memory", system, name)
            if median is None:
                continue
            place = y + (i - (len(colours) - 1) / 2) * height
            axes.barh(place, median / (1 << 20), height * 0.92, color=colour, label=system if y == 0 else None)
            axes.annotate(f" {median / (1 << 20):,.0f}", (median / (1 << 20), place), va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [title for _, title in names])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.set_title("Memory of a member after the same puts, MiB")
    axes.legend(loc="lower right")
    _save(figure, folder, "memory.svg")


def _leader(figures, folder):
    runs = [(s, run) for s in figures.of_kind("leader") for run in figures.runs(s.key) if run["samples"]]
    if not runs:
        return
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.7 * len(runs)))
    for y, (scenario, run) in enumerate(runs):
        cells, _ = leader_cpu.split(run)
        left = 0
        for part, colour in zip(leader_cpu.PARTS, _PART_COLOURS):
            grpc = cells.get((part, "gRPC"), 0)
            rest = sum(cells.get((part, library), 0) for library in leader_cpu.LIBRARIES) - grpc
            axes.barh(y, rest, 0.6, left=left, color=colour, label=part if y == 0 else None)
            axes.barh(y, grpc, 0.6, left=left + rest, color=colour, hatch="////", edgecolor="white", linewidth=0)
            left += rest + grpc
    axes.set_yticks(range(len(runs)), [scenario.title for scenario, _ in runs])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_title("The leader's CPU for each request, µs (hatched: inside the gRPC library)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.18), ncols=4)
    _save(figure, folder, "leader-cpu.svg")


def draw(figures, folder):
    """Returns the names of the files."""
    if figures.of_kind("load"):
        _throughput(figures, folder)
        _latency(figures, folder)
        _cpu(figures, folder)
    if figures.of_kind("memory"):
        _memory(figures, folder)
    _leader(figures, folder)
    return [name for name in ("throughput.svg", "latency.svg", "cpu.svg", "memory.svg", "leader-cpu.svg")
            if os.path.exists(os.path.join(folder, name))]
