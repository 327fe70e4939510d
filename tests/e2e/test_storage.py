"""What lies in the store: full disks, damage, missing and foreign files, retention, restarts from every state."""

import json
import pathlib
import subprocess
import secrets
import shutil
import time

import pytest

from harness import Api
from harness.broker import Broker
from harness.bulk import drain, fill, numbers

TINY = {"STORE_WRITE_BUFFER_BYTES": 65536, "STORE_CACHE_BYTES": 262144, "LOG_BYTES_MAX": 1 << 20, "LOG_SEGMENT_BYTES": 65536,
        "IMAGE_CUT_MS": 5, "IMAGE_CUT_BYTES": 16384, "MEMORY_BUDGET_BYTES": 64 << 20}
CORRUPT, DISK_FULL = 76, 75


def log_bytes(world):
    """What the log's segments take; one may be released while we look."""
    total = 0
    for file in (world.broker.data / "log").glob("segment-*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            pass
    return total


def test_a_deep_backlog_survives_a_stop_and_a_kill_in_order(new_world):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 3000)
    world.broker.stop()
    world.broker.start()
    assert numbers(world.worker.claim_batch("X", 10)) == list(range(10))
    world.broker.restart()
    assert drain(world.worker) == list(range(10, 3000))


def test_segments_are_used_again_and_the_folder_stays_small(new_world):
    world = new_world(backend=False, **TINY, RETENTION_SECONDS=1, IDEMPOTENCY_TTL_SECONDS=1)
    most = 0
    for _ in range(30):
        fill(world.producer, 500)
        assert len(drain(world.worker)) == 500
        most = max(most, log_bytes(world))
    lowest = min(int(f.name.split("-")[1]) for f in (world.broker.data / "log").glob("segment-*"))
    assert lowest > 1, "no segment was ever released"
    assert most < 8 << 20, "the log is bounded by logBytesMax, not by what was written"
    world.broker.restart()
    fill(world.producer, 10)
    assert drain(world.worker) == list(range(10))


def test_after_its_retention_a_task_is_gone_from_every_answer(new_world):
    world = new_world(backend=False, RETENTION_SECONDS=1, IDEMPOTENCY_TTL_SECONDS=1)
    task = world.producer.create("X", 1)["id"]
    world.worker.complete(world.worker.claim("X")["id"])
    deadline = time.monotonic() + 20
    while world.producer.call("GET", f"/tasks/{task}").status != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # nothing tells when; the answer is what counts
    world.broker.restart()
    for path in (f"/tasks/{task}", f"/tasks/{task}/result", f"/tasks/{task}/trace"):
        assert world.producer.call("GET", path).status == 404, path


def test_a_full_disk_ends_the_process_with_its_own_status_and_loses_nothing(small_disk, new_world):
    world = new_world(backend=False, PERSISTENCE_CONFIG=json.dumps({"path": str(small_disk / "data")}), DISK_RESERVE_BYTES=0,
                      LOG_SEGMENT_BYTES=4 << 20, LOG_BYTES_MAX=16 << 20, STORE_WRITE_BUFFER_BYTES=1 << 20, IMAGE_CUT_MS=20)
    kept = 0
    try:
        for n in range(100_000):
            answer = world.producer.call("POST", "/tasks", {"command": "X", "payload": {"n": n, "fill": "x" * 20_000}})
            if answer.status != 202:
                break
            kept = n + 1
    except (ConnectionError, OSError, AssertionError):
        pass
    status, _ = world.broker.wait_exit(30)
    assert status == DISK_FULL, world.broker.log()[-2000:]
    assert "No space left on device" in world.broker.log()
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    world.broker.start()
    order = drain(world.worker)
    assert order[:kept] == list(range(kept)) and len(order) <= kept + 1


def test_the_reserve_stops_creates_before_the_disk_is_full(small_disk, new_world):
    world = new_world(backend=False, PERSISTENCE_CONFIG=json.dumps({"path": str(small_disk / "data")}),
                      DISK_RESERVE_BYTES=12 << 20, LOG_SEGMENT_BYTES=4 << 20, LOG_BYTES_MAX=8 << 20,
                      STORE_WRITE_BUFFER_BYTES=1 << 20, IMAGE_CUT_MS=20)
    created, refused = 0, None
    deadline = time.monotonic() + 60
    while refused is None:
        assert time.monotonic() < deadline
        answer = world.producer.call("POST", "/tasks", {"command": "X", "payload": {"n": created, "fill": "x" * 50_000}})
        if answer.status == 202:
            created += 1
        else:
            refused = answer
    assert (refused.status, refused.code) == (503, "disk-full") and int(refused.header("Retry-After")) >= 1
    first = world.worker.claim("X")
    world.worker.heartbeat(first["id"])
    world.worker.complete(first["id"])  # owners go on
    subprocess.run(["mount", "-o", "remount,size=400m", small_disk], check=True)
    deadline = time.monotonic() + 20
    while world.producer.call("POST", "/tasks", {"command": "Y", "payload": 1}).status != 202:
        assert time.monotonic() < deadline, "creates go on once there is room"
        time.sleep(0.05)
    assert drain(world.worker) == list(range(1, created))


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT", "format"])
def test_a_damaged_file_of_the_store_is_named_and_never_read_as_something_else(new_world, pattern):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 1500)
    world.broker.stop()
    store = world.broker.data / "store"
    for path in sorted(store.glob(pattern)):
        data = bytearray(path.read_bytes())
        for at in range(0, len(data), 1500):  # every block
            data[at] ^= 0x10
        path.write_bytes(data)
    try:
        world.broker.start()
        assert drain(world.worker) == list(range(1500)), "what it says is right, or it says nothing"
    except (AssertionError, OSError, ConnectionError):
        world.broker.wait_exit(30)
    assert world.broker.process.poll() == CORRUPT, world.broker.log()[-2000:]
    assert "store" in world.broker.log() and "xxxx" not in world.broker.log()


def test_a_store_that_is_gone_is_made_again_from_a_whole_log_and_refused_without(new_world):
    world = new_world(backend=False)
    fill(world.producer, 300)
    world.broker.stop()
    shutil.rmtree(world.broker.data / "store")
    world.broker.start()
    assert drain(world.worker) == list(range(300))

    trimmed = new_world(backend=False, **TINY)
    for _ in range(12):
        fill(trimmed.producer, 500)
        drain(trimmed.worker)
    trimmed.broker.stop()
    assert not (trimmed.broker.data / "log" / "segment-000000000001").exists()
    shutil.rmtree(trimmed.broker.data / "store")
    with pytest.raises(AssertionError, match="did not start"):
        trimmed.broker.start()
    assert trimmed.broker.process.returncode == CORRUPT
    assert "segment-" in trimmed.broker.log()


def test_a_store_of_another_log_and_a_foreign_folder_are_refused_untouched(new_world):
    one, two = new_world(backend=False), new_world(backend=False)
    for world in (one, two):
        fill(world.producer, 10)
        world.broker.stop()
    shutil.rmtree(one.broker.data / "store")
    shutil.copytree(two.broker.data / "store", one.broker.data / "store")
    before = {p: p.read_bytes() for p in one.broker.data.rglob("*") if p.is_file()}
    with pytest.raises(AssertionError, match="did not start"):
        one.broker.start()
    assert one.broker.process.returncode == CORRUPT
    assert "belongs to another log" in one.broker.log()
    assert {p: p.read_bytes() for p in one.broker.data.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(("call", "nth"), [("fdatasync", 25), ("pwritev", 25), ("fsync", 30)])
def test_a_call_that_fails_ends_the_process_with_its_own_status_and_loses_nothing(new_world, call, nth):
    world = new_world(backend=False, **TINY)
    world.broker.stop()
    world.broker.start(wrapper=["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                f"inject={call}:error=EIO:when={nth}+"])
    kept = 0
    try:
        for n in range(5000):
            if world.producer.call("POST", "/tasks", {"command": "X", "payload": {"n": n, "fill": "x" * 200}}).status != 202:
                break
            kept = n + 1
    except (ConnectionError, OSError, AssertionError):
        pass
    status, _ = world.broker.wait_exit(20)
    assert status == 74, world.broker.log()[-2000:]
    assert "cannot be used any more" in world.broker.log()
    world.broker.start()
    order = drain(world.worker)
    assert order == list(range(len(order))) and len(order) >= kept
