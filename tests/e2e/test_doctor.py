"""`codeq doctor` says what stands in the way of a broker, and what to do; it changes nothing."""

import json
import os
import socket
import subprocess

import pytest

from harness.broker import find_binary


def doctor(world, *arguments, **settings):
    """Exit status and the checks by name, as [(status, what, advice)]."""
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= world.broker.settings | {"PORT": str(world.broker.port)} | {k: str(v) for k, v in settings.items()}
    done = subprocess.run([find_binary(), "doctor", "--json", *arguments], env=environment, cwd=world.broker.folder,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    for token in world.tokens.all():
        assert token not in done.stdout
    checks = {}
    for check in report["checks"]:
        checks.setdefault(check["name"], []).append((check["status"], check["what"], check.get("advice", "")))
    return done.returncode, checks


def test_a_running_broker_is_well(new_world):
    world = new_world(backend=False)
    status, checks = doctor(world)
    assert status == 0, checks
    assert checks["running broker"][0][0] == "ok" and "in use" in checks["data folder"][0][1]
    assert {"settings", "free space", "port", "clock", "open files", "tracing", "webhooks"} <= checks.keys()


def test_a_stopped_broker_s_folder_is_looked_at(new_world):
    world = new_world(backend=False)
    world.producer.create("X")
    world.broker.stop()
    status, checks = doctor(world)
    assert status == 0, checks
    assert "fit together" in checks["data folder"][0][1] and "can be listened on" in checks["port"][0][1]
    segment = sorted((world.broker.data / "log").glob("segment-*"))[0]
    segment.write_bytes(b"x" * 4096 + segment.read_bytes()[4096:])
    status, checks = doctor(world)
    assert status == 1 and checks["data folder"][0][0] == "fail" and "store check" in checks["data folder"][0][2]


def test_nothing_is_made(new_world):
    world = new_world(backend=False, start=False)
    world.broker.port = 0
    status, checks = doctor(world)
    assert status == 0, checks
    assert "will be made" in checks["data folder"][0][1] and not world.broker.data.exists()


def test_a_port_that_somebody_else_has_is_a_failure(new_world):
    world = new_world(backend=False, start=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        world.broker.port = other.getsockname()[1]
        status, checks = doctor(world)
        assert status == 1 and checks["port"][0][0] == "fail" and "another port" in checks["port"][0][2]
        world.broker.port = 0
        status, checks = doctor(world, WORKER_STREAM_ADDR=f"127.0.0.1:{other.getsockname()[1]}")
    assert status == 1 and checks["worker streams"][0][0] == "fail" and checks["port"][0][0] == "ok"


@pytest.mark.parametrize(("settings", "name", "verdict"), [
    ({"PRODUCER_AUTH_CONFIG": "{}"}, "settings", "fail"), ({"DISK_RESERVE_BYTES": 1 << 60}, "free space", "fail"),
    ({"TRACING_ENABLED": "true", "TRACING_OTLP_ENDPOINT": "127.0.0.1:1"}, "tracing", "warn"),
    ({"ENV": "prod", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}, "webhooks", "warn")])
def test_what_is_wrong_is_named_with_what_to_do(new_world, settings, name, verdict):
    world = new_world(backend=False, start=False)
    world.broker.port = 0
    status, checks = doctor(world, **settings)
    assert status == (1 if verdict == "fail" else 0), checks
    assert [c for c in checks[name] if c[0] == verdict], checks[name]


def test_a_setting_that_is_none_ends_the_examination(new_world):
    world = new_world(backend=False, start=False)
    world.broker.port = 0
    status, checks = doctor(world, PORT="many")
    assert status == 1 and checks.keys() == {"settings"}


def test_people_read_lines(new_world):
    world = new_world(backend=False, start=False)
    environment = world.broker.settings | {"PATH": os.environ["PATH"], "PORT": "0"}
    done = subprocess.run([find_binary(), "doctor"], env=environment, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and all(line.split()[0] in ("ok", "warn", "fail", "->") for line in lines), done.stdout
