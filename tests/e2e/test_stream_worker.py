"""The worker's stream after its handshake: credits, deliveries, and every answer to what settles a task."""

import json
import re
import time

import grpc
import pytest

MESSAGE_BYTES_MAX = 4 << 20
NO_TASK = "00000000-0000-8000-8000-000000000000"


@pytest.fixture
def worker(shared):
    with shared.work() as stream:
        yield stream


def drained(shared, command):
    return shared.worker.claim(command) is None


def test_a_delivery_carries_the_whole_task(shared, worker):
    command, url = shared.command(), shared.hooks.url("/whole")
    created = shared.producer.create(command, {"page": [1, 2]}, priority=6, maxAttempts=4, webhook=url)
    begin = time.time()
    task = worker.claim(command, lease=90)
    assert task.id == created["id"] and task.command == command and task.payload == created["payload"].encode()
    assert (task.priority, task.webhook, task.max_attempts, task.attempts) == (6, url, 4, 1)
    assert (task.status, task.worker_id, task.tenant_id) == ("IN_PROGRESS", "worker-1", "acme")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", task.lease_until)
    shown = shared.producer.task(task.id)
    assert shown["leaseUntil"] == task.lease_until and shown["workerId"] == "worker-1"
    assert begin - 60 < task.created_at.ToNanoseconds() / 1e9 <= task.updated_at.ToNanoseconds() / 1e9 < time.time() + 60
    assert task.trace_parent == shown["traceParent"]
    worker.complete(task.id, b'{"pages":2}')
    assert shared.producer.result(task.id)["result"]["result"] == {"pages": 2}
    shared.hooks.wait("/whole")


@pytest.mark.parametrize("count", [1, 0, -7])
def test_a_credit_of_one_is_one_assignment(shared, worker, count):
    command = shared.command()
    ids = [item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(3)])]
    worker.ready(command, count=count)
    assert worker.task().id == ids[0]
    worker.nothing_comes()


@pytest.mark.parametrize("waiting, count, given", [(5, 3, 3), (3, 5, 3), (1, 5, 1)])
def test_a_credit_of_more_is_one_batch_of_what_is_there(shared, worker, waiting, count, given):
    command = shared.command()
    ids = [item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(waiting)])]
    worker.ready(command, count=count)
    tasks = worker.tasks()
    assert [task.id for task in tasks] == ids[:given] and {task.attempts for task in tasks} == {1}
    worker.nothing_comes()
    assert all(ack.ok for ack in worker.results(*[worker.result_of(task.id) for task in tasks]))


@pytest.mark.parametrize("count", [1, 4])
def test_a_credit_is_held_until_there_is_a_task(shared, worker, count):
    command = shared.command()
    worker.ready(command, count=count)
    worker.nothing_comes()
    task_id = shared.producer.create(command)["id"]
    got = [worker.task()] if count == 1 else worker.tasks()
    assert [task.id for task in got] == [task_id]
    worker.complete(task_id)


def test_a_held_credit_is_served_by_work_that_becomes_due_or_comes_back(shared, worker):
    command = shared.command()
    worker.ready(command)
    task_id = shared.producer.create(command, delaySeconds=1)["id"]
    assert worker.task().id == task_id
    with shared.work(shared.tokens.acme_worker2) as other:
        other.ready(command)
        assert worker.abandon(task_id).ok
        assert other.task().id == task_id
        worker.ready(command)
        assert other.nack(task_id, 1).ok
        assert worker.task().attempts == 3
    worker.complete(task_id)


def test_credits_are_never_exceeded(shared, worker):
    command = shared.command()
    shared.producer.create_batch([{"command": command, "payload": n} for n in range(20)])
    for _ in range(3):
        worker.ready(command)
    tasks = [worker.task() for _ in range(3)]
    worker.nothing_comes()
    worker.ready(command, count=4)
    worker.ready(command, count=2)
    sizes = []
    for _ in range(2):
        batch = worker.tasks()
        sizes.append(len(batch))
        tasks += batch
    worker.nothing_comes()
    assert sorted(sizes) == [2, 4] and len({task.id for task in tasks}) == 9
    assert len(shared.worker.claim_batch(command, 100)) == 11, "the others still wait"


def test_held_credits_share_what_comes(shared, worker):
    command = shared.command()
    for _ in range(5):
        worker.ready(command, count=3)
    ids = {item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(7)])}
    got = []
    while len(got) < 7:
        batch = worker.tasks()
        assert 1 <= len(batch) <= 3
        got += batch
    assert {task.id for task in got} == ids and len(got) == 7


def test_credits_of_several_streams_get_one_task_each(shared):
    command = shared.command()
    streams = [shared.work(worker_id=f"w-{n}") for n in range(10)]
    try:
        for stream in streams:
            stream.ready(command)
        ids = {item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(10)])}
        assert {stream.task().id for stream in streams} == ids
        for stream in streams:
            assert stream.untaken() == []
    finally:
        for stream in streams:
            stream.close()


def test_a_credit_may_name_several_commands_in_order_of_preference(shared, worker):
    first, second = shared.command(), shared.command()
    low = shared.producer.create(first, priority=0)["id"]
    high = shared.producer.create(second, priority=9)["id"]
    assert worker.claim(first, second).id == low
    assert worker.claim(f"  {first} ", "", "  ", second).id == high, "blanks are taken off, empty names dropped"
    worker.ready(first, second)
    late = shared.producer.create(second)["id"]
    assert worker.task().id == late


def test_g32_no_commands_means_any_command_of_the_tenant_for_a_token_that_may_all(new_world):
    world = new_world(backend=False)
    with world.work() as worker:
        worker.ready()
        worker.nothing_comes()
        other = world.globex_producer.create("ELSE")
        task = world.producer.create("WHATEVER-" + "X" * 20)
        assert worker.task().id == task["id"]
        worker.complete(task["id"])
    with world.work(world.tokens.globex_worker) as worker:
        assert worker.claim("  ").id == other["id"]


def test_no_commands_means_those_of_the_token(new_world):
    world = new_world(backend=False)  # of its own: that token may not give back what it has taken
    world.producer.create("OTHER")
    task = world.producer.create("NARROW")
    with world.work(world.tokens.narrow_worker) as worker:
        assert worker.claim().id == task["id"]


def test_a_lease_is_as_long_as_asked_or_the_default(shared, worker):
    command = shared.command()
    for asked, given in ((90, 90), (0, 300), (-5, 300)):
        shared.producer.create(command)
        begin = time.time()
        worker.ready(command, lease=asked)
        task = worker.task()
        until = time.mktime(time.strptime(task.lease_until, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        assert begin + given - 2 <= until <= time.time() + given + 2
        worker.complete(task.id)


# What settles a task


@pytest.mark.parametrize("result, error, text", [
    (dict(status="DONE"), "", 'invalid status (must be COMPLETED or FAILED): "DONE"'),
    (dict(status=""), "", 'invalid status (must be COMPLETED or FAILED): ""'),
    (dict(status="completed"), "", 'invalid status (must be COMPLETED or FAILED): "completed"'),
    (dict(result=b"[1]"), "", "invalid result_json"),
    (dict(result=b"7"), "", "invalid result_json"),
    (dict(result=b'{"a":'), "", "invalid result_json"),
    (dict(result=b'{"a":"\xff"}'), "", "invalid result_json"),
    (dict(status="FAILED", result=b""), "", "error required when status=FAILED"),
    (dict(status="FAILED", result=b""), "  ", "error required when status=FAILED"),
])
def test_a_result_that_makes_no_sense_is_refused_and_the_lease_goes_on(shared, worker, result, error, text):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    ack = worker.result(task.id, error=error, **result)
    assert (ack.task_id, ack.ok, ack.error_message) == (task.id, False, text)
    worker.complete(task.id)


def test_g2_a_completion_without_a_body_is_accepted(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    worker.complete(task.id, b"")
    record = shared.producer.result(task.id)["result"]
    assert record["status"] == "COMPLETED" and "result" not in record


def test_g34_a_failure_is_final_and_keeps_its_words(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    worker.fail(task.id, "no such page")
    record = shared.producer.result(task.id)["result"]
    assert (record["status"], record["error"]) == ("FAILED", "no such page")
    assert drained(shared, command)


def test_a_duplicate_result_is_answered_definitely_and_changes_nothing(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    worker.complete(task.id, b'{"n":1}')
    for again in (dict(result=b'{"n":2}'), dict(status="FAILED", result=b"", error="late")):
        ack = worker.result(task.id, **again)
        assert (ack.ok, ack.error_message) == (False, "not-in-progress")
    assert shared.producer.result(task.id)["result"]["result"] == {"n": 1}


def test_results_of_one_batch_are_answered_in_its_order_each_by_itself(shared, worker):
    command = shared.command()
    shared.producer.create_batch([{"command": command, "payload": n} for n in range(4)])
    worker.ready(command, count=4)
    a, b, c, d = (task.id for task in worker.tasks())
    of = worker.result_of
    acks = worker.results(of(a), of(b, status="NO"), of(NO_TASK), of(c, status="FAILED", result=b"", error="x"), of(a),
                          of(d, result=b""), of("not an id"))
    assert [ack.ok for ack in acks] == [True, False, False, True, False, True, False]
    assert [ack.error_message for ack in acks] == [
        "", 'invalid status (must be COMPLETED or FAILED): "NO"', "task not found", "", "not-in-progress", "", "task not found"]
    worker.complete(b)


def test_an_empty_batch_of_results_is_ignored(shared, worker):
    worker.send(result_batch=worker.pb.ResultBatch())
    command = shared.command()
    shared.producer.create(command)
    worker.complete(worker.claim(command).id)
    assert worker.untaken() == []


def test_g31_a_nack_tells_the_delay_that_it_got_and_none_asked_for_means_the_back_off(shared, worker):
    command = shared.command()
    shared.producer.create(command, maxAttempts=3)
    task = worker.claim(command)
    ack = worker.nack(task.id, 1, "later")
    assert (ack.ok, ack.error_message, ack.applied_delay_seconds, ack.dlq) == (True, "", 1, False)
    task = worker.claim(command)
    assert task.attempts == 2
    ack = worker.nack(task.id, 0)
    assert ack.ok and ack.applied_delay_seconds == 1, "no delay asked for means the back-off"
    assert worker.claim(command).attempts == 3
    ack = worker.nack(task.id, 5, "gone for good")
    assert (ack.ok, ack.applied_delay_seconds, ack.dlq) == (True, 0, True)
    dead = shared.producer.task(task.id)
    assert dead["lastKnownLocation"] == "DLQ_SET" and dead["error"] == "gone for good"


def test_a_heartbeat_extends_the_lease(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command, lease=2)
    ack = worker.heartbeat(task.id, 120)
    assert (ack.ok, ack.error_message) == (True, "")
    assert shared.producer.task(task.id)["leaseUntil"] > task.lease_until
    assert shared.worker2.claim(command, wait=3) is None
    worker.complete(task.id)


def test_an_abandoned_task_is_ready_at_once(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    assert worker.abandon(task.id).ok
    again = worker.claim(command)
    assert again.id == task.id
    worker.complete(task.id)


ACTS = {"result": lambda w, i: w.result(i), "failure": lambda w, i: w.result(i, status="FAILED", result=b"", error="x"),
        "nack": lambda w, i: w.nack(i), "heartbeat": lambda w, i: w.heartbeat(i), "abandon": lambda w, i: w.abandon(i)}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("task_id", [NO_TASK, "no id at all", "", "x" * 5000])
def test_an_unknown_task_is_not_found(shared, worker, act, task_id):
    ack = ACTS[act](worker, task_id)
    assert (ack.ok, ack.error_message) == (False, "task not found" if act in ("result", "failure") else "not-found")


@pytest.mark.parametrize("act", ACTS)
def test_a_task_that_another_worker_holds_is_not_ours(shared, worker, act):
    command = shared.command()
    shared.producer.create(command)
    with shared.work(shared.tokens.acme_worker2) as holder:
        task = holder.claim(command)
        ack = ACTS[act](worker, task.id)
        assert (ack.ok, ack.error_message) == (False, "not-owner")
        holder.complete(task.id)


@pytest.mark.parametrize("act", ACTS)
def test_a_task_that_is_waiting_or_done_is_not_in_progress(shared, worker, act):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command)
    worker.abandon(task.id)
    ack = ACTS[act](worker, task.id)
    assert (ack.ok, ack.error_message) == (False, "not-in-progress")
    worker.complete(worker.claim(command).id)
    ack = ACTS[act](worker, task.id)
    assert (ack.ok, ack.error_message) == (False, "not-in-progress")


def test_a_lease_that_ran_out_cannot_be_settled_and_the_task_goes_on(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    task = worker.claim(command, lease=1)
    with shared.work(shared.tokens.acme_worker2) as other:
        other.ready(command)
        again = other.task(15)
        assert (again.id, again.attempts) == (task.id, 2)
        for act in ACTS.values():
            ack = act(worker, task.id)
            assert not ack.ok and ack.error_message in ("not-owner", "not-in-progress")
        other.complete(task.id)


@pytest.mark.parametrize("data", [b"", b"\xca\x0c\x02hi", b"\x48\x01"], ids=["nothing set", "unknown message", "unknown number"])
def test_an_unknown_event_is_answered_and_the_stream_goes_on(shared, worker, data):
    worker.send_bytes(data)
    error = worker.take("error")
    assert (error.code, error.message) == ("InvalidArgument", "unknown-event")
    command = shared.command()
    shared.producer.create(command)
    worker.complete(worker.claim(command).id)


def test_unknown_fields_are_ignored(shared, worker):
    command = shared.command()
    shared.producer.create(command)
    ready = worker.pb.Ready(commands=[command]).SerializeToString() + b"\xca\x0c\x02hi"
    worker.send_bytes(b"\x12" + bytes([len(ready)]) + ready + b"\xd8\x0c\x01")
    worker.complete(worker.task().id)


def test_large_payloads_split_the_claim_and_not_the_message(shared, worker):
    command = shared.command()
    ids = [shared.producer.create(command, "z" * 900_000, priority=9 - n)["id"] for n in range(9)]
    got = []
    while len(got) < 9:
        worker.ready(command, count=100)
        batch = worker.tasks()
        got += [task.id for task in batch]
    assert got == ids, "in their order, none twice"
    assert max(worker.sizes) <= MESSAGE_BYTES_MAX
    acks = worker.results(*[worker.result_of(task_id) for task_id in ids])
    assert all(ack.ok for ack in acks)


def test_tasks_that_did_not_fit_into_a_message_wait_for_anybody(shared, worker):
    command = shared.command()
    for n in range(6):
        shared.producer.create(command, "z" * 900_000)
    worker.ready(command, count=6)
    given = len(worker.tasks())
    assert 1 <= given <= 4
    with shared.work(shared.tokens.acme_worker2) as other:
        left = 6 - given
        while left:
            other.ready(command, count=left)
            tasks = other.tasks()
            assert {task.attempts for task in tasks} == {1}, "what was not sent has cost no attempt"
            left -= len(tasks)
    worker.nothing_comes()


def test_g26_a_count_beyond_all_reason_is_served_within_bounds(shared, worker):
    command = shared.command()
    shared.producer.create_batch([{"command": command, "payload": n} for n in range(3)])
    worker.ready(command, count=2**31 - 1, lease=2**31 - 1)
    assert len(worker.tasks()) == 3


def test_closing_our_side_lets_every_answer_come_first(shared, worker):
    command = shared.command()
    shared.producer.create_batch([{"command": command, "payload": n} for n in range(60)])
    worker.ready(command, count=60)
    tasks = worker.tasks()
    for task in tasks:
        worker.send(result=worker.result_of(task.id))
    worker.half_close()
    assert worker.ended() == (grpc.StatusCode.OK, "")
    assert worker.untaken() == ["result_ack"] * 60
    assert all(worker.take("result_ack").ok for _ in range(60))


def test_closing_our_side_with_credits_out_loses_no_task(shared, worker):
    command = shared.command()
    worker.ready(command)
    worker.half_close()
    task = shared.producer.create(command)
    with shared.work(shared.tokens.acme_worker2) as other:
        other.ready(command, lease=30)
        try:
            got = worker.task(3)  # It may still be served, as long as the stream lives,
            assert got.id == task["id"]
        except Exception:  # noqa: BLE001: or have ended; then the other gets it.
            assert other.task().id == task["id"]


def test_g33_rejected_answers_are_counted_for_those_who_do_not_read_them(shared, worker):
    key = 'codeq_stream_rejected_total{operation="result",code="task-not-found"}'
    before = shared.broker.metrics().get(key, 0)
    worker.send(result=worker.result_of(NO_TASK))
    worker.results(worker.result_of(NO_TASK), worker.result_of(NO_TASK))
    shared.broker.wait_for_metric(key, before + 3)


def test_a_chosen_worker_id_is_what_everybody_sees(shared):
    command = shared.command()
    task_id = shared.producer.create(command)["id"]
    with shared.work(worker_id="render-7") as worker:
        assert worker.claim(command).worker_id == "render-7"
        answer = shared.producer.call("GET", f"/tasks/{task_id}")
        assert answer.json["workerId"] == "render-7" and b"\\u0000" not in answer.body
        worker.complete(task_id)
    answer = shared.producer.call("GET", f"/tasks/{task_id}/trace")
    assert b"render-7" in answer.body and b"\\u0000" not in answer.body and b"worker-1" not in answer.body


def test_a_batch_of_answers_stays_below_4_mib_as_well(shared, worker):
    """Nearly 4 MiB of results that are refused: their ids come back, and beside each the reason, which is longer than what it is about."""
    results = [worker.result_of(f"{n:0400}", status="x", result=b"") for n in range(10_000)]
    worker.send(result_batch=worker.pb.ResultBatch(results=results))
    acks = []
    while len(acks) < len(results):
        acks += worker.take("result_ack_batch").acks
    assert [ack.task_id for ack in acks] == [result.task_id for result in results]
    assert max(worker.sizes) <= MESSAGE_BYTES_MAX


def test_a_token_of_many_event_types_gets_work_of_each(new_world):
    types = [f"TYPE-{n}" for n in range(150)]
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="static", WORKER_AUTH_CONFIG=json.dumps(
        {"token": "t", "subject": "acme", "eventTypes": types, "scopes": ["codeq:claim", "codeq:result"]}))
    with world.work("t") as worker:
        for command in (types[0], types[99], types[149]):
            task = world.producer.create(command)
            assert worker.claim().id == task["id"], command
            worker.complete(task["id"])
