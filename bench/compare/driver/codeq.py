"""CodeQ itself, by its own load generators. Where a generator changes, `load` is what to change."""

import contextlib
import json
import os
import subprocess
import sys

from . import clients, machine
from .case import PAYLOAD_BYTES, Case
from .clients import ROOT
from .servers import CannotRun, first_line

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import net  # noqa: E402
from harness.broker import Broker, Tokens  # noqa: E402

# mode: connections a side, tasks a message, messages or tasks open on each connection
MODES = {"HTTP": (64, 1, 1), "HTTP x32": (8, 32, 32), "gRPC": (8, 1, 64), "gRPC x32": (8, 32, 256)}


def cases():
    for mode, (connections, batch, open_each) in MODES.items():
        for durability, words, on_disk in (
            ("sync", "fdatasync before each answer, shared", "both"),
            ("none", "no sync", "neither"),
        ):
            for tracing in ("off", "100 %") if durability == "sync" else ("off",):
                setting = durability + (", traced" if tracing != "off" else "")
                shown = f"{connections} + {connections}" + (f", {open_each} open on each" if open_each > batch else "")
                yield Codeq("CodeQ", setting, mode, words, on_disk, shown, batch, mode, version, tracing=tracing)


def binary(name, variable):
    """Of CODEQ_BINARY and CODEQ_STREAM_BENCH, or what was built last without a sanitizer."""
    if os.environ.get(variable):
        return os.environ[variable]
    for preset in ("release", "ci"):
        path = ROOT / "build" / preset / name
        if path.exists():
            return str(path)
    raise CannotRun(f"{name} is not built (scripts/build release codeq codeq_stream_bench)")


def version():
    binary("bench/streams/codeq_stream_bench", "CODEQ_STREAM_BENCH")
    return first_line(binary("codeq", "CODEQ_BINARY"), "version")


@contextlib.contextmanager
def span_receiver():
    """In a process of its own, so that its cost is not the broker's."""
    port = net.free_port()
    with subprocess.Popen(
        [binary("codeq", "CODEQ_BINARY"), "otlp-receiver", "--port", str(port), "--out", "/dev/null"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as receiver:
        try:
            net.wait_for_port(port, 10, receiver)
            yield f"http://127.0.0.1:{port}"
        finally:
            receiver.terminate()


class Codeq(Case):
    def run(self, folder, options):
        os.environ["CODEQ_BINARY"] = binary("codeq", "CODEQ_BINARY")  # for the harness
        with span_receiver() if self.tracing != "off" else contextlib.nullcontext() as endpoint:
            broker = Broker(
                folder, Tokens(), otlp_endpoint=endpoint, DURABILITY=self.setting.split(",")[0], LOG_LEVEL="info"
            ).start()
            try:
                before = machine.machine_times()
                run = load(broker, self.mode, options)
                run["cpu_stolen_percent"] = round(machine.stolen_percent(before, machine.machine_times()), 1)
                done = broker.metrics()
                completed = sum(value for key, value in done.items() if key.startswith("codeq_task_completed_total"))
                run["disk_bytes_per_task"] = round(machine.tree_usage(broker.process.pid)[1] / max(completed, 1))
                return run
            finally:
                broker.stop()


def load(broker, mode, options):
    """One run of our own generator: completed, seconds, completed_per_second, server_cpu_us_per_task."""
    connections, batch, open_each = MODES[mode]
    common = [
        "--producers",
        connections,
        "--workers",
        connections,
        "--batch",
        batch,
        "--server-pid",
        broker.process.pid,
        "--producer-token",
        broker.tokens.acme_producer,
        "--worker-token",
        broker.tokens.acme_worker,
    ]
    if mode.startswith("HTTP"):
        found = generate(
            binary("codeq", "CODEQ_BINARY"),
            "bench",
            "http",
            *common,
            "--url",
            f"http://127.0.0.1:{broker.port}",
            "--json",
            "--duration",
            options.seconds,
            "--warmup",
            options.warmup,
            "--payload-bytes",
            PAYLOAD_BYTES,
            "--backlog",
            1024,
        )
        if found["errors"]:
            raise RuntimeError(f"refused: {found['errors']}")
        completed, seconds, cost = found["cycles"], found["seconds"], found["server_cpu_us_per_cycle"]
    else:  # it warms up for a second
        found = generate(
            binary("bench/streams/codeq_stream_bench", "CODEQ_STREAM_BENCH"),
            *common,
            "--window",
            open_each,
            "--producer-port",
            broker.producer_stream_port,
            "--worker-port",
            broker.worker_stream_port,
            "--seconds",
            round(options.seconds),
            "--payload",
            PAYLOAD_BYTES,
        )
        seconds = round(options.seconds)
        completed, cost = found["completed_per_second"] * seconds, found["server_cpu_us_per_task"]
    return clients.figures(round(completed), seconds, cost * completed / 1e6, 0, 0)


def generate(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"the load generator ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout)
