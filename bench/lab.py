"""What the benches in this folder share: a broker on an empty folder, the load generator, figures of a process."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from harness import net  # noqa: E402
from harness.broker import Broker, Tokens, find_binary  # noqa: E402,F401

FOLDER = os.environ.get("BENCH_DIR", "/var/tmp")  # a disk, not tmpfs


def say(text):
    print(text, file=sys.stderr, flush=True)


def memory_kib(pid, name="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def written_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


@contextlib.contextmanager
def a_broker(durability="sync", sampling="off", tokens=None, **settings):
    """`codeq serve` on an empty folder. `sampling`: off, or a ratio whose spans go to a receiver in a process of its own,
    so that its cost is not the broker's."""
    with tempfile.TemporaryDirectory(prefix="codeq-bench-", dir=FOLDER) as folder:
        receiver = endpoint = None
        if sampling != "off":
            port = net.free_port()
            receiver = subprocess.Popen([find_binary(), "otlp-receiver", "--port", str(port), "--discard"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            net.wait_for_port(port, 10, receiver)
            endpoint = f"http://127.0.0.1:{port}"
            settings |= {"TRACING_SAMPLE_RATIO": sampling, "OTEL_BSP_SCHEDULE_DELAY": "1000"}
        broker = Broker(folder, tokens or Tokens(), otlp_endpoint=endpoint, DURABILITY=durability, LOG_LEVEL="warn",
                        **settings)
        try:
            broker.start()
            yield broker
            broker.stop()
        finally:
            if broker.running:
                broker.kill()
            if receiver:
                receiver.terminate()
                receiver.wait()


def load(broker, mode, *arguments, tokens_file=None):
    """A running `codeq bench MODE` against the broker; `result` has what it found."""
    command = [find_binary(), "bench", mode, "--url", f"http://127.0.0.1:{broker.port}", "--json",
               "--server-pid", str(broker.process.pid)]
    if mode == "grpc":
        command += ["--producer-port", str(broker.producer_stream_port), "--worker-port", str(broker.worker_stream_port)]
    if tokens_file:
        command += ["--tokens", str(tokens_file)]
    env = dict(os.environ, CODEQ_PRODUCER_TOKEN=broker.tokens.acme_producer, CODEQ_WORKER_TOKEN=broker.tokens.acme_worker)
    return subprocess.Popen(command + [str(argument) for argument in arguments], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def result(process, timeout=7200):
    """Refusals under overload are figures, too: only a bench that could not run is an error."""
    out, err = process.communicate(timeout=timeout)
    lines = out.strip().splitlines()
    if process.returncode not in (0, 1) or not lines or not lines[-1].startswith("{"):
        raise RuntimeError(f"codeq bench: status {process.returncode}\n{out[-2000:]}\n{err[-2000:]}")
    return json.loads(lines[-1])


def measure(broker, mode, *arguments, tokens_file=None):
    return result(load(broker, mode, *arguments, tokens_file=tokens_file))


def ready_seconds(broker):
    """From the start of the process until it answers that it is ready."""
    began = time.monotonic()
    broker.start(poll_seconds=0.001)
    return time.monotonic() - began
