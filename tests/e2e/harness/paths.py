"""One face for both ways to the broker, so that one test of a task's life runs over HTTP and over the streams."""

import json

from .api import Api
from .rules import server_span
from .span import Link
from .stream import Producer, WorkerStream


class HttpPaths:
    """The world as it is."""

    streams = frozenset()

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(self.world, name)

    def check_request(self, span, ctx):
        """A span that a worker's call made points at that call's request, which continues the worker's own trace."""
        request = server_span(self.world.spans, span.links[0])
        assert request.trace_id == ctx.trace_id and request.parent == ctx.span_id
        assert request.trace_state == ctx.tracestate

    def close(self):
        pass


class StreamPaths(HttpPaths):
    """The same calls over streams: a task's trace fields go with it, baggage and a worker's context with the stream."""

    streams = frozenset({"create", "claim", "settle"})

    def __init__(self, world):
        super().__init__(world)
        tokens = world.tokens
        self.producer = ProducerOverStreams(world.broker, tokens.acme_producer)
        self.worker = WorkerOverStreams(world.broker, tokens.acme_worker, self.producer)
        self.worker2 = WorkerOverStreams(world.broker, tokens.acme_worker2, self.producer)

    def life(self, task_id, ctx, names, **options):
        return self.world.life(task_id, ctx, names, streams=self.streams, stream_contexts=self._contexts(), **options)

    def _contexts(self):
        return {Link(ctx.trace_id, ctx.span_id) for side in (self.worker, self.worker2) for ctx in side.contexts()}

    def check_request(self, span, ctx):
        """There is no request on a stream; at most the stream's own context is pointed at."""
        assert set(span.links) <= {Link(ctx.trace_id, ctx.span_id)}, span

    def close(self):
        for side in (self.producer, self.worker, self.worker2):
            side.close()


class OverStreams(Api):
    """HTTP for what streams cannot do; one stream for each context that somebody used."""

    def __init__(self, broker, token):
        super().__init__(broker, token)
        self._streams = {}

    def contexts(self):
        return [ctx for ctx in self._streams if ctx is not None]

    def stream(self, ctx=None):
        if ctx not in self._streams:
            self._streams[ctx] = self._open(list(ctx.headers()) if ctx is not None else [])
        return self._streams[ctx]

    def drop(self, ctx):
        self._streams.pop(ctx).close()

    def close(self):
        for stream in self._streams.values():
            stream.close()


class ProducerOverStreams(OverStreams):
    NAMES = {"maxAttempts": "max_attempts", "idempotencyKey": "idempotency_key", "delaySeconds": "delay_seconds"}

    def _open(self, metadata):
        # The trace fields go with each task; baggage has no other place than the metadata.
        return Producer(self.broker.producer_stream_port, self.token, [line for line in metadata if line[0] == "baggage"],
                        credentials=self.broker.stream_credentials)

    def _task(self, stream, ctx, command, payload=None, **fields):
        run_at = fields.pop("runAt", None)
        task = stream.task(command, payload, ctx=ctx, **{self.NAMES.get(name, name): value for name, value in fields.items()})
        if run_at is not None:
            task.run_at.FromJsonString(run_at)
        return task

    def create(self, command, payload=None, ctx=None, **fields):
        stream = self.stream(ctx)
        task = self._task(stream, ctx, command, payload, **fields)
        stream.send(create=task)
        ack = stream.take("create_ack", lambda ack: ack.seq == task.seq)
        assert ack.ok, ack
        return self.task(ack.task_id)

    def create_batch(self, tasks, ctx=None):
        stream = self.stream(ctx)
        acks = stream.create_batch([self._task(stream, ctx, **task) for task in tasks])
        return [{"task": self.task(ack.task_id)} if ack.ok else {"error": ack.error_message} for ack in acks]


class WorkerOverStreams(OverStreams):
    def __init__(self, broker, token, reader):
        super().__init__(broker, token)
        self._reader = reader

    def _open(self, metadata):
        return WorkerStream(self.broker.worker_stream_port, self.token, metadata=metadata,
                            credentials=self.broker.stream_credentials)

    @staticmethod
    def _shown(task):
        """As HTTP would show it; what is empty is left out there."""
        shown = {"id": task.id, "command": task.command, "payload": task.payload.decode(), "priority": task.priority,
                 "status": task.status, "workerId": task.worker_id, "leaseUntil": task.lease_until, "attempts": task.attempts,
                 "maxAttempts": task.max_attempts, "tenantId": task.tenant_id, "webhook": task.webhook,
                 "traceParent": task.trace_parent, "traceState": task.trace_state, "baggage": task.baggage}
        return {key: value for key, value in shown.items() if value not in ("", 0)}

    def claim(self, command, ctx=None, wait=0, lease=60):
        stream = self.stream(ctx)
        stream.ready(*([command] if isinstance(command, str) else command), lease=lease)
        try:
            return self._shown(stream.task(timeout=wait + 0.5))
        except AssertionError:
            self.drop(ctx)  # A credit cannot be taken back, only its stream.
            return None

    def claim_batch(self, command, count, ctx=None, lease=60):
        stream = self.stream(ctx)
        stream.ready(command, lease=lease, count=max(count, 2))
        try:
            return [self._shown(task) for task in stream.tasks(timeout=0.5)]
        except AssertionError:
            self.drop(ctx)
            return []

    @staticmethod
    def _accepted(ack):
        assert ack.ok and not ack.error_message, ack

    def heartbeat(self, task_id, extend=60, ctx=None):
        self._accepted(self.stream(ctx).heartbeat(task_id, extend))
        return {"ok": True}

    def abandon(self, task_id, ctx=None):
        self._accepted(self.stream(ctx).abandon(task_id))
        return {"status": "requeued"}

    def nack(self, task_id, delay=0, reason="", ctx=None):
        ack = self.stream(ctx).nack(task_id, delay, reason)
        self._accepted(ack)
        return {"delaySeconds": ack.applied_delay_seconds, "status": "dlq" if ack.dlq else "requeued"}

    def complete(self, task_id, result=None, ctx=None):
        self.stream(ctx).complete(task_id, json.dumps({"ok": True} if result is None else result).encode())
        return self._reader.result(task_id)["result"]

    def fail(self, task_id, error="it broke", ctx=None):
        self.stream(ctx).fail(task_id, error)
        return self._reader.result(task_id)["result"]

    def results_batch(self, results, ctx=None):
        stream = self.stream(ctx)
        acks = stream.results(*[stream.result_of(r["taskId"], r["status"], r.get("result", b""), r.get("error", "")) for r in results])
        return [{"taskId": ack.task_id, **({"result": self._reader.result(ack.task_id)["result"]} if ack.ok
                                           else {"error": ack.error_message})} for ack in acks]
