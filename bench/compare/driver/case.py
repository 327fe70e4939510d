"""One line of the comparison: a peer, its durability, and the shape of the load."""

import dataclasses
from typing import Callable, Optional

from . import clients

PAYLOAD_BYTES = 300


@dataclasses.dataclass(frozen=True)
class Options:
    """Of one run of the driver, in seconds."""

    seconds: float
    warmup: float

    def flags(self):
        return ["-warmup", f"{self.warmup}s", "-seconds", f"{self.seconds}s", "-payload", str(PAYLOAD_BYTES)]


@dataclasses.dataclass(frozen=True)
class Case:
    peer: str  # "beanstalkd"
    setting: str  # "-f0": what was set, in the peer's own words
    mode: str  # of its client: "single"
    durability: str  # what the setting means
    on_disk: str  # what is on the disk when it is acknowledged: "both", the enqueue alone, or "neither"
    connections: str  # of producers + workers
    batch: int  # tasks that share a message or a write
    # CodeQ's mode that shares its connections and messages as much: HTTP (one call at a time on each), gRPC, gRPC x32
    beside: str
    version: Callable[[], str]  # of the server, in its own words; raises CannotRun where it is missing
    server: Optional[Callable] = None  # (folder) -> a context of (process id, where it listens)
    client: Optional[Callable] = None  # () -> the words that start its client
    tracing: str = "none"  # nobody but CodeQ carries trace context

    @property
    def name(self):
        return " ".join(word for word in (self.peer, self.setting, self.mode) if word)

    def facts(self):
        shown = ("peer", "setting", "mode", "durability", "on_disk", "connections", "batch", "beside", "tracing")
        return {key: getattr(self, key) for key in shown} | {"payload_bytes": PAYLOAD_BYTES}

    def run(self, folder, options):
        """The figures of one run on a fresh server (clients.measure)."""
        with self.server(folder) as (pid, address):
            return clients.measure([*self.client(), "-server", address, "-mode", self.mode, *options.flags()], pid)
