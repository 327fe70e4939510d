"""The reference's minimal happy path, step by step, as its clients walk it."""

from harness.api import BASE


def test_the_reference_clients_happy_path(new_world):
    world = new_world(backend=False)
    producer, worker = world.producer, world.worker

    created = producer.call("POST", "/tasks", b'{"command":"GENERATE_MASTER","payload":{"k":"v"},"priority":5}')
    assert created.status == 202
    assert created.header("Content-Type") == "application/json; charset=utf-8"
    task = created.json
    assert task["status"] == "PENDING" and task["lastKnownLocation"] == "PENDING_LIST"
    assert task["payload"] == '{"k":"v"}' and task["priority"] == 5
    assert task["tenantId"] == "acme" and task["maxAttempts"] == 5
    assert not {"workerId", "leaseUntil", "attempts", "error", "resultKey"} & task.keys()

    claim = {"commands": ["GENERATE_MASTER"], "leaseSeconds": 60, "waitSeconds": 1}
    claimed = worker.call("POST", "/tasks/claim", claim)
    assert claimed.status == 200
    assert claimed.json["id"] == task["id"] and claimed.json["status"] == "IN_PROGRESS"
    assert claimed.json["attempts"] == 1 and claimed.json["workerId"] == "worker-1"
    assert claimed.json["lastKnownLocation"] == "INPROG_SET" and claimed.json["leaseUntil"].endswith("Z")

    path = f"/tasks/{task['id']}"
    heartbeat = worker.call("POST", f"{path}/heartbeat", {"extendSeconds": 60})
    assert (heartbeat.status, heartbeat.json) == (200, {"ok": True})

    nack = worker.call("POST", f"{path}/nack", {"delaySeconds": 1, "reason": "x"})
    assert (nack.status, nack.json) == (200, {"delaySeconds": 1, "status": "requeued"})

    again = worker.call("POST", "/tasks/claim", claim | {"waitSeconds": 5})
    assert again.status == 200 and again.json["id"] == task["id"]

    result = {"status": "COMPLETED", "result": {"ok": True}}
    record = worker.call("POST", f"{path}/result", result)
    assert record.status == 200
    assert record.json["taskId"] == task["id"] and record.json["status"] == "COMPLETED"
    assert record.json["result"] == {"ok": True} and "completedAt" in record.json

    repeat = worker.call("POST", f"{path}/result", result)
    assert (repeat.status, repeat.error) == (409, "not-in-progress")

    read = producer.call("GET", f"{path}/result?waitSeconds=5")
    assert read.status == 200 and read.json.keys() == {"result", "task"}
    assert read.json["result"] == record.json
    assert read.json["task"]["status"] == "COMPLETED" and read.json["task"]["lastKnownLocation"] == "NONE"
    assert read.json["task"]["resultKey"] == "codeq:results"

    empty = worker.call("POST", "/tasks/claim", {"commands": ["GENERATE_MASTER"]})
    assert (empty.status, empty.body) == (204, b"")
    assert empty.header("Content-Type") is None


def test_what_shipped_clients_rely_on(shared):
    command = shared.command()
    task = shared.producer.call("POST", "/tasks", {"command": command, "payload": [1], "delaySeconds": 0,
                                                   "priority": 99}).json
    assert task["priority"] == 9, "clamped silently"
    assert shared.worker.call("POST", "/tasks/claim", {"commands": [command], "waitSeconds": 0}).status == 200
    # A parked claim right behind a nack with the same delay sees the task at its deadline.
    shared.worker.nack(task["id"], 1)
    assert shared.worker.claim(command, wait=1) is not None
    shared.worker.complete(task["id"], {})
    assert "result" not in shared.producer.result(task["id"])["result"], "an empty object is left out"


def test_request_ids_are_echoed_or_made(shared):
    echoed = shared.producer.call("GET", "/tasks/none", headers=[("X-Request-Id", "abc-123")])
    assert echoed.header("X-Request-Id") == "abc-123"
    made = shared.producer.call("GET", "/tasks/none").header("X-Request-Id")
    assert len(made) == 32 and int(made, 16) >= 0
    assert shared.broker.get("/nowhere").header("X-Request-Id")


def test_unknown_routes_and_trailing_slashes(shared):
    for method, path in (("GET", "/nowhere"), ("DELETE", f"{BASE}/tasks"), ("OPTIONS", f"{BASE}/tasks")):
        answer = shared.producer.call(method, path.removeprefix(BASE) if path.startswith(BASE) else "/../.." + path)
        assert answer.status == 404, (method, path, answer)
    unknown = shared.broker.get("/nowhere")
    assert (unknown.status, unknown.body, unknown.header("Content-Type")) == (404, b"404 page not found", "text/plain")
    moved = shared.broker.get(f"{BASE}/tasks/abc/")
    assert moved.status == 301 and moved.header("Location") == f"{BASE}/tasks/abc"
    moved = shared.producer.call("POST", "/tasks/claim/", {})
    assert moved.status == 307 and moved.header("Location") == f"{BASE}/tasks/claim"
