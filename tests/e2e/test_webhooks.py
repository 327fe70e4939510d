"""The durable outbox as a receiver sees it."""

import base64
import hashlib
import hmac
import json
import time

import pytest

from harness import Context
from harness.rules import received_by_webhook
from harness.span import ERROR

SUBMIT, WEBHOOK = "codeq.task.submit_result", "codeq.webhook.task_result"


def finish(world, path, ctx=None, result=None, **fields):
    command = world.command()
    task = world.producer.create(command, ctx=ctx, webhook=world.hooks.url(path), **fields)
    world.worker.claim(command)
    world.worker.complete(task["id"], result)
    return task


def test_the_body_is_what_the_contract_says(shared):
    ctx = Context.new()
    task = finish(shared, "/body", ctx, {"n": 1})
    delivery = shared.hooks.wait("/body")[0]
    assert delivery.header("Content-Type") == "application/json"
    body = delivery.json
    assert body.keys() == {"taskId", "eventType", "status", "result", "error", "artifacts", "completedAt"}
    assert (body["taskId"], body["eventType"], body["status"]) == (task["id"], task["command"], "COMPLETED")
    assert body["result"] == {"n": 1} and body["error"] == "" and not body["artifacts"]
    assert body["completedAt"] == shared.producer.result(task["id"])["result"]["completedAt"]


def test_failed_attempts_are_repeated_and_each_has_a_span_whose_id_it_carries(shared, own_hooks):
    ctx = Context.new()
    # A receiver of its own, so that the one that hangs up does so on a fresh connection: a request on a kept one that died
    # may be sent twice within one attempt, as RFC 9110 9.2.2 lets clients do who know that it is safe.
    own_hooks.reply("/retry", [None, 500, 302])
    command = shared.command()
    task = shared.producer.create(command, ctx=ctx, webhook=own_hooks.url("/retry"))
    shared.worker.claim(command)
    shared.worker.complete(task["id"])
    deliveries = own_hooks.wait("/retry", 4, 15)
    trace = shared.life(task["id"], ctx, [SUBMIT] + [WEBHOOK] * 4)
    spans = [received_by_webhook(d, trace, ctx) for d in deliveries]
    assert [s.attributes["codeq.webhook.attempt"] for s in spans] == [1, 2, 3, 4]
    assert [s.status for s in spans] == [ERROR, ERROR, ERROR, spans[3].status] and spans[3].status != ERROR
    assert [s.attributes.get("http.response.status_code") for s in spans] == [None, 500, 302, 200]
    assert {s.parent for s in spans} == {trace.one(SUBMIT).span_id}
    ids = {d.header("webhook-id") for d in deliveries}
    assert len(ids) == 1 and None not in ids, "the message keeps its id over attempts"
    assert all(later.at - earlier.at > 0.8 for earlier, later in zip(deliveries, deliveries[1:])), "with back-off"


def test_a_redirect_is_not_followed(shared):
    shared.hooks.reply("/moved", [307], [("Location", shared.hooks.url("/elsewhere"))])
    finish(shared, "/moved")
    shared.hooks.wait("/moved", 2, 15)
    assert shared.hooks.to("/elsewhere") == []


def test_a_delivery_that_failed_for_good_is_listed_and_can_be_replayed(new_world):
    world = new_world(RESULT_WEBHOOK_MAX_ATTEMPTS=2)
    ctx = Context.new()
    world.hooks.reply("/gone", [500, 500])
    task = finish(world, "/gone", ctx)
    world.hooks.wait("/gone", 2, 15)
    world.spans.wait_trace(ctx.trace_id, [WEBHOOK] * 2)

    def failed():
        return [d for d in world.producer.deliveries()["deliveries"] if d["status"] == "FAILED"]

    deadline = time.monotonic() + 10
    while not failed() and time.monotonic() < deadline:
        time.sleep(0.02)  # The state is only to be asked for.
    (entry,) = failed()
    assert entry["taskId"] == task["id"]
    assert world.hooks.url("/gone") not in json.dumps(entry), "the list shows no address"
    world.broker.restart()
    assert [d["id"] for d in failed()] == [entry["id"]], "kept over a restart"
    foreign = world.globex_producer.call("POST", f"/webhooks/deliveries/{entry['id']}/replay")
    assert foreign.status == 404
    assert world.globex_producer.deliveries()["deliveries"] == []
    answer = world.producer.call("POST", f"/webhooks/deliveries/{entry['id']}/replay")
    assert answer.status in (200, 202), answer
    delivery = world.hooks.wait("/gone", 3, 10)[2]
    trace = world.life(task["id"], ctx, [WEBHOOK] * 3)
    received_by_webhook(delivery, trace, ctx)


@pytest.mark.parametrize("secret", ["a plain secret", "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()])
def test_both_signatures_are_right(new_world, secret):
    world = new_world(WEBHOOK_HMAC_SECRET=secret)
    world.hooks.reply("/signed", [503])
    finish(world, "/signed", None, {"text": "ü"})
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    first, second = world.hooks.wait("/signed", 2, 10)
    for d in (first, second):
        stamp = d.header("X-CodeQ-Timestamp")
        assert abs(int(stamp) - d.at) < 10
        assert d.header("X-CodeQ-Signature") == hmac.new(key, f"{stamp}.".encode() + d.body, hashlib.sha256).hexdigest()
        signed = f"{d.header('webhook-id')}.{d.header('webhook-timestamp')}.".encode() + d.body
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert expected in d.header("webhook-signature").split(" ")
    assert first.body == second.body


def test_without_a_secret_nothing_is_signed(shared):
    finish(shared, "/unsigned")
    delivery = shared.hooks.wait("/unsigned")[0]
    for name in ("X-CodeQ-Signature", "X-CodeQ-Timestamp", "webhook-signature"):
        assert delivery.header(name) is None


def test_q6_g17_a_private_address_is_refused_at_connect_unless_it_is_allowed(new_world):
    world = new_world(WEBHOOK_ALLOWED_NETWORKS="", RESULT_WEBHOOK_MAX_ATTEMPTS=1)
    ctx = Context.new()
    for n, host in enumerate(["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"]):
        task = world.producer.create(f"SSRF{n}", ctx=ctx.child(), webhook=f"http://{host}:{world.hooks.port}/ssrf")
        world.worker.claim(f"SSRF{n}")
        world.worker.complete(task["id"])
    trace = world.spans.wait_trace(ctx.trace_id, [WEBHOOK] * 6, 20)
    assert all(s.status == ERROR for s in trace.many(WEBHOOK))
    assert world.hooks.all() == []


def test_a_slow_host_does_not_hold_up_another(new_world, own_receiver):
    # A socket that accepts and never answers: every delivery to it takes the whole timeout.
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.2", 0))
        silent.listen(64)
        world = new_world(WEBHOOK_PER_HOST_CONCURRENCY=2)
        for n in range(10):
            task = world.producer.create("SLOW", webhook=f"http://127.0.0.2:{silent.getsockname()[1]}/never")
            world.worker.claim("SLOW")
            world.worker.complete(task["id"])
        finish(world, "/quick")
        world.hooks.wait("/quick", 1, 5)
        world.broker.kill()


def test_a_proxy_of_the_environment_is_not_used(tmp_path, new_world):
    world = new_world(http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")
    finish(world, "/direct")
    world.hooks.wait("/direct")
