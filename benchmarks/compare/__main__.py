"""scripts/bench: Keel and etcd side by side on this machine. See benchmarks/README.md."""

import argparse
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import conditions
import processes
import report
from cluster import System
from measure import Bench, Failed
from scenarios import all_scenarios

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = ("keeld", "keel-bench", "keel-streams", "keel-locks", "keel-failover")
SLOW_ROUNDS_MAX = 3  # Of what takes most of a minute and hardly varies.


def _arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Measures three members of Keel and three of etcd, in turns, on this machine; writes tables and "
                    "plots.")
    parser.add_argument("--quick", action="store_true", help="one short round, some three minutes in all")
    parser.add_argument("--only", metavar="SCENARIO", action="append", default=[],
                        help="only these, for example 'put-*'; again for more (--list names them)")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--rounds", type=int, default=None, help="of each scenario and system; 5, quick: 1")
    parser.add_argument("--duration", type=float, default=None, help="of a round under load, seconds; 4, quick: 1.5")
    parser.add_argument("--keys", type=int, default=None,
                        help="that every cluster holds; 100000, quick: 10000. Memory is taken after three times as "
                             "many puts")
    parser.add_argument("--etcd", metavar="PATH", action="append", default=[],
                        help="an etcd beside those in PATH; again for more")
    parser.add_argument("--no-etcd", action="store_true", help="measure Keel alone")
    parser.add_argument("--bin", metavar="DIR", help="a build folder that is up to date; without it, Keel is built")
    parser.add_argument("--data", metavar="DIR", default=tempfile.gettempdir(),
                        help="where members keep their data: the disk that is measured")
    parser.add_argument("--out", metavar="DIR",
                        help="where tables and plots go; benchmarks/results, or build/bench for a part of the whole")
    parser.add_argument("--no-plots", action="store_true", help="do without matplotlib")
    parser.add_argument("--report", metavar="RUNS.JSONL", help="measure nothing; write the report of these figures")
    return parser.parse_args()


def _stop(message):
    sys.exit(f"bench: {message}")


def _programs(folder):
    found = {}
    for parent, _, names in os.walk(folder):
        for name in PROGRAMS:
            path = os.path.join(parent, name)
            if name in names and os.access(path, os.X_OK):
                found[name] = path
    missing = [name for name in PROGRAMS if name not in found]
    if missing:
        _stop(f"no {', '.join(missing)} below {folder}; build it with: scripts/build release {' '.join(missing)}")
    return found


def _version(binary):
    try:
        out = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        _stop(f"{binary} does not say its version: {error}")
    first = out.splitlines()[0] if out else ""
    return first.rpartition(" ")[2] or "of unknown version"


def _etcds(named):
    """Every version once; the oldest, which a distribution's package holds, first."""
    candidates = list(named)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        candidates.append(os.path.join(folder, "etcd"))
    found = {}
    for path in candidates:
        if os.access(path, os.X_OK) and os.path.isfile(path):
            found.setdefault(_version(path), path)
        elif path in named:
            _stop(f"--etcd {path} is no program")
    key = lambda version: [int(part) if part.isdigit() else 0 for part in version.split(".")]
    return [System(f"etcd {version}", found[version]) for version in sorted(found, key=key)]


class Recorder:
    """Keeps every figure, in memory and on disk as soon as it is known."""

    def __init__(self, path):
        self.runs = []
        self._file = open(path, "w")

    def add(self, kind, **figures):
        run = {"kind": kind, **figures}
        self.runs.append(run)
        self._file.write(json.dumps(run) + "\n")
        self._file.flush()


def _in_turns(systems, round_number):
    """Nobody always comes first."""
    return systems if round_number % 2 == 0 else list(reversed(systems))


def _say(scenario, system, round_number, run):
    parts = [f"{run['per_second']:,.0f}/s"] if "per_second" in run else []
    if "gap_ms" in run:
        parts.append(f"{run['gap_ms']:,.0f} ms")
    if "p99_us" in run:
        parts.append(f"p99 {run['p99_us'] / 1000:,.2f} ms")
    if "server_cpu_us_per_op" in run:
        parts.append(f"{run['server_cpu_us_per_op']:,.1f} us of CPU each")
    if run.get("errors"):
        parts.append(f"{run['errors']} ERRORS {run.get('errors_by_code')}")
    print(f"{scenario.key:26} {system.name:16} round {round_number + 1}  {', '.join(parts)}", flush=True)


def _measure(bench, scenarios, systems, rounds, recorder):
    def keep(scenario, system, round_number, run):
        _say(scenario, system, round_number, run)
        recorder.add(scenario.kind, scenario=scenario.key, system=system.name, round=round_number, **run)

    groups = list(dict.fromkeys(s.group for s in scenarios if s.kind == "load"))
    for group in groups:
        clusters = []
        try:
            for system in systems:
                clusters.append(bench.start(system))
            for scenario in scenarios:
                if scenario.kind != "load" or scenario.group != group:
                    continue
                for n in range(rounds):
                    for cluster in _in_turns(clusters, n):
                        keep(scenario, cluster.system, n, bench.load(scenario, cluster, clusters))
        finally:
            for cluster in clusters:
                cluster.stop()
    for scenario in scenarios:
        if scenario.kind == "program":
            for n in range(rounds):
                for system in _in_turns(systems, n):
                    keep(scenario, system, n, bench.program(scenario, system))
        elif scenario.kind == "memory":
            for n in range(min(rounds, SLOW_ROUNDS_MAX)):
                for system in _in_turns(systems, n):
                    keep(scenario, system, n, bench.memory(scenario, system))
        elif scenario.kind == "batches":
            for system in systems:
                keep(scenario, system, 0, bench.batches(scenario, system))
        elif scenario.kind == "leader":
            keep(scenario, systems[-1], 0, bench.leader(scenario, systems[-1]))


def main():
    args = _arguments()
    scenarios = all_scenarios(args.quick)
    if args.list:
        for scenario in scenarios:
            print(f"{scenario.key:26} {scenario.title}")
        return 0
    if not args.no_plots:
        try:
            import plots
        except ImportError:
            _stop("plots need matplotlib: apt-get install python3-matplotlib, or give --no-plots")
    wanted = [s for s in scenarios if not args.only or any(fnmatch.fnmatch(s.key, name) for name in args.only)]
    for name in args.only:
        if not any(fnmatch.fnmatch(s.key, name) for s in scenarios):
            _stop(f"--only {name} fits no scenario; --list names them")
    out = args.out or os.path.join(ROOT, "benchmarks/results" if not (args.quick or args.only) else "build/bench")
    os.makedirs(out, exist_ok=True)

    if args.report:
        with open(args.report) as lines:
            runs = [json.loads(line) for line in lines]
        scenarios = all_scenarios(runs[0]["quick"])
    else:
        if not args.bin:
            subprocess.run([os.path.join(ROOT, "scripts/build"), "release", *PROGRAMS], check=True)
        programs = _programs(args.bin or os.path.join(ROOT, "build/release"))
        systems = [] if args.no_etcd else _etcds(args.etcd)
        if not systems and not args.no_etcd:
            _stop("no etcd in PATH; apt-get install etcd-server, name one with --etcd, or give --no-etcd")
        systems.append(System(f"Keel {_version(programs['keeld'])}", programs["keeld"]))
        rounds = args.rounds or (1 if args.quick else 5)
        duration = args.duration or (1.5 if args.quick else 4)
        keys = args.keys or (10000 if args.quick else 100000)
        folder = tempfile.mkdtemp(prefix="keel-bench-", dir=args.data)
        try:
            recorder = Recorder(os.path.join(out, "runs.jsonl"))
            recorder.add("conditions", quick=args.quick, rounds=rounds, duration=duration, keys=keys,
                         **conditions.of(ROOT, folder, systems))
            begin = time.monotonic()
            bench = Bench(programs, folder, keys=keys, duration=duration)
            _measure(bench, wanted, systems, rounds, recorder)
            print(f"measured in {(time.monotonic() - begin) / 60:.1f} minutes")
        except Failed as error:
            _stop(error)
        finally:
            processes.stop_all()
            shutil.rmtree(folder, ignore_errors=True)
        runs = recorder.runs

    figures = report.Figures(runs, scenarios)
    for name in os.listdir(out):
        if name.endswith(".svg"):
            os.unlink(os.path.join(out, name))  # Of an earlier run, which may have had more to show.
    pictures = [] if args.no_plots else plots.draw(figures, out)
    for name, text in (("summary.md", report.summary(figures)), ("report.md", report.full(figures, pictures))):
        with open(os.path.join(out, name), "w") as file:
            file.write(text)
    print(report.summary(figures))
    print(f"tables and plots are in {os.path.relpath(out)}")
    errors = sum(run.get("errors", 0) for run in runs)
    if errors:
        print(f"bench: {errors} requests failed", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    # What is told to end goes through every `finally` on its way.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    sys.exit(main())
