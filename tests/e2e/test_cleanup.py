"""POST /admin/tasks/cleanup: finished tasks go, of one tenant, and nothing of them stays (Q7, Q19)."""

import re

import pytest

from harness import Api

FAR = "2200-01-01T00:00:00Z"


def admin(world):
    return Api(world.broker, world.tokens.acme_admin)


def cleanup(api, body=None):
    return api.call("POST", "/admin/tasks/cleanup", body)


def finish(producer, worker, command, count):
    ids = [producer.create(command, {"n": n})["id"] for n in range(count)]
    for _ in range(count):
        worker.complete(worker.claim(command)["id"])
    return ids


def test_q7_q19_finished_tasks_of_the_tenant_go_and_nothing_else_does(new_world):
    world = new_world(backend=False)
    mine = finish(world.producer, world.worker, "X", 3)
    theirs = finish(world.globex_producer, world.globex_worker, "X", 2)
    keyed = world.producer.create("X", {"n": 9}, idempotencyKey="k")["id"]
    world.worker.complete(world.worker.claim("X")["id"])
    waiting = [world.producer.create("X", {"n": n})["id"] for n in range(2)]
    leased = world.worker.claim("X")["id"]

    answer = cleanup(admin(world), {"before": FAR, "limit": 2})
    assert (answer.status, answer.json) == (200, {"before": FAR, "deleted": 2, "limit": 2})
    assert cleanup(admin(world), {"before": FAR}).json == {"before": FAR, "deleted": 2, "limit": 0}
    assert cleanup(admin(world), {"before": FAR}).json["deleted"] == 0
    for task in [*mine, keyed]:
        for path in (f"/tasks/{task}", f"/tasks/{task}/result", f"/tasks/{task}/trace"):
            assert world.producer.call("GET", path).status == 404, path
    assert world.producer.create("X", {"n": 10}, idempotencyKey="k")["id"] != keyed, "its key went with it"
    for task in theirs:
        assert world.globex_producer.call("GET", f"/tasks/{task}/result").status == 200
    world.broker.restart()
    for task in mine:
        assert world.producer.call("GET", f"/tasks/{task}").status == 404
    world.worker.complete(leased)
    assert world.worker.claim("X")["id"] == waiting[1]


def test_without_a_time_only_what_is_over_goes(new_world):
    world = new_world(backend=False)
    finish(world.producer, world.worker, "X", 1)
    for body in (None, {}, {"limit": -3}, "no object", {"limit": "many"}):
        answer = cleanup(admin(world), body)
        assert answer.status == 200, answer
        assert answer.json["deleted"] == 0, "its retention is a day"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.json["before"]), answer
        assert answer.json["limit"] == (-3 if body == {"limit": -3} else 0)


@pytest.mark.parametrize(("sent", "said"), [
    ("2020-01-02T03:04:05.678+02:00", "2020-01-02T03:04:05+02:00"), ("2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05Z"),
    ("2020-01-02T03:04:05.1Z", "2020-01-02T03:04:05Z")])
def test_the_time_is_said_back_in_its_own_zone(shared, sent, said):
    assert cleanup(admin(shared), {"before": sent}).json == {"before": said, "deleted": 0, "limit": 0}


def test_a_time_that_is_none_is_refused(shared):
    for text in ("yesterday", "2020-01-02", "2020-13-02T03:04:05Z"):
        answer = cleanup(admin(shared), {"before": text})
        assert (answer.status, answer.error) == (400, "invalid 'before' (use RFC3339)")


def test_only_an_admin_may(shared):
    for api in (shared.producer, shared.globex_producer):
        answer = cleanup(api, {"before": FAR})
        assert (answer.status, answer.error) == (401, "unauthorized. Admin only")
    assert cleanup(shared.worker, {}).status == 401
