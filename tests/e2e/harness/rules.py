"""What every span of a task must be: the trace model, written down once more, apart from the broker's own tables.

check_life() holds for every life of a task, whatever happened in it; the tests add what is particular to theirs.
"""

import re

from .context import Context
from .span import CLIENT, CONSUMER, ERROR, INTERNAL, PRODUCER, SERVER, Link

# name -> (kind, tracer, ends in an error by nature, settles a delivery or hands it out: carries the messaging names)
TASK_SPANS = {
    "codeq.task.create": (PRODUCER, "codeq/scheduler", False, True),
    "codeq.task.delayed": (INTERNAL, None, False, False),
    "codeq.task.queued": (INTERNAL, None, False, False),
    "codeq.task.claim": (CONSUMER, "codeq/repository", False, True),
    "codeq.task.run": (INTERNAL, None, False, False),
    "codeq.task.heartbeat": (INTERNAL, None, False, False),
    "codeq.task.abandon": (INTERNAL, None, False, True),
    "codeq.task.nack": (INTERNAL, None, False, True),
    "codeq.task.submit_result": (INTERNAL, "codeq/results", False, True),
    "codeq.task.lease_expired": (INTERNAL, None, True, False),
    "codeq.task.dead_letter": (INTERNAL, None, True, False),
    "codeq.task.cancel": (INTERNAL, "codeq/repository", False, True),
    "codeq.task.redrive": (INTERNAL, "codeq/repository", False, False),
    "codeq.webhook.task_result": (CLIENT, "codeq/result_callback", False, False),
}
TRACERS = {"codeq/scheduler", "codeq/repository", "codeq/results", "codeq/notifier", "codeq/result_callback", "codeq/http"}
OWNER_CALLS = {"codeq.task.heartbeat": "heartbeat", "codeq.task.abandon": "abandon", "codeq.task.nack": "nack",
               "codeq.task.submit_result": "result"}
WAIT_CAUSES = {"ready", "delayed", "backoff", "lease_expired"}
GAP_NS = 5_000_000  # clocks are read a few instructions apart; a stall of the machine must fit in too
INT_ATTRIBUTES = {"codeq.priority", "codeq.attempt", "codeq.lease_seconds", "codeq.extend_seconds",
                  "codeq.delay_seconds", "codeq.webhook.attempt", "http.response.status_code",
                  "messaging.batch.message_count"}
BOOL_ATTRIBUTES = {"codeq.has_webhook", "codeq.has_idempotency_key"}


def route_name(method, route):
    """A pattern for the request span's name; a path parameter may be written :id or {id}."""
    pattern = re.escape(f"{method} {route}").replace(re.escape("{id}"), r"(?::id|\{id\})")
    return re.compile(pattern)


def server_span(store, link):
    """The request span that a link names, wherever its own trace is."""
    found = [s for s in store.all() if s.trace_id == link.trace_id and s.span_id == link.span_id]
    assert len(found) == 1, f"the linked request span {link} was exported {len(found)} times"
    assert found[0].kind == SERVER, found[0]
    return found[0]


def check_types(span):
    for key, value in span.attributes.items():
        if key in INT_ATTRIBUTES:
            assert isinstance(value, int) and not isinstance(value, bool), (key, value)
        elif key in BOOL_ATTRIBUTES:
            assert isinstance(value, bool), (key, value)
        else:
            assert isinstance(value, (str, int, bool)), (key, value)


def check_create_request(trace, create, ctx):
    request = trace.by_id(create.parent)
    assert request.kind == SERVER and request.scope == "codeq/http", request
    assert re.fullmatch(r"POST /v1/codeq/tasks(/batch)?", request.name), request.name
    if ctx is not None:
        assert trace.trace_id == ctx.trace_id
        assert request.parent == ctx.span_id, f"the request span does not continue the producer's span\n{trace}"
        assert request.flags & 0x300 in (0, 0x300), "a remote parent must be marked as remote, or nothing be said"
    else:
        assert request.parent == "", f"a request without context starts a trace\n{trace}"


def check_life(store, task_id, ctx, trace, webhook_parents=True, streams=frozenset(), stream_contexts=frozenset()):
    """`trace`: all spans with the origin's trace id. `ctx`: the producer's context, or None where it sent none.

    `streams`: which of "create", "claim" and "settle" came over streams, which have no request spans; a claim there links to
    the context in its stream's metadata, one of `stream_contexts`.
    """
    spans = trace.task_spans(task_id)
    assert spans, f"no spans of task {task_id} in\n{trace}"
    ids = [s.span_id for s in trace.spans]
    assert len(ids) == len(set(ids)), f"a span id was given twice in\n{trace}"

    create = trace.one("codeq.task.create", codeq_task_id=task_id)
    if "create" in streams:
        assert create.parent == (ctx.span_id if ctx is not None else ""), f"the stream's create continues the producer's span\n{trace}"
        if ctx is not None:
            assert trace.trace_id == ctx.trace_id
            assert create.flags & 0x300 in (0, 0x300), "a remote parent must be marked as remote, or nothing be said"
    else:
        check_create_request(trace, create, ctx)

    expected_state = ctx.tracestate if ctx is not None else ""
    claims = {}
    for s in spans:
        kind, tracer, is_error, messaging = TASK_SPANS[s.name]
        assert s.kind == kind, f"kind of {s}"
        assert s.scope in TRACERS and (tracer is None or s.scope == tracer), f"tracer of {s}"
        assert s.trace_state == expected_state, f"tracestate of {s}"
        assert s.start <= s.end, s
        assert s.flags & 1 == 1, f"an exported span is sampled: {s}"
        check_types(s)
        if is_error:
            assert s.status == ERROR, f"{s.name} is an error by nature"
        if messaging:
            assert s.attributes.get("messaging.system") == "codeq", s
            assert s.attributes.get("messaging.destination.name") == create.attributes["codeq.command"], s
            assert s.attributes.get("messaging.operation.type") in ("create", "send", "receive", "process", "settle"), s
            assert s.attributes.get("messaging.message.id") == task_id, s
        if s.name == "codeq.task.claim":
            claims[s.span_id] = s

    for key in ("codeq.command", "codeq.priority", "codeq.has_webhook", "codeq.has_idempotency_key", "codeq.tenant_id"):
        assert key in create.attributes, f"{key} is missing on create: {create}"

    by_attempt = sorted(claims.values(), key=lambda s: s.start)
    redrives = sorted(s.start for s in spans if s.name == "codeq.task.redrive")
    expected, before = [], -1
    for claim in by_attempt:  # one attempt per delivery, and from the beginning after each redrive
        begun = sum(start <= claim.start for start in redrives)
        expected.append(1 if begun != before else expected[-1] + 1)
        before = begun
    assert [s.attributes["codeq.attempt"] for s in by_attempt] == expected, f"one attempt per delivery\n{trace}"
    previous = None
    for claim in by_attempt:
        assert claim.parent == create.span_id, f"a claim's parent is the origin, also on a later delivery\n{trace}"
        assert {"codeq.worker_id", "codeq.lease_seconds"} <= claim.attributes.keys(), claim
        wanted = {previous.link} if previous is not None else set()
        assert wanted <= set(claim.links), f"no link to the previous claim: {claim}"
        requests = [link for link in claim.links if link not in wanted]
        if "claim" in streams:
            assert set(requests) <= stream_contexts and len(requests) <= 1, f"a claim links to its stream's context: {claim}"
        else:
            assert len(requests) == 1, f"a claim links to its worker's request: {claim}"
            assert re.fullmatch(r"POST /v1/codeq/tasks/claim(/batch)?", server_span(store, requests[0]).name)
        previous = claim

    for s in spans:
        if s.name in ("codeq.task.delayed", "codeq.task.queued"):
            assert s.parent == create.span_id, f"parent of {s.name}\n{trace}"
            if s.name == "codeq.task.queued":
                assert s.attributes.get("codeq.wait.cause") in WAIT_CAUSES, s
        elif s.name in ("codeq.task.run", "codeq.task.lease_expired", "codeq.task.dead_letter", *OWNER_CALLS):
            assert s.parent in claims, f"{s.name} belongs under its attempt's claim\n{trace}"
            claim = claims[s.parent]
            assert s.attributes.get("codeq.attempt", claim.attributes["codeq.attempt"]) == claim.attributes["codeq.attempt"], s
            if s.name in OWNER_CALLS:
                if "settle" in streams:
                    assert set(s.links) <= stream_contexts, s
                else:
                    assert len(s.links) == 1, f"{s.name} links to its request: {s}"
                    assert OWNER_CALLS[s.name] in server_span(store, s.links[0]).name, s
                assert s.attributes.get("codeq.worker_id") == claim.attributes["codeq.worker_id"], s
            if s.name == "codeq.task.lease_expired":
                assert s.attributes.get("error.type") == "lease_expired", s
        elif s.name in ("codeq.task.cancel", "codeq.task.redrive"):
            assert s.parent in claims or s.parent == create.span_id, f"{s.name} stands under the last attempt, or the origin\n{trace}"
            assert len(s.links) == 1 and s.name[11:] in server_span(store, s.links[0]).name, f"{s.name} links to its request: {s}"
        elif s.name == "codeq.webhook.task_result" and webhook_parents:
            parent = trace.by_id(s.parent)
            assert parent.name in ("codeq.task.submit_result", "codeq.task.dead_letter", "codeq.task.cancel"), f"parent of {s}\n{trace}"
            assert s.attributes.get("codeq.webhook.kind") == "task_result", s
            assert s.attributes.get("codeq.webhook.host", "").startswith("127.0.0.1"), s
            assert s.attributes.get("codeq.webhook.attempt", 0) >= 1, s
    check_no_gap(trace, spans, create)
    return create


def check_no_gap(trace, spans, create):
    """Every millisecond from create to the end is inside a span that says whose it was."""
    covering = sorted((s for s in spans if not s.name.startswith("codeq.webhook.")), key=lambda s: s.start)
    reached = create.end
    assert covering[0] is create or covering[0].start >= create.start - GAP_NS, f"{trace}"
    for s in covering:
        if s.name == "codeq.task.redrive":
            reached = max(reached, s.start)  # dead, and nobody's time
        assert s.start <= reached + GAP_NS, f"nobody says what happened in the {(s.start - reached) / 1e6:.1f} ms before {s.name}\n{trace}"
        reached = max(reached, s.end)


KIND_NAMES = {INTERNAL: "INTERNAL", SERVER: "SERVER", CLIENT: "CLIENT", PRODUCER: "PRODUCER", CONSUMER: "CONSUMER"}


def check_timeline_agrees(timeline, trace, task_id, over_kill=False):
    """GET /tasks/{id}/trace tells the story that the backend has, to the nanosecond.

    `over_kill`: an end that means "durable" is known only after its own record is on disk, so a later record carries it;
    of the last change before a kill the timeline may tell an earlier end than the span that was exported.
    """
    assert timeline["taskId"] == task_id and timeline["traceId"] == trace.trace_id
    told = {s["spanId"]: s for s in timeline["spans"]}
    exported = {s.span_id: s for s in trace.task_spans(task_id)}
    assert len(told) == len(timeline["spans"]), "a span is told twice"
    assert told.keys() == exported.keys(), (
        f"only told: {[told[i]['name'] for i in told.keys() - exported.keys()]}, "
        f"only exported: {[exported[i].name for i in exported.keys() - told.keys()]}\n{trace}")
    for span_id, span in exported.items():
        event = told[span_id]
        assert (event["name"], event["kind"]) == (span.name, KIND_NAMES[span.kind])
        assert event.get("parentSpanId", "") == span.parent, span.name
        assert int(event["startUnixNano"]) == span.start, span.name
        told_end = int(event["endUnixNano"])
        assert told_end == span.end or over_kill and span.start <= told_end < span.end, span.name
        assert event["attributes"] == span.attributes, span.name
        assert {(link["traceId"], link["spanId"]) for link in event["links"]} == {
            (link.trace_id, link.span_id) for link in span.links}, span.name
        assert (event["status"] == "ERROR") == (span.status == ERROR), span.name


def received_by_worker(task, trace, ctx):
    """What a claim's answer hands out continues its claim span."""
    received = Context.parse(task["traceParent"])
    claim = trace.by_id(received.span_id)
    assert claim.name == "codeq.task.claim" and claim.task_id == task["id"], claim
    assert received.trace_id == trace.trace_id and received.sampled
    assert task.get("traceState", "") == (ctx.tracestate if ctx else "")
    assert task.get("baggage", "") == (ctx.baggage if ctx else "")
    return claim


def received_by_webhook(delivery, trace, ctx):
    """A webhook's headers carry its own span's id, in lower case names."""
    names = [name for name, _ in delivery.headers if name.lower() in ("traceparent", "tracestate", "baggage")]
    assert all(name == name.lower() for name in names), names
    received = Context.parse(delivery.header("traceparent"))
    span = trace.by_id(received.span_id)
    assert span.name == "codeq.webhook.task_result", span
    assert received.trace_id == trace.trace_id and received.sampled
    assert (delivery.header("tracestate") or "") == (ctx.tracestate if ctx else "")
    assert (delivery.header("baggage") or "") == (ctx.baggage if ctx else "")
    return span
