"""Where the broker's spans go: a small OTLP/gRPC receiver of our own, or a real OpenTelemetry Collector.

CODEQ_OTELCOL names a Collector binary with a `jsonfile` exporter (tests/partners/otelcol); without it the receiver
below takes its place. Both fill a SpanStore.
"""

import functools
import importlib.util
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
from concurrent import futures

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc  # noqa: E402

from . import net  # noqa: E402
from .span import SpanStore, spans_of_json, spans_of_message  # noqa: E402

EXPORT_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@functools.cache
def _messages():
    """otlp.proto compiled by protoc into a temporary folder."""
    here = pathlib.Path(__file__).parent
    out = tempfile.mkdtemp(prefix="codeq-otlp-")
    subprocess.run(["protoc", f"-I{here}", f"--python_out={out}", "otlp.proto"], check=True)
    spec = importlib.util.spec_from_file_location("otlp_pb2", f"{out}/otlp_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Receiver:
    """An OTLP/gRPC endpoint whose manners can be chosen: "ok", "refuse" (UNAVAILABLE) or "hang"."""

    def __init__(self, port=None, start=True, tls=None):
        """`tls`: (key, certificate) in PEM; then the endpoint is an https one."""
        self.port = port or net.free_port()
        self.store = SpanStore()
        self.manners = "ok"
        self.raw = []        # every export's bytes, for the secrets test
        self.metadata = []   # every export's headers
        self.calls = 0
        self.called = threading.Condition()
        self._let_go = threading.Event()
        self._server = None
        self._tls = tls
        if start:
            self.start()

    @property
    def endpoint(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        _messages()
        self._let_go.clear()
        handler = grpc.method_handlers_generic_handler(
            EXPORT_METHOD.split("/")[1], {"Export": grpc.unary_unary_rpc_method_handler(self._export)})
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[
            ("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
        self._server.add_generic_rpc_handlers((handler,))
        address = f"127.0.0.1:{self.port}"
        bound = (self._server.add_secure_port(address, grpc.ssl_server_credentials([self._tls])) if self._tls
                 else self._server.add_insecure_port(address))
        assert bound == self.port
        self._server.start()

    def _export(self, data, context):
        with self.called:
            self.calls += 1
            self.called.notify_all()
        if self.manners == "refuse":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if self.manners == "hang":
            self._let_go.wait()
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        request = _messages().ExportRequest()
        request.ParseFromString(data)
        self.raw.append(bytes(data))
        self.metadata.append({key: value for key, value in context.invocation_metadata()})
        self.store.add(spans_of_message(request))
        return b""

    def wait_for_call(self, more_than=0, deadline_seconds=15):
        with self.called:
            assert self.called.wait_for(lambda: self.calls > more_than, deadline_seconds), "the broker did not call"

    def behave(self, manners):
        self.manners = manners
        if manners != "hang":
            self._let_go.set()

    def stop(self):
        self._let_go.set()
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None


COLLECTOR_CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: "127.0.0.1:{port}" }}
exporters:
  jsonfile: {{ path: "{path}" }}
service:
  telemetry:
    logs: {{ level: error }}
    metrics: {{ level: none }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [jsonfile] }}
"""


class Collector:
    """A real Collector process; a thread follows the JSON lines that it writes."""

    def __init__(self, binary):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="codeq-otelcol-"))
        self.port = net.free_port()
        self.store = SpanStore()
        self._file = self._folder / "spans.jsonl"
        config = self._folder / "config.yaml"
        config.write_text(COLLECTOR_CONFIG.format(port=self.port, path=self._file))
        self._output = open(self._folder / "log", "wb")
        self._process = subprocess.Popen([binary, "--config", f"file:{config}"], stdout=self._output,
                                         stderr=subprocess.STDOUT)
        net.wait_for_port(self.port, 30, self._process)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def raw(self):
        return [self._file.read_bytes()] if self._file.exists() else []

    def _follow(self):
        read, rest = 0, b""
        while not self._stop.wait(0.02):
            if not self._file.exists():
                continue
            with open(self._file, "rb") as file:
                file.seek(read)
                data = file.read()
            read += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self.store.add(spans_of_json(line))

    def stop(self):
        self._stop.set()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._output.close()


def open_backend():
    binary = os.environ.get("CODEQ_OTELCOL")
    return Collector(binary) if binary else Receiver()
