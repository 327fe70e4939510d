"""The gRPC streams, spoken by Debian's grpcio as the reference's own client library speaks them.

`Producer` and `WorkerStream` are one stream each on a connection of their own: `hello` first, then messages; answers are
taken by what they are, in whatever order they come. Nothing is retried, nothing is renewed. The message classes are made
from proto/ when they are first asked for.
"""

import functools
import importlib.util
import itertools
import json
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time

from .backends import grpc  # which sets grpcio's environment before it is loaded

PRODUCER_METHOD = "/producerpb.ProducerStream/Stream"
WORKER_METHOD = "/workerpb.WorkerStream/Stream"
HEALTH_CHECK, HEALTH_WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"


@functools.cache
def messages(name):
    """The module of message classes of one file of proto/: "producerpb", "workerpb" or "health"."""
    out = tempfile.mkdtemp(prefix="codeq-proto-")
    subprocess.run(_protoc() + [f"-I{PROTO}", f"--python_out={out}", f"{name}.proto"], check=True)
    spec = importlib.util.spec_from_file_location(f"{name}_pb2", f"{out}/{name}_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _protoc():
    if importlib.util.find_spec("grpc_tools") is None:
        return ["protoc"]
    import grpc_tools
    return [sys.executable, "-m", "grpc_tools.protoc", f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}"]


def channel_to(port, credentials=None, options=()):
    # A connection of its own: grpcio would otherwise let channels to one address share it.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), *options]
    address = f"127.0.0.1:{port}"
    return grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)


class StreamEnded(Exception):
    def __init__(self, code, details):
        super().__init__(f"{code.name}: {details}")
        self.code, self.details = code, details


class Call:
    """One bidirectional call. Events that nobody has taken stay until somebody asks for them."""

    def __init__(self, port, method, event_type, answer_type, metadata=(), credentials=None, options=()):
        self._channel = channel_to(port, credentials, options)
        self._out = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._events = []
        self.sizes = []  # bytes of every answer
        self._end = None
        self.event_type, self._answer_type = event_type, answer_type
        start = self._channel.stream_stream(
            method, request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
            response_deserializer=self._decode)
        self._call = start(iter(self._out.get, None), metadata=tuple(metadata))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _decode(self, data):
        self.sizes.append(len(data))
        return self._answer_type.FromString(data)

    def _read(self):
        try:
            for event in self._call:
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
            end = (self._call.code(), self._call.details())
        except grpc.RpcError as error:
            end = (error.code(), error.details())
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def send(self, **event):
        """send(ready=message): one event of that kind."""
        self._out.put(self.event_type(**event))

    def send_bytes(self, data):
        self._out.put(data)

    def take(self, kind=None, match=lambda _: True, timeout=10):
        """The first event of that kind (`hello_ack`, `task`, ...; None: any) that `match` accepts, now its reader's own."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for at, event in enumerate(self._events):
                    name = event.WhichOneof("event")
                    if kind in (None, name) and match(getattr(event, name)):
                        del self._events[at]
                        return getattr(event, name)
                if self._end is not None:
                    raise StreamEnded(*self._end)
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    if deadline <= time.monotonic():
                        raise AssertionError(f"no {kind or 'event'} within {timeout} s; there is {self.untaken()}")

    def untaken(self):
        with self._changed:
            return [event.WhichOneof("event") for event in self._events]

    def nothing_comes(self, seconds=0.3):
        """For what must not happen: nobody can be asked when it does not."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._end, seconds)
            assert not self._events and self._end is None, (self._events, self._end)

    def half_close(self):
        self._out.put(None)

    def ended(self, timeout=10):
        """(status code, text) once the call is over."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._end is not None, timeout), f"the call goes on; untaken: {self._events}"
            return self._end

    def cancel(self):
        """As a client that gives up: the stream is reset, the connection stays."""
        self._call.cancel()

    def close(self):
        """The connection goes too."""
        self._call.cancel()
        self._channel.close()


class Producer(Call):
    def __init__(self, port, token=None, metadata=(), **options):
        pb = self.pb = messages("producerpb")
        super().__init__(port, PRODUCER_METHOD, pb.ProducerEvent, pb.ServerEvent, metadata, **options)
        self._seq = itertools.count(1)
        self.ack = self.hello(token) if token is not None else None

    def hello(self, token):
        self.send(hello=self.pb.Hello(token=token))
        return self.take("hello_ack")

    def task(self, command, payload=None, seq=None, ctx=None, **fields):
        """A CreateTask; `payload`: bytes as they are, anything else as JSON. `ctx` gives the task's own trace fields."""
        if not isinstance(payload, bytes):
            payload = json.dumps({"n": 1} if payload is None else payload).encode()
        if ctx is not None:
            fields |= {"trace_parent": ctx.traceparent, "trace_state": ctx.tracestate}
        return self.pb.CreateTask(seq=next(self._seq) if seq is None else seq, command=command, payload=payload, **fields)

    def create(self, command, payload=None, **fields):
        """The ack, whatever it says."""
        task = self.task(command, payload, **fields)
        self.send(create=task)
        return self.take("create_ack", lambda ack: ack.seq == task.seq)

    def created(self, command, payload=None, **fields):
        """The task's id."""
        ack = self.create(command, payload, **fields)
        assert ack.ok and ack.task_id and not ack.error_message, ack
        return ack.task_id

    def create_batch(self, tasks):
        self.send(create_batch=self.pb.CreateTaskBatch(tasks=tasks))
        seqs = [task.seq for task in tasks]
        return self.take("create_ack_batch", lambda batch: [ack.seq for ack in batch.acks] == seqs).acks


class WorkerStream(Call):
    def __init__(self, port, token=None, worker_id="", metadata=(), **options):
        pb = self.pb = messages("workerpb")
        super().__init__(port, WORKER_METHOD, pb.WorkerEvent, pb.ServerEvent, metadata, **options)
        self.ack = self.hello(token, worker_id) if token is not None else None

    def hello(self, token, worker_id=""):
        self.send(hello=self.pb.Hello(token=token, worker_id=worker_id))
        return self.take("hello_ack")

    def ready(self, *commands, lease=60, count=1):
        self.send(ready=self.pb.Ready(commands=commands, lease_seconds=lease, count=count))

    def task(self, timeout=10):
        return self.take("task", timeout=timeout).task

    def tasks(self, timeout=10):
        batch = list(self.take("task_batch", timeout=timeout).tasks)
        assert batch, "a batch of tasks is never empty"
        return batch

    def claim(self, *commands, lease=60, timeout=10):
        self.ready(*commands, lease=lease)
        return self.task(timeout)

    def result_of(self, task_id, status="COMPLETED", result=b'{"ok":true}', error=""):
        return self.pb.Result(task_id=task_id, status=status, error=error,
                              result_json=result if isinstance(result, bytes) else json.dumps(result).encode())

    def result(self, task_id, **fields):
        """The ack, whatever it says."""
        self.send(result=self.result_of(task_id, **fields))
        return self.take("result_ack", lambda ack: ack.task_id == task_id)

    def complete(self, task_id, result=b'{"ok":true}'):
        ack = self.result(task_id, result=result)
        assert ack.ok and not ack.error_message, ack

    def fail(self, task_id, error="it broke"):
        ack = self.result(task_id, status="FAILED", result=b"", error=error)
        assert ack.ok and not ack.error_message, ack

    def results(self, *results):
        self.send(result_batch=self.pb.ResultBatch(results=results))
        ids = [result.task_id for result in results]
        return self.take("result_ack_batch", lambda batch: [ack.task_id for ack in batch.acks] == ids).acks

    def nack(self, task_id, delay=0, reason=""):
        self.send(nack=self.pb.Nack(task_id=task_id, delay_seconds=delay, reason=reason))
        return self.take("nack_ack", lambda ack: ack.task_id == task_id)

    def heartbeat(self, task_id, extend=60):
        self.send(heartbeat=self.pb.Heartbeat(task_id=task_id, extend_seconds=extend))
        return self.take("heartbeat_ack", lambda ack: ack.task_id == task_id)

    def abandon(self, task_id):
        self.send(abandon=self.pb.Abandon(task_id=task_id))
        return self.take("abandon_ack", lambda ack: ack.task_id == task_id)


class Health:
    """grpc.health.v1 on one port."""

    def __init__(self, port):
        self._channel = channel_to(port)
        pb = self.pb = messages("health")
        serialize, parse = pb.HealthCheckRequest.SerializeToString, pb.HealthCheckResponse.FromString
        self._check = self._channel.unary_unary(HEALTH_CHECK, serialize, parse)
        self._watch = self._channel.unary_stream(HEALTH_WATCH, serialize, parse)

    def check(self, service="", timeout=10):
        """The status's name; raises grpc.RpcError."""
        answer = self._check(self.pb.HealthCheckRequest(service=service), timeout=timeout)
        return self.pb.HealthCheckResponse.ServingStatus.Name(answer.status)

    def watch(self, service=""):
        """The names of the statuses as they are told."""
        for answer in self._watch(self.pb.HealthCheckRequest(service=service)):
            yield self.pb.HealthCheckResponse.ServingStatus.Name(answer.status)

    def close(self):
        self._channel.close()
