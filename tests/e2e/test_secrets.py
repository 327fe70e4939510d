"""Payload, result, webhook URL, idempotency key, token and reason appear in no span, log line or metric."""

import json
import secrets
import urllib.parse

from harness import Context, Raw, exchange, request_bytes


def test_canaries_appear_in_no_span_no_log_line_and_no_metric(new_world, own_receiver):
    receiver = own_receiver()
    world = new_world(backend=receiver, RESULT_WEBHOOK_MAX_ATTEMPTS=2, WEBHOOK_HMAC_SECRET="canary-hmac-" + secrets.token_hex(8))
    canaries = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in (
        "payload", "key", "path", "query", "result", "error", "reason", "artifact", "baggage", "user", "password", "badtoken",
        "worker-error", "bad-body")}
    ctx = Context.new(baggage=f"secret={canaries['baggage']}")
    hook = world.hooks.url(f"/{canaries['path']}?q={canaries['query']}")
    path = urllib.parse.urlsplit(hook).path + "?" + urllib.parse.urlsplit(hook).query
    common = {"webhook": hook, "ctx": ctx, "idempotencyKey": canaries["key"]}

    def fresh(command, **fields):
        return world.producer.create(command, {"p": canaries["payload"]}, **(common | {"idempotencyKey": None} | fields))

    # Every path once, good and bad.
    done = world.producer.create("DONE", {"p": canaries["payload"]}, **common)
    world.producer.create("DONE", {"p": canaries["payload"]}, **common)
    mismatch = world.producer.create("DONE", {"p": canaries["payload"], "other": 1}, expect=409, **common)
    assert canaries["key"] not in json.dumps(mismatch)
    world.worker.claim("DONE", ctx)
    world.hooks.reply(path, [500, None])
    world.worker.call("POST", f"/tasks/{done['id']}/result", {
        "status": "COMPLETED", "result": {"r": canaries["result"]},
        "artifacts": [{"name": "a", "url": f"https://example.org/{canaries['artifact']}"}]}, ctx)
    failed = fresh("FAILED")
    world.worker.claim("FAILED")
    world.worker.fail(failed["id"], canaries["error"])
    nacked = fresh("NACKED", maxAttempts=2)
    world.worker.claim("NACKED")
    world.worker.nack(nacked["id"], 0, canaries["reason"])
    world.worker.claim("NACKED", wait=5)
    world.worker.nack(nacked["id"], 0, canaries["reason"])
    expired = fresh("EXPIRED", maxAttempts=1)
    world.worker.claim("EXPIRED", lease=1)
    world.producer.result(expired["id"], wait=10)
    credentials = world.producer.create("BAD", expect=400, webhook=f"http://{canaries['user']}:{canaries['password']}@127.0.0.1/")
    assert canaries["password"] not in json.dumps(credentials)
    unreachable = fresh("UNREACHABLE", webhook=f"http://127.0.0.1:1/{canaries['path']}")
    world.worker.claim("UNREACHABLE")
    world.worker.complete(unreachable["id"], {"r": canaries["result"]})
    bad_url = world.producer.create("BAD", {"p": canaries["payload"]}, webhook=f"ftp://{canaries['path']}", expect=400)
    assert canaries["path"] not in json.dumps(bad_url)
    world.producer.call("POST", "/tasks", f'{{"{canaries["bad-body"]}": '.encode())
    world.worker.call("POST", f"/tasks/{done['id']}/result", {"status": canaries["worker-error"]})
    answer = exchange(world.broker.port, "POST", "/v1/codeq/tasks", {"command": "X", "payload": 1},
                      [("Authorization", f"Bearer {canaries['badtoken']}")])
    assert answer.status == 401 and canaries["badtoken"].encode() not in answer.body
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", f"/{canaries['path']}?token={canaries['badtoken']}", canaries["badtoken"], b"{}"))
        raw.answer()
        raw.send(b"GARBAGE " + canaries["badtoken"].encode() + b"\r\n\r\n")
    world.hooks.wait(path, 4, 20)
    receiver.store.wait_trace(ctx.trace_id, ["codeq.webhook.task_result"] * 6, 20)
    metrics = world.broker.get("/metrics").body
    health = world.broker.get("/readyz?verbose").body + world.broker.get("/version").body
    world.broker.stop()

    exported = b"".join(receiver.raw)
    assert done["id"].encode() in exported, "the search below does look at the right bytes"
    values = [*canaries.values(), *world.tokens.all(), world.broker.settings["WEBHOOK_HMAC_SECRET"]]
    for value in values:
        needle = value.encode()
        assert needle not in exported, f"{value} is in a span"
        assert needle not in metrics + health, f"{value} is in a metric"
        assert value not in world.broker.log(), f"{value} is in the log"


def test_a_configuration_error_does_not_print_the_secrets_beside_it(tmp_path):
    from harness import World
    world = World(tmp_path, backend=False, start=False, PORT_TYPO="1", MAX_ATTEMPTS_DEFAULT="many",
                  WEBHOOK_HMAC_SECRET="canary-hmac", TRACING_SAMPLE_RATIO="7")
    try:
        world.broker.start()
    except AssertionError:
        pass
    assert world.broker.process.poll() == 1
    for value in [*world.tokens.all(), "canary-hmac"]:
        assert value not in world.broker.log()
    world.hooks.stop()
