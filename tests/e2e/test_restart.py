"""kill -9 in the middle of a task's life: the trace that was begun before goes on after."""

from harness import Context
from harness.rules import received_by_webhook, received_by_worker

CREATE, DELAYED, QUEUED, CLAIM, RUN = (f"codeq.task.{n}" for n in ("create", "delayed", "queued", "claim", "run"))
NACK, SUBMIT, EXPIRED = (f"codeq.task.{n}" for n in ("nack", "submit_result", "lease_expired"))
WEBHOOK = "codeq.webhook.task_result"


def test_a_kill_between_create_and_claim_leaves_one_trace(new_world):
    world = new_world()
    ctx = Context.new()
    task = world.producer.create("RENDER", {"n": 1}, ctx, webhook=world.hooks.url("/a"))
    world.spans.wait_trace(ctx.trace_id, [CREATE, "POST /v1/codeq/tasks"])
    world.broker.restart()
    claimed = world.worker.claim("RENDER", Context.new())
    assert claimed["id"] == task["id"] and claimed["payload"] == '{"n": 1}' and claimed["attempts"] == 1
    world.worker.complete(task["id"])
    delivery = world.hooks.wait("/a")[0]
    trace = world.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK], over_kill=True)
    received_by_worker(claimed, trace, ctx)
    received_by_webhook(delivery, trace, ctx)
    assert sorted(s.name for s in trace.task_spans()) == sorted([CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])


def test_a_kill_between_claim_and_result_keeps_the_lease_the_owner_and_the_trace(new_world):
    world = new_world()
    ctx = Context.new()
    task = world.producer.create("RENDER", ctx=ctx, webhook=world.hooks.url("/b"))
    claimed = world.worker.claim("RENDER", Context.new())
    world.spans.wait_trace(ctx.trace_id, [CREATE, QUEUED, CLAIM, "POST /v1/codeq/tasks"])
    world.spans.wait(lambda spans: any(s.name == "POST /v1/codeq/tasks/claim" for s in spans))
    world.broker.restart()
    assert world.worker2.claim("RENDER") is None, "the lease is alive"
    assert world.worker2.complete(task["id"], expect=403)["error"] == "not-owner"
    world.worker.heartbeat(task["id"])
    world.worker.complete(task["id"], {"after": "kill"})
    delivery = world.hooks.wait("/b")[0]
    trace = world.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, "codeq.task.heartbeat", SUBMIT, WEBHOOK], over_kill=True)
    claim = received_by_worker(claimed, trace, ctx)
    run = trace.one(RUN)
    assert run.parent == claim.span_id and run.start - claim.end < 5_000_000, "the run began before the kill"
    received_by_webhook(delivery, trace, ctx)


def test_a_kill_while_a_lease_runs_out_still_expires_it_and_the_trace_says_so(new_world):
    world = new_world()
    ctx = Context.new()
    task = world.producer.create("RENDER", ctx=ctx)
    first = world.worker.claim("RENDER", lease=1)
    world.spans.wait_trace(ctx.trace_id, [CREATE, QUEUED, CLAIM])
    world.spans.wait(lambda spans: any(s.name == "POST /v1/codeq/tasks/claim" for s in spans))
    world.broker.restart()
    second = world.worker2.claim("RENDER", wait=15)
    assert second["id"] == task["id"] and second["attempts"] == 2
    world.worker2.complete(task["id"])
    trace = world.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, EXPIRED, DELAYED, QUEUED, CLAIM, RUN, SUBMIT], over_kill=True)
    assert trace.one(EXPIRED).parent == received_by_worker(first, trace, ctx).span_id
    received_by_worker(second, trace, ctx)


def test_a_kill_during_a_delay_and_during_a_back_off_loses_neither(new_world):
    world = new_world()
    ctx = Context.new()
    task = world.producer.create("RENDER", ctx=ctx, delaySeconds=1)
    world.spans.wait_trace(ctx.trace_id, [CREATE, "POST /v1/codeq/tasks"])
    world.broker.restart()
    assert world.worker.claim("RENDER", wait=10)["id"] == task["id"]
    world.worker.nack(task["id"], 1)
    world.spans.wait_trace(ctx.trace_id, [DELAYED, QUEUED, CLAIM, RUN, NACK])
    world.wait_for_links(world.spans.trace(ctx.trace_id))
    world.broker.restart()
    assert world.worker.claim("RENDER", wait=10)["id"] == task["id"]
    world.worker.complete(task["id"])
    trace = world.life(task["id"], ctx, [CREATE] + [DELAYED, QUEUED, CLAIM, RUN] * 2 + [NACK, SUBMIT], over_kill=True)
    assert [s.attributes["codeq.wait.cause"] for s in trace.many(QUEUED)] == ["delayed", "backoff"]


def test_a_webhook_that_was_pending_over_a_kill_is_delivered_inside_the_trace(new_world):
    world = new_world(RESULT_WEBHOOK_BASE_BACKOFF_SECONDS=2, RESULT_WEBHOOK_MAX_BACKOFF_SECONDS=2)
    ctx = Context.new()
    world.hooks.reply("/c", [503])
    task = world.producer.create("RENDER", ctx=ctx, webhook=world.hooks.url("/c"))
    world.worker.claim("RENDER")
    world.worker.complete(task["id"], {"n": 7})
    world.hooks.wait("/c")
    # The first, failed attempt is exported; its successor waits in the outbox when the kill comes.
    world.spans.wait_trace(ctx.trace_id, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])
    world.wait_for_links(world.spans.trace(ctx.trace_id))
    world.broker.restart()
    deliveries = world.hooks.wait("/c", 2, 15)
    assert deliveries[0].json == deliveries[1].json and deliveries[1].json["result"] == {"n": 7}
    trace = world.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK, WEBHOOK], over_kill=True)
    spans = [received_by_webhook(d, trace, ctx) for d in deliveries]
    assert [s.attributes["codeq.webhook.attempt"] for s in spans] == [1, 2]
    assert {s.parent for s in spans} == {trace.one(SUBMIT).span_id}
    assert world.hooks.to("/c")[2:] == [], "delivered once it was accepted"


def test_results_artifacts_keys_and_queues_outlive_ten_kills(new_world):
    world = new_world()
    ctx = Context.new()
    done = world.producer.create("DONE", {"n": 0}, ctx, idempotencyKey="key-1")
    world.worker.claim("DONE")
    record = world.worker.call("POST", f"/tasks/{done['id']}/result", {
        "status": "COMPLETED", "result": {"big": 12345678901234567890},
        "artifacts": [{"name": "log", "url": "https://example.org/log"}]}).json
    world.life(done["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT])
    waiting = [world.producer.create("WAIT", {"n": n}, priority=n % 3)["id"] for n in range(9)]
    for _ in range(10):
        world.broker.restart()
    assert world.producer.result(done["id"])["result"] == record
    assert record["artifacts"] == [{"name": "log", "url": "https://example.org/log"}]
    assert world.producer.create("DONE", {"n": 0}, idempotencyKey="key-1")["id"] == done["id"]
    order = [t["id"] for t in world.worker.claim_batch("WAIT", 10)]
    assert order == [waiting[n] for n in (2, 5, 8, 1, 4, 7, 0, 3, 6)]
    world.life(done["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT], over_kill=True)


def test_the_timeline_outlives_a_kill_with_the_spans_that_the_exporter_lost(new_world, own_receiver):
    # An export delay of a minute: at the kill nothing has left the process.
    receiver = own_receiver()
    world = new_world(backend=receiver, OTEL_BSP_SCHEDULE_DELAY=60_000)
    ctx = Context.new()
    task = world.producer.create("RENDER", ctx=ctx)
    world.worker.claim("RENDER")
    world.broker.restart()
    world.worker.complete(task["id"])
    names = [event["name"] for event in world.producer.timeline(task["id"])["spans"]]
    for name in (CREATE, QUEUED, CLAIM, RUN, SUBMIT):
        assert names.count(name) == 1, names
    world.broker.kill()
