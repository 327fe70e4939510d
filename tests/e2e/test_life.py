"""The paths of a task's life that go well: one trace from the producer's span to the webhook's headers."""

import re
import threading
import time

import pytest

from harness import Context
from harness.rules import check_life, received_by_webhook, received_by_worker, route_name, server_span
from harness.span import CLIENT

CREATE, DELAYED, QUEUED, CLAIM, RUN = (f"codeq.task.{n}" for n in ("create", "delayed", "queued", "claim", "run"))
HEARTBEAT, ABANDON, SUBMIT = "codeq.task.heartbeat", "codeq.task.abandon", "codeq.task.submit_result"
WEBHOOK = "codeq.webhook.task_result"


def test_a_task_created_claimed_and_completed_is_one_trace_that_ends_at_the_webhook(over):
    ctx, worker_ctx, command = Context.new(), Context.new(tracestate="w=1", baggage=""), over.command()
    before = time.time_ns()
    task = over.producer.create(command, {"page": 3}, ctx, priority=7, webhook=over.hooks.url(f"/one/{command}"),
                                  idempotencyKey="k-" + command)
    origin = Context.parse(task["traceParent"])
    claimed = over.worker.claim(command, worker_ctx)
    over.worker.heartbeat(task["id"], 120, worker_ctx)
    over.worker.complete(task["id"], {"ok": 1}, worker_ctx)
    delivery = over.hooks.wait(f"/one/{command}")[0]
    after = time.time_ns()

    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, HEARTBEAT, RUN, SUBMIT, WEBHOOK])
    assert sorted(s.name for s in trace.task_spans()) == sorted([CREATE, QUEUED, CLAIM, HEARTBEAT, RUN, SUBMIT, WEBHOOK])
    create = trace.one(CREATE)
    assert origin.span_id == create.span_id and origin.trace_id == ctx.trace_id
    assert create.attributes["codeq.command"] == command
    assert create.attributes["codeq.priority"] == 7
    assert create.attributes["codeq.has_webhook"] is True
    assert create.attributes["codeq.has_idempotency_key"] is True
    assert create.attributes["codeq.tenant_id"] == "acme"
    assert create.task_id == task["id"]
    claim = received_by_worker(claimed, trace, ctx)
    assert claim.attributes["codeq.worker_id"] == "worker-1"
    assert claim.attributes["codeq.lease_seconds"] == 60
    assert claim.attributes["codeq.attempt"] == 1
    # The worker's own trace stays its own; the claim, heartbeat and result only point at its requests.
    for name in (CLAIM, HEARTBEAT, SUBMIT):
        over.check_request(trace.one(name), worker_ctx)
    assert trace.one(QUEUED).attributes["codeq.wait.cause"] == "ready"
    assert trace.one(RUN).attributes["codeq.run.outcome"] == "completed"
    assert trace.one(HEARTBEAT).attributes["codeq.extend_seconds"] == 120
    assert trace.one(SUBMIT).attributes["codeq.submit.status"] == "COMPLETED"
    webhook = received_by_webhook(delivery, trace, ctx)
    assert webhook.kind == CLIENT and webhook.parent == trace.one(SUBMIT).span_id
    assert webhook.attributes["codeq.webhook.attempt"] == 1
    assert webhook.attributes["http.response.status_code"] == 200
    tolerance = 20_000_000
    assert before - tolerance <= create.start and webhook.end <= after + tolerance, "times are of this world"


def test_request_spans_are_named_by_route_and_carry_the_http_names(shared):
    ctx, command = Context.new(), shared.command()
    worker_ctx = Context.new()
    task = shared.producer.create(command, ctx=ctx)
    shared.worker.claim(command, worker_ctx)
    shared.worker.complete(task["id"], ctx=worker_ctx)
    trace = shared.life(task["id"], ctx, [CREATE, CLAIM, SUBMIT])
    request = trace.by_id(trace.one(CREATE).parent)
    assert request.name == "POST /v1/codeq/tasks"
    assert request.attributes["http.request.method"] == "POST"
    assert request.attributes["http.route"] == "/v1/codeq/tasks"
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["url.path"] == "/v1/codeq/tasks"
    assert request.attributes["url.scheme"] == ("https" if shared.broker.tls else "http")
    result = server_span(shared.spans, trace.one(SUBMIT).links[0])
    assert route_name("POST", "/v1/codeq/tasks/{id}/result").fullmatch(result.name)
    assert result.attributes["http.response.status_code"] == 200


def test_batch_calls_give_each_task_the_same_spans_as_single_ones(shared):
    ctx, worker_ctx, command = Context.new(), Context.new(), shared.command()
    created = shared.producer.create_batch(
        [{"command": command, "payload": {"n": n}, "webhook": shared.hooks.url(f"/batch{n}")} for n in range(3)], ctx)
    ids = [item["task"]["id"] for item in created]
    claimed = shared.worker.claim_batch(command, 3, worker_ctx)
    assert [t["id"] for t in claimed] == ids
    results = shared.worker.results_batch(
        [{"taskId": i, "status": "COMPLETED", "result": {"of": i}} for i in ids], worker_ctx)
    assert [r["taskId"] for r in results] == ids and all("result" in r for r in results)
    deliveries = [shared.hooks.wait(f"/batch{n}")[0] for n in range(3)]

    each = [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK]
    trace = shared.life(ids[0], ctx, each * 3)
    assert sorted(s.name for s in trace.task_spans()) == sorted(each * 3)
    requests = set()
    for task_id, task, delivery in zip(ids, claimed, deliveries):
        check_life(shared.spans, task_id, ctx, trace)
        assert received_by_worker(task, trace, ctx).task_id == task_id
        assert received_by_webhook(delivery, trace, ctx).task_id == task_id
        requests.add(trace.one(CREATE, codeq_task_id=task_id).parent)
    assert len(requests) == 1, "one request span for the whole batch"
    request = trace.by_id(requests.pop())
    assert request.name == "POST /v1/codeq/tasks/batch"
    assert request.attributes["messaging.batch.message_count"] == 3
    for name, route in ((CLAIM, "POST /v1/codeq/tasks/claim/batch"), (SUBMIT, "POST /v1/codeq/tasks/batch/results")):
        linked = {s.links[0] for s in trace.many(name)}
        assert len(linked) == 1, f"one request behind the batch of {name}"
        request = server_span(shared.spans, linked.pop())
        assert request.name == route and request.attributes["messaging.batch.message_count"] == 3


def test_a_parked_claim_is_woken_by_the_create_and_its_waiting_is_not_part_of_the_claim_span(shared):
    ctx, worker_ctx, command = Context.new(), Context.new(), shared.command()
    answer = {}
    parked = threading.Thread(target=lambda: answer.update(shared.worker.claim(command, worker_ctx, wait=20)))
    begin = time.time_ns()
    parked.start()
    # The poll parks on another connection; whether it comes before or after the create, it must be answered at once.
    time.sleep(0.3)  # Only so that the usual case is the parked one; the test holds either way.
    task = shared.producer.create(command, ctx=ctx)
    created = time.time_ns()
    parked.join(10)
    assert answer["id"] == task["id"] and time.time_ns() - created < 5_000_000_000, "woken, not polled into"

    shared.worker.complete(task["id"])
    trace = shared.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT])
    claim = received_by_worker(answer, trace, ctx)
    request = server_span(shared.spans, claim.links[0])
    assert claim.start >= trace.one(CREATE).start > begin
    assert request.start < trace.one(CREATE).start, "the request span does hold the waiting"


def test_a_parked_claim_that_finds_nothing_answers_204_at_its_deadline(shared):
    begin = time.monotonic()
    assert shared.worker.claim(shared.command(), wait=1) is None
    assert 0.9 <= time.monotonic() - begin < 10


def test_a_parked_result_is_answered_by_the_completion(shared):
    command, answer = shared.command(), {}
    task = shared.producer.create(command)
    shared.worker.claim(command)
    waiter = threading.Thread(target=lambda: answer.update(shared.producer.result(task["id"], wait=30)))
    begin = time.monotonic()
    waiter.start()
    shared.worker.complete(task["id"], {"answer": 42})
    waiter.join(15)
    assert answer["result"]["result"] == {"answer": 42} and answer["task"]["status"] == "COMPLETED"
    assert time.monotonic() - begin < 15


def test_a_failed_result_is_final_and_its_run_says_so(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx, webhook=over.hooks.url(f"/failed/{command}"))
    over.worker.claim(command)
    record = over.worker.fail(task["id"], "no such page")
    assert record["status"] == "FAILED" and record["error"] == "no such page"
    delivery = over.hooks.wait(f"/failed/{command}")[0]
    assert delivery.json["status"] == "FAILED" and delivery.json["error"] == "no such page"
    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])
    assert trace.one(RUN).attributes["codeq.run.outcome"] == "failed"
    assert trace.one(SUBMIT).attributes["codeq.submit.status"] == "FAILED"
    received_by_webhook(delivery, trace, ctx)
    assert over.worker.claim(command) is None


@pytest.mark.parametrize("how", ["delaySeconds", "runAt"])
def test_a_delayed_task_shows_its_delay_and_its_queueing_apart(over, how):
    ctx, command = Context.new(), over.command()
    if how == "delaySeconds":
        due = time.time() + 1
        task = over.producer.create(command, ctx=ctx, delaySeconds=1)
    else:
        due = round(time.time() + 1.5, 3)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(due)) + f".{round(due % 1 * 1000):03d}Z"
        task = over.producer.create(command, ctx=ctx, runAt=text)
    assert task["status"] == "PENDING" and task["lastKnownLocation"] == "DELAYED_ZSET"
    assert over.worker.claim(command) is None
    claimed = over.worker.claim(command, wait=10)
    assert claimed["id"] == task["id"] and time.time() >= due - 0.01, "never early"
    over.worker.complete(task["id"])

    trace = over.life(task["id"], ctx, [CREATE, DELAYED, QUEUED, CLAIM, RUN, SUBMIT])
    delayed, queued = trace.one(DELAYED), trace.one(QUEUED)
    assert queued.attributes["codeq.wait.cause"] == "delayed"
    assert abs(delayed.end - due * 1e9) < 100e6, "the delay ends when the task became visible"
    assert queued.start == delayed.end


def test_an_abandoned_task_goes_to_the_next_worker_whose_claim_links_to_the_first(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx)
    first = over.worker.claim(command)
    assert over.worker.abandon(task["id"]) == {"status": "requeued"}
    second = over.worker2.claim(command)
    assert second["id"] == task["id"]
    over.worker2.complete(task["id"])

    trace = over.life(task["id"], ctx, [CREATE] + [QUEUED, CLAIM, RUN] * 2 + [ABANDON, SUBMIT])
    one, two = (received_by_worker(t, trace, ctx) for t in (first, second))
    assert one.link in two.links
    assert [s.attributes["codeq.wait.cause"] for s in trace.many(QUEUED)] == ["ready", "ready"]
    assert [s.attributes["codeq.run.outcome"] for s in trace.many(RUN)] == ["abandoned", "completed"]
    assert [s.parent for s in trace.many(RUN)] == [one.span_id, two.span_id]
    assert trace.one(ABANDON).parent == one.span_id


def test_a_task_without_incoming_context_starts_a_trace_of_its_own(over):
    command = over.command()
    task = over.producer.create(command, webhook=over.hooks.url(f"/rootless/{command}"))
    origin = Context.parse(task["traceParent"])
    assert origin.flags & 2, "our own trace ids are random, and say so"
    claimed = over.worker.claim(command)
    assert "traceState" not in claimed and not claimed.get("baggage")
    over.worker.complete(task["id"])
    delivery = over.hooks.wait(f"/rootless/{command}")[0]
    trace = over.spans.wait_trace(origin.trace_id, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])
    over.wait_for_links(trace)
    trace = over.spans.trace(origin.trace_id)
    check_life(over.spans, task["id"], None, trace, streams=over.streams)
    received_by_worker(claimed, trace, None)
    received_by_webhook(delivery, trace, None)


def test_an_idempotent_replay_stays_in_its_callers_trace_and_links_to_the_task(over):
    first_ctx, second_ctx, command = Context.new(), Context.new(), over.command()
    first = over.producer.create(command, {"a": 1}, first_ctx, idempotencyKey="same-" + command)
    again = over.producer.create(command, {"a": 1}, second_ctx, idempotencyKey="same-" + command)
    assert again["id"] == first["id"] and again["traceParent"] == first["traceParent"]
    origin = over.spans.wait_trace(first_ctx.trace_id, [CREATE]).one(CREATE)
    over.spans.wait_trace(second_ctx.trace_id, [CREATE] if over.streams else [CREATE, "POST /v1/codeq/tasks"])
    trace = over.spans.trace(second_ctx.trace_id)
    replay = trace.one(CREATE)
    assert replay.parent == (second_ctx if over.streams else trace.one("POST /v1/codeq/tasks")).span_id
    assert origin.link in replay.links
    assert replay.trace_state == second_ctx.tracestate
    claimed = over.worker.claim(command)
    assert claimed["id"] == first["id"] and over.worker.claim(command) is None
    assert Context.parse(claimed["traceParent"]).trace_id == first_ctx.trace_id
    over.worker.complete(first["id"])


def test_a_tracestate_of_many_members_and_a_long_baggage_travel_byte_for_byte(over):
    state = ",".join(f"k{n}@v={'x' * 40}!{n}" for n in range(32))
    assert len(state) > 512
    ctx, command = Context.new(tracestate=state, baggage=",".join(f"b{n}={'%41' * 30};p={n}" for n in range(60))), over.command()
    task = over.producer.create(command, ctx=ctx, webhook=over.hooks.url(f"/long/{command}"))
    claimed = over.worker.claim(command)
    over.worker.complete(task["id"])
    delivery = over.hooks.wait(f"/long/{command}")[0]
    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])
    received_by_worker(claimed, trace, ctx)
    received_by_webhook(delivery, trace, ctx)


def test_priorities_go_first_and_each_is_first_in_first_out(over):
    command = over.command()
    ids = {}
    for n, priority in enumerate([0, 9, 5, 9, 0, 5]):
        ids[n] = over.producer.create(command, {"n": n}, priority=priority)["id"]
    order = [task["id"] for task in over.worker.claim_batch(command, 10)]
    assert order == [ids[n] for n in (1, 3, 2, 5, 0, 4)]


def test_the_resource_names_the_service_and_every_span_names_its_tracer(shared):
    shared.producer.create(shared.command(), ctx=Context.new())
    spans = shared.spans.wait(lambda have: len(have) > 3)
    for span in spans:
        assert span.resource["service.name"] == "codeq"
        assert re.fullmatch(r"codeq/[a-z_]+", span.scope)
