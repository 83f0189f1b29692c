"""Clusters of three members on loopback."""

import os
import random
import re
import shutil
import socket
import subprocess
import urllib.request
from dataclasses import dataclass

import processes

MEMBERS = 3
# Both refuse writes beyond it; what is measured is not how they refuse.
QUOTA_BYTES = 8 << 30


@dataclass(frozen=True)
class System:
    name: str  # "Keel 0.3.0", "etcd 3.4.23"
    binary: str

    @property
    def is_keel(self):
        return self.name.startswith("Keel")

    @property
    def folder(self):
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower())


def _free_ports(count):
    """Below the ports of outgoing connections, so that none of those takes one while its server is being restarted."""
    ports = set()
    while len(ports) < count:
        port = random.randint(10000, 32767)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.add(port)
    return sorted(ports)


class Cluster:
    """Started by its construction, with a data folder for each member; stop() leaves nothing behind."""

    def __init__(self, system, parent):
        self.system = system
        self.dir = os.path.join(parent, system.folder)
        os.makedirs(self.dir)
        ports = _free_ports(2 * MEMBERS)
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[:MEMBERS]]
        peers = [f"http://127.0.0.1:{port}" for port in ports[MEMBERS:]]
        self.members = []
        for i in range(MEMBERS):
            client = f"http://{self.endpoints[i]}"
            flags = {
                "name": f"m{i}",
                "data-dir": os.path.join(self.dir, f"m{i}"),
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peers[i],
                "initial-advertise-peer-urls": peers[i],
                "initial-cluster": ",".join(f"m{k}={peer}" for k, peer in enumerate(peers)),
                "initial-cluster-token": system.folder,
                "initial-cluster-state": "new",
                "quota-backend-bytes": str(QUOTA_BYTES),
            }
            with open(self.log(i), "w") as log:
                self.members.append(processes.start(
                    [system.binary] + [f"--{name}={value}" for name, value in flags.items()],
                    env={"PATH": os.environ["PATH"], "HOME": self.dir}, stdout=log, stderr=subprocess.STDOUT))

    @property
    def pids(self):
        return [member.pid for member in self.members]

    def log(self, i):
        return os.path.join(self.dir, f"m{i}.log")

    def log_tails(self):
        tails = []
        for i in range(MEMBERS):
            with open(self.log(i), errors="replace") as log:
                tails.append("".join(log.readlines()[-5:]))
        return "\n".join(tails)

    def metrics(self, i):
        """Values by name, summed over labels."""
        with urllib.request.urlopen(f"http://{self.endpoints[i]}/metrics", timeout=30) as page:
            text = page.read().decode()
        values = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = re.split(r"[ {]", line, maxsplit=1)[0], line.rpartition(" ")[2]
                values[name] = values.get(name, 0) + float(value)
        return values

    def leader(self):
        for i in range(MEMBERS):
            if self.metrics(i).get("etcd_server_is_leader") == 1:
                return i
        raise RuntimeError(f"{self.system.name}: nobody leads")

    def stop(self):
        for member in self.members:
            processes.stop(member)
        shutil.rmtree(self.dir, ignore_errors=True)
