"""SIGTERM: parked polls are answered at once, spans leave, nothing is lost, and it takes no longer than promised."""

import signal
import threading
import time

import pytest

from harness import Context, Raw, request_bytes

CREATE, QUEUED, CLAIM = "codeq.task.create", "codeq.task.queued", "codeq.task.claim"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_parked_polls_answer_at_once_and_the_broker_exits_with_zero(new_world, sig):
    world = new_world()
    task = world.producer.create("BUSY")
    world.worker.claim("BUSY")
    answers = {}

    def park(name, ask):
        answers[name] = (ask(), time.monotonic())

    parked = [
        threading.Thread(target=park, args=("claim", lambda: world.worker.call(
            "POST", "/tasks/claim", {"commands": ["IDLE"], "waitSeconds": 30}))),
        threading.Thread(target=park, args=("result", lambda: world.producer.call(
            "GET", f"/tasks/{task['id']}/result?waitSeconds=60"))),
    ]
    for thread in parked:
        thread.start()
    time.sleep(0.5)  # There is no way to see from outside that a poll is parked; unparked ones are refused below.
    begin = time.monotonic()
    world.broker.process.send_signal(sig)
    status, seconds = world.broker.wait_exit()
    for thread in parked:
        thread.join(10)
    assert status == 0 and seconds <= 16
    assert seconds < 5, "nothing was in its way"
    claim, at = answers["claim"]
    assert claim.status == 204 and at - begin < 2
    result, at = answers["result"]
    assert result.status == 404 and result.error == "result not found" and at - begin < 2


def test_g24_spans_are_flushed_at_sigterm_although_polls_were_parked(new_world, own_receiver):
    receiver = own_receiver()
    world = new_world(backend=receiver, OTEL_BSP_SCHEDULE_DELAY=3_600_000)
    ctx = Context.new()
    task = world.producer.create("RENDER", ctx=ctx)
    world.worker.claim("RENDER")
    polls = [threading.Thread(target=world.worker.claim, args=("IDLE",), kwargs={"wait": 30}) for _ in range(3)]
    for poll in polls:
        poll.start()
    time.sleep(0.3)
    assert receiver.store.all() == [], "nothing left before its time"
    world.broker.terminate()
    assert world.broker.wait_exit()[0] == 0
    for poll in polls:
        poll.join(10)
    trace = receiver.store.wait_trace(ctx.trace_id, [CREATE, QUEUED, CLAIM, "POST /v1/codeq/tasks"], 1)
    assert trace.one(CREATE).task_id == task["id"]
    polled = [s for s in receiver.store.all() if s.name == "POST /v1/codeq/tasks/claim"]
    assert len(polled) == 4, "also the polls' own request spans"


def test_a_stop_and_a_start_continue_everything(new_world):
    world = new_world()
    ctx = Context.new()
    task = world.producer.create("RENDER", {"n": 1}, ctx)
    leased = world.producer.create("LEASED")
    world.worker.claim("LEASED")
    world.broker.stop()
    world.broker.start()
    assert world.worker.claim("RENDER")["id"] == task["id"]
    world.worker.complete(task["id"])
    world.worker.complete(leased["id"])
    world.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, "codeq.task.run", "codeq.task.submit_result"])


def test_a_request_that_is_half_sent_does_not_hold_up_the_stop(new_world):
    world = new_world(HTTP_BODY_TIMEOUT_SECONDS=1)
    with Raw(world.broker.port) as half, Raw(world.broker.port) as idle:
        half.send(request_bytes("POST", "/v1/codeq/tasks", world.tokens.acme_producer, b'{"command"')[:-4])
        idle.send(request_bytes("GET", "/livez"))
        assert idle.answer().status == 200
        world.broker.terminate()
        status, seconds = world.broker.wait_exit()
        assert status == 0 and seconds < 8


def test_a_second_broker_on_the_same_folder_is_refused_and_the_first_goes_on(new_world, tmp_path):
    world = new_world()
    intruder = type(world.broker)(tmp_path / "intruder", world.tokens, None,
                                  PERSISTENCE_CONFIG=world.broker.settings["PERSISTENCE_CONFIG"])
    with pytest.raises(AssertionError, match="did not start"):
        intruder.start()
    assert intruder.process.returncode == 78
    assert world.producer.create("STILL")["status"] == "PENDING"


def test_a_killed_brokers_lock_dies_with_it(new_world):
    world = new_world()
    world.producer.create("KEPT")
    world.broker.kill()
    world.broker.start()
    assert world.worker.claim("KEPT") is not None


def test_an_empty_store_is_ready_at_once(new_world):
    world = new_world(start=False)
    begin = time.monotonic()
    world.broker.start()
    # A hundred milliseconds are promised; sanitizers and a busy test machine get some more.
    assert time.monotonic() - begin < 5
