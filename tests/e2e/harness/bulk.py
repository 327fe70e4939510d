"""Many tasks whose payloads are numbers, for tests of order and of what is kept."""

import json


def fill(api, count, command="X", size=200, start=0):
    """The ids of `count` tasks numbered from `start` on."""
    ids = []
    for at in range(start, start + count, 100):
        tasks = [{"command": command, "payload": {"n": n, "fill": "x" * size}} for n in range(at, min(at + 100, start + count))]
        ids += [result["task"]["id"] for result in api.create_batch(tasks)]
    return ids


def numbers(tasks):
    return [json.loads(t["payload"])["n"] if isinstance(t["payload"], str) else t["payload"]["n"] for t in tasks]


def drain(api, command="X"):
    order = []
    while tasks := api.claim_batch(command, 100):
        order += numbers(tasks)
        api.results_batch([{"taskId": t["id"], "status": "COMPLETED", "result": {}} for t in tasks])
    return order
