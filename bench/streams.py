#!/usr/bin/python3
"""What a full cycle over the gRPC streams costs the broker. One JSON line per run.

    bench/streams.py [--seconds 5] [--rounds 3]

Create, credit, task, result and both acknowledgements, each a message of its own (batch 1) or of 32. Eight connections a side, 64
credits or creates open on each (256 where batched), payloads of 300 bytes, server and load generator on the same cores. Rounds are run
in turn, so that every line has been through the same weather: compare medians within one run.

Needs a built codeq (CODEQ_BINARY, or build/release/codeq) and the load generator (CODEQ_STREAM_BENCH, or the one that
`cmake --build --preset release --target codeq_stream_bench` leaves).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import net  # noqa: E402
from harness.broker import Broker, Tokens, find_binary  # noqa: E402

GENERATOR = os.environ.get("CODEQ_STREAM_BENCH", str(ROOT / "build" / "release" / "bench" / "streams" / "codeq_stream_bench"))


def run(folder, durability, traced, batch, seconds):
    receiver = endpoint = None
    if traced:  # in a process of its own, so that its cost is not the broker's
        port = net.free_port()
        receiver = subprocess.Popen([find_binary(), "otlp-receiver", "--port", str(port), "--out", "/dev/null"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        net.wait_for_port(port, 10, receiver)
        endpoint = f"http://127.0.0.1:{port}"
    tokens = Tokens()
    broker = Broker(folder, tokens, otlp_endpoint=endpoint, DURABILITY=durability, LOG_LEVEL="info").start()
    try:
        out = subprocess.run(
            [GENERATOR, "--producer-port", str(broker.producer_stream_port), "--worker-port", str(broker.worker_stream_port),
             "--producer-token", tokens.acme_producer, "--worker-token", tokens.acme_worker,
             "--server-pid", str(broker.process.pid), "--batch", str(batch), "--window", "64" if batch == 1 else "256",
             "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True, check=True).stdout
    finally:
        broker.stop()
        if receiver:
            receiver.terminate()
            receiver.wait()
    return {"durability": durability, "sampling": 1 if traced else "off"} | json.loads(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cases = [(durability, traced, batch) for batch in (1, 32) for durability, traced in (("sync", False), ("sync", True), ("none", False))]
    found = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                found[case].append(run(pathlib.Path(folder), *case, options.seconds))
                print(json.dumps(found[case][-1]), flush=True)
    for case, runs in found.items():
        cost = statistics.median(r["server_cpu_us_per_task"] for r in runs)
        rate = statistics.median(r["completed_per_second"] for r in runs)
        stolen = max(r["cpu_stolen_percent"] for r in runs)
        print(f"# batch {case[2]:2}, {case[0]}, tracing {'at 100 %' if case[1] else 'off'}: "
              f"{cost:.1f} us of server CPU a task, {rate:,.0f} completed/s (medians of {len(runs)}); "
              f"the host took up to {stolen:.0f} % of the machine's time")


if __name__ == "__main__":
    main()
