"""`codeq bench` against a real broker: what it says adds up, and is what the broker's own counters say."""

import json
import os
import subprocess

import pytest
from harness import World
from harness.broker import find_binary


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A broker of our own: thousands of tasks would be in the way of tests that list some."""
    world = World(tmp_path_factory.mktemp("bench"))
    yield world
    world.stop()


def run(*arguments, status=0, tokens=()):
    env = dict(os.environ) | dict(zip(("CODEQ_PRODUCER_TOKEN", "CODEQ_WORKER_TOKEN"), tokens))
    done = subprocess.run([find_binary(), "bench", *map(str, arguments)], env=env, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == status, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done


def address(broker, mode):
    streams = ("--producer-port", broker.producer_stream_port, "--worker-port", broker.worker_stream_port)
    return "--url", f"http://127.0.0.1:{broker.port}", *(streams if mode == "grpc" else ())


def bench(world, mode, *arguments, command):
    broker = world.broker
    done = run(mode, *address(broker, mode), "--server-pid", broker.process.pid, "--json", "--warmup", 0.2, "--duration", 0.5,
               "--command", command, *arguments, tokens=(world.tokens.acme_producer, world.tokens.acme_worker))
    for token in world.tokens.all():
        assert token not in done.stdout + done.stderr
    return json.loads(done.stdout)


def counters(broker, command):
    """What the broker has counted for the command, or for those that begin with it and a number."""
    metrics = broker.metrics()

    def total(name, more):
        return sum(value for key, value in metrics.items()
                   if key.startswith(f'{name}{{command="{command}"') and key.endswith(more + "}") or
                   key.startswith(f'{name}{{command="{command}-') and key.endswith(more + "}"))
    return {"created": total("codeq_task_created_total", ""),
            "completed": total("codeq_task_completed_total", 'status="COMPLETED"'), "waiting": total("codeq_queue_depth", "")}


MODES = {
    "http": ["http"],
    "http_batch": ["http", "--batch", 32, "--outstanding", 200],
    "http_open_loop": ["http", "--rate", 200],
    "http_backlog": ["http", "--backlog", 300, "--batch", 10],
    "http_priorities_and_queues": ["http", "--priorities", 10, "--queues", 20],
    "http_delayed": ["http", "--rate", 100, "--delay-ms", 300],
    "http_idle_polls": ["http", "--idle-polls", 50, "--rate", 100],
    "grpc": ["grpc"],
    "grpc_batch": ["grpc", "--batch", 32, "--window", 256],
    "grpc_open_loop": ["grpc", "--rate", 200],
    "grpc_backlog": ["grpc", "--backlog", 300, "--batch", 10],
    "grpc_priorities_and_queues": ["grpc", "--priorities", 10, "--queues", 20],
    "grpc_delayed": ["grpc", "--rate", 100, "--delay-ms", 300],
}


@pytest.mark.parametrize("name", MODES)
def test_what_it_says_adds_up_and_is_what_the_broker_counted(shared, name):
    mode, *arguments = MODES[name]
    command = "BENCH." + name
    said = bench(shared, mode, *arguments, command=command)
    assert said["errors"] == {} and said["refused_total"] == 0
    assert said["completed"] > 0 and said["completed"] <= said["completed_total"]
    assert said["created_total"] == said["completed_total"] + said["open_total"]
    assert said["open_total"] == 0, "what it created it settled"
    assert counters(shared.broker, command) == {"created": said["created_total"], "completed": said["completed_total"], "waiting": 0}
    latency = said["latency_us"]
    assert latency["completed"]["count"] == latency["handed_over"]["count"] > 0
    assert latency["create"]["count"] >= latency["completed"]["count"] or "delayed" in name  # a delayed one counts from then
    for row in latency.values():
        assert row["p50"] <= row["p90"] <= row["p99"] <= row["p99.9"] <= row["max"]
    assert said["server_cpu_us_per_task"] is not None
    assert said["server_rss_mib"] > 0 and said["server_syncs_per_second"] > 0
    assert (said["durability"], said["loop"]) == ("sync", "open" if "--rate" in arguments else "closed")


def test_an_open_loop_counts_every_instant_of_its_schedule(shared):
    said = bench(shared, "grpc", "--rate", 400, command="BENCH.schedule")
    # Half a second; the first instant may lie in the warm-up.
    assert abs(said["latency_us"]["completed"]["count"] - 200) <= 1


def test_two_tenants_share_the_load(shared, tmp_path):
    tokens = tmp_path / "tokens"
    of = shared.tokens
    tokens.write_text(f"{of.acme_producer} {of.acme_worker}\n{of.globex_producer} {of.globex_worker}\n")
    for mode in ("http", "grpc"):
        said = bench(shared, mode, "--tokens", tokens, command="BENCH.tenants." + mode)
        assert said["tenants"] == 2 and said["errors"] == {} and said["open_total"] == 0


def test_a_broker_of_its_own_is_started_and_ended():
    done = run("http", "--duration", 0.5, "--warmup", 0, "--json", "--durability", "none", "--sample-ratio", 0.5)
    said = json.loads(done.stdout)
    assert said["completed"] > 0 and (said["durability"], float(said["sampling"])) == ("none", 0.5)
    done = run("grpc", "--duration", 1.5, "--warmup", 0, "--sample-ratio", "off", "--tenants", 2, "--progress")
    for part in ("2 tenants", "no errors", "durability sync, trace sampling off"):
        assert part in done.stdout
    assert "measured" in done.stderr or "created/s" in done.stderr, "no line while it ran"


def test_a_wrong_token_is_an_error_and_not_a_figure(shared):
    broker = shared.broker
    done = run("grpc", *address(broker, "grpc"), status=2, tokens=("nobody", "nobody"))
    assert "auth failed" in done.stdout
    done = run("http", *address(broker, "http"), "--duration", 0.2, "--warmup", 0, status=1, tokens=("nobody", "nobody"))
    assert "create 401" in done.stdout and "0.0 tasks completed/s" in done.stdout
