"""Our own load generators, as one function: where a generator or what it prints changes, this is all there is to change."""

import json
import os
import subprocess

from . import clients
from .case import PAYLOAD_BYTES
from .clients import ROOT
from .servers import CannotRun

WAITING_MAX = 1024  # over HTTP, as for the peers; over gRPC what is open on all connections


def binary(name="codeq", variable="CODEQ_BINARY"):
    """What the environment names, or what was built last without a sanitizer."""
    if os.environ.get(variable):
        return os.environ[variable]
    for preset in ("release", "ci"):
        path = ROOT / "build" / preset / name
        if path.exists():
            return str(path)
    raise CannotRun(f"{name} is not built (scripts/bench-compare builds it)")


def load(broker, transport, connections, batch, open_each, options):
    """One run: the figures of clients.measure (disk and stolen time are the caller's to take), and what was refused."""
    flags = {"--producers": connections, "--workers": connections, "--batch": batch, "--server-pid": broker.process.pid}
    flags |= {"--producer-token": broker.tokens.acme_producer, "--worker-token": broker.tokens.acme_worker}
    streams = {"--producer-port": broker.producer_stream_port, "--worker-port": broker.worker_stream_port}
    streams["--window"] = open_each
    timed = {"--duration": options.seconds, "--warmup": options.warmup, "--payload-bytes": PAYLOAD_BYTES}
    url = {"--url": f"http://127.0.0.1:{broker.port}"}
    flags |= url | timed | (streams if transport == "grpc" else {"--outstanding": WAITING_MAX})
    found = said([binary(), "bench", transport, "--json"], flags)
    completed, seconds, cost = found["completed"], found["seconds"], found["server_cpu_us_per_task"]
    return clients.figures(round(completed), seconds, cost * completed / 1e6, 0, 0) | {"refused": found["refused_total"]}


def said(command, flags):
    """The generator's JSON. Its status is 1 where anything was refused, which a full store may; that is a figure too."""
    words = [*command, *(str(word) for flag in flags.items() for word in flag)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1000:]}")
    return json.loads(done.stdout)
