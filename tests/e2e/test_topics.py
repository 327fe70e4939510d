"""Topics from outside: the catalogue of the reference, and that every policy is applied (G19)."""

import threading
import time

from harness import Context
from harness.rules import received_by_worker

POLICY = {"priorityTiers": [5, 1], "maxAttempts": 3, "deadLetterTopicRef": "morgue"}


def put(admin, name, **fields):
    answer = admin.call("PUT", f"/admin/topics/{name}", {**POLICY, **fields})
    assert answer.status in (200, 201), answer
    return answer


def drop(admin, name):
    answer = admin.call("DELETE", f"/admin/topics/{name}?deletionPolicy=Delete")
    assert answer.status == 204, answer


def test_g19_a_topics_life_is_that_of_the_reference_and_goes_on_after_a_kill(new_world):
    world = new_world()
    created = put(world.admin, "render")
    assert created.status == 201
    topic = created.json
    assert (topic["topicId"], topic["tenantId"], topic["topicName"], topic["version"]) == ("acme.render", "acme", "render", 1)
    assert topic["policy"] == {"priorityTiers": [1, 5], "maxAttempts": 3, "deadLetterTopicRef": "morgue"}
    assert put(world.admin, "render").json == topic, "the same policy again changes nothing"
    changed = put(world.admin, "render", maxConsumers=4).json
    assert changed["version"] == 2 and changed["createdAt"] == topic["createdAt"]
    for _ in range(2):
        world.broker.kill()
        world.broker.start()
        assert world.admin.call("GET", "/admin/topics/render").json == changed
    assert world.admin.call("DELETE", "/admin/topics/render").status == 400
    drop(world.admin, "render")
    drop(world.admin, "render")
    world.broker.kill()
    world.broker.start()
    answer = world.admin.call("GET", "/admin/topics/render")
    assert answer.status == 404 and answer.json["error"] == 'queue topic "acme.render" not found'
    refused = world.admin.call("PUT", "/admin/topics/render", {**POLICY, "maxAttempts": 0})
    assert refused.status == 422 and refused.json["field"] == "maxAttempts"
    assert world.producer.call("GET", "/admin/topics/render").status == 401


def test_g19_two_tenants_have_topics_of_the_same_name_and_do_not_feel_each_others(shared):
    command = shared.command()
    name = command.lower()
    put(shared.admin, name, maxAttempts=2)
    assert shared.globex_admin.call("GET", f"/admin/topics/{name}").status == 404
    put(shared.globex_admin, name, maxAttempts=9)
    assert shared.producer.create(command)["maxAttempts"] == 2
    assert shared.globex_producer.create(command)["maxAttempts"] == 9
    assert shared.producer.create(command, maxAttempts=7)["maxAttempts"] == 7
    drop(shared.globex_admin, name)
    assert shared.admin.call("GET", f"/admin/topics/{name}").json["policy"]["maxAttempts"] == 2
    assert shared.globex_producer.create(command)["maxAttempts"] == 5


def test_g19_what_dies_begins_again_in_the_dead_letter_topic_in_the_same_trace(shared):
    command = shared.command()
    morgue = f"morgue-{command.lower()}"
    put(shared.admin, command.lower(), maxAttempts=1, deadLetterTopicRef=morgue)
    ctx = Context.new()
    task = shared.producer.create(command, {"keep": "me"}, ctx=ctx, priority=6, webhook=shared.hooks.url(f"/{morgue}"))
    shared.worker.claim(command)
    assert shared.worker.nack(task["id"], reason="no")["status"] == "dlq"
    copy = shared.worker2.claim(morgue, wait=5)
    assert copy["id"] != task["id"] and copy["payload"] == task["payload"] and copy["priority"] == 6
    assert "webhook" not in copy
    shared.worker2.complete(copy["id"])
    dead = shared.producer.result(task["id"])
    assert dead["task"]["lastKnownLocation"] == "DLQ_SET" and dead["result"]["error"] == "no"
    trace = shared.spans.wait_trace(ctx.trace_id, ["codeq.task.create"] * 2 + ["codeq.task.dead_letter",
                                                                               "codeq.task.submit_result",
                                                                               "codeq.webhook.task_result"])
    received_by_worker(copy, trace, ctx)
    made = trace.one("codeq.task.create", codeq_task_id=copy["id"])
    assert made.parent == trace.one("codeq.task.dead_letter", codeq_task_id=task["id"]).span_id
    assert made.trace_state == ctx.tracestate
    told = shared.producer.timeline(copy["id"])
    assert told["traceId"] == ctx.trace_id and told["spans"][0]["parentSpanId"] == made.parent
    assert len(shared.hooks.wait(f"/{morgue}")) == 1


def test_g19_topics_that_name_each_other_do_not_go_round_for_ever(shared):
    command = shared.command().lower()
    other = f"{command}-x"
    put(shared.admin, command, maxAttempts=1, deadLetterTopicRef=other)
    put(shared.admin, other, maxAttempts=1, deadLetterTopicRef=command)
    task = shared.producer.create(command)
    shared.worker.claim(command)
    shared.worker.nack(task["id"])
    copy = shared.worker.claim(other, wait=5)
    assert shared.worker.nack(copy["id"])["status"] == "dlq"
    assert shared.worker.claim([command, other], wait=1) is None


def test_g19_at_most_so_many_workers_hold_leases_and_a_waiting_one_is_served_when_one_is_done(shared):
    command = shared.command()
    put(shared.admin, command.lower(), maxConsumers=1)
    for _ in range(3):
        shared.producer.create(command)
    first = shared.worker.claim(command)
    assert shared.worker2.claim(command) is None
    assert shared.worker2.claim_batch(command, 5) == []
    second = shared.worker.claim(command)
    assert second, "the holder itself may have more"
    got = []
    waiting = threading.Thread(target=lambda: got.append(shared.worker2.claim(command, wait=20)))
    waiting.start()
    shared.worker.complete(first["id"])
    shared.worker.complete(second["id"])
    waiting.join(15)
    assert got and got[0], "served when the last lease of the only consumer ended"
    assert shared.worker.claim(command) is None
    shared.worker2.complete(got[0]["id"])


def test_g19_the_limit_counts_leases_over_a_kill(new_world):
    world = new_world()
    put(world.admin, "render", maxConsumers=1)
    for _ in range(2):
        world.producer.create("RENDER")
    held = world.worker.claim("RENDER")
    world.broker.kill()
    world.broker.start()
    assert world.worker2.claim("RENDER") is None
    world.worker.complete(held["id"])
    assert world.worker2.claim("RENDER", wait=5)


def test_g19_retention_of_a_topic_goes_before_the_setting(shared):
    command = shared.command()
    put(shared.admin, command.lower(), retentionSeconds=1)
    task = shared.producer.create(command)
    shared.worker.claim(command)
    shared.worker.complete(task["id"])
    deadline = time.monotonic() + 15
    while shared.producer.call("GET", f"/tasks/{task['id']}").status != 404:
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.1)  # It is only to be asked for.
