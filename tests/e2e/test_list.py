"""GET /tasks: newest first, filtered, in pages; of one tenant; what was answered before is seen."""

import time

from harness import Context
from harness.bulk import fill


def ids(tasks):
    return [task["id"] for task in tasks]


def test_pages_are_newest_first_without_payloads_and_of_the_tenant(new_world):
    world = new_world(backend=False)
    mine = []
    for n in range(25):
        mine.append(world.producer.create("X", n)["id"])
        world.globex_producer.create("X", n)
    for api in (world.producer, world.worker, world.admin):
        assert ids(api.list_all("limit=7")) == mine[::-1]
    page = world.producer.list("?limit=7")
    assert len(page["tasks"]) == 7 and all("payload" not in task for task in page["tasks"])
    assert not set(ids(world.globex_producer.list_all())) & set(mine)
    world.producer.create("X")
    assert ids(world.producer.list(f"?limit=7&cursor={page['cursor']}")["tasks"]) == mine[::-1][7:14], "a page stays where it was"
    world.broker.restart()
    assert len(world.producer.list_all()) == 26


def test_each_state_has_its_tasks_as_soon_as_they_are_in_it(new_world):
    world = new_world(backend=False)
    states = ("ready", "delayed", "leased", "completed", "failed", "dead")

    def seen():
        found = {state: ids(world.producer.list(f"?state={state}")["tasks"]) for state in states}
        return {task: state for state, tasks in found.items() for task in tasks}

    expected = {}
    for n, state in enumerate(states):
        command = f"S{n}"
        task = world.producer.create(command, maxAttempts=1, **({"delaySeconds": 600} if state == "delayed" else {}))["id"]
        expected[task] = "delayed" if state == "delayed" else "ready"
        assert seen() == expected
        if state in ("ready", "delayed"):
            continue
        world.worker.claim(command)
        expected[task] = "leased"
        assert seen() == expected
        {"leased": lambda t: None, "completed": world.worker.complete, "failed": world.worker.fail,
         "dead": world.worker.nack}[state](task)
        expected[task] = state
        assert seen() == expected
    world.broker.restart()
    assert seen() == expected


def test_filters_by_command_worker_and_trace(new_world):
    world = new_world()
    ctx = Context.new()
    first = world.producer.create("Render", 1, ctx)["id"]
    second = world.producer.create("RENDER", 2)["id"]
    third = world.producer.create("other", 3, ctx)["id"]
    assert ids(world.producer.list("?command=rENDER")["tasks"]) == [second, first]
    assert ids(world.producer.list(f"?traceId={ctx.trace_id}")["tasks"]) == [third, first]
    assert ids(world.producer.list(f"?traceId={ctx.trace_id}&command=other")["tasks"]) == [third]
    world.worker.claim("Render")
    world.worker2.claim("Render")
    world.worker.complete(first)
    assert ids(world.producer.list("?worker=worker-1")["tasks"]) == [first], "who had it last"
    assert ids(world.producer.list("?worker=worker-2&state=leased")["tasks"]) == [second]


def test_times_of_creation_bound_a_list(new_world):
    world = new_world(backend=False)
    made = []
    for n in range(6):
        made.append(world.producer.create("X", n))
        time.sleep(0.002)  # so that their times differ
    def between(after, before):
        return ids(world.producer.list(f"?createdAfter={made[after]['createdAt']}&createdBefore={made[before]['createdAt']}")["tasks"])
    assert between(1, 4) == [made[n]["id"] for n in (3, 2, 1)]
    assert between(4, 4) == []
    assert ids(world.producer.list("?createdBefore=2001-01-01T00:00:00Z")["tasks"]) == []
    assert len(world.producer.list("?createdAfter=2001-01-01T00:00:00%2B02:00")["tasks"]) == 6


def test_many_tasks_are_listed_in_bounded_pages_while_others_work(new_world):
    world = new_world(backend=False)
    wanted = world.producer.create("needle")["id"]
    fill(world.globex_producer, 6000)
    mine = fill(world.producer, 2000, "X")
    assert ids(world.producer.list_all("command=X&limit=200")) == mine[::-1]
    assert ids(world.producer.list_all("command=needle&limit=1")) == [wanted], "across pages of others, which may be empty"
    assert world.worker.claim("needle")["id"] == wanted


def test_what_retention_or_a_cleanup_took_is_not_listed(new_world):
    world = new_world(backend=False)
    for n in range(300):
        world.producer.create("gone", n)
    while tasks := world.worker.claim_batch("gone", 100):
        world.worker.results_batch([{"taskId": t["id"], "status": "COMPLETED", "result": {}} for t in tasks])
    kept = world.producer.create("kept")["id"]
    assert world.admin.call("POST", "/admin/tasks/cleanup", {"before": "2200-01-01T00:00:00Z"}).json["deleted"] == 300
    assert ids(world.producer.list_all()) == [kept]


def test_a_filter_that_means_nothing_is_refused(shared):
    for query, name in (("limit=0", "limit"), ("state=DEAD", "state"), ("createdAfter=now", "createdAfter"),
                        ("traceId=0", "traceId"), ("cursor=1", "cursor")):
        answer = shared.producer.call("GET", f"/tasks?{query}")
        assert (answer.status, answer.code) == (400, "invalid-argument")
        assert answer.error.startswith(f"invalid '{name}'")
