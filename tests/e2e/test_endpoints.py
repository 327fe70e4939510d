"""What operators look at: health, version, metrics. No token, no tenant's data."""

import json

from harness import Context

FAMILIES = {
    "codeq_task_created_total": "counter", "codeq_task_claimed_total": "counter", "codeq_task_completed_total": "counter",
    "codeq_task_processing_latency_seconds": "histogram", "codeq_lease_expired_total": "counter",
    "codeq_webhook_deliveries_total": "counter", "codeq_rate_limit_hits_total": "counter", "codeq_queue_depth": "gauge",
    "codeq_dlq_depth": "gauge", "codeq_subscriptions_active": "gauge",
}


def test_q1_there_are_health_routes_without_a_token(shared):
    for path in ("/livez", "/readyz", "/healthz"):
        assert shared.broker.get(path).status == 200, path
    verbose = shared.broker.get("/readyz?verbose")
    assert verbose.status == 200 and len(verbose.body) > len(shared.broker.get("/readyz").body)


def test_the_version_is_json(shared):
    answer = shared.broker.get("/version")
    assert answer.status == 200 and answer.json["version"]


def test_the_families_of_the_reference_keep_their_names_and_kinds(new_world):
    world = new_world(backend=False)
    world.hooks.reply("/x", [200])
    task = world.producer.create("X", webhook=world.hooks.url("/x"), maxAttempts=1)
    world.worker.claim("X", lease=1)
    world.producer.result(task["id"], wait=10)
    world.hooks.wait("/x")
    world.broker.wait_for_metric('codeq_webhook_deliveries_total{kind="task_result",command="X",outcome="success"}', 1)
    text = world.broker.get("/metrics").body.decode()
    declared = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    for name, kind in FAMILIES.items():
        # As in the reference, a family shows up with its first event; these two have none yet.
        if name not in ("codeq_rate_limit_hits_total", "codeq_subscriptions_active") or name in declared:
            assert declared.get(name) == kind, f"{name}: {declared.get(name)}"


def test_the_durability_is_told(shared):
    text = shared.broker.get("/metrics").body.decode()
    assert any("durability" in line and "sync" in line for line in text.splitlines())


def test_q22_g21_batches_and_dead_letters_are_counted_like_single_calls(new_world):
    world = new_world(backend=False)
    world.producer.create("A")
    world.producer.create_batch([{"command": "A", "payload": n} for n in range(3)])
    tasks = world.worker.claim_batch("A", 4)
    world.worker.complete(tasks[0]["id"])
    world.worker.results_batch([{"taskId": t["id"], "status": "COMPLETED", "result": {}} for t in tasks[1:3]])
    world.worker.results_batch([{"taskId": tasks[3]["id"], "status": "FAILED", "error": "x"}])
    world.producer.create("B", maxAttempts=1)
    world.worker.nack(world.worker.claim("B")["id"])
    metrics = world.broker.metrics()
    assert metrics['codeq_task_created_total{command="A"}'] == 4
    assert metrics['codeq_task_claimed_total{command="A"}'] == 4
    assert metrics['codeq_task_completed_total{command="A",status="COMPLETED"}'] == 3
    assert metrics['codeq_task_completed_total{command="A",status="FAILED"}'] == 1
    assert metrics['codeq_task_completed_total{command="B",status="FAILED"}'] == 1
    assert metrics['codeq_task_processing_latency_seconds_count{command="A",status="COMPLETED"}'] == 3


def test_g25_the_gauges_show_the_queues_of_every_command_of_every_tenant(new_world):
    world = new_world(backend=False)
    for n in range(5):
        world.producer.create("ANY", n)
    world.globex_producer.create("ANY")
    world.producer.create("ANY", delaySeconds=600)
    world.worker.claim("ANY")
    world.producer.create("DEAD", maxAttempts=1)
    world.worker.nack(world.worker.claim("DEAD")["id"])
    metrics = world.broker.metrics()
    depth = {queue: metrics.get(f'codeq_queue_depth{{command="ANY",queue="{queue}"}}') for queue in
             ("ready", "delayed", "in_progress")}
    assert depth == {"ready": 5, "delayed": 1, "in_progress": 1}
    assert metrics['codeq_dlq_depth{command="DEAD"}'] == 1
    world.broker.restart()
    again = world.broker.metrics()
    assert again['codeq_queue_depth{command="ANY",queue="ready"}'] == 5 and again['codeq_dlq_depth{command="DEAD"}'] == 1


def test_command_labels_are_capped(new_world):
    world = new_world(backend=False)
    for n in range(30):
        world.producer.create_batch([{"command": f"INVENTED-{n}-{k}", "payload": 1} for k in range(100)])
    names = {key for key in world.broker.metrics() if key.startswith("codeq_task_created_total")}
    assert len(names) < 2000, "a caller's inventions do not blow up the page"
    assert sum(v for k, v in world.broker.metrics().items() if k.startswith("codeq_task_created_total")) == 3000


def test_a_label_cannot_break_the_page(new_world):
    world = new_world(backend=False)
    world.producer.create('quo"te\\back\nnewline')
    text = world.broker.get("/metrics").body.decode()
    lines = [line for line in text.splitlines() if line.startswith("codeq_task_created_total")]
    assert len(lines) == 1 and r'command="quo\"te\\back' in lines[0] and lines[0].endswith('newline"} 1')


def test_every_error_carries_its_code_and_a_page_and_the_trace_id(shared):
    ctx = Context.new()
    answer = shared.producer.call("POST", "/tasks", b"{", ctx)
    assert answer.status == 400 and answer.error == "invalid body"
    assert answer.code and answer.json["traceId"] == ctx.trace_id


def test_log_lines_of_a_request_carry_its_trace(shared):
    for line in shared.broker.log().splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            assert {"time", "level", "msg"} <= entry.keys(), line
