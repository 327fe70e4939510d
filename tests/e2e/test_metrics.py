"""Every family of the page: what it counts, on every path, in both syntaxes, and that docs/metrics.md tells the truth."""

import pathlib
import re
import time

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text_format

from harness import Context
from harness.net import exchange

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
NO_TASK = "00000000-0000-8000-8000-000000000000"
OPEN = [("Accept", "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")]


def open_page(broker):
    answer = broker.get("/metrics", headers=OPEN)
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return answer.body.decode()


def families(broker):
    """{name as in the text format: family} of the page in OpenMetrics, whose parser is the stricter one."""
    return {f.name + "_total" * (f.type == "counter"): f for f in openmetrics.text_string_to_metric_families(open_page(broker))}


def samples(broker):
    return {(s.name, *sorted(s.labels.items())): s.value for f in families(broker).values() for s in f.samples}


def value(broker, name, **labels):
    return samples(broker).get((name, *sorted(labels.items())), 0)


def until(broker, at_least, name, **labels):
    deadline = time.monotonic() + 10
    while value(broker, name, **labels) < at_least:
        assert time.monotonic() < deadline, (name, labels, value(broker, name, **labels))
        time.sleep(0.02)


def documented():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return {re.search(r"`(\w+)`", name)[1]: (kind, set(re.findall(r"`(\w+)`", labels)), "◆" in name) for name, kind, labels, _ in rows}


def life(world, command):
    """One of everything that can happen to a task, over HTTP and over streams."""
    ctx, broker = Context.new(), world.broker
    world.hooks.reply("/x", [500, 200])
    world.worker.call("POST", "/workers/subscriptions", {"callbackUrl": world.hooks.url("/ready"), "eventTypes": [command]})
    task = world.producer.create(command, ctx=ctx, webhook=world.hooks.url("/x"))
    world.hooks.wait("/ready")
    world.worker.claim(command)
    world.worker.complete(task["id"])
    assert world.worker.call("POST", f"/tasks/{task['id']}/result", {"status": "COMPLETED", "result": {}}).status >= 400
    assert world.worker.call("POST", f"/tasks/{NO_TASK}/result", {"status": "COMPLETED", "result": {}}).status >= 400
    other = world.producer.create(command)
    world.worker.claim(command)
    assert world.worker2.call("POST", f"/tasks/{other['id']}/result", {"status": "COMPLETED", "result": {}}).status >= 400
    world.worker.abandon(other["id"])
    with world.produce() as producer, world.work() as worker:
        producer.created(command)
        producer.create_batch([producer.task(command) for _ in range(3)])
        until(broker, 1, "codeq_streams_open", service="worker")
        worker.ready(command, count=4)
        tasks = worker.tasks()
        worker.heartbeat(tasks[0].id)
        worker.complete(tasks[0].id)
        worker.results(*[worker.result_of(t.id, status="FAILED", result=b"", error="x") for t in tasks[1:2]])
        worker.nack(tasks[2].id, delay=600)
        worker.abandon(tasks[3].id)
        worker.send(result=worker.result_of(NO_TASK))
        worker.ready("NOBODY-MAKES-THIS", count=1)
        until(broker, 1, "codeq_stream_credits")
        until(broker, 1, "codeq_claims_parked")
    until(broker, 1, "codeq_webhook_deliveries_total", kind="task_result", command=command, outcome="success")
    until(broker, 1, "codeq_webhook_deliveries_total", kind="queue_ready", command=command, outcome="success")
    return ctx


@pytest.fixture
def lived(new_world):
    world = new_world(RATE_LIMIT_ADMIN_REQUESTS_PER_MINUTE=1, RATE_LIMIT_ADMIN_BURST_SIZE=1)
    world.ctx = life(world, "RENDER")
    return world


def test_the_table_of_the_documentation_is_the_page(lived):
    broker = lived.broker
    dead = lived.producer.create("DEAD", maxAttempts=1)
    lived.worker.claim("DEAD", lease=1)
    lived.producer.result(dead["id"], wait=10)
    for _ in range(3):
        lived.admin.call("POST", "/admin/tasks/cleanup", {})
    until(broker, 1, "codeq_spans_exported_total")
    shown, told = families(broker), documented()
    unseen = {name for name in told if name.startswith("codeq_tls_")}
    assert set(told) - unseen - set(shown) == set(), "in the table but not on the page"
    assert set(shown) - set(told) == set(), "on the page but not in the table"
    for name, family in shown.items():
        kind, labels, marked = told[name]
        assert family.type == kind, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels, sample
            assert sample.exemplar is None or marked, sample
    with_exemplars = {name for name, family in shown.items() if any(s.exemplar for s in family.samples)}
    assert with_exemplars == {name for name, (_, _, marked) in told.items() if marked}


def test_both_syntaxes_show_the_same_and_only_one_has_exemplars(lived):
    answer = lived.broker.get("/metrics")
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    text = {f.name for f in text_format.text_string_to_metric_families(answer.body.decode())}
    page = open_page(lived.broker)
    assert text == {f.name for f in openmetrics.text_string_to_metric_families(page)}
    assert page.endswith("\n# EOF\n") and " # {" in page
    assert " # {" not in answer.body.decode() and "# EOF" not in answer.body.decode()
    for accept, kind in (("*/*", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text"),
                         ("application/openmetrics-text;q=0.2, text/plain;q=0.3", "text/plain"), ("application/json", "text/plain")):
        assert lived.broker.get("/metrics", headers=[("Accept", accept)]).header("Content-Type").startswith(kind), accept


def test_every_path_counts(lived):
    now = samples(lived.broker)

    def of(name, **labels):
        return now.get((name, *sorted(labels.items())), 0)
    assert of("codeq_task_created_total", command="RENDER") == 6
    assert of("codeq_task_claimed_total", command="RENDER") == 6 == of("codeq_task_wait_seconds_count", command="RENDER")
    assert of("codeq_task_run_seconds_count", command="RENDER") == 3
    assert of("codeq_task_end_to_end_seconds_count", command="RENDER", status="COMPLETED") == 2
    assert of("codeq_task_end_to_end_seconds_count", command="RENDER", status="FAILED") == 1
    assert [of("codeq_results_rejected_total", reason=r) for r in ("finished", "not_owner", "unknown")] == [1, 1, 2]
    assert of("codeq_webhook_attempts_total", kind="task_result", outcome="status") == 1
    assert of("codeq_webhook_attempts_total", kind="task_result", outcome="success") == 1
    assert of("codeq_http_requests_total", method="POST", route="/v1/codeq/tasks", code="202") == 2
    assert of("codeq_http_request_duration_seconds_count", method="POST", route="/v1/codeq/tasks") == 2
    assert of("codeq_http_requests_in_flight") >= 1, "the page itself"
    assert of("codeq_stream_messages_total", service="producer", message="create_batch") == 1
    assert of("codeq_stream_messages_total", service="worker", message="nack") == 1
    assert of("codeq_stream_answer_duration_seconds_count", service="producer", operation="create") == 4
    assert of("codeq_streams_opened_total", service="worker") == 1
    assert of("codeq_commit_group_records_count") > 0 and of("codeq_disk_sync_duration_seconds_count") > 0
    assert of("process_max_fds") >= of("process_open_fds") > 0 and of("process_threads") > 1


def test_streams_and_their_credits_are_counted_out_again(lived):
    deadline = time.monotonic() + 10
    while any(value(lived.broker, name, **labels) for name, labels in
              (("codeq_streams_open", {"service": "worker"}), ("codeq_streams_open", {"service": "producer"}),
               ("codeq_stream_credits", {}), ("codeq_claims_parked", {}))):
        assert time.monotonic() < deadline, open_page(lived.broker)
        time.sleep(0.02)


def test_expiry_dead_letter_redrive_and_cancel_are_counted(new_world):
    world = new_world(backend=False)
    task = world.producer.create("X", maxAttempts=1)
    world.worker.claim("X", lease=1)
    world.producer.result(task["id"], wait=10)
    assert value(world.broker, "codeq_lease_expired_total", command="X") == 1
    assert value(world.broker, "codeq_dlq_depth", command="X") == 1
    world.admin.redrive(command="X")
    assert value(world.broker, "codeq_dlq_depth", command="X") == 0
    assert value(world.broker, "codeq_queue_depth", command="X", queue="ready") == 1
    world.producer.cancel(task["id"])
    assert value(world.broker, "codeq_task_completed_total", command="X", status="FAILED") == 2
    assert value(world.broker, "codeq_task_created_total", command="X") == 1


def test_an_exemplar_leads_to_a_trace_that_the_backend_has(lived):
    wait = families(lived.broker)["codeq_task_wait_seconds"]
    marks = [s.exemplar for s in wait.samples if s.exemplar]
    assert marks
    for mark in marks:
        trace = lived.spans.wait_trace(mark.labels["trace_id"], ["codeq.task.claim"])
        assert mark.labels["span_id"] in {s.span_id for s in trace.spans if s.name == "codeq.task.claim"}
        assert abs(float(mark.timestamp) - time.time()) < 600
    hooks = families(lived.broker)["codeq_webhook_attempt_duration_seconds"]
    assert lived.ctx.trace_id in {s.exemplar.labels["trace_id"] for s in hooks.samples if s.exemplar and s.labels["kind"] == "task_result"}


def test_unsampled_traces_leave_no_exemplar(new_world):
    world = new_world(OTEL_TRACES_SAMPLER="always_off")
    world.producer.create("X")
    world.worker.complete(world.worker.claim("X")["id"])
    assert value(world.broker, "codeq_task_run_seconds_count", command="X") == 1
    assert " # {" not in open_page(world.broker)


def test_names_of_hostile_callers_neither_break_nor_blow_up_the_page(new_world):
    world = new_world(backend=False)
    names = ['a"b', "a\\", "a\nb", "a\tb", "a{b}", "a,b=\"c\"", "# EOF", "größe", "other", "", " ", "x" * 256, "\u202e", "a\x7fb"]
    for name in names:
        world.producer.call("POST", "/tasks", {"command": name, "payload": 1})
    for n in range(10):
        world.producer.create_batch([{"command": f"INVENTED-{n}-{k}", "payload": 1} for k in range(100)])
    made = {s.labels["command"]: s.value for s in families(world.broker)["codeq_task_created_total"].samples}
    assert len(made) <= 201 and made["other"] >= 800 and made["größe"] == 1
    assert sum(made.values()) == 1000 + len(names) - 2, "blank ones are refused"
    assert len(world.broker.get("/metrics").body) < 4 << 20
    # What callers write into paths is no label either.
    for path in ("/v1/codeq/tasks/" + "x" * 200, "/nowhere-at-all", "/metrics?x=%0a%22"):
        exchange(world.broker.port, "GET", path)
    page = open_page(world.broker)
    assert "nowhere" not in page and "xxx" not in page.replace("x" * 256, "")
    assert value(world.broker, "codeq_http_requests_total", method="any", route="none", code="404") == 1


def test_gauges_are_true_after_a_restart(new_world):
    world = new_world(backend=False)
    world.hooks.reply("/down", [500] * 1000)
    for _ in range(3):
        world.producer.create("A", priority=3)
    world.producer.create("A", delaySeconds=600)
    world.producer.create("B", webhook=world.hooks.url("/down"))
    world.worker.complete(world.worker.claim("B")["id"])
    world.worker.claim("A", lease=600)
    world.hooks.wait("/down")
    until(world.broker, 1, "codeq_queue_oldest_waiting_seconds", command="A")

    def state():
        now = samples(world.broker)
        return [now[("codeq_leases_held",)], now[("codeq_webhook_outbox_depth",)],
                *[now[("codeq_queue_depth", ("command", "A"), ("queue", q))] for q in ("ready", "delayed", "in_progress", "dlq")]]
    assert state() == [1, 1, 2, 1, 1, 0]
    assert value(world.broker, "codeq_queue_oldest_waiting_seconds", command="A") >= 1
    assert value(world.broker, "codeq_webhook_outbox_oldest_seconds") >= 1
    world.broker.restart()
    assert state() == [1, 1, 2, 1, 1, 0]
    assert value(world.broker, "codeq_queue_oldest_waiting_seconds", command="A") >= 1
    assert value(world.broker, "codeq_webhook_outbox_oldest_seconds") >= 1
