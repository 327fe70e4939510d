"""Broker, span backend, webhook receiver and their users, put up together for a test."""

import itertools

from .api import Api
from .backends import Receiver, open_backend
from .broker import Broker, Tokens
from .rules import check_life, check_timeline_agrees
from .span import Link
from .stream import Health, Producer, WorkerStream
from .webhooks import WebhookReceiver

_numbers = itertools.count(1)


class World:
    """`backend`: None opens the chosen one; False runs the broker with tracing off; or a Receiver of the test's own."""

    def __init__(self, folder, backend=None, start=True, tls=None, **settings):
        self.backend = open_backend() if backend is None else backend
        self.hooks = WebhookReceiver()
        self.tokens = Tokens()
        endpoint = self.backend.endpoint if self.backend else None
        self.broker = Broker(folder, self.tokens, endpoint, tls, **settings)
        self.producer = Api(self.broker, self.tokens.acme_producer)
        self.admin = Api(self.broker, self.tokens.acme_admin)
        self.globex_admin = Api(self.broker, self.tokens.globex_admin)
        self.worker = Api(self.broker, self.tokens.acme_worker)
        self.worker2 = Api(self.broker, self.tokens.acme_worker2)
        self.narrow_worker = Api(self.broker, self.tokens.narrow_worker)
        self.globex_producer = Api(self.broker, self.tokens.globex_producer)
        self.globex_worker = Api(self.broker, self.tokens.globex_worker)
        if start:
            self.broker.start()

    @property
    def spans(self):
        return self.backend.store

    def command(self):
        """A command that no other test uses, so that tests can share a broker."""
        return f"RENDER-{next(_numbers)}"

    def produce(self, token=None, **options):
        """A producer's stream after its handshake; a context manager."""
        return Producer(self.broker.producer_stream_port, token or self.tokens.acme_producer, **options)

    def work(self, token=None, worker_id="", **options):
        """A worker's stream after its handshake; a context manager."""
        return WorkerStream(self.broker.worker_stream_port, token or self.tokens.acme_worker, worker_id, **options)

    def health(self, which="producer"):
        return Health(getattr(self.broker, f"{which}_stream_port"))

    def life(self, task_id, ctx, names, deadline_seconds=10, over_kill=False, **paths):
        """Waits for the named task spans, checks every rule, and returns the whole trace."""
        trace = self.spans.wait_trace(ctx.trace_id, names, deadline_seconds)
        not_ours = set(paths.get("stream_contexts", ())) | ({Link(ctx.trace_id, ctx.span_id)} if ctx is not None else set())
        self.wait_for_links(trace, not_ours)
        timeline = self.producer.timeline(task_id)
        told = {s["spanId"] for s in timeline["spans"]}
        self.spans.wait(lambda spans: told <= {s.span_id for s in spans}, 10,
                        f"every event of {[s['name'] for s in timeline['spans']]}")
        trace = self.spans.trace(ctx.trace_id)
        check_life(self.spans, task_id, ctx, trace, **paths)
        check_timeline_agrees(timeline, trace, task_id, over_kill)
        return trace

    def wait_for_links(self, trace, not_ours=frozenset()):
        """Request spans end after the task spans that link to them, so they may come an export later."""
        wanted = {(link.trace_id, link.span_id) for s in trace.spans for link in s.links}
        wanted |= {(s.trace_id, s.parent) for s in trace.spans if s.name == "codeq.task.create" and s.parent}
        wanted -= {(link.trace_id, link.span_id) for link in not_ours}
        self.spans.wait(lambda spans: wanted <= {(s.trace_id, s.span_id) for s in spans}, 10, "linked spans")

    def stop(self):
        try:
            self.broker.stop()
        finally:
            if self.broker.running:
                self.broker.kill()
            if self.backend:
                self.backend.stop()
            self.hooks.stop()


__all__ = ["World", "Receiver"]
