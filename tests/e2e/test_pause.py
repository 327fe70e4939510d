"""A paused queue looks empty to those who claim, and to nobody else; until it is resumed, also across a kill."""

import threading


def test_claims_skip_a_paused_queue_and_a_resume_serves_those_who_wait(new_world):
    world = new_world(backend=False)
    task = world.producer.create("Render")["id"]
    assert world.admin.queue("rENDER", "pause") == {
        "command": "rENDER", "ready": 1, "delayed": 0, "inProgress": 0, "dlq": 0, "paused": True}
    assert world.worker.claim("Render") is None
    assert world.worker.claim([]) is None
    assert world.worker.claim_batch("RENDER", 10) == []
    other = world.producer.create("other")["id"]
    assert world.worker.claim(["Render", "other"])["id"] == other, "the next one of those asked for"
    got = []
    waiting = threading.Thread(target=lambda: got.append(world.worker2.claim("Render", wait=30)))
    waiting.start()
    second = world.producer.create("Render")["id"]
    assert world.admin.queue("Render")["ready"] == 2, "creates go on"
    assert world.admin.queue("Render", "resume")["paused"] is False
    waiting.join(30)
    assert got[0]["id"] == task
    assert world.worker.claim("Render")["id"] == second


def test_those_who_hold_a_task_go_on(new_world):
    world = new_world(backend=False)
    first, second, third = (world.producer.create("X", n)["id"] for n in range(3))
    for task in (first, second, third):
        assert world.worker.claim("X")["id"] == task
    world.admin.queue("X", "pause")
    world.worker.heartbeat(first)
    world.worker.complete(first)
    world.worker.abandon(second)
    world.worker.nack(third, delay=1)
    assert world.worker.claim("X", wait=2) is None, "what comes back is not handed out either"
    stats = world.admin.queue("X")
    assert (stats["ready"], stats["inProgress"]) == (2, 0)


def test_a_pause_survives_a_kill_also_of_a_queue_without_tasks(new_world):
    world = new_world(backend=False)
    world.admin.queue("later", "pause")
    world.broker.restart()
    task = world.producer.create("LATER")["id"]
    assert world.admin.queue("later")["paused"] is True
    assert world.worker.claim("later") is None
    world.broker.restart()
    assert world.worker.claim("later") is None
    world.admin.queue("later", "resume")
    world.broker.restart()
    assert world.worker.claim("later")["id"] == task


def test_a_pause_is_of_one_tenant_and_of_admins(new_world):
    world = new_world(backend=False)
    world.globex_producer.create("X")
    world.admin.queue("X", "pause")
    assert world.globex_worker.claim("X") is not None
    for api in (world.producer, world.worker):
        assert api.call("POST", "/admin/queues/X/resume").status == 401
    assert world.admin.queue("X")["paused"] is True
    assert "paused" not in str(world.admin.queues())
