"""What is on disk: damage is refused, a torn tail is dropped, a full disk and an overload are answers and no losses."""

import json
import secrets
import socket
import threading
import time

import pytest

from harness import Api
from harness.api import BASE
from harness.net import exchange


def segments(broker):
    return sorted(broker.data.rglob("segment-*"))


def flip(broker, needle, offset=0):
    """Changes one bit of the first place in the log that holds these bytes."""
    for segment in segments(broker):
        data = bytearray(segment.read_bytes())
        at = data.find(needle)
        if at >= 0:
            data[at + offset] ^= 1
            segment.write_bytes(data)
            return segment
    raise AssertionError("the log does not hold these bytes")


def test_a_flipped_bit_in_what_was_promised_refuses_the_start_and_changes_nothing(new_world):
    world = new_world(backend=False)
    canaries = [secrets.token_hex(16) for _ in range(4)]
    for canary in canaries:
        world.producer.create("X", canary)
    world.broker.kill()
    segment = flip(world.broker, canaries[1].encode())
    before = {p: p.read_bytes() for p in segments(world.broker)}
    for _ in range(2):
        with pytest.raises(AssertionError, match="did not start"):
            world.broker.start()
        assert world.broker.process.returncode == 76
    assert segment.name in world.broker.log(), "the message names the file"
    assert not any(canary in world.broker.log() for canary in canaries)
    assert {p: p.read_bytes() for p in segments(world.broker)} == before
    flip(world.broker, bytes([canaries[1].encode()[0] ^ 1]) + canaries[1].encode()[1:])  # the bit back
    world.broker.start()
    assert [json.loads(t["payload"]) for t in world.worker.claim_batch("X", 10)] == canaries


def test_a_torn_tail_is_dropped_and_all_before_it_is_there(new_world):
    world = new_world(backend=False)
    kept = [world.producer.create("X", n)["id"] for n in range(5)]
    last = secrets.token_hex(16)
    world.producer.create("X", last)
    world.broker.kill()
    # As if the power had failed inside the last write: nobody can have seen more than what is durable before it.
    flip(world.broker, last.encode())
    world.broker.start()
    assert [t["id"] for t in world.worker.claim_batch("X", 10)] == kept
    assert world.producer.create("X", "more")["id"]
    world.broker.restart()
    assert len(world.worker.claim_batch("X", 10)) == 1


def test_a_nearly_full_disk_refuses_creates_and_nothing_else(new_world):
    world = new_world(backend=False)
    tasks = [world.producer.create("X", n) for n in range(2)]
    world.broker.stop()
    world.broker.settings["DISK_RESERVE_BYTES"] = str(2**60)
    world.broker.start()
    answer = world.producer.call("POST", "/tasks", {"command": "X", "payload": 1})
    assert (answer.status, answer.code) == (503, "disk-full") and int(answer.header("Retry-After")) >= 1
    batch = world.producer.call("POST", "/tasks/batch", {"tasks": [{"command": "X", "payload": 1}]})
    assert (batch.status, batch.code) == (503, "disk-full")
    claimed = world.worker.claim("X")
    world.worker.heartbeat(claimed["id"])
    world.worker.complete(claimed["id"])
    world.worker.nack(world.worker.claim("X")["id"], 1)
    assert world.producer.result(tasks[0]["id"])["task"]["status"] == "COMPLETED"
    world.broker.stop()
    del world.broker.settings["DISK_RESERVE_BYTES"]
    world.broker.start()
    assert world.producer.create("X")["id"]


def test_an_overload_is_answered_503_and_what_was_accepted_is_kept(new_world):
    world = new_world(backend=False, COMMAND_QUEUE_MAX=16)
    statuses, accepted, lock = [], set(), threading.Lock()

    def produce():
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", world.broker.port, timeout=20)
        headers = {"Authorization": f"Bearer {world.tokens.acme_producer}"}
        for n in range(40):
            connection.request("POST", f"{BASE}/tasks", json.dumps({"command": "LOAD", "payload": n}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            with lock:
                statuses.append(answer.status)
                if answer.status == 202:
                    accepted.add(body["id"])
                else:
                    assert answer.status == 503 and body["code"] == "overloaded" and int(answer.headers["Retry-After"]) >= 1
        connection.close()

    threads = [threading.Thread(target=produce) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(statuses) == 32 * 40
    world.broker.restart()
    there = set()
    while tasks := world.worker.claim_batch("LOAD", 100):
        there |= {t["id"] for t in tasks}
    assert there == accepted, "neither lost nor created behind a refusal"


def test_the_data_folder_is_closed_to_others(new_world):
    world = new_world(backend=False)
    world.producer.create("X")
    assert world.broker.data.stat().st_mode & 0o077 == 0
    for file in segments(world.broker):
        assert file.stat().st_mode & 0o077 == 0


def test_a_data_folder_moves_with_its_tasks(new_world, tmp_path):
    world = new_world(backend=False)
    task = world.producer.create("X", {"n": 1})
    world.broker.stop()
    moved = tmp_path / "moved"
    world.broker.data.rename(moved)
    world.broker.settings["PERSISTENCE_CONFIG"] = json.dumps({"path": str(moved)})
    world.broker.start()
    assert Api(world.broker, world.tokens.acme_worker).claim("X")["id"] == task["id"]
    assert exchange(world.broker.port, "GET", "/readyz").status == 200


def test_bodies_that_never_end_stop_creates_long_before_a_leases_owner(new_world):
    world = new_world(backend=False, HTTP_IN_FLIGHT_BYTES_MAX=4 << 20, HTTP_BODY_TIMEOUT_SECONDS=60)
    mine = world.producer.create("X", 1)["id"]
    assert world.worker.claim("X")["id"] == mine
    head = (f"POST {BASE}/tasks HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {world.tokens.acme_producer}\r\n"
            "Content-Length: 1000000\r\n\r\n").encode()
    slow = []
    try:
        for _ in range(40):
            one = socket.create_connection(("127.0.0.1", world.broker.port), timeout=20)
            one.settimeout(20)
            one.sendall(head + b"{" + b" " * 200_000)
            slow.append(one)
        deadline = time.monotonic() + 20
        while (answer := world.producer.call("POST", "/tasks", {"command": "X", "payload": 1})).status != 503:
            assert time.monotonic() < deadline, "40 unfinished bodies of 200 kB do not fit into 4 MiB"
        assert answer.json["code"] == "overloaded" and answer.header("Retry-After") == "1"
        assert world.broker.get("/readyz").status == 200
        world.worker.heartbeat(mine)
        world.worker.complete(mine)
    finally:
        for one in slow:
            one.close()
    deadline = time.monotonic() + 20
    while world.producer.call("POST", "/tasks", {"command": "X", "payload": 1}).status != 202:
        assert time.monotonic() < deadline, "there is room again"
