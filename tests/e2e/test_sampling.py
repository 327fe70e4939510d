"""Who is sampled, what is handed on where nothing is exported, and the context's way through with tracing off."""

import re

import pytest

from harness import Context, World

CREATE, QUEUED, CLAIM, RUN, SUBMIT = (f"codeq.task.{n}" for n in ("create", "queued", "claim", "run", "submit_result"))
WEBHOOK = "codeq.webhook.task_result"
LIFE = [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK]


def live(world, ctx, path):
    """One life; what its producer, worker and webhook were handed."""
    command = world.command()
    task = world.producer.create(command, ctx=ctx, webhook=world.hooks.url(path))
    claimed = world.worker.claim(command, Context.new())  # The worker's requests are sampled whatever the ratio.
    world.worker.complete(task["id"], ctx=Context.new())
    return task, claimed, world.hooks.wait(path)[0]


def marker(world):
    """A sampled life that comes after: once its spans are there, those before would have been too."""
    ctx = Context.new()
    task, *_ = live(world, ctx, f"/marker-{ctx.span_id}")
    world.life(task["id"], ctx, LIFE)


@pytest.mark.parametrize("flags", [0, 2])
def test_an_unsampled_parent_is_carried_on_but_not_exported(shared, flags):
    ctx = Context.new(flags=flags)
    task, claimed, delivery = live(shared, ctx, f"/unsampled{flags}")
    handed = [Context.parse(t) for t in (task["traceParent"], claimed["traceParent"], delivery.header("traceparent"))]
    assert all(h.trace_id == ctx.trace_id and h.flags == flags for h in handed)
    assert len({ctx.span_id, *(h.span_id for h in handed)}) == 4, "each step has a span of its own"
    assert claimed["traceState"] == ctx.tracestate and delivery.header("tracestate") == ctx.tracestate
    assert claimed["baggage"] == ctx.baggage and delivery.header("baggage") == ctx.baggage
    marker(shared)
    assert shared.spans.trace(ctx.trace_id).spans == []


def test_the_timeline_of_an_unsampled_task_is_there_all_the_same(shared):
    ctx = Context.new(flags=0)
    task, claimed, _ = live(shared, ctx, "/unsampled-timeline")
    timeline = shared.producer.timeline(task["id"])
    assert timeline["traceId"] == ctx.trace_id
    names = [s["name"] for s in timeline["spans"]]
    assert {CREATE, QUEUED, CLAIM, RUN, SUBMIT} <= set(names)


@pytest.mark.parametrize("flags", [1, 3])
def test_a_sampled_parent_keeps_its_flags_on_every_span(shared, flags):
    ctx = Context.new(flags=flags)
    task, claimed, delivery = live(shared, ctx, f"/sampled{flags}")
    trace = shared.life(task["id"], ctx, LIFE)
    assert {s.flags & 0xFF for s in trace.task_spans()} == {flags}
    for text in (task["traceParent"], claimed["traceParent"], delivery.header("traceparent")):
        assert Context.parse(text).flags == flags


@pytest.mark.parametrize("sent", [0xFF, 0xFC, 0x05])
def test_reserved_flags_are_written_as_zero(shared, sent):
    ctx = Context.new(flags=sent)
    _, claimed, delivery = live(shared, ctx, f"/reserved{sent:x}")
    assert Context.parse(claimed["traceParent"]).flags == sent & 3
    assert Context.parse(delivery.header("traceparent")).flags == sent & 3


def test_ratio_zero_exports_no_root_of_its_own_but_keeps_a_sampled_parent(new_world):
    world = new_world(TRACING_SAMPLE_RATIO="0")
    task, claimed, delivery = live(world, None, "/ratio0")
    handed = [Context.parse(t) for t in (task["traceParent"], claimed["traceParent"], delivery.header("traceparent"))]
    assert len({h.trace_id for h in handed}) == 1
    assert all(h.flags == 2 for h in handed), "unsampled, and a random trace id"
    marker(world)
    assert world.spans.trace(handed[0].trace_id).spans == []


def test_ratio_one_exports_every_root(shared):
    task, claimed, _ = live(shared, None, "/ratio1")
    root = Context.parse(task["traceParent"])
    assert root.flags == 3 and Context.parse(claimed["traceParent"]).flags == 3
    shared.spans.wait_trace(root.trace_id, LIFE)


def test_a_ratio_between_decides_by_the_trace_id_as_other_sdks_do(new_world):
    world = new_world(TRACING_SAMPLE_RATIO="0.3")
    bound = int(0.3 * (1 << 63))
    sampled = 0
    for n in range(60):
        context = Context.parse(world.producer.create("RATIO", n)["traceParent"])
        expected = int(context.trace_id[16:], 16) >> 1 < bound
        assert context.sampled == expected, context
        sampled += expected
    assert 0 < sampled < 60


@pytest.mark.parametrize("ratio", ["1.5", "-0.1", "many"])
def test_a_ratio_out_of_range_is_refused_at_start(tmp_path, ratio):
    world = World(tmp_path, backend=False, start=False, TRACING_ENABLED="true", TRACING_SAMPLE_RATIO=ratio)
    with pytest.raises(AssertionError, match="did not start"):
        world.broker.start()
    assert world.broker.process.returncode == 1
    assert re.search("tracingSampleRatio|TRACING_SAMPLE_RATIO", world.broker.log())
    world.hooks.stop()


def test_with_tracing_off_the_received_context_flows_through_untouched(new_world):
    world = new_world(backend=False)
    ctx = Context.new(flags=3)
    task, claimed, delivery = live(world, ctx, "/off")
    assert task["traceParent"] == ctx.traceparent
    assert claimed["traceParent"] == ctx.traceparent and claimed["traceState"] == ctx.tracestate
    assert claimed["baggage"] == ctx.baggage
    assert delivery.header("traceparent") == ctx.traceparent
    assert delivery.header("tracestate") == ctx.tracestate and delivery.header("baggage") == ctx.baggage
    world.broker.restart()
    ctx2 = Context.new(flags=0)
    task2 = world.producer.create("KEPT", ctx=ctx2)
    world.broker.restart()
    claimed = world.worker.claim("KEPT", Context.new())
    assert claimed["id"] == task2["id"] and claimed["traceParent"] == ctx2.traceparent


def test_with_tracing_off_and_nothing_received_nothing_is_made_up(new_world):
    world = new_world(backend=False)
    task, claimed, delivery = live(world, None, "/nothing")
    for body in (task, claimed):
        assert not {"traceParent", "traceState", "originTraceParent"} & {k for k, v in body.items() if v}
    for name in ("traceparent", "tracestate", "baggage"):
        assert delivery.header(name) is None


def test_with_tracing_off_the_timeline_is_still_told(new_world):
    world = new_world(backend=False)
    ctx = Context.new()
    task, *_ = live(world, ctx, "/off-timeline")
    timeline = world.producer.timeline(task["id"])
    assert timeline["traceId"] == ctx.trace_id
    assert {CREATE, QUEUED, CLAIM, RUN, SUBMIT} <= {s["name"] for s in timeline["spans"]}


def test_an_endpoint_variable_of_opentelemetry_works_like_ours(new_world, own_receiver):
    receiver = own_receiver()
    world = new_world(backend=False, TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                      OTEL_SERVICE_NAME="shop-broker", OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test,team=a%20b",
                      OTEL_EXPORTER_OTLP_HEADERS="x-team=blue,x-key=a%20b")
    ctx = Context.new()
    world.producer.create("RENDER", ctx=ctx)
    span = receiver.store.wait_trace(ctx.trace_id, [CREATE]).one(CREATE)
    assert span.resource["service.name"] == "shop-broker"
    assert span.resource["deployment.environment"] == "test" and span.resource["team"] == "a b"
    assert receiver.metadata[0]["x-team"] == "blue" and receiver.metadata[0]["x-key"] == "a b"


def test_the_sdk_switch_of_opentelemetry_turns_tracing_off(new_world, own_receiver, tmp_path):
    receiver = own_receiver()
    config = tmp_path / "codeq.yaml"
    config.write_text("tracingEnabled: true\n")
    world = new_world(backend=receiver, start=False, CODEQ_CONFIG_PATH=config, OTEL_SDK_DISABLED="true")
    del world.broker.settings["TRACING_ENABLED"]  # The reference's own variable would win.
    world.broker.start()
    ctx = Context.new()
    assert world.producer.create("RENDER", ctx=ctx)["traceParent"] == ctx.traceparent
    world.broker.stop()
    assert receiver.calls == 0
