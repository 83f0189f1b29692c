"""What is measured. A scenario is one row of the tables: a kind of request under one load."""

from dataclasses import dataclass, field

CLIENTS = (1, 10, 100, 1000, 4000)
OPEN_LOOP_RATES = (500, 2000, 5000)


@dataclass(frozen=True)
class Bar:
    """A ratio of Keel's figure to etcd's that is wanted."""

    figure: str
    at_least: float = 0
    at_most: float = 0

    def is_met(self, ratio):
        return ratio >= self.at_least if self.at_least else ratio <= self.at_most

    def __str__(self):
        return f"at least {self.at_least:.3g}x" if self.at_least else f"at most {self.at_most:.2g}x"


_PUT_BARS = (Bar("per_second", at_least=1.7), Bar("p99_us", at_most=0.6), Bar("server_cpu_us_per_op", at_most=0.45))


@dataclass(frozen=True)
class Scenario:
    key: str
    title: str
    # load: keel-bench with `arguments` against a cluster that all scenarios of its group share. program: `program` with
    # `arguments` starts a cluster of its own. memory: keel-bench against a fresh cluster.
    kind: str
    arguments: tuple = ()
    group: str = ""
    program: str = ""
    clients: int = 0
    rate: int = 0
    bars: tuple = field(default=())


def _load(key, title, group, *arguments, clients=0, rate=0, bars=()):
    arguments += ("--clients", str(clients))
    if rate:
        arguments += ("--rate", str(rate))
    return Scenario(key, title, "load", arguments, group=group, clients=clients, rate=rate, bars=bars)


def _clients(count):
    return "1 client" if count == 1 else f"{count:,} clients"


def all_scenarios(quick):
    """In the order in which they are run and listed."""
    linearizable = (Bar("per_second", at_least=1.5), Bar("server_cpu_us_per_op", at_most=0.6))
    serializable = (Bar("per_second", at_least=1.2), Bar("server_cpu_us_per_op", at_most=0.6))
    scenarios = [
        _load(f"put-{count}", f"put, {_clients(count)}", "put", "put", clients=count,
              bars=_PUT_BARS if count in (1, 100, 1000) else ())
        for count in CLIENTS
    ]
    for count in (100, 1000):
        scenarios.append(_load(f"range-linearizable-{count}", f"linearizable read of a key, {_clients(count)}", "mixed",
                               "range", clients=count, bars=linearizable))
        scenarios.append(_load(f"range-serializable-{count}", f"serializable read of a key, {_clients(count)}", "mixed",
                               "range", "--serializable", clients=count, bars=serializable))
    scenarios += [
        _load("range-of-100", "linearizable read of 100 keys, 100 clients", "mixed", "range", "--limit", "100",
              clients=100),
        _load("mixed", "half puts, half linearizable reads, 100 clients", "mixed", "mixed", clients=100),
        _load("compare-and-put", "compare-and-put transaction, 100 clients", "mixed", "cas", clients=100),
    ]
    # Enough clients that none of the requests has to wait for one, unless the server is a second or more behind.
    scenarios += [
        _load(f"open-loop-{rate}", f"puts that come at {rate:,}/s", "open", "put", clients=10000, rate=rate)
        for rate in OPEN_LOOP_RATES
    ]
    watchers, leases, seconds = ("2000", "1000", "2s") if quick else ("10000", "1000", "4s")
    scenarios += [
        Scenario("watch-fan-out", f"events to {int(watchers):,} watchers of one prefix", "program",
                 ("fanout", "--members", "3", "--conns", "12", "--watchers", watchers, "--json"),
                 program="keel-streams"),
        Scenario("watch-last", "put until 1,000 watchers have heard of it", "program",
                 ("fanout", "--members", "3", "--conns", "12", "--watchers", "1000", "--in-step", "--json"),
                 program="keel-streams"),
        Scenario("lease-renewal", f"renewals of {int(leases):,} leases", "program",
                 ("renew", "--members", "3", "--conns", "6", "--leases", leases, "--duration", seconds, "--json"),
                 program="keel-streams"),
        Scenario("lock-handover", "a lock from its holder to who waits", "program",
                 ("handover", "--rounds", "100" if quick else "200", "--json"), program="keel-locks"),
        Scenario("leader-kill", "kill -9 of the leader until a write is taken", "program",
                 ("--rounds", "2" if quick else "4", "--silences", "0", "--restarts", "0", "--json"),
                 program="keel-failover", bars=(Bar("gap_ms", at_most=1 / 3),)),
        Scenario("memory", "resident memory of a member after the same puts", "memory", clients=1000,
                 bars=(Bar("server_rss_bytes_mean", at_most=0.7),)),
        Scenario("batches", "entries per sync of the log", "batches", clients=1000),
        Scenario("leader-put", "put, 1,000 clients", "leader", ("put",), clients=1000),
        Scenario("leader-range", "linearizable read of a key, 100 clients", "leader", ("range",), clients=100),
    ]
    return scenarios
