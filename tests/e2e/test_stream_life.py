"""Streams that end: by their clients, by a crash on either side, by SIGTERM. No task is lost, none pays for what it never saw."""

import signal
import threading
import time

import grpc
import pytest

from harness import Raw, StreamEnded
from harness.h2 import WINDOW_UPDATE, Connection, frame, message
from harness.stream import PRODUCER_METHOD, WORKER_METHOD, messages

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_credit_of_a_client_that_left_takes_no_task(shared, how):
    command = shared.command()
    gone = shared.work()
    for _ in range(5):
        gone.ready(command)
    gone.nothing_comes(0.1)
    getattr(gone, how)()
    ids = {item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(5)])}
    got = set()
    with shared.work(shared.tokens.acme_worker2) as other:
        for _ in range(5):
            task = other.claim(command, lease=60)
            assert task.attempts == 1 or task.id not in got
            got.add(task.id)
    assert got == ids, "long before any lease could have ended"
    gone.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("batch", [False, True])
def test_g29_tasks_that_a_vanished_stream_never_got_return_at_once_and_unpaid(shared, how, batch):
    """The client opens a window of a few hundred bytes, so that no delivery can ever reach it whole."""
    pb, command = messages("workerpb"), shared.command()
    ids = [item["task"]["id"] for item in shared.producer.create_batch(
        [{"command": command, "payload": "x" * 20_000, "maxAttempts": 5} for _ in range(5)])]
    slow = Connection(shared.broker.worker_stream_port, INITIAL_WINDOW_SIZE=500)
    slow.open(1, WORKER_METHOD)
    slow.event(1, pb.WorkerEvent(hello=pb.Hello(token=shared.tokens.acme_worker, worker_id="slow")))
    (hello,) = slow.messages(1, pb.ServerEvent, 1)
    assert hello.hello_ack.worker_id == "slow"
    for _ in range(1 if batch else 5):
        slow.event(1, pb.WorkerEvent(ready=pb.Ready(commands=[command], lease_seconds=300, count=5 if batch else 1)))
    deadline = time.monotonic() + 10
    while shared.producer.task(ids[0])["status"] != "IN_PROGRESS":
        assert time.monotonic() < deadline
    getattr(slow, how)()
    with shared.work(shared.tokens.acme_worker2) as other:
        got = []
        while len(got) < 5:
            other.ready(command, count=5)
            got += other.tasks()
        assert sorted(task.id for task in got) == sorted(ids)
        assert {task.attempts for task in got} == {1}, "what never arrived costs no attempt"
        for task in got:
            other.complete(task.id)


def test_a_delivered_task_stays_with_its_worker_over_a_lost_connection(shared):
    command = shared.command()
    task_id = shared.producer.create(command)["id"]
    with shared.work(worker_id="w") as worker:
        assert worker.claim(command, lease=120).id == task_id
    with shared.work(shared.tokens.acme_worker2) as other, shared.work(worker_id="w") as again:
        other.ready(command)
        other.nothing_comes(0.5)
        assert again.heartbeat(task_id, 60).ok
        again.complete(task_id)
        other.nothing_comes(0.1)


def test_a_delivered_task_whose_worker_never_comes_back_goes_on_when_its_lease_ends(shared):
    command = shared.command()
    task_id = shared.producer.create(command)["id"]
    with shared.work() as worker:
        worker.claim(command, lease=1)
    with shared.work(shared.tokens.acme_worker2) as other:
        task = other.claim(command, timeout=15)
        assert (task.id, task.attempts) == (task_id, 2)
        other.complete(task_id)


def test_many_streams_that_come_and_go_leave_every_task_to_be_done_once(shared):
    """Workers that vanish at any moment, while tasks are created: each task is completed exactly once in the end."""
    command, stop, done = shared.command(), threading.Event(), []

    def come_and_go(n):
        while not stop.is_set():
            with shared.work(shared.tokens.acme_worker2, f"flighty-{n}") as worker:
                worker.ready(command, lease=1)
                worker.ready(command, lease=1, count=3)
                time.sleep(0.02 * n)

    flighty = [threading.Thread(target=come_and_go, args=(n,)) for n in range(3)]
    for thread in flighty:
        thread.start()
    with shared.produce() as producer:
        ids = {ack.task_id for _ in range(10) for ack in producer.create_batch(
            [producer.task(command, max_attempts=100_000) for _ in range(10)])}
    stop.set()
    for thread in flighty:
        thread.join()
    with shared.work() as worker:
        while len(done) < 100:
            worker.ready(command, count=10)
            for task in worker.tasks(30):
                worker.complete(task.id)
                done.append(task.id)
        worker.ready(command)
        worker.nothing_comes()
    assert set(done) == ids and len(done) == 100


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_g24_streams_end_gracefully_and_in_time(new_world, sig):
    world = new_world()
    with world.produce() as producer, world.work() as worker, world.work() as idle:
        for _ in range(3):
            idle.ready("IDLE")
        task_id = producer.created("BUSY")
        worker.claim("BUSY")
        worker.nothing_comes(0.1)
        begin = time.monotonic()
        world.broker.process.send_signal(sig)
        for stream in (producer, worker, idle):
            assert stream.ended(16)[0] == UNAVAILABLE
        status, _ = world.broker.wait_exit()
        assert status == 0 and time.monotonic() - begin < 16
    with pytest.raises((StreamEnded, AssertionError)):
        world.produce()
    world.broker.start()
    with world.work() as worker:
        worker.complete(task_id)


def test_what_was_sent_before_the_end_is_answered_or_not_done_twice(new_world):
    """SIGTERM in the middle of a stream of creates: every ack that came is true."""
    world = new_world(backend=False)
    acknowledged = set()
    with world.produce() as producer:
        for n in range(2000):
            producer.send(create=producer.task("X", {"n": n}, seq=n))
            if n == 500:
                acknowledged.add(producer.take("create_ack").task_id)
                world.broker.terminate()
        producer.ended(16)
        while "create_ack" in producer.untaken():
            ack = producer.take("create_ack")
            if ack.ok:
                acknowledged.add(ack.task_id)
    assert world.broker.wait_exit()[0] == 0
    world.broker.start()
    found = set()
    while batch := world.worker.claim_batch("X", 100):
        found |= {task["id"] for task in batch}
    assert acknowledged <= found and acknowledged


def test_after_a_kill_the_acknowledged_is_there_and_leases_go_on(new_world):
    world = new_world(backend=False)
    with world.produce() as producer, world.work(worker_id="w") as worker:
        ids = [ack.task_id for ack in producer.create_batch([producer.task("X", {"n": n}) for n in range(10)])]
        worker.ready("X", lease=300, count=5)
        held = [task.id for task in worker.tasks()]
        worker.complete(held[0])
        world.broker.kill()
        assert producer.ended()[0] == UNAVAILABLE and worker.ended()[0] == UNAVAILABLE
    world.broker.start()
    with world.work(worker_id="w") as worker:
        assert worker.result(held[0]).error_message == "not-in-progress"
        acks = worker.results(*[worker.result_of(task_id) for task_id in held[1:]])
        assert all(ack.ok for ack in acks)
        worker.ready("X", count=10)
        left = worker.tasks()
        assert [task.id for task in left] == ids[5:]
        for task in left:
            worker.complete(task.id)
    for task_id in ids:
        assert world.producer.task(task_id)["status"] == "COMPLETED"


# The standard health service


@pytest.mark.parametrize("which, service", [
    ("producer", "producerpb.ProducerStream"), ("worker", "workerpb.WorkerStream")])
def test_the_health_service_knows_its_listener(shared, which, service):
    health = shared.health(which)
    assert health.check() == "SERVING" and health.check(service) == "SERVING"
    with pytest.raises(grpc.RpcError) as unknown:
        health.check("nobody.Knows")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    watch = health.watch("nobody.Knows")
    assert next(watch) == "SERVICE_UNKNOWN"
    watch.close()
    health.close()


def test_a_watch_hears_of_the_end(new_world):
    world = new_world(backend=False)
    health = world.health()
    told, ended = [], {}

    def follow():
        try:
            for status in health.watch():
                told.append(status)
                world.broker.terminate()
        except grpc.RpcError as error:
            ended["code"] = error.code()

    thread = threading.Thread(target=follow)
    thread.start()
    assert world.broker.wait_exit()[0] == 0
    thread.join(10)
    assert told[0] == "SERVING" and set(told[1:]) <= {"NOT_SERVING"}
    assert ended["code"] == UNAVAILABLE
    health.close()


def test_a_listener_that_answers_is_ready(new_world):
    world = new_world(backend=False, start=False)
    world.broker.start()
    health = world.health("worker")
    assert health.check() == "SERVING", "HTTP is bound last, so its answering means that the streams answer too"
    health.close()


def test_http_1_on_a_stream_port_is_turned_away(shared):
    with Raw(shared.broker.producer_stream_port) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.hung_up()
    with shared.produce() as producer:
        assert producer.created(shared.command())


def test_two_streams_on_one_connection_are_two_clients(shared):
    pb = messages("producerpb")
    with Connection(shared.broker.producer_stream_port) as connection:
        for stream, token in ((1, shared.tokens.acme_producer), (3, shared.tokens.globex_producer), (5, "nobody")):
            connection.open(stream, PRODUCER_METHOD)
            connection.event(stream, pb.ProducerEvent(hello=pb.Hello(token=token)))
        tenants = [connection.messages(stream, pb.ServerEvent, 1)[0].hello_ack.tenant_id for stream in (1, 3)]
        assert tenants == ["acme", "globex"]
        connection.event(1, pb.ProducerEvent(create=pb.CreateTask(seq=1, command="TWO", payload=b"1")))
        assert connection.messages(1, pb.ServerEvent, 1)[0].create_ack.ok


def test_a_stream_that_is_not_read_does_not_hold_up_its_neighbour_on_the_connection(shared):
    pb = messages("producerpb")
    with Connection(shared.broker.producer_stream_port) as connection:
        connection.send(frame(WINDOW_UPDATE, 0, (1 << 20).to_bytes(4, "big")))
        for stream in (1, 3):
            connection.open(stream, PRODUCER_METHOD)
            connection.event(stream, pb.ProducerEvent(hello=pb.Hello(token=shared.tokens.acme_producer)))
            assert connection.messages(stream, pb.ServerEvent, 1)[0].hello_ack.tenant_id == "acme"
        connection.offer(1, message(b"") * 100_000)
        for n in range(20):
            connection.event(3, pb.ProducerEvent(create=pb.CreateTask(seq=n, command="NEIGHBOUR", payload=b"1")))
            assert connection.messages(3, pb.ServerEvent, 1)[0].create_ack.ok


def test_a_stream_that_is_read_again_gets_every_answer(shared):
    """What was held back while the client did not read is not lost: windows open, and the answers come in full."""
    pb = messages("producerpb")
    events = message(pb.ProducerEvent(create=pb.CreateTask(seq=7, command="", payload=b"1")).SerializeToString())
    with Connection(shared.broker.producer_stream_port) as connection:
        connection.open(1, PRODUCER_METHOD)
        connection.event(1, pb.ProducerEvent(hello=pb.Hello(token=shared.tokens.acme_producer)))
        connection.messages(1, pb.ServerEvent, 1)
        count = connection.offer(1, events * 50_000) // len(events)
        assert 1_000 < count < 50_000
        for stream in (0, 1):
            connection.send(frame(WINDOW_UPDATE, stream, (1 << 30).to_bytes(4, "big")))
        answers = connection.messages(1, pb.ServerEvent, count, 30)
        assert {answer.create_ack.error_message for answer in answers} == {"command is required"}
