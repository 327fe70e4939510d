"""One test per defect of the reference that must not come back: Q* and G* are its numbers in the compatibility notes."""

import base64
import json
import pathlib
import shutil
import statistics
import threading
import time

import pytest

from harness import BASE, Context

CREATE, DELAYED, QUEUED, CLAIM, RUN = (f"codeq.task.{n}" for n in ("create", "delayed", "queued", "claim", "run"))
SUBMIT, EXPIRED, DEAD = (f"codeq.task.{n}" for n in ("submit_result", "lease_expired", "dead_letter"))
WEBHOOK = "codeq.webhook.task_result"


def together(count, act):
    """Runs act(n) in `count` threads that start at the same moment."""
    barrier, answers = threading.Barrier(count), [None] * count

    def run(n):
        barrier.wait()
        answers[n] = act(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


# Isolation and idempotency

def test_q2_g7_an_idempotency_key_belongs_to_its_tenant(shared):
    command = shared.command()
    mine = shared.producer.create(command, {"secret": "of acme"}, idempotencyKey="k-" + command)
    theirs = shared.globex_producer.create(command, {"secret": "of globex"}, idempotencyKey="k-" + command)
    assert theirs["id"] != mine["id"] and theirs["tenantId"] == "globex"
    assert "acme" not in theirs["payload"]
    assert shared.producer.create(command, {"secret": "of acme"}, idempotencyKey="k-" + command)["id"] == mine["id"]


def test_q14_g7_concurrent_creates_with_one_key_make_one_task(shared):
    command = shared.command()
    ids = together(12, lambda n: shared.producer.create(command, {"n": 1}, idempotencyKey="race-" + command)["id"])
    assert len(set(ids)) == 1
    assert shared.worker.claim(command)["id"] == ids[0] and shared.worker.claim(command) is None


def test_the_same_key_with_another_payload_or_command_is_a_conflict(shared):
    command = shared.command()
    shared.producer.create(command, {"n": 1}, idempotencyKey="c-" + command)
    for other_command, payload in ((command, {"n": 2}), (command + "X", {"n": 1})):
        answer = shared.producer.call("POST", "/tasks", {"command": other_command, "payload": payload,
                                                         "idempotencyKey": "c-" + command})
        assert (answer.status, answer.error, answer.code) == (409, "idempotency conflict", "idempotency-mismatch")


def test_g7_an_idempotency_key_expires(new_world):
    world = new_world(backend=False, IDEMPOTENCY_TTL_SECONDS=1, RETENTION_SECONDS=1)
    first = world.producer.create("X", 1, idempotencyKey="short")
    world.worker.claim("X")
    world.worker.complete(first["id"])
    world.worker.claim("NONE", wait=3)
    assert world.producer.create("X", 1, idempotencyKey="short")["id"] != first["id"]


def test_q3_q4_g27_a_foreign_task_is_not_found_by_any_operation(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)  # by worker-1 of acme; globex has a worker-1, too
    path = f"/tasks/{task['id']}"
    worker, producer = shared.globex_worker, shared.globex_producer
    answers = {
        "heartbeat": (worker.call("POST", f"{path}/heartbeat", {}), "not-found"),
        "abandon": (worker.call("POST", f"{path}/abandon"), "not-found"),
        "nack": (worker.call("POST", f"{path}/nack", {}), "not-found"),
        "result": (worker.call("POST", f"{path}/result", {"status": "COMPLETED", "result": {}}), "task not found"),
        "get": (producer.call("GET", path), "not found"),
        "get result": (producer.call("GET", f"{path}/result"), "task not found"),
        "trace": (producer.call("GET", f"{path}/trace"), None),
    }
    for what, (answer, text) in answers.items():
        assert answer.status == 404, f"{what}: {answer}"
        assert text is None or answer.error == text, what
    batch = worker.results_batch([{"taskId": task["id"], "status": "COMPLETED", "result": {}}])
    assert batch == [{"taskId": task["id"], "error": "task not found"}] or batch[0]["error"] == "task not found"
    assert worker.claim(command) is None
    shared.worker.complete(task["id"])


def test_q5_g46_a_role_in_a_header_opens_nothing(new_world):
    world = new_world(backend=False, ENV="dev")
    for path in ("/admin/queues", "/admin/queues/X"):
        answer = world.producer.call("GET", path, headers=[("X-Role", "ADMIN")])
        assert answer.status in (401, 403, 404), f"{path}: {answer}"
    cleanup = world.producer.call("POST", "/admin/tasks/cleanup", {}, headers=[("X-Role", "ADMIN")])
    assert cleanup.status in (401, 403, 404)


def test_q5_g46_settings_of_the_environment_are_read(new_world):
    world = new_world(backend=False, ENV="prod", TIMEZONE="America/Sao_Paulo", DEFAULT_LEASE_SECONDS=77, WEBHOOK_HMAC_SECRET="s")
    task = world.producer.create("X")
    assert task["createdAt"].endswith("-03:00")
    before = time.time()
    claimed = world.worker.call("POST", "/tasks/claim", {"commands": ["X"]}).json
    until = time.strptime(claimed["leaseUntil"], "%Y-%m-%dT%H:%M:%SZ")
    import calendar
    assert 75 <= calendar.timegm(until) - before <= 79


def test_timestamps_are_utc_unless_configured(shared):
    assert shared.producer.create(shared.command())["createdAt"].endswith("Z")


# Attempts and dead letters

def test_q9_g30_one_attempt_per_delivery(shared):
    command = shared.command()
    task = shared.producer.create(command, maxAttempts=3)
    for attempt in (1, 2, 3):
        claimed = shared.worker.claim(command, wait=10)
        assert claimed["attempts"] == attempt
        answer = shared.worker.nack(task["id"], 1)
        assert answer["status"] == ("requeued" if attempt < 3 else "dlq")
    assert shared.producer.task(task["id"])["attempts"] == 3


def test_g30_the_reference_counting_is_a_setting(new_world):
    world = new_world(backend=False, ATTEMPT_COUNTING="reference")
    task = world.producer.create("X", maxAttempts=3)
    world.worker.claim("X")
    assert world.worker.nack(task["id"], 1)["status"] == "requeued"
    world.worker.claim("X", wait=10)
    assert world.worker.nack(task["id"], 1)["status"] == "dlq", "ceil(3/2) deliveries"


def test_q11_g17_every_dead_letter_sends_its_webhook_once_whoever_notices(shared):
    command = shared.command()
    expired = shared.producer.create(command, maxAttempts=1, webhook=shared.hooks.url("/q11-expired"))
    shared.worker.claim(command, lease=1)
    # Somebody asks for work all the time, so that a claim could be first to notice the expiry.
    shared.worker2.claim(command, wait=3)
    shared.hooks.wait("/q11-expired")
    nacked = shared.producer.create(command, maxAttempts=1, webhook=shared.hooks.url("/q11-nacked"))
    shared.worker.claim(command)
    shared.worker.nack(nacked["id"])
    shared.hooks.wait("/q11-nacked")
    assert shared.hooks.wait("/q11-expired")[0].json["taskId"] == expired["id"]
    assert len(shared.hooks.to("/q11-expired")) == len(shared.hooks.to("/q11-nacked")) == 1


def test_q12_g32_a_wildcard_worker_without_commands_gets_any_command_of_its_tenant_only(new_world):
    world = new_world(backend=False)
    foreign = world.globex_producer.create("SOMETHING-ELSE")
    mine = {world.producer.create(name)["id"] for name in ("INVENTED", "GENERATE_MASTER", "Ümlaut")}
    got = set()
    while (answer := world.worker.call("POST", "/tasks/claim", {})).status == 200:
        got.add(answer.json["id"])
    assert got == mine
    assert world.globex_worker.call("POST", "/tasks/claim", {}).json["id"] == foreign["id"]


def test_a_narrow_worker_gets_only_its_event_types(shared):
    shared.producer.create(shared.command())
    allowed = shared.narrow_worker.call("POST", "/tasks/claim", {"commands": ["OTHER"]})
    assert (allowed.status, allowed.error) == (403, "event type not allowed")
    task = shared.producer.create("NARROW")
    assert shared.narrow_worker.call("POST", "/tasks/claim", {}).json["id"] == task["id"]
    missing = shared.narrow_worker.call("POST", f"/tasks/{task['id']}/heartbeat", {})
    assert (missing.status, missing.error) == (403, "missing scope")


# Durability

@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_q15_g3_an_answer_comes_after_a_sync(new_world, tmp_path):
    world = new_world(backend=False, start=False)
    trace = tmp_path / "strace"
    world.broker.settings["ASAN_OPTIONS"] = "detect_leaks=0"  # which does not work under a tracer
    world.broker.start(wrapper=["strace", "-D", "-f", "-qq", "-e", "trace=fdatasync,fsync,sync_file_range", "-o", str(trace)])
    before = trace.read_text().count("sync(")
    for n in range(10):
        world.producer.create("X", n)
    # Sequential requests cannot share a group: each has a sync of its own before its answer.
    assert trace.read_text().count("sync(") - before >= 10
    world.broker.stop()


def test_g3_durability_none_and_interval_survive_a_process_kill(new_world):
    for durability in ("interval", "none"):
        world = new_world(backend=False, DURABILITY=durability)
        ids = [world.producer.create("X", n)["id"] for n in range(20)]
        world.broker.restart()
        assert [t["id"] for t in world.worker.claim_batch("X", 20)] == ids, durability


@pytest.mark.slow
def test_g4_more_than_a_hundred_thousand_tasks_in_one_queue_are_all_claimable_also_after_a_restart(new_world):
    world = new_world(backend=False, DURABILITY="none", LOG_LEVEL="warn")
    batch = json.dumps({"tasks": [{"command": "MANY", "payload": 1}] * 100}).encode()
    begin, total = time.monotonic(), 100_500
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", world.broker.port, timeout=60)
    headers = {"Authorization": f"Bearer {world.tokens.acme_producer}"}
    for _ in range(total // 100):
        connection.request("POST", f"{BASE}/tasks/batch", batch, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and b'"error"' not in body
    connection.close()
    world.broker.kill()
    world.broker.start(deadline_seconds=120)
    assert world.broker.metrics()['codeq_queue_depth{command="MANY",queue="ready"}'] == total
    claim = json.dumps({"commands": ["MANY"], "count": 100, "leaseSeconds": 3600}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", world.broker.port, timeout=60)
    headers = {"Authorization": f"Bearer {world.tokens.acme_worker}"}
    claimed = set()
    while True:
        connection.request("POST", f"{BASE}/tasks/claim/batch", claim, headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 204:
            break
        claimed.update(t["id"] for t in json.loads(body)["tasks"])
    assert len(claimed) == total
    print(f"{total} tasks created, recovered and claimed in {time.monotonic() - begin:.1f} s")


def test_g5_tasks_of_dead_workers_come_back_without_any_other_traffic(shared):
    command = shared.command()
    ids = {shared.producer.create(command, n)["id"] for n in range(5)}
    assert len(shared.worker.claim_batch(command, 5, lease=1)) == 5
    got = set()
    while len(got) < 5:
        task = shared.worker2.claim(command, wait=10)
        assert task is not None, f"{5 - len(got)} tasks never came back"
        got.add(task["id"])
    assert got == ids


def test_q18_g6_retention_never_touches_what_is_not_final_and_counts_from_the_end(new_world):
    world = new_world(backend=False, RETENTION_SECONDS=2)
    waiting = world.producer.create("WAITING")
    delayed = world.producer.create("DELAYED", delaySeconds=3600)
    leased = world.producer.create("LEASED")
    world.worker.claim("LEASED")
    done = world.producer.create("DONE")
    world.worker.claim("NOTHING", wait=2)  # Two seconds pass: retention from the creation would be over.
    world.worker.claim("DONE")
    world.worker.complete(done["id"])
    assert world.producer.task(done["id"])["status"] == "COMPLETED", "counted from the terminal time"
    deadline = time.monotonic() + 15
    while world.producer.call("GET", f"/tasks/{done['id']}").status == 200:
        assert time.monotonic() < deadline, "never cleaned up"
        world.worker.claim("NOTHING", wait=1)
    assert world.producer.call("GET", f"/tasks/{done['id']}/result").error == "task not found", "all parts go together"
    for task in (waiting, delayed, leased):
        assert world.producer.task(task["id"])["id"] == task["id"]
    world.broker.restart()
    assert world.producer.call("GET", f"/tasks/{done['id']}").status == 404
    assert world.worker.claim("WAITING")["id"] == waiting["id"]


# State machine

def test_q21_unknown_and_finished_tasks_have_their_own_answers(shared):
    command = shared.command()
    for verb, body in (("heartbeat", {}), ("abandon", None), ("nack", {})):
        answer = shared.worker.call("POST", f"/tasks/00000000-0000-8000-8000-000000000000/{verb}", body)
        assert (answer.status, answer.error) == (404, "not-found"), verb
    task = shared.producer.create(command)
    pending = {verb: shared.worker.call("POST", f"/tasks/{task['id']}/{verb}", body)
               for verb, body in (("heartbeat", {}), ("abandon", None), ("nack", {}),
                                  ("result", {"status": "COMPLETED", "result": {}}))}
    for verb, answer in pending.items():
        assert (answer.status, answer.error, answer.code) == (409, "not-in-progress", "not-in-progress"), verb
    shared.worker.claim(command)
    for verb, body in (("heartbeat", {}), ("abandon", None), ("nack", {}), ("result", {"status": "COMPLETED", "result": {}})):
        answer = shared.worker2.call("POST", f"/tasks/{task['id']}/{verb}", body)
        assert (answer.status, answer.error, answer.code) == (403, "not-owner", "not-owner"), verb
    shared.worker.complete(task["id"])
    for verb, body in (("heartbeat", {}), ("abandon", None), ("nack", {}), ("result", {"status": "COMPLETED", "result": {}})):
        answer = shared.worker.call("POST", f"/tasks/{task['id']}/{verb}", body)
        assert (answer.status, answer.error) == (409, "not-in-progress"), verb
        assert answer.code in ("lease-lost", "not-in-progress"), verb


def test_q22_a_batch_keeps_artifacts_and_takes_a_task_once(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)
    item = {"taskId": task["id"], "status": "COMPLETED", "result": {"n": 1},
            "artifacts": [{"name": "log", "url": "https://example.org/log"}]}
    unknown = {"taskId": "nobody", "status": "COMPLETED", "result": {}}
    first, second, third = shared.worker.results_batch([item, item, unknown])
    assert first["result"]["artifacts"] == [{"name": "log", "url": "https://example.org/log"}]
    assert second["error"] == "not-in-progress" and third["error"] == "task not found"
    assert shared.producer.result(task["id"])["result"]["artifacts"] == first["result"]["artifacts"]


def test_q23_a_dead_letter_has_a_result_so_that_long_polls_end(shared):
    command, answers = shared.command(), {}
    task = shared.producer.create(command, maxAttempts=1)
    shared.worker.claim(command)
    waiter = threading.Thread(target=lambda: answers.update(shared.producer.result(task["id"], wait=60)))
    waiter.start()
    shared.worker.nack(task["id"], 0, "why not")
    waiter.join(10)
    assert answers["result"]["status"] == "FAILED" and answers["result"]["error"] == "why not"


def test_q24_g45_yaml_takes_mappings_where_the_reference_wanted_json_text(new_world, tmp_path):
    world = new_world(backend=False, start=False)
    tokens = world.tokens
    config = tmp_path / "codeq.yaml"
    config.write_text(f"""
persistenceProvider: pebble
persistenceConfig:
  path: {tmp_path}/yaml-data
  fsyncOnCommit: true
producerAuthProvider: static
producerAuthConfig:
  token: {tokens.acme_producer}
  subject: producer-1
  raw: {{ tenantId: acme }}
workerAuthProvider: static
workerAuthConfig: '{{"token": "{tokens.acme_worker}", "subject": "worker-1", "eventTypes": ["*"],
  "scopes": ["codeq:claim", "codeq:result"], "raw": {{"tenantId": "acme"}}}}'
""")
    for name in ("PERSISTENCE_CONFIG", "PRODUCER_AUTH_PROVIDER", "PRODUCER_AUTH_CONFIG", "WORKER_AUTH_PROVIDER",
                 "WORKER_AUTH_CONFIG"):
        del world.broker.settings[name]
    world.broker.settings["CODEQ_CONFIG_PATH"] = str(config)
    world.broker.start()
    task = world.producer.create("X")
    assert world.worker.claim("X")["id"] == task["id"]
    assert (tmp_path / "yaml-data").is_dir()


def test_q27_g9_g12_of_concurrent_submits_exactly_one_succeeds(shared):
    for _ in range(5):
        command = shared.command()
        task = shared.producer.create(command, webhook=shared.hooks.url(f"/q27-{command}"))
        shared.worker.claim(command)
        answers = together(8, lambda n: shared.worker.call("POST", f"/tasks/{task['id']}/result",
                                                           {"status": "COMPLETED", "result": {"n": n}}))
        won = [n for n, a in enumerate(answers) if a.status == 200]
        assert len(won) == 1 and all(a.status == 409 for n, a in enumerate(answers) if n != won[0])
        assert shared.producer.result(task["id"])["result"]["result"] == {"n": won[0]}
        assert shared.hooks.wait(f"/q27-{command}")[0].json["result"] == {"n": won[0]}


def test_q27_g9_owner_calls_that_race_cannot_revive_a_finished_task(shared):
    for _ in range(5):
        command = shared.command()
        task = shared.producer.create(command)
        shared.worker.claim(command)
        acts = [lambda: shared.worker.call("POST", f"/tasks/{task['id']}/result", {"status": "COMPLETED", "result": {}}),
                lambda: shared.worker.call("POST", f"/tasks/{task['id']}/nack", {"delaySeconds": 1}),
                lambda: shared.worker.call("POST", f"/tasks/{task['id']}/abandon"),
                lambda: shared.worker.call("POST", f"/tasks/{task['id']}/heartbeat", {})] * 2
        answers = together(8, lambda n: acts[n]())
        ended = [n for n, a in enumerate(answers) if a.status == 200 and n % 4 != 3]
        assert len(ended) == 1, f"one of result, nack and abandon ends the attempt: {answers}"
        place = shared.producer.task(task["id"])["lastKnownLocation"]
        assert place == {0: "NONE", 1: "DELAYED_ZSET", 2: "PENDING_LIST"}[ended[0] % 4]


def test_g8_two_requeues_at_once_do_not_double_a_task(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command, lease=1)
    # Expiry and nacks at about the same time.
    together(4, lambda n: [shared.worker.call("POST", f"/tasks/{task['id']}/nack", {"delaySeconds": 1})
                           for _ in range(10) if not time.sleep(0.1)])
    assert shared.worker2.claim(command, wait=10)["id"] == task["id"]
    shared.worker2.complete(task["id"])
    assert shared.worker.claim(command, wait=3) is None, "a second entry would show up here"
    assert shared.producer.task(task["id"])["status"] == "COMPLETED"


def test_q28_a_heartbeat_never_shortens_a_lease_and_never_revives_one(shared):
    command = shared.command()
    task = shared.producer.create(command)
    claimed = shared.worker.claim(command, lease=600)
    shared.worker.heartbeat(task["id"], 1)
    assert shared.producer.task(task["id"])["leaseUntil"] == claimed["leaseUntil"]
    other = shared.producer.create(command)
    shared.worker.claim(command, lease=1)
    shared.worker.claim("NOTHING", wait=2)
    for verb, body in (("heartbeat", {"extendSeconds": 60}), ("result", {"status": "COMPLETED", "result": {}})):
        answer = shared.worker.call("POST", f"/tasks/{other['id']}/{verb}", body)
        assert (answer.status, answer.error, answer.code) == (409, "not-in-progress", "lease-lost"), verb


def test_a_fencing_token_decides_between_two_deliveries_to_one_worker(shared):
    command = shared.command()
    task = shared.producer.create(command)
    first = shared.worker.claim(command)
    shared.worker.abandon(task["id"])
    second = shared.worker.claim(command)
    assert first["leaseToken"] != second["leaseToken"]
    body = {"status": "COMPLETED", "result": {}, "leaseToken": first["leaseToken"]}
    stale = shared.worker.call("POST", f"/tasks/{task['id']}/result", body)
    assert (stale.status, stale.error, stale.code) == (409, "not-in-progress", "lease-lost")
    assert shared.worker.call("POST", f"/tasks/{task['id']}/heartbeat", {"leaseToken": second["leaseToken"]}).status == 200
    assert shared.worker.call("POST", f"/tasks/{task['id']}/result", body | {"leaseToken": second["leaseToken"]}).status == 200


@pytest.mark.parametrize("payload", [
    '{"b":1,"a":2}', '12345678901234567890', '1.0', '1e2', '-0', '0.1000000000000000055', '{"a": [1,\t2 ,3 ]}',
    r'"\u00e9\/é<>&\u2028 \ud83d\ude00"', '[]', '{}', '""', 'false', '0', '{"k":"v","k":"w"}', '[[[[[1]]]]]', '"\u2028"'])
def test_q30_a_payload_comes_back_byte_for_byte(shared, payload):
    command = shared.command()
    body = b'{"command":"' + command.encode() + b'","payload": ' + payload.encode() + b' }'
    created = shared.producer.call("POST", "/tasks", body)
    assert created.status == 202 and created.json["payload"] == payload
    assert shared.worker.claim(command)["payload"] == payload


def test_q30_numbers_of_a_result_are_kept(shared):
    command = shared.command()
    task = shared.producer.create(command, webhook=shared.hooks.url(f"/q30-{command}"))
    shared.worker.claim(command)
    text = b'{"big":12345678901234567890,"z":1,"a":1.10}'
    answer = shared.worker.call("POST", f"/tasks/{task['id']}/result", b'{"status":"COMPLETED","result":' + text + b'}')
    assert answer.status == 200 and text in answer.body
    assert text in shared.producer.call("GET", f"/tasks/{task['id']}/result").body
    assert text in shared.hooks.wait(f"/q30-{command}")[0].body


def test_q29_priorities_are_clamped_silently(shared):
    command = shared.command()
    assert shared.producer.create(command, priority=10)["priority"] == 9
    assert "priority" not in shared.producer.create(command, priority=-3)


def test_g13_delays_and_leases_are_exact_to_the_millisecond(shared):
    # The reference cuts to whole seconds, so up to a second is missing.
    short = []
    for _ in range(3):
        command = shared.command()
        ctx = Context.new()
        task = shared.producer.create(command, ctx=ctx, delaySeconds=1)
        shared.worker.claim(command, wait=10, lease=1)
        shared.worker2.claim(command, wait=10)
        shared.worker2.complete(task["id"])
        trace = shared.spans.wait_trace(ctx.trace_id, [CREATE, DELAYED, EXPIRED, DELAYED, QUEUED, QUEUED, SUBMIT])
        first = min(trace.many(DELAYED), key=lambda s: s.start)
        short += [(first.end - trace.one(CREATE).start) / 1e9, (trace.one(EXPIRED).end - trace.many(CLAIM)[0].start) / 1e9]
    assert min(short) >= 0.999 and statistics.median(short) < 1.2, short


def test_q17_g15_jitter_is_spread_out_also_when_leases_expire(new_world):
    world = new_world(backend=False, BACKOFF_POLICY="exp_full_jitter", BACKOFF_BASE_SECONDS=1000, BACKOFF_MAX_SECONDS=1000)
    for n in range(20):
        world.producer.create("NACK", n)
    nacked = {world.worker.nack(t["id"])["delaySeconds"] for t in world.worker.claim_batch("NACK", 20)}
    assert len(nacked) > 10 and max(nacked) <= 1000
    for n in range(20):
        world.producer.create("EXPIRE", n)
    ids = [t["id"] for t in world.worker.claim_batch("EXPIRE", 20, lease=1)]
    world.worker.claim("NOTHING", wait=3)
    delays = set()
    for task_id in ids:
        task = world.producer.task(task_id)
        assert task["status"] == "PENDING"
        # An unfinished delay shows in the timeline or not at all; twenty equal ones would all be due at once.
        if task["lastKnownLocation"] == "DELAYED_ZSET":
            delays.add(task_id)
    assert len(delays) >= 15, "spread over a thousand seconds, hardly any is due within three"


def test_g16_a_command_may_hold_anything(shared):
    for command in ("a/b:c", "../../x", "ü-λ-🙂", "with space", "x" * 200, 'quo"te', "per%2Fcent", "new\nline"):
        task = shared.producer.create(command)
        assert task["command"] == command
        assert shared.worker.claim(command)["id"] == task["id"]
        shared.worker.complete(task["id"])


def test_g16_commands_with_slashes_survive_a_restart(new_world):
    world = new_world(backend=False)
    ids = {command: world.producer.create(command)["id"] for command in ("a/b", "a", "b", "a/b/c", ":", "/")}
    world.broker.restart()
    for command, task_id in ids.items():
        assert world.worker.claim(command)["id"] == task_id


def test_commands_meet_in_any_case(shared):
    command = shared.command()
    task = shared.producer.create(command.upper())
    assert shared.worker.claim(command.lower())["id"] == task["id"]


def test_huge_delays_saturate_instead_of_becoming_now(shared):
    command = shared.command()
    answer = shared.producer.call("POST", "/tasks", {"command": command, "payload": 1, "delaySeconds": 2**62})
    assert answer.status in (202, 400)
    assert shared.worker.claim(command, wait=1) is None


# Tracing

def test_g20_every_step_has_spans_on_the_default_store(shared):
    ctx, command = Context.new(), shared.command()
    task = shared.producer.create(command, ctx=ctx)
    shared.worker.claim(command)
    shared.worker.heartbeat(task["id"])
    shared.worker.nack(task["id"], 1)
    shared.worker.claim(command, wait=5)
    shared.worker.abandon(task["id"])
    shared.worker.claim(command)
    shared.worker.complete(task["id"])
    shared.life(task["id"], ctx, [CREATE, DELAYED] + [QUEUED, CLAIM, RUN] * 3 + [
        "codeq.task.heartbeat", "codeq.task.nack", "codeq.task.abandon", SUBMIT])


def test_g23_the_configured_service_name_reaches_the_backend(new_world):
    world = new_world(TRACING_SERVICE_NAME="my-broker")
    ctx = Context.new()
    world.producer.create("X", ctx=ctx)
    span = world.spans.wait_trace(ctx.trace_id, [CREATE]).one(CREATE)
    assert span.resource["service.name"] == "my-broker"


def test_g43_a_dead_letters_webhook_is_in_the_tasks_trace_and_redeliveries_do_not_nest(shared):
    ctx, command = Context.new(), shared.command()
    task = shared.producer.create(command, ctx=ctx, maxAttempts=2, webhook=shared.hooks.url("/g43"))
    for _ in range(2):
        shared.worker.claim(command, wait=10)
        shared.worker.nack(task["id"], 1)
    shared.hooks.wait("/g43")
    trace = shared.life(task["id"], ctx, [CREATE] + [QUEUED, CLAIM, RUN, "codeq.task.nack"] * 2 + [DELAYED, DEAD, WEBHOOK])
    assert {s.parent for s in trace.many(CLAIM)} == {trace.one(CREATE).span_id}
    assert trace.one(WEBHOOK).parent == trace.one(DEAD).span_id


def test_g44_an_http_endpoint_means_plaintext_and_the_log_is_json(shared):
    # Every test against `shared` shows the first half: its endpoint is http:// and nothing else says "insecure".
    assert "TRACING_OTLP_INSECURE" not in shared.broker.settings
    lines = [line for line in shared.broker.log().splitlines() if line.strip()]
    assert lines and all(json.loads(line)["msg"] for line in lines)


# Artifacts

@pytest.mark.parametrize("name", ["../../x", "a/b", "", "..", ".", "a\\b", "nul\x00byte"])
def test_an_artifact_name_cannot_leave_its_folder(shared, name):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)
    answer = shared.worker.call("POST", f"/tasks/{task['id']}/result", {
        "status": "COMPLETED", "result": {}, "artifacts": [{"name": name, "contentBase64": "aGk="}]})
    assert answer.status == 400 and answer.code
    shared.worker.complete(task["id"])


def test_an_artifact_is_on_disk_before_the_result_is_acknowledged(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)
    content = bytes(range(256))
    answer = shared.worker.call("POST", f"/tasks/{task['id']}/result", {
        "status": "COMPLETED", "result": {}, "artifacts": [
            {"name": "page.bin", "contentBase64": base64.b64encode(content).decode()}, {"name": "u", "url": "https://example.org/"}]})
    assert answer.status == 200
    by_name = {a["name"]: a["url"] for a in answer.json["artifacts"]}
    assert by_name["u"] == "https://example.org/" and by_name["page.bin"].startswith("file:///")
    file = pathlib.Path(by_name["page.bin"].removeprefix("file://"))
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700


def test_a_refused_submit_leaves_no_artifact_behind(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)
    answer = shared.worker.call("POST", f"/tasks/{task['id']}/result", {
        "status": "PERHAPS", "artifacts": [{"name": "left.bin", "contentBase64": "aGk="}]})
    assert (answer.status, answer.error) == (400, "invalid status")
    assert list(pathlib.Path(shared.broker.settings["LOCAL_ARTIFACTS_DIR"]).rglob("left.bin")) == []


# Configuration that fails closed

def test_settings_with_no_meaning_here_are_ignored_and_dangerous_ones_refused(new_world, tmp_path):
    quiet = new_world(backend=False, REDIS_ADDR="localhost:6379", WORKER_STREAM_ADDR=":9091")
    assert quiet.producer.create("X")["id"]
    for setting in ({"PERSISTENCE_PROVIDER": "memory"}, {"RAFT_ENABLED": "true"}, {"CLUSTER_ENABLED": "true"}):
        world = new_world(backend=False, start=False, **setting)
        with pytest.raises(AssertionError, match="did not start"):
            world.broker.start()
        assert world.broker.process.returncode == 1, setting


def test_an_unknown_key_is_refused_with_the_nearest_name_and_its_line(new_world, tmp_path):
    config = tmp_path / "typo.yaml"
    config.write_text("timezone: UTC\nmaxAttemptDefault: 3\n")
    world = new_world(backend=False, start=False, CODEQ_CONFIG_PATH=str(config))
    with pytest.raises(AssertionError, match="did not start"):
        world.broker.start()
    assert "maxAttemptsDefault" in world.broker.log() and "typo.yaml:2" in world.broker.log()


def test_a_folder_that_is_not_ours_is_refused_untouched(new_world, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "MANIFEST-000001").write_bytes(b"someone else's")
    (foreign / "000042.sst").write_bytes(b"data")
    world = new_world(backend=False, start=False, PERSISTENCE_CONFIG=json.dumps({"path": str(foreign)}))
    with pytest.raises(AssertionError, match="did not start"):
        world.broker.start()
    assert world.broker.process.returncode == 76
    assert sorted(p.name for p in foreign.iterdir()) == ["000042.sst", "MANIFEST-000001"]
