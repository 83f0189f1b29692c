"""What the programs of this folder share: checks, the runner's ear, and the command line.

PROGRAM stories ENDPOINTS                        tells all stories, a line each
PROGRAM lock ENDPOINTS LOCK COUNTER ROUNDS       adds to a counter under a lock that others share
"""

import sys
import time
import traceback

PATIENCE = 60  # Seconds that anything may take.
KILLS = 3  # Every member dies once, the leader first.
PUTS_PER_PHASE = 10  # Before a kill, while the member is down, and after.


class Mismatch(Exception):
    """A story that does not hold."""


def check(held, *what):
    if not held:
        raise Mismatch(" ".join(str(w) for w in what))


def expect(what, actual, expected):
    check(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def ask(what):
    """Has the runner do something and waits until it is done."""
    print("ask", what, flush=True)
    check(sys.stdin.readline() == "done\n", "the runner did not", what)


def await_condition(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < deadline, what, "did not come")
        time.sleep(0.02)


def write_through_deaths(put_once):
    """Has put_once(number) called for 1, 2, ... while the members die one after the other; returns the last number."""
    written = 0
    for _ in range(KILLS):
        for what in ("kill", "restart", None):
            for _ in range(PUTS_PER_PHASE):
                written += 1
                put_once(written)
            if what:
                ask(what)
    return written


def main(stories, count_under_lock):
    """`stories` are functions of the list of endpoints, each named tell_<story>."""
    if len(sys.argv) == 3 and sys.argv[1] == "stories":
        for tell in stories:
            name = tell.__name__.removeprefix("tell_")
            try:
                tell(sys.argv[2].split(","))
            except Exception as failure:  # A Mismatch, or what the client raised.
                traceback.print_exc()
                sys.exit(f"FAILED {name}: {failure!r}")
            print("ok", name, flush=True)
    elif len(sys.argv) == 6 and sys.argv[1] == "lock":
        count_under_lock(sys.argv[2].split(","), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(__doc__)
