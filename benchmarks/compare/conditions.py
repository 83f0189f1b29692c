"""Under which conditions the figures were taken."""

import datetime
import os
import platform
import subprocess
import time


def _text(command, cwd=None):
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _cpu_model():
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _sync_milliseconds(folder):
    """The median of what a write of 4 KiB and fdatasync take there, with nothing else running."""
    path = os.path.join(folder, "sync-probe")
    took = []
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.posix_fallocate(file, 0, 1 << 20)
        os.fsync(file)
        for i in range(200):
            begin = time.monotonic()
            os.pwrite(file, b"x" * 4096, i * 4096)
            os.fdatasync(file)
            took.append(time.monotonic() - begin)
    finally:
        os.close(file)
        os.unlink(path)
    return sorted(took)[len(took) // 2] * 1000


def of(root, folder, systems):
    """As a dictionary for the raw figures; `folder` is where the members keep their data."""
    commit = _text(["git", "rev-parse", "--short=10", "HEAD"], cwd=root) or "unknown"
    # What this very run writes is no change of what it measures.
    tree = ["--", ".", ":(exclude)benchmarks/results"]
    if _text(["git", "status", "--porcelain", "--untracked-files=no", *tree], cwd=root):
        commit += " with local changes"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit,
        "systems": [system.name for system in systems],
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "kernel": platform.release(),
        "filesystem": (_text(["df", "--output=fstype", folder]).splitlines() or ["unknown"])[-1],
        "sync_ms": round(_sync_milliseconds(folder), 3),
        "grpc": _text(["dpkg-query", "-W", "-f=${Version}", "libgrpc++1.51"]).partition("-")[0] or "unknown",
    }
