#!/usr/bin/python3
"""What a broker does when more is asked of it than it can do. One JSON line.

    bench/overload.py [--seconds 10] [--connections 32]

1. peak    whole cycles by N producers and N workers
2. twice   the same by twice as many connections, from two load generators
3. flood   the cycles of 1, and beside them creators that ask as fast as they can, on as many connections, with no worker
           of their own: at least twice the creates of the peak are offered

Exit status 1 unless 2 keeps 80 % of 1 and memory stays within its budget. For each: cycles per second, the largest resident memory of the broker beside its budget, and what was answered 503.
Durability sync, tracing off, payloads of 300 bytes; all on one machine, so the load generators take their share of it.
Needs a built codeq (CODEQ_BINARY, or build/release/codeq) and Debian's python3.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time

import lab
from lab import Broker, Tokens
from harness import Api  # lab says where it is


class Memory:
    """The largest resident memory of a process while this is open, in MiB."""

    def __init__(self, pid):
        self.pid = pid
        self.most = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.stop.wait(0.1):
            self.most = max(self.most, lab.memory_kib(self.pid) >> 10)

    def close(self):
        self.stop.set()
        self.thread.join()
        return self.most


def load(broker, seconds, producers, workers, outstanding, command):
    return lab.load(broker, "http", "--producers", producers, "--workers", workers, "--duration", seconds, "--warmup", 2,
                    "--outstanding", outstanding, "--command", command)


def phase(broker, name, loads):
    memory = Memory(broker.process.pid)
    results = [lab.result(one) for one in [start() for start in loads]]
    said = {"cycles_per_second": round(sum(r["completed_per_second"] for r in results)),
            "creates_per_second": round(sum(r["latency_us"]["create"]["count"] / r["seconds"] for r in results)),
            "refused": sum(sum(r["errors"].values()) for r in results), "rss_mib": memory.close()}
    said["operations_per_second"] = said["creates_per_second"] + 2 * said["cycles_per_second"]
    print(f"{name}: {said}", file=sys.stderr, flush=True)
    return said


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--budget-mib", type=int, default=256)
    args = options.parse_args()
    n, seconds = args.connections, args.seconds
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", "/var/tmp")) as folder:
        broker = Broker(folder, Tokens(), MEMORY_BUDGET_BYTES=args.budget_mib << 20, LOG_LEVEL="warn").start()
        mine = Api(broker, broker.tokens.acme_producer).create("OWNED", 1)["id"]
        worker = Api(broker, broker.tokens.acme_worker)
        assert worker.claim("OWNED", lease=3600)["id"] == mine
        beats = {"sent": 0, "slowest_ms": 0.0}
        stop = threading.Event()

        def beat():  # a lease's owner all along: every call must succeed
            while not stop.wait(0.2):
                began = time.monotonic()
                worker.heartbeat(mine, 3600)
                beats["sent"] += 1
                beats["slowest_ms"] = max(beats["slowest_ms"], round((time.monotonic() - began) * 1000, 1))
        owner = threading.Thread(target=beat)
        owner.start()
        try:
            peak = phase(broker, "peak", [lambda: load(broker, seconds, n, n, 8 * n, "A")])
            twice = phase(broker, "twice", [lambda: load(broker, seconds, n, n, 8 * n, "A"), lambda: load(broker, seconds, n, n, 8 * n, "B")])
            flood = phase(broker, "flood", [lambda: load(broker, seconds, n, n, 8 * n, "A"),
                                            lambda: load(broker, seconds, n, 1, 1_000_000, "FLOOD")])
        finally:
            stop.set()
            owner.join()
        worker.complete(mine)
        broker.stop()
    good = twice["cycles_per_second"] >= 0.8 * peak["cycles_per_second"] and all(
        p["rss_mib"] <= args.budget_mib for p in (peak, twice, flood))
    print(json.dumps({"bench": "overload", "good": good, "durability": "sync", "tracing": "off", "budget_mib": args.budget_mib, "connections": n,
                      "peak": peak, "twice": twice, "flood": flood, "owner_calls": beats,
                      "twice_of_peak": round(twice["cycles_per_second"] / peak["cycles_per_second"], 2),
                      "flood_operations_of_peak": round(flood["operations_per_second"] / peak["operations_per_second"], 2),
                      "flood_creates_of_peak": round(flood["creates_per_second"] / peak["creates_per_second"], 2)}))
    sys.exit(0 if good else 1)


main()
