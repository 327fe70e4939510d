"""A collector that is late, gone, hanging or refusing delays no task and loses no task; what is queued comes later."""

import subprocess
import time

import pytest

from harness import Context, Receiver

CREATE, QUEUED, CLAIM, RUN, SUBMIT = (f"codeq.task.{n}" for n in ("create", "queued", "claim", "run", "submit_result"))
LIFE = [CREATE, QUEUED, CLAIM, RUN, SUBMIT]
PATIENCE = 2.0  # seconds for a whole life; a broker that waits for its collector takes five or ten


def lives(world, count):
    """`count` whole lives, none of which may take long."""
    done = []
    for n in range(count):
        ctx = Context.new()
        begin = time.monotonic()
        task = world.producer.create("RENDER", n, ctx)
        assert world.worker.claim("RENDER")["id"] == task["id"]
        world.worker.complete(task["id"], {"n": n})
        assert time.monotonic() - begin < PATIENCE, "the collector's trouble delayed a task"
        done.append((task["id"], ctx))
    return done


def test_a_collector_that_comes_late_gets_what_was_queued_within_ten_seconds(new_world):
    receiver = Receiver(start=False)
    world = new_world(backend=receiver)
    done = lives(world, 5)
    receiver.start()
    for task_id, ctx in done:
        world.life(task_id, ctx, LIFE, deadline_seconds=10)


def test_a_collector_that_refuses_and_comes_back_gets_what_was_queued(new_world):
    receiver = Receiver()
    world = new_world(backend=receiver)
    receiver.behave("refuse")
    done = lives(world, 5)
    receiver.wait_for_call(more_than=1)  # It was asked, and asked again.
    receiver.behave("ok")
    done += lives(world, 2)
    for task_id, ctx in done:
        world.life(task_id, ctx, LIFE, deadline_seconds=12)


def test_a_collector_that_dies_and_comes_back_gets_what_came_meanwhile(new_world):
    receiver = Receiver()
    world = new_world(backend=receiver)
    (first, ctx), = lives(world, 1)
    world.life(first, ctx, LIFE)
    receiver.stop()
    done = lives(world, 5)
    receiver.start()
    for task_id, ctx in done:
        world.life(task_id, ctx, LIFE, deadline_seconds=12)


def test_a_hanging_collector_costs_nothing_and_the_broker_still_stops_in_time(new_world):
    receiver = Receiver()
    receiver.behave("hang")
    world = new_world(backend=receiver)
    done = lives(world, 20)
    receiver.wait_for_call()
    done += lives(world, 20)
    for task_id, _ in done:
        assert world.producer.result(task_id)["task"]["status"] == "COMPLETED"
    world.broker.terminate()
    status, seconds = world.broker.wait_exit()
    assert status == 0 and seconds <= 16
    assert seconds < 8, "HTTP had nothing to drain; the flush has five seconds of its own"
    receiver.behave("ok")


def test_spans_that_could_not_be_delivered_are_counted(new_world):
    receiver = Receiver(start=False)
    world = new_world(backend=receiver, OTEL_BSP_MAX_QUEUE_SIZE=64, OTEL_BSP_MAX_EXPORT_BATCH_SIZE=16)
    lives(world, 40)
    counted = [(k, v) for k, v in world.broker.metrics().items() if "span" in k and "drop" in k]
    assert counted and sum(v for _, v in counted) > 0, "a full queue drops and counts"
    world.broker.kill()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://no-such-host.invalid:4317",
                                      "localhost:1"])
def test_an_endpoint_that_nobody_answers_refuses_no_task(new_world, endpoint):
    world = new_world(backend=False, TRACING_ENABLED="true", TRACING_OTLP_ENDPOINT=endpoint)
    for task_id, _ in lives(world, 5):
        assert world.producer.task(task_id)["status"] == "COMPLETED"
    world.broker.kill()  # A stop would try for five seconds to flush.


def test_tls_against_a_plaintext_collector_fails_open(new_world):
    receiver = Receiver()
    world = new_world(backend=False, TRACING_ENABLED="true",
                      TRACING_OTLP_ENDPOINT=receiver.endpoint.replace("http://", "https://"))
    lives(world, 5)
    assert receiver.store.all() == []
    world.broker.kill()
    receiver.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a self-signed certificate for 127.0.0.1: (key, certificate, the certificate's file)."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", "/CN=collector",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes(), folder / "cert.pem"


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_spans_arrive_over_tls_with_either_compression(new_world, certificate, compression):
    key, pem, file = certificate
    receiver = Receiver(tls=(key, pem))
    world = new_world(backend=receiver, OTEL_EXPORTER_OTLP_CERTIFICATE=file, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    (task_id, ctx), = lives(world, 1)
    world.life(task_id, ctx, LIFE)


def test_a_collector_whose_certificate_is_not_trusted_gets_nothing_and_delays_nothing(new_world, certificate):
    key, pem, _ = certificate
    receiver = Receiver(tls=(key, pem))
    world = new_world(backend=receiver)
    lives(world, 5)
    assert receiver.store.all() == []
    world.broker.kill()


def test_gzip_in_plaintext_is_understood_too(new_world):
    receiver = Receiver()
    world = new_world(backend=receiver, OTEL_EXPORTER_OTLP_COMPRESSION="gzip")
    done = lives(world, 20)
    for task_id, ctx in done:
        world.life(task_id, ctx, LIFE)
