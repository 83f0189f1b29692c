"""Child processes that never outlive the comparison, and what /proc says about them."""

import ctypes
import os
import signal
import subprocess
from dataclasses import dataclass

_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_running = set()


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **options):
    """A child that the kernel kills when this process dies, however that happens."""
    child = subprocess.Popen(command, preexec_fn=_die_with_parent, **options)
    _running.add(child)
    return child


def stop(child):
    if child.poll() is None:
        child.kill()
        child.wait()
    _running.discard(child)


def stop_all():
    for child in list(_running):
        stop(child)


def output_of(command, timeout):
    """Runs a program to its end; (exit code, standard output, standard error)."""
    child = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=timeout)
        return child.returncode, out, err
    except subprocess.TimeoutExpired:
        return -1, "", f"not done after {timeout:.0f} s"
    finally:
        stop(child)


def _fields(path):
    with open(path) as stat:
        # The name, in parentheses, may hold anything.
        return stat.read().rpartition(")")[2].split()


def cpu_seconds(pid):
    """User and system time of all threads since the start."""
    fields = _fields(f"/proc/{pid}/stat")
    return (int(fields[11]) + int(fields[12])) / _TICK


def cpu_seconds_by_thread(pid):
    """The same by the threads' names."""
    seconds = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            fields = _fields(f"/proc/{pid}/task/{task}/stat")
            with open(f"/proc/{pid}/task/{task}/comm") as comm:
                name = comm.read().strip()
        except OSError:
            continue  # It has ended meanwhile.
        seconds[name] = seconds.get(name, 0) + (int(fields[11]) + int(fields[12])) / _TICK
    return seconds


@dataclass
class Memory:
    """In bytes."""

    resident: int
    own: int  # Of those, what is no file.
    files: int  # Of those, files that are mapped: programs, libraries, data.
    peak: int  # The most that has ever been resident.


def memory(pid):
    sizes = {}
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon", "RssFile", "VmHWM"):
                sizes[name] = int(value.split()[0]) * 1024
    return Memory(sizes["VmRSS"], sizes["RssAnon"], sizes["RssFile"], sizes["VmHWM"])


def machine_busy_seconds():
    """CPU time that was spent by anyone, over all cores."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:]]
    idle, iowait = fields[3], fields[4]
    return (sum(fields[:8]) - idle - iowait) / _TICK
