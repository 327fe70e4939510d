"""How often a token may come, and how often a webhook's address is called."""

import time


def rates(bucket, per_minute, burst):
    return {f"RATE_LIMIT_{bucket}_REQUESTS_PER_MINUTE": per_minute, f"RATE_LIMIT_{bucket}_BURST_SIZE": burst}


def hits(world, scope, operation):
    return world.broker.metrics().get(f'codeq_rate_limit_hits_total{{scope="{scope}",operation="{operation}"}}', 0)


def expect_429(answer, scope, operation):
    assert answer.status == 429, answer
    seconds = answer.json["retryAfterSeconds"]
    assert seconds >= 1 and answer.header("Retry-After") == str(seconds)
    assert answer.json == {"error": "rate limit exceeded", "operation": operation, "retryAfterSeconds": seconds,
                           "scope": scope, "code": "rate-limited"}


def test_creates_claims_and_cleanups_have_buckets_of_their_own(new_world):
    world = new_world(backend=False, **rates("PRODUCER", 1, 3), **rates("WORKER", 1, 2), **rates("ADMIN", 1, 1))
    one = {"command": "A", "payload": 1}
    ids = [world.producer.create("A")["id"] for _ in range(2)]
    assert len(world.producer.create_batch([one] * 10)) == 10  # one token, however many tasks
    expect_429(world.producer.call("POST", "/tasks", one), "producer", "create_task")
    expect_429(world.producer.call("POST", "/tasks/batch", {"tasks": [one]}), "producer", "create_task")
    expect_429(world.producer.call("POST", "/tasks", b"not even JSON"), "producer", "create_task")
    assert world.globex_producer.create("A")  # somebody else's token
    assert world.producer.task(ids[0])        # and reads are free

    claimed = [world.worker.claim("A"), *world.worker.claim_batch("A", 5)]
    assert len(claimed) == 6
    expect_429(world.worker.call("POST", "/tasks/claim", {"commands": ["A"]}), "worker", "claim")
    expect_429(world.worker.call("POST", "/tasks/claim/batch", {"commands": ["A"]}), "worker", "claim")
    for task in claimed:  # what is held can be finished
        world.worker.heartbeat(task["id"])
        world.worker.complete(task["id"])
    # The scope is asked for before the rate: who may not claim is told that.
    assert world.producer.call("POST", "/tasks/claim", {}).status == 401

    from harness.api import Api
    admin = Api(world.broker, world.tokens.acme_admin)
    assert admin.call("POST", "/admin/tasks/cleanup", {}).status == 200
    expect_429(admin.call("POST", "/admin/tasks/cleanup", {}), "admin", "cleanup")
    assert world.producer.call("POST", "/admin/tasks/cleanup", {}).error == "unauthorized. Admin only"
    assert hits(world, "producer", "create_task") == 3
    assert hits(world, "worker", "claim") == 2
    assert hits(world, "admin", "cleanup") == 1


def test_retry_after_is_the_truth(new_world):
    world = new_world(backend=False, **rates("PRODUCER", 60, 1))
    world.producer.create("A")
    answer = world.producer.call("POST", "/tasks", {"command": "A", "payload": 1})
    expect_429(answer, "producer", "create_task")
    time.sleep(answer.json["retryAfterSeconds"])
    world.producer.create("A")


def test_a_limit_with_only_one_number_is_off_and_says_so(new_world):
    world = new_world(backend=False, RATE_LIMIT_PRODUCER_REQUESTS_PER_MINUTE=1)
    for _ in range(5):
        world.producer.create("A")
    assert "a limit is off unless both are above 0" in world.broker.log()


def test_result_webhooks_wait_for_their_turn_and_lose_no_attempt(new_world):
    world = new_world(backend=False, **rates("WEBHOOK", 60, 1), RESULT_WEBHOOK_MAX_ATTEMPTS=1)
    calm, busy = world.hooks.url("/calm"), world.hooks.url("/busy")
    ids = [world.producer.create("A", webhook=busy)["id"] for _ in range(4)]
    other = world.producer.create("A", webhook=calm)["id"]
    for _ in range(5):
        world.worker.complete(world.worker.claim("A")["id"])
    assert len(world.hooks.wait("/calm", 1, 10)) == 1  # another address has a bucket of its own
    deliveries = world.hooks.wait("/busy", 4, 30)
    assert sorted(d.json["taskId"] for d in deliveries) == sorted(ids)
    gaps = [b.at - a.at for a, b in zip(deliveries, deliveries[1:])]
    assert all(gap > 0.7 for gap in gaps), gaps
    assert hits(world, "webhook", "task_result") == 3
    # With a single attempt allowed, a refused one that counted would have failed for good.
    assert world.producer.deliveries()["deliveries"] == []
    assert other
