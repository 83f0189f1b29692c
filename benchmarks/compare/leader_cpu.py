"""Where the CPU time of Keel's leader goes: RPC front, raft, log, apply, reply; and how much of it is a library's."""

# By the names that threads have in the operating system (at most 15 characters).
_PARTS = {
    "raft": "raft", "log-writer": "log", "log-reader": "log", "apply": "apply",
    "rocksdb:low": "flush and compaction", "rocksdb:high": "flush and compaction",
    "nexting_thread": "RPC front", "default-executo": "RPC front", "resolver-execut": "RPC front",
    "event_engine": "RPC front", "timer_manager": "RPC front", "grpc_global_tim": "RPC front",
    "grpc-awake": "RPC front", "proposer": "RPC front", "reader": "RPC front", "streams": "RPC front",
}
_OTHER = "everything else"
PARTS = ("RPC front", "raft", "log", "apply", "reply", "flush and compaction", _OTHER)
LIBRARIES = ("gRPC", "protobuf", "kernel", "RocksDB", "Keel", "C and C++ libraries")


def part_of(thread):
    return _PARTS.get(thread, _OTHER)


def library_of(dso):
    for prefix, library in (("libgrpc", "gRPC"), ("libgpr", "gRPC"), ("libaddress_sorting", "gRPC"), ("libupb", "gRPC"),
                            ("libcares", "gRPC"), ("libre2", "gRPC"), ("libprotobuf", "protobuf"),
                            ("[kernel", "kernel"), ("[vdso", "kernel"), ("librocksdb", "RocksDB"), ("keeld", "Keel")):
        if dso.startswith(prefix):
            return library
    return "C and C++ libraries"


def split(run):
    """Microseconds a request by (part, library), and their sum."""
    total = sum(run["cpu_us_by_thread"].values())
    cells = {}
    shares = sum(share for share, _, _ in run["samples"])
    for share, thread, dso in run["samples"]:
        part, library = part_of(thread), library_of(dso)
        # The apply thread completes the calls whose entries it has executed. It writes no file: what it does in gRPC,
        # in protobuf and in the kernel is sending answers and waking who waits for one.
        if part == "apply" and library in ("gRPC", "protobuf", "kernel"):
            part = "reply"
        cells[part, library] = cells.get((part, library), 0) + total * share / shares
    return cells, total


def leader_tables(run, table):
    threads = run["cpu_us_by_thread"]
    total = sum(threads.values())
    text = f"{run['per_second']:,.0f} requests/s; {total:.1f} µs of the leader's CPU for each.\n\n"
    if not run["samples"]:
        parts = {}
        for thread, micros in threads.items():
            parts[part_of(thread)] = parts.get(part_of(thread), 0) + micros
        text += ("By thread; without perf, the answers that the apply thread sends count as apply, and what the gRPC "
                 "library itself takes is not known.\n\n")
        return text + table(["", "µs each", "share"],
                            [[part, f"{parts[part]:.1f}", f"{parts[part] / total:.0%}"] for part in PARTS
                             if part in parts])
    cells, _ = split(run)
    rows = []
    for part in PARTS:
        row = [cells.get((part, library), 0) for library in LIBRARIES]
        if sum(row) > 0:
            rows.append([part] + [f"{value:.1f}" if value else "" for value in row]
                        + [f"{sum(row):.1f}", f"{sum(row) / total:.0%}"])
    sums = [sum(cells.get((part, library), 0) for part in PARTS) for library in LIBRARIES]
    rows.append(["all"] + [f"{value:.1f}" for value in sums] + [f"{total:.1f}", "100%"])
    rows.append(["share"] + [f"{value / total:.0%}" for value in sums] + ["100%", ""])
    return text + table(["µs each", *LIBRARIES, "all", "share"], rows)
