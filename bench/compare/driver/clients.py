"""Runs a load client against a server and measures the server between the client's two lines (load/load.go)."""

import json
import os
import pathlib
import subprocess

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILT = ROOT / "build" / "compare"


def built(name):
    """What starts one of our Go clients, once `run` has built them."""
    return lambda: [BUILT / name]


def measure(command, server_pid):
    """One run's figures. The client warms up, prints its count, goes on and prints it again."""
    environment = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
    with subprocess.Popen(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        samples = []
        try:
            for line in client.stdout:
                usage, times = machine.tree_usage(server_pid), machine.machine_times()
                samples.append((json.loads(line), usage, times))
                if len(samples) == 2:
                    break
        finally:
            if len(samples) < 2:
                client.kill()
        errors = client.stderr.read()
    if len(samples) < 2 or client.returncode:
        raise RuntimeError(f"{command[0]} ended with {client.returncode}: {errors.strip()[-1000:]}")
    (first, usage, times), (last, usage_after, times_after) = samples
    return figures(
        last["completed"] - first["completed"],
        (last["ns"] - first["ns"]) / 1e9,
        usage_after[0] - usage[0],
        usage_after[1] - usage[1],
        machine.stolen_percent(times, times_after),
    )


def figures(completed, seconds, cpu_seconds, disk_bytes, stolen):
    return {
        "completed": completed,
        "seconds": round(seconds, 3),
        "completed_per_second": round(completed / seconds, 1),
        "server_cpu_us_per_task": round(cpu_seconds * 1e6 / completed, 2),
        "disk_bytes_per_task": round(disk_bytes / completed),
        "cpu_stolen_percent": round(stolen, 1),
    }
