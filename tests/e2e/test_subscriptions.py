"""Queue-ready calls to subscribers (Q8, Q10, Q13, G18): who is called, with what, in which trace, and that nobody waits."""

import hashlib
import hmac
import socket
import time

from harness import Context
from harness.context import Context as Received
from harness.span import CLIENT, ERROR

SPAN = "codeq.webhook.queue_ready"


def subscribe(worker, world, path, command, expect=200, **fields):
    body = {"callbackUrl": world.hooks.url(path), "eventTypes": [command], "minIntervalSeconds": 1, **fields}
    answer = worker.call("POST", "/workers/subscriptions", body)
    assert answer.status == expect, answer
    return answer.json.get("subscriptionId")


def test_g18_a_call_says_what_there_is_and_is_in_the_trace_of_the_task_that_woke_the_queue(new_world):
    world = new_world(WEBHOOK_HMAC_SECRET="a secret")
    name = subscribe(world.worker, world, "/ready", "render")
    ctx = Context.new()
    world.producer.create("RENDER", ctx=ctx)
    (call,) = world.hooks.wait("/ready")
    body = call.json
    assert body.keys() == {"eventType", "available", "queueDepth", "claimUrl", "sentAt", "notificationId"}
    assert (body["eventType"], body["available"], body["queueDepth"]) == ("RENDER", True, 1)
    assert body["claimUrl"] == "/v1/codeq/tasks/claim" and len(body["sentAt"]) == 20 and body["sentAt"].endswith("Z")
    stamp = call.header("X-CodeQ-Timestamp")
    assert call.header("X-CodeQ-Signature") == hmac.new(b"a secret", f"{stamp}.".encode() + call.body,
                                                        hashlib.sha256).hexdigest()
    assert call.header("webhook-id") == body["notificationId"] and call.header("X-CodeQ-Delivery") is None
    trace = world.spans.wait_trace(ctx.trace_id, [SPAN])
    span = trace.one(SPAN)
    assert (span.kind, span.scope, span.parent) == (CLIENT, "codeq/notifier", trace.one("codeq.task.create").span_id)
    received = Received.parse(call.header("traceparent"))
    assert (received.trace_id, received.span_id) == (ctx.trace_id, span.span_id)
    assert call.header("tracestate") == ctx.tracestate == span.trace_state
    assert span.attributes["codeq.subscription.id"] == name
    assert span.attributes["codeq.webhook.kind"] == "queue_ready"
    assert span.attributes["codeq.webhook.host"] == f"127.0.0.1:{world.hooks.port}"
    assert world.hooks.url("/ready") not in str(span.attributes)
    time.sleep(1.1)  # The interval is the broker's to keep: time itself is what is tested.
    world.producer.create("RENDER")
    again = world.hooks.wait("/ready", 2)[1].json
    assert again["notificationId"] != body["notificationId"] and again["queueDepth"] == 2
    key = 'codeq_webhook_deliveries_total{kind="queue_ready",command="RENDER",outcome="success"}'
    world.broker.wait_for_metric(key, 2)
    assert world.broker.metrics()['codeq_subscriptions_active{command="render"}'] == 1


def test_q8_subscriptions_are_their_tenants_and_their_owners(shared):
    command = shared.command()
    mine = subscribe(shared.worker, shared, f"/{command}/acme", command)
    subscribe(shared.globex_worker, shared, f"/{command}/globex", command)
    subscribe(shared.narrow_worker, shared, "/none", command, expect=403)
    for other in (shared.worker2, shared.globex_worker):  # globex' worker has the same name as ours
        assert other.call("POST", f"/workers/subscriptions/{mine}/heartbeat").status == 404
        assert other.call("DELETE", f"/workers/subscriptions/{mine}").status == 404
    listed = shared.globex_worker.call("GET", "/workers/subscriptions").json["subscriptions"]
    assert mine not in str(listed) and f"/{command}/acme" not in str(listed)
    assert shared.hooks.url(f"/{command}/acme") not in str(shared.worker2.call("GET", "/workers/subscriptions").json)
    shared.producer.create(command)
    shared.hooks.wait(f"/{command}/acme")
    shared.globex_producer.create(command)
    shared.hooks.wait(f"/{command}/globex")
    assert len(shared.hooks.to(f"/{command}/acme")) == 1
    assert shared.worker.call("DELETE", f"/workers/subscriptions/{mine}").status == 204
    assert shared.worker.call("POST", f"/workers/subscriptions/{mine}/heartbeat").status == 404


def test_g18_a_subscription_outlives_a_kill_and_is_called_in_any_spelling_of_the_command(new_world):
    world = new_world()
    name = subscribe(world.worker, world, "/kept", "Render", ttlSeconds=600)
    world.broker.kill()
    world.broker.start()
    world.producer.create("rENDER")
    world.hooks.wait("/kept")
    answer = world.worker.call("POST", f"/workers/subscriptions/{name}/heartbeat", {"ttlSeconds": 60})
    assert answer.status == 200 and answer.json["subscriptionId"] == name


def test_g18_work_that_becomes_due_or_comes_back_calls_too(shared):
    command = shared.command()
    subscribe(shared.worker, shared, f"/{command}", command)
    task = shared.producer.create(command, delaySeconds=2)
    assert shared.hooks.to(f"/{command}") == []
    shared.hooks.wait(f"/{command}", 1, 10)
    time.sleep(1.1)
    shared.worker.claim(command)
    shared.worker.abandon(task["id"])
    shared.hooks.wait(f"/{command}", 2)
    shared.worker.claim(command)
    shared.worker.nack(task["id"], delay=2)
    shared.hooks.wait(f"/{command}", 3, 10)


def test_q10_a_create_does_not_wait_for_subscribers_nor_do_others(shared):
    command = shared.command()
    with socket.socket() as silent:  # accepts and never answers
        silent.bind(("127.0.0.3", 0))
        silent.listen(64)
        for n in range(20):
            subscribe(shared.worker, shared, "", command,
                      callbackUrl=f"http://127.0.0.3:{silent.getsockname()[1]}/{n}")
        subscribe(shared.worker, shared, f"/{command}", command)
        began = time.monotonic()
        shared.producer.create(command)
        shared.hooks.wait(f"/{command}", 1, 5)
        assert time.monotonic() - began < 10, "one silent subscriber alone would take 15 s"


def test_q13_each_member_of_a_group_has_its_turn(shared):
    command = shared.command()
    for n in range(3):
        subscribe(shared.worker, shared, f"/{command}/{n}", command, deliveryMode="group", groupId="g",
                  minIntervalSeconds=60)
    for n in range(1, 4):
        shared.producer.create(command)
        deadline = time.monotonic() + 10
        while sum(len(shared.hooks.to(f"/{command}/{m}")) for m in range(3)) < n:
            assert time.monotonic() < deadline, f"create {n} called nobody"
            time.sleep(0.02)  # Three paths, one event.
    assert [len(shared.hooks.to(f"/{command}/{m}")) for m in range(3)] == [1, 1, 1]
    shared.producer.create(command)
    subscribe(shared.worker, shared, f"/{command}/after", command)
    shared.producer.create(command)
    shared.hooks.wait(f"/{command}/after")
    assert sum(len(shared.hooks.to(f"/{command}/{m}")) for m in range(3)) == 3, "all within their interval"


def test_q13_hash_calls_one_of_its_members(shared):
    command = shared.command()
    for n in range(3):
        subscribe(shared.worker, shared, f"/{command}/{n}", command, deliveryMode="hash")
    subscribe(shared.worker, shared, f"/{command}/all", command)
    shared.producer.create(command)
    shared.hooks.wait(f"/{command}/all")
    deadline = time.monotonic() + 10
    while not any(shared.hooks.to(f"/{command}/{n}") for n in range(3)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sum(len(shared.hooks.to(f"/{command}/{n}")) for n in range(3)) == 1


def test_q6_an_internal_address_is_not_called(new_world):
    world = new_world(WEBHOOK_ALLOWED_NETWORKS="")
    subscribe(world.worker, world, "/internal", "render")
    ctx = Context.new()
    world.producer.create("render", ctx=ctx)
    span = world.spans.wait_trace(ctx.trace_id, [SPAN]).one(SPAN)
    assert span.status == ERROR and span.attributes["error.type"] == "refused-address"
    assert world.hooks.all() == []
