"""Runs scenarios and returns what came of them, as dictionaries that become lines of JSON."""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time

import processes
from cluster import MEMBERS, Cluster

CONNECTIONS = 6
VALUE_BYTES = 256


class Failed(Exception):
    pass


def _own_children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Bench:
    """What all measurements share."""

    def __init__(self, programs, folder, keys, duration):
        self.programs = programs  # Paths by name.
        self.folder = folder  # For the members' data.
        self.keys = keys
        self.duration = duration  # Seconds.

    def _keel_bench(self, cluster, arguments):
        command = [self.programs["keel-bench"], *arguments, "--json", "--endpoints", ",".join(cluster.endpoints),
                   "--conns", str(CONNECTIONS), "--value-size", str(VALUE_BYTES), "--key-space", str(self.keys),
                   "--server-pids", ",".join(str(pid) for pid in cluster.pids)]
        code, out, err = processes.output_of(command, timeout=600)
        if not out.strip():
            raise Failed(f"{cluster.system.name}: {' '.join(command[1:])}: {err.strip()}\n{cluster.log_tails()}")
        return json.loads(out)

    def start(self, system, is_filled=True):
        """A cluster that answers, and holds every key."""
        cluster = Cluster(system, self.folder)
        try:
            # Waits for a leader.
            self._keel_bench(cluster, ["range", "--total", "1", "--timeout", "60s"])
            if is_filled:
                self._keel_bench(cluster, ["put", "--sequential", "--total", str(self.keys), "--clients", "1000"])
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def load(self, scenario, cluster, clusters):
        """One round of a load scenario. `clusters` are all that run meanwhile."""
        syncs = [cluster.metrics(i) for i in range(MEMBERS)]
        pids = [pid for each in clusters for pid in each.pids]
        servers = sum(processes.cpu_seconds(pid) for pid in pids)
        busy, own, begin = processes.machine_busy_seconds(), _own_children_seconds(), time.monotonic()
        result = self._keel_bench(cluster, [*scenario.arguments, "--duration", f"{self.duration}s"])
        elapsed = time.monotonic() - begin
        others = (processes.machine_busy_seconds() - busy) - (_own_children_seconds() - own)
        others -= sum(processes.cpu_seconds(pid) for pid in pids) - servers
        result["others_share"] = max(0, others) / (elapsed * os.cpu_count())
        after = [cluster.metrics(i) for i in range(MEMBERS)]
        result["syncs"] = [after[i].get(_SYNCS, 0) - syncs[i].get(_SYNCS, 0) for i in range(MEMBERS)]
        result["entries"] = max(a.get(_ENTRIES, 0) - b.get(_ENTRIES, 0) for a, b in zip(after, syncs))
        return result

    def program(self, scenario, system):
        """One round of a program that starts its own cluster."""
        command = [self.programs[scenario.program], *scenario.arguments, "--dir", self.folder]
        if scenario.program == "keel-failover":
            command += [system.binary]
        else:
            command[2:2] = [system.binary]
        code, out, err = processes.output_of(command, timeout=600)
        if code != 0:
            raise Failed(f"{system.name}: {scenario.program} {' '.join(scenario.arguments)}: {err.strip()}")
        result = json.loads(out.splitlines()[-1])
        if "milliseconds" in result:
            result["gap_ms"] = statistics.median(result["milliseconds"])
        return result

    def memory(self, scenario, system):
        """Of members that were started for it and have all done the same."""
        cluster = self.start(system)
        try:
            result = self._keel_bench(cluster, ["put", "--total", str(2 * self.keys), "--clients",
                                                str(scenario.clients)])
            sizes = [processes.memory(pid) for pid in cluster.pids]
            for name, figure in (("mean", "resident"), ("own", "own"), ("files", "files")):
                result[f"server_rss_bytes_{name}"] = sum(getattr(size, figure) for size in sizes) / MEMBERS
            result["server_rss_bytes_peak"] = max(size.peak for size in sizes)
            return result
        finally:
            cluster.stop()

    def batches(self, scenario, system):
        """How many entries share a sync, and that nothing but the log syncs: by the metrics and by system calls."""
        cluster = self.start(system)
        try:
            before = [cluster.metrics(i) for i in range(MEMBERS)]
            tracers = [_count_sync_calls(pid) for pid in cluster.pids]
            time.sleep(0.5)  # Until they are attached; nothing is written meanwhile.
            self._keel_bench(cluster, ["put", "--clients", str(scenario.clients), "--duration", f"{self.duration}s"])
            time.sleep(0.5)  # Followers have what the leader has.
            calls = [_sync_calls(tracer) for tracer in tracers]
            after = [cluster.metrics(i) for i in range(MEMBERS)]
            return {"members": [{"entries": after[i].get(_ENTRIES, 0) - before[i].get(_ENTRIES, 0),
                                 "log_syncs": after[i].get(_SYNCS, 0) - before[i].get(_SYNCS, 0),
                                 "sync_calls": calls[i]} for i in range(MEMBERS)]}
        finally:
            cluster.stop()

    def leader(self, scenario, system):
        """Where the leader's CPU time goes: by thread, and where perf is installed by the library that runs."""
        cluster = self.start(system)
        try:
            pid = cluster.pids[cluster.leader()]
            data = os.path.join(self.folder, "perf.data")
            before = processes.cpu_seconds_by_thread(pid)
            recorder = _record(pid, data)
            result = self._keel_bench(cluster, [*scenario.arguments, "--clients", str(scenario.clients), "--duration",
                                                f"{2 * self.duration}s"])
            samples = _samples(recorder, data)
            after = processes.cpu_seconds_by_thread(pid)
            return {"requests": result["requests"], "per_second": result["per_second"],
                    "cpu_us_by_thread": {name: 1e6 * (seconds - before.get(name, 0)) / max(result["requests"], 1)
                                         for name, seconds in after.items()},
                    "samples": samples}
        finally:
            cluster.stop()


_SYNCS = "etcd_disk_wal_fsync_duration_seconds_count"
_ENTRIES = "etcd_server_proposals_committed_total"


def _perf(arguments):
    try:
        return processes.start(["perf", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        return None


def _interrupt(child):
    """Ends perf as Ctrl-C does: it writes what it has."""
    child.send_signal(subprocess.signal.SIGINT)
    try:
        return child.communicate(timeout=60)
    finally:
        processes.stop(child)


def _count_sync_calls(pid):
    return _perf(["stat", "-x,", "-e", "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync", "-p", str(pid)])


def _sync_calls(tracer):
    """None where perf is missing or may not count system calls."""
    if tracer is None:
        return None
    counts = re.findall(r"^(\d+),,syscalls:", _interrupt(tracer)[1], re.MULTILINE)
    return sum(int(count) for count in counts) if len(counts) == 2 else None


def _record(pid, data):
    # A clock that needs no hardware counters: virtual machines have none.
    return _perf(["record", "-q", "-F", "997", "-e", "cpu-clock", "-o", data, "-p", str(pid)])


def _samples(recorder, data):
    """Rows of (share, thread, library); None where perf is missing or may not look."""
    if recorder is None:
        return None
    _interrupt(recorder)
    code, out, err = processes.output_of(
        ["perf", "report", "-i", data, "--stdio", "-q", "--sort", "comm,dso", "-t", ";"], timeout=120)
    if os.path.exists(data):
        os.unlink(data)
    rows = re.findall(r"^\s*([\d.]+)%\s*;\s*([^;]+?)\s*;\s*([^;]+?)\s*$", out, re.MULTILINE)
    if not rows:
        print(f"bench: perf has no samples: {err.strip()}", file=sys.stderr)
        return None
    return [[float(share), thread, library] for share, thread, library in rows]
