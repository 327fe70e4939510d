"""Dead letters: listed, put back with all their attempts, or gone; of one tenant, at a rate, across a kill."""

import subprocess
import time

from harness import Context
from harness.broker import find_binary

CREATE, QUEUED, CLAIM, RUN, NACK, DEAD = (f"codeq.task.{n}" for n in ("create", "queued", "claim", "run", "nack", "dead_letter"))
REDRIVE, SUBMIT = "codeq.task.redrive", "codeq.task.submit_result"


def kill(producer, worker, count=1, command="X", reason="it broke", **fields):
    """Ids of tasks that died in this order."""
    ids = []
    for _ in range(count):
        task = producer.create(command, maxAttempts=1, **fields)["id"]
        assert worker.claim(command)["id"] == task
        assert worker.nack(task, reason=reason)["status"] == "dlq"
        ids.append(task)
    return ids


def ids(page):
    return [letter["id"] for letter in page["deadLetters"]]


def test_dead_letters_are_listed_with_filters_and_pages(new_world):
    world = new_world(backend=False)
    broken = kill(world.producer, world.worker, 3)
    late = kill(world.producer, world.worker, 2, "Other", "timeout: 5 s")
    theirs = kill(world.globex_producer, world.globex_worker)
    world.producer.create("X")
    first = world.admin.dead_letters("?limit=2")
    assert ids(first) == broken[:2]
    second = world.admin.dead_letters(f"?limit=2&cursor={first['cursor']}")
    third = world.admin.dead_letters(f"?limit=2&cursor={second['cursor']}")
    assert ids(second) + ids(third) == [broken[2], *late] and "cursor" not in third
    letter = first["deadLetters"][0]
    assert letter["error"] == "it broke" and letter["lastKnownLocation"] == "DLQ_SET" and "payload" not in letter
    assert ids(world.admin.dead_letters("?command=oTHER")) == late
    assert ids(world.admin.dead_letters("?reason=timeout")) == late
    died = third["deadLetters"][0]["diedAt"]
    assert ids(world.admin.dead_letters(f"?after={died}")) == late[1:]
    assert ids(world.admin.dead_letters(f"?before={died}")) == [*broken, late[0]]
    assert ids(world.globex_admin.dead_letters()) == theirs


def test_a_redriven_task_goes_on_in_its_own_trace(new_world):
    world = new_world()
    ctx, asking = Context.new(), Context.new()
    [task] = kill(world.producer, world.worker, ctx=ctx, webhook=world.hooks.url("/dead"))
    world.hooks.wait("/dead")
    assert world.admin.redrive(ctx=asking) == {"matched": 1, "redriven": 1, "dryRun": False, "more": False}
    again = world.producer.task(task)
    assert again["status"] == "PENDING" and "error" not in again and "attempts" not in again and "resultKey" not in again
    assert world.producer.result(task, expect=404)["code"] == "result-not-found"
    claimed = world.worker.claim("X", Context.new())
    assert claimed["id"] == task and claimed["attempts"] == 1
    world.worker.complete(task)
    trace = world.life(task, ctx, [CREATE, QUEUED, CLAIM, RUN, NACK, DEAD, REDRIVE, QUEUED, CLAIM, RUN, SUBMIT,
                                   "codeq.webhook.task_result", "codeq.webhook.task_result"])
    redrive = trace.one(REDRIVE)
    assert redrive.links[0].trace_id == asking.trace_id
    assert world.producer.result(task)["result"]["status"] == "COMPLETED"
    assert [hook.json["status"] for hook in world.hooks.wait("/dead", 2)] == ["FAILED", "COMPLETED"]


def test_a_dry_run_counts_and_a_limit_says_whether_there_are_more(new_world):
    world = new_world(backend=False)
    dead = kill(world.producer, world.worker, 3)
    assert world.admin.redrive(dryRun=True, limit=2) == {"matched": 2, "redriven": 0, "dryRun": True, "more": True}
    assert world.admin.purge(dryRun=True) == {"matched": 3, "purged": 0, "dryRun": True, "more": False}
    assert ids(world.admin.dead_letters()) == dead
    assert world.admin.redrive(limit=2)["redriven"] == 2
    assert ids(world.admin.dead_letters()) == dead[2:]


def test_a_redrive_by_id_takes_the_dead_of_the_tenant_alone(new_world):
    world = new_world(backend=False)
    dead = kill(world.producer, world.worker, 3)
    [theirs] = kill(world.globex_producer, world.globex_worker)
    waiting = world.producer.create("Y")["id"]
    answer = world.admin.redrive(ids=[dead[2], theirs, waiting, "nonsense", dead[0]])
    assert (answer["matched"], answer["redriven"]) == (2, 2)
    assert ids(world.admin.dead_letters()) == [dead[1]]
    assert ids(world.globex_admin.dead_letters()) == [theirs]


def test_a_redrive_at_a_rate_survives_a_kill_and_keeps_the_rate(new_world):
    world = new_world(backend=False)
    dead = kill(world.producer, world.worker, 6)
    assert world.admin.redrive(ratePerSecond=2)["redriven"] == 6
    began = time.monotonic()
    world.broker.restart()
    seen = []
    while len(seen) < 6:
        task = world.worker.claim("X", wait=10)
        seen.append((task["id"], time.monotonic() - began))
    assert [task for task, _ in seen] == dead
    assert seen[5][1] > 1.9, "five half seconds lie between the first and the last, less the restart's"


def test_the_old_retention_does_not_take_a_redriven_task(new_world):
    world = new_world(backend=False, RETENTION_SECONDS=3, IDEMPOTENCY_TTL_SECONDS=1)
    redriven, left = kill(world.producer, world.worker, 2)
    assert world.admin.redrive(ids=[redriven])["redriven"] == 1
    deadline = time.monotonic() + 20
    while world.producer.call("GET", f"/tasks/{left}").status == 200:
        assert time.monotonic() < deadline, "retention does not come"
        time.sleep(0.05)
    assert world.producer.task(redriven)["status"] == "PENDING"
    world.broker.restart()
    assert world.worker.claim("X")["id"] == redriven


def test_a_purge_takes_what_it_means_for_good(new_world):
    world = new_world(backend=False)
    dead = kill(world.producer, world.worker, 3)
    kept = kill(world.producer, world.worker, 1, reason="timeout")
    [theirs] = kill(world.globex_producer, world.globex_worker)
    assert world.admin.purge(reason="it ") == {"matched": 3, "purged": 3, "dryRun": False, "more": False}
    world.broker.restart()
    for task in dead:
        for path in (f"/tasks/{task}", f"/tasks/{task}/result", f"/tasks/{task}/trace"):
            assert world.producer.call("GET", path).status == 404
    assert ids(world.admin.dead_letters()) == kept
    assert world.globex_producer.task(theirs)["status"] == "FAILED"


def test_a_filter_that_is_misspelt_deletes_nothing(new_world):
    world = new_world(backend=False)
    dead = kill(world.producer, world.worker)
    for body in ({"comand": "other"}, {"ids": []}, [], None, {"before": "yesterday"}, {"limit": -1}):
        raw = b"null" if body is None else body
        answer = world.admin.call("POST", "/admin/dead-letters/purge", raw)
        assert answer.status == 400, (body, answer)
    for api in (world.producer, world.worker):
        assert api.call("POST", "/admin/dead-letters/purge", {}).status == 401
    assert ids(world.admin.dead_letters()) == dead


def test_the_store_agrees_with_itself_after_all_of_it(new_world):
    world = new_world(backend=False, IMAGE_CUT_MS=5)
    dead = kill(world.producer, world.worker, 20)
    world.admin.redrive(ids=dead[:10])
    for task in world.worker.claim_batch("X", 6):
        world.worker.nack(task["id"])  # they die again
    world.producer.cancel(dead[8])
    world.admin.purge(ids=dead[10:15])
    world.admin.queue("X", "pause")
    world.admin.queue("unused", "pause")
    world.broker.restart()
    stats = world.admin.queue("X")
    assert (stats["ready"], stats["dlq"], stats["paused"]) == (3, 11, True)
    world.broker.stop()
    checked = subprocess.run([find_binary(), "store", "check", "--data", world.broker.data], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    world.broker.start()
    assert world.admin.queue("X") == stats
