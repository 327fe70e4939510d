"""`codeq backup`, `codeq restore`, `codeq store check|stats`, as an operator uses them."""

import json
import pathlib
import subprocess
import threading

import pytest

from harness import Api
from harness.broker import Broker, find_binary
from harness.bulk import drain, fill

CORRUPT, IN_USE, CONFIG = 76, 78, 1
TINY = {"STORE_WRITE_BUFFER_BYTES": 65536, "LOG_BYTES_MAX": 1 << 20, "LOG_SEGMENT_BYTES": 65536, "IMAGE_CUT_MS": 5}


def codeq(*words):
    return subprocess.run([find_binary(), *map(str, words)], capture_output=True, text=True, timeout=120)


def ok(*words):
    done = codeq(*words)
    assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def restored(tmp_path):
    """Starts a broker on a data folder with the tokens of a world."""
    brokers = []

    def start(world, data):
        broker = Broker(tmp_path / f"again{len(brokers)}", world.tokens, PERSISTENCE_CONFIG=json.dumps({"path": str(data)}))
        broker.data = data
        brokers.append(broker.start())
        return broker
    yield start
    for broker in brokers:
        broker.stop()


def test_a_backup_under_load_has_everything_that_was_acknowledged_before_it(new_world, tmp_path, restored):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 3000)
    stop = threading.Event()
    more = [3000]

    def load():
        while not stop.is_set():
            fill(world.producer, 100, start=more[0])
            more[0] += 100
            for task in world.worker.claim_batch("Y", 10):
                world.worker.complete(task["id"])
    thread = threading.Thread(target=load)
    thread.start()
    try:
        for copy in ("one", "two"):
            known = more[0]
            said = ok("backup", "--data", world.broker.data, "--to", tmp_path / copy)
            assert "backed up to" in said
    finally:
        stop.set()
        thread.join()
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / "two")
    assert checked.returncode == 0
    ok("restore", "--from", tmp_path / "two", "--verify")
    ok("restore", "--from", tmp_path / "two", "--data", tmp_path / "data")
    assert "no damage found" in ok("store", "check", "--data", tmp_path / "data")
    again = restored(world, tmp_path / "data")
    order = drain(Api(again, world.tokens.acme_worker))
    assert order == list(range(len(order))) and len(order) >= known
    assert drain(world.worker) == list(range(more[0])), "the broker that was copied has lost nothing"


def test_a_stopped_broker_is_copied_as_it_lies(new_world, tmp_path, restored):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 500)
    world.broker.kill()
    ok("backup", "--data", world.broker.data, "--to", tmp_path / "copy")
    about = json.loads((tmp_path / "copy/backup.json").read_text())
    assert about["format"] == 1 and about["lastGroup"] >= 5
    ok("restore", "--from", tmp_path / "copy", "--data", tmp_path / "data")
    assert drain(Api(restored(world, tmp_path / "data"), world.tokens.acme_worker)) == list(range(500))


def test_store_check_and_stats_read_a_stopped_folder_and_change_nothing(new_world):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 300)
    for task in world.worker.claim_batch("X", 100):
        world.worker.complete(task["id"])
    held = codeq("store", "check", "--data", world.broker.data)
    assert held.returncode == IN_USE and "in use" in held.stderr
    world.broker.stop()
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in world.broker.data.rglob("*") if p.is_file()}
    said = ok("store", "check", "--data", world.broker.data)
    assert "200 tasks wait, 0 are leased, 100 are finished" in said
    stats = json.loads(ok("store", "stats", "--data", world.broker.data, "--json"))
    assert stats["store"]["tables"]["body"]["rowsAbout"] == pytest.approx(300, rel=0.05)  # a row can lie in two pieces of its page
    assert stats["log"]["lastGroup"] >= stats["store"]["group"]
    assert "table" in ok("store", "stats", "--data", world.broker.data)
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in world.broker.data.rglob("*") if p.is_file()}
    world.broker.start()


def test_store_check_names_the_damaged_file(new_world):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 2000)
    world.broker.stop()
    table = sorted((world.broker.data / "store").glob("*.sst"), key=lambda p: p.stat().st_size)[-1]
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 4
    table.write_bytes(data)
    found = codeq("store", "check", "--data", world.broker.data)
    assert found.returncode == CORRUPT and table.name in found.stderr, found.stderr


def test_a_damaged_or_foreign_backup_is_refused_and_nothing_is_made(new_world, tmp_path):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 300)
    ok("backup", "--data", world.broker.data, "--to", tmp_path / "copy")
    copy, data = tmp_path / "copy", tmp_path / "data"
    again = codeq("backup", "--data", world.broker.data, "--to", copy)
    assert again.returncode == CONFIG and "in the way" in again.stderr

    def refused(status, words):
        for extra in (["--data", data], ["--verify"]):
            found = codeq("restore", "--from", copy, *extra)
            assert found.returncode == status and words in found.stderr, found
        assert not data.exists() and not pathlib.Path(f"{data}.partial").exists()

    segment = sorted((copy / "log").glob("segment-*"))[-1]
    whole = segment.read_bytes()
    segment.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    refused(CORRUPT, segment.name)
    segment.unlink()
    refused(CORRUPT, f"{segment.name} is missing")
    segment.write_bytes(whole)
    (copy / "store/000099.sst").write_bytes(b"foreign")
    refused(CORRUPT, "not in the list")
    (copy / "store/000099.sst").unlink()
    sums = (copy / "SHA256SUMS").read_text()
    (copy / "SHA256SUMS").write_text(sums + "0" * 64 + "  ../../etc/passwd\n")
    refused(CORRUPT, "list of files is damaged")
    (copy / "SHA256SUMS").unlink()
    refused(CONFIG, "no backup of ours")
    (copy / "SHA256SUMS").write_text(sums)
    about = (copy / "backup.json").read_text()
    (copy / "backup.json").write_text(about.replace('"format":1', '"format":2'))
    refused(CONFIG, "newer")
    (copy / "backup.json").write_text(about)
    data.mkdir()
    (data / "something").write_text("x")
    occupied = codeq("restore", "--from", copy, "--data", data)
    assert occupied.returncode == CONFIG and "in the way" in occupied.stderr
    assert (data / "something").read_text() == "x"


def test_a_folder_that_is_none_of_ours_says_so(tmp_path):
    for words in (["backup", "--data", tmp_path, "--to", tmp_path / "x"], ["store", "check", "--data", tmp_path],
                  ["store", "stats", "--data", tmp_path / "nothing"], ["restore", "--from", tmp_path, "--verify"]):
        found = codeq(*words)
        assert found.returncode == CONFIG and found.stderr.startswith("codeq "), (words, found)
    assert codeq("backup", "--data", tmp_path).returncode == 2
    assert codeq("restore", "--from", tmp_path).returncode == 2


def test_a_backup_does_not_go_into_the_folder_it_copies(new_world, tmp_path):
    world = new_world(backend=False, **TINY)
    fill(world.producer, 100)
    for to in (world.broker.data / "backup", world.broker.data / "store" / "backup"):
        found = codeq("backup", "--data", world.broker.data, "--to", to)
        assert found.returncode == CONFIG and "is inside" in found.stderr, found
    found = codeq("backup", "--data", world.broker.data, "--to", tmp_path / "nowhere" / "x")
    assert found.returncode != 0 and "nowhere" in found.stderr
    world.broker.restart()
    assert drain(world.worker) == list(range(100))


def test_a_command_that_is_interrupted_or_a_broker_that_stops_leaves_nothing_behind(new_world, tmp_path):
    world = new_world(backend=False)
    filler = "x" * 8_000
    for n in range(80):  # about 64 MB: time enough to interrupt it
        world.producer.create_batch([{"command": "X", "payload": {"n": n, "fill": filler + str(i)}} for i in range(100)])

    def begin(copy):
        process = subprocess.Popen([find_binary(), "backup", "--data", world.broker.data, "--to", copy],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()  # the first progress
        return process
    one = begin(tmp_path / "one")
    one.kill()
    one.wait()
    two = begin(tmp_path / "two")  # served after the first one was called off
    world.broker.stop()
    two.communicate(timeout=60)
    for copy in ("one", "two"):
        assert not (tmp_path / f"{copy}.partial").exists()
        assert not (tmp_path / copy).exists() or codeq("restore", "--from", tmp_path / copy, "--verify").returncode == 0
    assert not (world.broker.data / "backup.staging").exists()
    world.broker.start()


def test_a_target_without_room_is_refused_and_the_broker_goes_on(new_world, small_disk):
    world = new_world(backend=False)
    filler = "x" * 8_000
    for n in range(80):
        world.producer.create_batch([{"command": "X", "payload": {"n": n, "fill": filler + str(i)}} for i in range(100)])
    found = codeq("backup", "--data", world.broker.data, "--to", small_disk / "copy")
    assert found.returncode == 75 and "room" in found.stderr, found
    assert list(small_disk.iterdir()) == []
    assert world.producer.create("X", 1)
