"""CodeQ itself: `codeq serve`, over HTTP and over its streams, one by one and in batches."""

import contextlib
import os
import subprocess
import sys

from . import machine
from .case import Case
from .clients import ROOT
from .generator import binary, load
from .servers import first_line

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import net  # noqa: E402
from harness.broker import Broker, Tokens  # noqa: E402

# mode: transport, connections a side, tasks a message, tasks open on each connection
MODES = {
    "HTTP": ("http", 64, 1, 1),
    "HTTP x32": ("http", 8, 32, 32),
    "gRPC": ("grpc", 8, 1, 64),
    "gRPC x32": ("grpc", 8, 32, 256),
}
PROMISES = {"sync": ("fdatasync before each answer, shared", "both"), "none": ("no sync", "neither")}


def cases():
    for mode, (_, connections, batch, open_each) in MODES.items():
        shown = f"{connections} + {connections}" + (f", {open_each} open on each" if open_each > batch else "")
        for setting, tracing in (("sync", "off"), ("sync, traced", "100 %"), ("none", "off")):
            promise = PROMISES[setting.split(",")[0]]
            yield Codeq("CodeQ", setting, mode, *promise, shown, batch, mode, version, tracing=tracing)


def version():
    return first_line(binary(), "version")


@contextlib.contextmanager
def span_receiver():
    """In a process of its own, so that its cost is not the broker's."""
    port = net.free_port()
    command = [binary(), "otlp-receiver", "--port", str(port), "--discard"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as receiver:
        try:
            net.wait_for_port(port, 10, receiver)
            yield f"http://127.0.0.1:{port}"
        finally:
            receiver.terminate()


class Codeq(Case):
    def run(self, folder, options):
        os.environ["CODEQ_BINARY"] = binary()  # for the harness
        settings = {"DURABILITY": self.setting.split(",")[0], "LOG_LEVEL": "info", "OTEL_BSP_SCHEDULE_DELAY": "1000"}
        with span_receiver() if self.tracing != "off" else contextlib.nullcontext() as endpoint:
            broker = Broker(folder, Tokens(), otlp_endpoint=endpoint, **settings).start()
            try:
                before = machine.machine_times()
                run = load(broker, *MODES[self.mode], options)
                run["cpu_stolen_percent"] = round(machine.stolen_percent(before, machine.machine_times()), 1)
                metrics = broker.metrics()
                completed = sum(value for key, value in metrics.items() if key.startswith("codeq_task_completed_total"))
                run["disk_bytes_per_task"] = round(machine.tree_usage(broker.process.pid)[1] / max(completed, 1))
                return run
            finally:
                broker.stop()
