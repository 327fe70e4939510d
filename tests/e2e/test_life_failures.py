"""The paths of a task's life that go wrong: nacks, lost workers, dead letters. The trace holds through all of them."""

import time

import pytest

from harness import Context
from harness.rules import received_by_webhook, received_by_worker
from harness.span import ERROR

CREATE, DELAYED, QUEUED, CLAIM, RUN = (f"codeq.task.{n}" for n in ("create", "delayed", "queued", "claim", "run"))
NACK, SUBMIT, EXPIRED, DEAD = (f"codeq.task.{n}" for n in ("nack", "submit_result", "lease_expired", "dead_letter"))
WEBHOOK = "codeq.webhook.task_result"


def test_a_nacked_task_backs_off_and_its_second_claim_links_to_the_first(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx)
    first = over.worker.claim(command)
    assert over.worker.nack(task["id"], 1, "not today") == {"delaySeconds": 1, "status": "requeued"}
    assert over.producer.task(task["id"])["lastKnownLocation"] == "DELAYED_ZSET"
    second = over.worker2.claim(command, wait=10)
    assert second["id"] == task["id"] and second["attempts"] == 2
    over.worker2.complete(task["id"])

    trace = over.life(task["id"], ctx, [CREATE, DELAYED] + [QUEUED, CLAIM, RUN] * 2 + [NACK, SUBMIT])
    one, two = (received_by_worker(t, trace, ctx) for t in (first, second))
    assert one.link in two.links and two.attributes["codeq.worker_id"] == "worker-2"
    assert trace.one(NACK).attributes["codeq.delay_seconds"] == 1
    assert [s.attributes["codeq.run.outcome"] for s in trace.many(RUN)] == ["nack", "completed"]
    assert [s.attributes["codeq.wait.cause"] for s in trace.many(QUEUED)] == ["ready", "backoff"]
    delayed = trace.one(DELAYED)
    assert 0.9e9 < delayed.end - delayed.start < 1.5e9
    assert "not today" not in str(trace)


def test_a_lost_worker_shows_as_an_expired_lease_and_the_task_goes_on_with_the_next(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx)
    first = over.worker.claim(command, lease=1)
    second = over.worker2.claim(command, wait=15)
    assert second["id"] == task["id"] and second["attempts"] == 2
    over.worker2.complete(task["id"])

    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, EXPIRED, DELAYED, QUEUED, CLAIM, RUN, SUBMIT])
    one, two = (received_by_worker(t, trace, ctx) for t in (first, second))
    expired = trace.one(EXPIRED)
    assert expired.parent == one.span_id and expired.status == ERROR
    assert expired.attributes["error.type"] == "lease_expired"
    assert 0.9e9 < expired.end - expired.start < 1.5e9, "from the claim to the expiry: the lost worker's time"
    assert one.link in two.links
    assert [s.attributes["codeq.wait.cause"] for s in trace.many(QUEUED)] == ["ready", "lease_expired"]
    assert len(trace.many(RUN)) == 1, "the lost attempt has no run span of its own"


def test_a_heartbeat_keeps_the_lease_beyond_its_first_end(over):
    command = over.command()
    task = over.producer.create(command)
    over.worker.claim(command, lease=1)
    over.worker.heartbeat(task["id"], 30)
    # Two seconds during which nobody may get it: a parked claim of another worker must come back empty.
    assert over.worker2.claim(command, wait=2) is None
    over.worker.complete(task["id"])


@pytest.mark.parametrize("reason", ["disk on fire", ""])
def test_a_nack_without_attempts_left_is_a_dead_letter_with_a_readable_result_and_a_webhook(over, reason):
    ctx, command = Context.new(), over.command()
    path = f"/dead-nack/{command}"
    task = over.producer.create(command, ctx=ctx, maxAttempts=1, webhook=over.hooks.url(path))
    over.worker.claim(command)
    assert over.worker.nack(task["id"], 5, reason) == {"delaySeconds": 0, "status": "dlq"}
    dead = over.producer.task(task["id"])
    assert dead["status"] == "FAILED" and dead["lastKnownLocation"] == "DLQ_SET"
    assert dead["error"] == (reason or "MAX_ATTEMPTS")
    begin = time.monotonic()
    answer = over.producer.result(task["id"], wait=30)
    assert answer["result"]["status"] == "FAILED" and answer["result"]["error"] == (reason or "MAX_ATTEMPTS")
    assert time.monotonic() - begin < 5, "at once"
    delivery = over.hooks.wait(path)[0]
    assert delivery.json["status"] == "FAILED" and delivery.json["result"] is None
    assert delivery.json["error"] == (reason or "MAX_ATTEMPTS")

    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, NACK, RUN, DEAD, WEBHOOK])
    assert trace.one(DEAD).status == ERROR
    assert received_by_webhook(delivery, trace, ctx).parent == trace.one(DEAD).span_id
    assert not reason or reason not in str(trace)


def test_an_expiry_without_attempts_left_is_a_dead_letter_with_a_readable_result_and_a_webhook(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx, maxAttempts=1, webhook=over.hooks.url(f"/dead-expiry/{command}"))
    over.worker.claim(command, lease=1)
    answer = over.producer.result(task["id"], wait=30)
    assert answer["result"]["status"] == "FAILED" and answer["result"]["error"] == "LEASE_EXPIRED"
    assert answer["task"]["lastKnownLocation"] == "DLQ_SET"
    delivery = over.hooks.wait(f"/dead-expiry/{command}")[0]
    assert delivery.json["error"] == "LEASE_EXPIRED"

    trace = over.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, EXPIRED, DEAD, WEBHOOK])
    assert received_by_webhook(delivery, trace, ctx).parent == trace.one(DEAD).span_id
    assert trace.one(DEAD).parent == trace.one(CLAIM).span_id
    assert over.worker.claim(command) is None


def test_attempts_chain_their_claims_and_never_nest(over):
    ctx, command = Context.new(), over.command()
    task = over.producer.create(command, ctx=ctx, maxAttempts=10)
    for _ in range(4):
        assert over.worker.claim(command, wait=5)["id"] == task["id"]
        over.worker.abandon(task["id"])
    assert over.worker.claim(command)["attempts"] == 5
    over.worker.complete(task["id"])
    trace = over.life(task["id"], ctx, [CREATE] + [QUEUED, CLAIM, RUN] * 5 + [SUBMIT])
    claims = sorted(trace.many(CLAIM), key=lambda s: s.attributes["codeq.attempt"])
    for earlier, later in zip(claims, claims[1:]):
        assert earlier.link in later.links and later.parent == trace.one(CREATE).span_id


def test_a_long_life_keeps_its_first_and_last_events_in_the_timeline_and_all_spans_in_the_backend(shared):
    ctx, command = Context.new(), shared.command()
    task = shared.producer.create(command, ctx=ctx, maxAttempts=100)
    for _ in range(30):
        shared.worker.claim(command)
        shared.worker.abandon(task["id"])
    shared.worker.claim(command)
    shared.worker.complete(task["id"])
    names = [CREATE] + [QUEUED, CLAIM, RUN, "codeq.task.abandon"] * 30 + [QUEUED, CLAIM, RUN, SUBMIT]
    trace = shared.spans.wait_trace(ctx.trace_id, names)
    assert len(trace.task_spans()) == len(names)
    timeline = shared.producer.timeline(task["id"])
    assert len(timeline["spans"]) == 64 and timeline["eventsDropped"] == len(names) - 64
    told = [s["name"] for s in timeline["spans"]]
    assert told[0] == CREATE and told[-1] in (SUBMIT, RUN)
    exported = {s.span_id: s for s in trace.spans}
    for event in timeline["spans"]:
        assert int(event["endUnixNano"]) == exported[event["spanId"]].end


def test_a_claim_with_several_commands_takes_them_in_the_order_asked(over):
    first, second = over.command(), over.command()
    low = over.producer.create(first, priority=0)
    high = over.producer.create(second, priority=9)
    assert over.worker.claim([first, second])["id"] == low["id"], "the first command with a task wins"
    assert over.worker.claim([first, second])["id"] == high["id"]


def test_a_parked_claim_for_several_commands_is_woken_by_any(shared):
    import threading
    first, second, answer = shared.command(), shared.command(), {}
    parked = threading.Thread(target=lambda: answer.update(shared.worker.claim([first, second], wait=20)))
    parked.start()
    task = shared.producer.create(second)
    parked.join(10)
    assert answer["id"] == task["id"]


def test_many_parked_claims_get_one_task_each(shared):
    import threading
    command, got = shared.command(), []
    parked = [threading.Thread(target=lambda: got.append(shared.worker.claim(command, wait=20))) for _ in range(10)]
    for thread in parked:
        thread.start()
    ids = {item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(10)])}
    for thread in parked:
        thread.join(20)
    assert {t["id"] for t in got} == ids and len(got) == 10
