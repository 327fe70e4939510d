"""What an admin of a tenant sees of its queues, and what any token learns of Raft; of one's own tenant only (Q7, G47)."""

import pytest

from harness import Context


def test_q7_g47_the_queue_overview_is_of_the_tenant_and_of_every_command(new_world):
    world = new_world(backend=False)
    assert world.admin.queues() == {}
    for priority in (0, 4, 4, 9):
        world.producer.create("Any.Name", priority=priority)
    world.producer.create("Any.Name", delaySeconds=600)
    world.worker.claim("Any.Name")
    world.producer.create("DEAD", maxAttempts=1)
    world.worker.nack(world.worker.claim("DEAD")["id"])
    world.globex_producer.create("Any.Name")
    expected = {
        "codeq:q:any.name:acme:pending:0": 1, "codeq:q:any.name:acme:pending:4": 2, "codeq:q:any.name:acme:inprog": 1,
        "codeq:q:any.name:acme:delayed": 1, "codeq:q:dead:acme:dlq": 1}
    assert world.admin.queues() == expected
    assert world.globex_admin.queues() == {"codeq:q:any.name:globex:pending:0": 1}
    world.broker.restart()
    assert world.admin.queues() == expected


def test_statistics_of_any_command_are_of_the_tenant_in_any_case(new_world):
    world = new_world(backend=False)
    world.producer.create("Render")
    world.producer.create("RENDER", delaySeconds=60)
    world.globex_producer.create("render")
    zero = {"ready": 0, "delayed": 0, "inProgress": 0, "dlq": 0, "paused": False}
    assert world.admin.queue("rENDER") == zero | {"command": "rENDER", "ready": 1, "delayed": 1}
    assert world.admin.queue("%20never%20seen%20") == zero | {"command": "never seen"}
    blank = world.admin.call("GET", "/admin/queues/%20")
    assert (blank.status, blank.error) == (400, "command is required")


def test_g25_statistics_count_tasks_that_have_a_tenant(new_world):
    """In the reference the overview reads keys without tenant, so that it shows zeros for ever."""
    world = new_world(backend=False)
    world.producer.create("GENERATE_MASTER")
    assert world.admin.queue("GENERATE_MASTER")["ready"] == 1
    assert sum(world.admin.queues().values()) == 1


def test_q12_g32_a_claim_without_commands_takes_any_command_of_the_tenant(new_world):
    world = new_world(backend=False)
    world.globex_producer.create("theirs", priority=9)
    world.producer.create("low")
    world.producer.create("High", priority=7)
    ids = []
    while task := world.worker.claim([]):
        ids.append(task["command"])
    assert ids == ["High", "low"]
    world.producer.create("NARROW")
    world.producer.create("wide", priority=9)
    assert world.narrow_worker.claim([])["command"] == "NARROW", "what its token may handle"


@pytest.mark.parametrize("path", ["/admin/queues", "/admin/queues/X", "/admin/dead-letters"])
def test_only_an_admin_may_look(shared, path):
    for api, text in ((shared.producer, "unauthorized. Admin only"), (shared.worker, None)):
        answer = api.call("GET", path)
        assert answer.status == 401 and text in (None, answer.error)


def test_raft_is_off_for_any_valid_token_and_unknown_without(shared):
    for api in (shared.producer, shared.worker, shared.admin):
        answer = api.call("GET", "/raft/status")
        assert (answer.status, answer.json) == (200, {"enabled": False, "numGroups": 0})
    assert shared.broker.get("/v1/codeq/raft/status").status == 401


def test_slashes_and_request_ids_are_those_of_the_reference(shared):
    for method, path, status in (("GET", "/raft/status/", 301), ("GET", "/admin/queues/X/?a=b", 301),
                                 ("POST", "/admin/queues/X/pause/", 307)):
        answer = shared.admin.call(method, path)
        assert answer.status == status and answer.header("location") == ("/v1/codeq" + path).replace("/?", "?").rstrip("/")
        assert answer.header("x-request-id") is None
    named = shared.admin.call("GET", "/admin/queues", headers=[("X-Request-Id", "mine-1")])
    assert named.header("x-request-id") == "mine-1"
    assert len(shared.admin.call("GET", "/admin/queues").header("x-request-id")) == 32
    assert shared.admin.call("GET", "/admin/nothing").body == b"404 page not found"


def test_cancel_ends_a_task_wherever_it_is_and_its_trace_says_so(new_world):
    world = new_world()
    for stage in ("ready", "delayed", "leased"):
        ctx, asking = Context.new(), Context.new()
        task = world.producer.create(f"C-{stage}", ctx=ctx, webhook=world.hooks.url(f"/{stage}"),
                                     **({"delaySeconds": 600} if stage == "delayed" else {}))
        if stage == "leased":
            world.worker.claim(f"C-{stage}", Context.new())
        cancelled = world.producer.cancel(task["id"], "secret-words", asking)
        assert (cancelled["status"], cancelled["error"]) == ("FAILED", "CANCELLED: secret-words")
        told = world.hooks.wait(f"/{stage}")[0]
        assert told.json["status"] == "FAILED" and told.json["error"] == "CANCELLED: secret-words"
        assert world.producer.result(task["id"])["result"]["error"] == "CANCELLED: secret-words"
        names = ["codeq.task.create", "codeq.task.cancel", "codeq.webhook.task_result",
                 *{"ready": ["codeq.task.queued"], "delayed": ["codeq.task.delayed"],
                   "leased": ["codeq.task.queued", "codeq.task.claim", "codeq.task.run"]}[stage]]
        trace = world.life(task["id"], ctx, names)
        assert sorted(s.name for s in trace.task_spans()) == sorted(names)
        cancel = trace.one("codeq.task.cancel")
        under = trace.one("codeq.task.claim" if stage == "leased" else "codeq.task.create")
        assert cancel.parent == under.span_id and cancel.links[0].trace_id == asking.trace_id
        assert cancel.attributes["codeq.cancel.from"] == stage
        if stage == "leased":
            assert trace.one("codeq.task.run").attributes["codeq.run.outcome"] == "cancelled"
            for call in (world.worker.heartbeat, world.worker.abandon, world.worker.nack, world.worker.complete):
                answer = call(task["id"], expect=409)
                assert (answer["error"], answer["code"]) == ("not-in-progress", "lease-lost")
        assert world.producer.cancel(task["id"], expect=409)["error"] == "not-in-progress"
        assert "secret-words" not in str(trace)


def test_a_cancellation_survives_a_kill(new_world):
    world = new_world(backend=False)
    ids = [world.producer.create("X", n)["id"] for n in range(5)]
    leased = world.worker.claim("X", lease=2)["id"]
    delayed = world.producer.create("X", delaySeconds=2)["id"]
    for task in (leased, ids[2], delayed):
        world.producer.cancel(task)
    world.broker.restart()
    for task in (leased, ids[2], delayed):
        assert world.producer.task(task)["error"] == "CANCELLED"
        assert world.producer.result(task)["result"]["status"] == "FAILED"
    assert [world.worker.claim("X")["id"] for _ in range(3)] == [ids[1], ids[3], ids[4]]
    assert world.worker.claim("X", wait=3) is None, "neither the lease nor the delay comes back"
    assert world.producer.task(leased)["status"] == "FAILED"


def test_nobody_cancels_what_is_not_theirs(shared):
    command = shared.command()
    task = shared.producer.create(command)["id"]
    assert shared.globex_producer.cancel(task, expect=404)["error"] == "not-found"
    assert shared.worker.call("POST", f"/tasks/{task}/cancel").status == 401
    assert shared.producer.cancel("5f0cf7f2-0000-4000-8000-000000000000", expect=404)["code"] == "not-found"
    assert shared.worker.claim(command)["id"] == task
