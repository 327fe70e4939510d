"""The trace over streams, where it differs from HTTP, and over paths that use both. test_life*.py run their lives over each."""

import pytest

from harness import Context
from harness.rules import check_life, received_by_webhook, received_by_worker
from harness.span import Link

CREATE, QUEUED, CLAIM, RUN, SUBMIT = (f"codeq.task.{n}" for n in ("create", "queued", "claim", "run", "submit_result"))
WEBHOOK = "codeq.webhook.task_result"


def as_http(task):
    """What rules.received_by_worker reads."""
    return {"id": task.id, "traceParent": task.trace_parent, "traceState": task.trace_state, "baggage": task.baggage}


def link(ctx):
    return Link(ctx.trace_id, ctx.span_id)


def test_g21_http_create_grpc_claim_grpc_result_batch_and_webhook_are_one_trace(shared):
    ctx, worker_ctx, command = Context.new(), Context.new(tracestate="w=1", baggage=""), shared.command()
    created = shared.producer.create_batch([{"command": command, "payload": n, "webhook": shared.hooks.url(f"/mixed/{command}/{n}")}
                                            for n in range(3)], ctx)
    ids = [item["task"]["id"] for item in created]
    with shared.work(metadata=worker_ctx.headers()) as worker:
        worker.ready(command, count=3)
        tasks = worker.tasks()
        assert [task.id for task in tasks] == ids
        assert all(ack.ok for ack in worker.results(*[worker.result_of(task_id) for task_id in ids]))
    deliveries = [shared.hooks.wait(f"/mixed/{command}/{n}")[0] for n in range(3)]

    paths = dict(streams={"claim", "settle"}, stream_contexts={link(worker_ctx)})
    each = [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK]
    trace = shared.life(ids[0], ctx, each * 3, **paths)
    assert sorted(s.name for s in trace.task_spans()) == sorted(each * 3)
    for task, delivery in zip(tasks, deliveries):
        check_life(shared.spans, task.id, ctx, trace, **paths)
        claim = received_by_worker(as_http(task), trace, ctx)
        assert claim.links == [link(worker_ctx)], "the worker's own trace is pointed at, and stays its own"
        assert received_by_webhook(delivery, trace, ctx).task_id == task.id


def test_g22_grpc_produce_and_http_claim_are_one_trace(shared):
    ctx, worker_ctx, command = Context.new(), Context.new(), shared.command()
    with shared.produce(metadata=[("baggage", ctx.baggage)]) as producer:
        task_id = producer.created(command, ctx=ctx, webhook=shared.hooks.url(f"/produced/{command}"))
    claimed = shared.worker.claim(command, worker_ctx)
    assert claimed["id"] == task_id
    shared.worker.complete(task_id, ctx=worker_ctx)
    delivery = shared.hooks.wait(f"/produced/{command}")[0]
    trace = shared.life(task_id, ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK], streams={"create"})
    received_by_worker(claimed, trace, ctx)
    received_by_webhook(delivery, trace, ctx)


def test_every_task_of_one_batch_may_be_of_a_trace_of_its_own(shared):
    contexts, command = [Context.new(tracestate=f"n={n}", baggage="") for n in range(3)], shared.command()
    with shared.produce() as producer, shared.work() as worker:
        acks = producer.create_batch([producer.task(command, ctx=ctx) for ctx in contexts])
        worker.ready(command, count=3)
        tasks = worker.tasks()
        worker.results(*[worker.result_of(task.id) for task in tasks])
    for ack, ctx, task in zip(acks, contexts, tasks):
        trace = shared.life(ack.task_id, ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT], streams={"create", "claim", "settle"})
        received_by_worker(as_http(task), trace, ctx)


def test_the_streams_metadata_take_the_place_of_a_missing_or_malformed_context(shared):
    ctx, own, command = Context.new(), Context.new(tracestate="own=1"), shared.command()
    with shared.produce(metadata=ctx.headers()) as producer:
        missing = producer.created(command)
        malformed = producer.created(command, trace_parent="00-zz-1-01", trace_state="lost=1")
        given = producer.created(command, ctx=own)
        without_state = producer.created(command, trace_parent=own.child().traceparent)
    for task_id in (missing, malformed):
        task = shared.worker.claim(command)
        assert task["id"] == task_id
        shared.worker.complete(task_id)
        trace = shared.spans.wait_trace(ctx.trace_id, [CREATE])
        shared.spans.wait(lambda spans: sum(s.task_id == task_id for s in spans) >= 5, what=task_id)
        trace = shared.spans.trace(ctx.trace_id)
        assert trace.one(CREATE, codeq_task_id=task_id).parent == ctx.span_id
        received_by_worker(task, trace, ctx)
    for task_id, state in ((given, own.tracestate), (without_state, "")):
        task = shared.worker.claim(command)
        assert task["id"] == task_id and Context.parse(task["traceParent"]).trace_id == own.trace_id
        assert task.get("traceState", "") == state, "a tracestate belongs to its traceparent alone"
        assert task["baggage"] == ctx.baggage, "baggage has no field of its own, so the stream's goes with every task"


def test_tasks_of_one_stream_without_any_context_are_traces_of_their_own(shared):
    command = shared.command()
    with shared.produce() as producer, shared.work() as worker:
        for _ in range(3):
            producer.created(command)
        traces = {Context.parse(worker.claim(command).trace_parent).trace_id for _ in range(3)}
    assert len(traces) == 3


def test_an_unsampled_context_goes_through_and_makes_no_spans(shared):
    ctx, command = Context.new(flags=0), shared.command()
    with shared.produce(metadata=[("baggage", ctx.baggage)]) as producer, shared.work() as worker:
        producer.created(command, ctx=ctx)
        task = worker.claim(command)
        received = Context.parse(task.trace_parent)
        assert received.trace_id == ctx.trace_id and not received.sampled
        assert (task.trace_state, task.baggage) == (ctx.tracestate, ctx.baggage)
        worker.complete(task.id)
        marker = Context.new()
        worker_task = producer.created(command, ctx=marker)
        worker.complete(worker.claim(command).id)
    shared.spans.wait_trace(marker.trace_id, [CREATE, SUBMIT])
    assert worker_task and not shared.spans.trace(ctx.trace_id).spans


def test_with_tracing_off_the_received_context_goes_through_untouched(new_world):
    world = new_world(backend=False)
    ctx = Context.new()
    with world.produce(metadata=[("baggage", ctx.baggage)]) as producer, world.work() as worker:
        producer.created("OFF", ctx=ctx, webhook=world.hooks.url("/off"))
        task = worker.claim("OFF")
        assert (task.trace_parent, task.trace_state, task.baggage) == (ctx.traceparent, ctx.tracestate, ctx.baggage)
        worker.complete(task.id)
        producer.created("OFF")
        bare = worker.claim("OFF")
        assert (bare.trace_parent, bare.trace_state, bare.baggage) == ("", "", ctx.baggage)  # the stream's, as over HTTP
    delivery = world.hooks.wait("/off")[0]
    assert delivery.header("traceparent") == ctx.traceparent and delivery.header("tracestate") == ctx.tracestate


@pytest.mark.parametrize("over_streams", [True, False])
def test_the_trace_goes_on_over_a_kill_between_every_two_steps(new_world, over_streams):
    world, ctx = new_world(), Context.new(baggage="")
    with world.produce() as producer:
        task_id = producer.created("KILLED", ctx=ctx, webhook=world.hooks.url("/killed"))
    world.spans.wait_trace(ctx.trace_id, [CREATE])
    world.broker.restart()
    if over_streams:
        with world.work() as worker:
            task = as_http(worker.claim("KILLED"))
    else:
        task = world.worker.claim("KILLED")
    world.spans.wait_trace(ctx.trace_id, [CREATE, QUEUED, CLAIM])
    world.broker.restart()
    with world.work() as worker:
        assert worker.result(task_id).ok
    delivery = world.hooks.wait("/killed")[0]
    streams = {"create", "settle"} | ({"claim"} if over_streams else set())
    trace = world.life(task_id, ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK], over_kill=True, streams=streams)
    received_by_worker(task, trace, ctx)
    received_by_webhook(delivery, trace, ctx)


def test_a_hostile_context_of_a_task_harms_nobody(shared):
    command = shared.command()
    with shared.produce() as producer:
        for parent, state in (("x" * 100_000, "y" * 100_000), ("00-" + "0" * 32 + "-" + "0" * 16 + "-01", ""), ("\u00e4\u00f6", "\n\r"),
                              ("ff-" + "a" * 32 + "-" + "b" * 16 + "-01", "a=1"), (Context.new().traceparent, "not a state,,,=")):
            assert producer.create(command, trace_parent=parent, trace_state=state).ok
    with shared.work() as worker:
        for _ in range(5):
            task = worker.claim(command)
            Context.parse(task.trace_parent)
            assert task.trace_state == ""
            worker.complete(task.id)
