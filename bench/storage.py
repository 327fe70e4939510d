#!/usr/bin/python3
"""What storage costs: memory of waiting tasks, restarts, order, bytes written to the disk. One JSON line per scenario.

    bench/storage.py backlog  [--tasks 1000000]   fill, stop, start: memory, time to ready; then claim everything, in order
    bench/storage.py finished [--tasks 10000000]  finish many beside 1,000 that wait, stop, start: time to ready, order
    bench/storage.py written  [--tasks 3000000]   whole cycles: bytes written to the disk per task, compaction included

Needs a built codeq (CODEQ_BINARY, or build/release/codeq) and Debian's python3. Payloads of 300 bytes, durability sync
unless --durability says otherwise; the figures are the server's own, from /proc and the log line of its start.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

from lab import Broker, Tokens, measure, memory_kib, say, written_bytes

BASE = "/v1/codeq"
BATCH = 100


class Client:
    def __init__(self, broker, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=120)
        self.headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}

    def post(self, path, body):
        while True:
            self.connection.request("POST", BASE + path, body, self.headers)
            answer = self.connection.getresponse()
            data = answer.read()
            if answer.status not in (429, 503):
                break
            time.sleep(float(answer.headers.get("Retry-After", "0.1")))
        if answer.status >= 400:
            raise RuntimeError(f"{path}: {answer.status} {data[:200]!r}")
        return data


def payload_body(first, count, size=300):
    items = []
    for number in range(first, first + count):
        head = f'{{"command":"BENCH","payload":{{"n":{number},"fill":"'
        items.append(head + "x" * (size - len(f'{{"n":{number},"fill":""}}')) + '"}}')
    return ('{"tasks":[' + ",".join(items) + "]}").encode()


def fill(broker, total, first=0):
    client = Client(broker, broker.tokens.acme_producer)
    began = last = time.monotonic()
    for at in range(first, first + total, BATCH):
        client.post("/tasks/batch", payload_body(at, min(BATCH, first + total - at)))
        if time.monotonic() - last > 5:
            last = time.monotonic()
            say(f"  {at - first + BATCH:,} of {total:,} created")
    return time.monotonic() - began


ID = re.compile(rb'"id":"([0-9a-f-]{36})"')
NUMBER = re.compile(rb'\\?"n\\?":(\d+)')


def drain(broker, expected, limit=None):
    """Claims and completes until nothing is left; every claim in the order of creation."""
    client = Client(broker, broker.tokens.acme_worker)
    claim = json.dumps({"commands": ["BENCH"], "count": BATCH, "leaseSeconds": 600}).encode()
    done, last = 0, time.monotonic()
    began = last
    while limit is None or done < limit:
        answer = client.post("/tasks/claim/batch", claim)
        ids = ID.findall(answer)
        if not ids:
            break
        for number in NUMBER.findall(answer):
            if int(number) != expected:
                raise RuntimeError(f"task {int(number)} was handed out where {expected} was next")
            expected += 1
        results = b",".join(b'{"taskId":"' + i + b'","status":"COMPLETED","result":{"ok":true}}' for i in ids)
        client.post("/tasks/batch/results", b'{"results":[' + results + b"]}")
        done += len(ids)
        if time.monotonic() - last > 5:
            last = time.monotonic()
            say(f"  {done:,} claimed and completed")
    return done, time.monotonic() - began


def start(broker):
    began = time.monotonic()
    broker.start()
    return time.monotonic() - began


def settled_memory_kib(broker):
    time.sleep(1)  # what a start leaves behind for the allocator to give back
    return memory_kib(broker.process.pid)


def report(scenario, args, **figures):
    return {"scenario": scenario, "tasks": args.tasks, "payload_bytes": 300, "durability": args.durability, "sampling": "off", **figures}


def backlog(args, folder, tokens):
    settings = {"DURABILITY": args.durability}
    empty = Broker(folder / "empty", tokens, **settings)
    empty_ready = start(empty)
    empty_kib = settled_memory_kib(empty)
    empty.stop()
    broker = Broker(folder / "full", tokens, **settings)
    start(broker)
    fill_seconds = fill(broker, args.tasks)
    full_kib = memory_kib(broker.process.pid)
    broker.stop()
    ready = start(broker)
    restarted_kib = settled_memory_kib(broker)
    say(f"ready after {ready:.2f} s; draining")
    done, drain_seconds = drain(broker, 0)
    drained_kib = memory_kib(broker.process.pid)
    broker.stop()
    return report("backlog", args, fill_per_second=round(args.tasks / fill_seconds), empty_ready_seconds=round(empty_ready, 3),
           empty_rss_kib=empty_kib, filled_rss_kib=full_kib, restarted_ready_seconds=round(ready, 3),
           restarted_rss_kib=restarted_kib,
           good=done == args.tasks, bytes_per_waiting_task=round((restarted_kib - empty_kib) * 1024 / args.tasks, 1), drained=done, in_order=True,
           drain_per_second=round(done / drain_seconds), drained_rss_kib=drained_kib)


def cycles(broker, total, connections=4):
    """Whole cycles by the load generator; returns how many were completed."""
    completed = 0
    while completed < total:
        result = measure(broker, "http", "--batch", BATCH, "--producers", connections, "--workers", connections, "--warmup", 0,
                         "--duration", 10, "--outstanding", 20000, "--command", "CYCLE")
        completed += result["completed_total"]
        say(f"  {completed:,} of {total:,} cycles ({result['completed_per_second']:,.0f}/s)")
    return completed


def finished(args, folder, tokens):
    broker = Broker(folder / "finished", tokens, DURABILITY=args.durability)
    start(broker)
    fill(broker, 1000)
    worker = Client(broker, broker.tokens.acme_worker)  # the first hundred go back to the tail
    answer = worker.post("/tasks/claim/batch", json.dumps({"commands": ["BENCH"], "count": BATCH, "leaseSeconds": 600}))
    for task in ID.findall(answer):
        worker.post(f"/tasks/{task.decode()}/abandon", "{}")
    done = cycles(broker, args.tasks)
    broker.stop()
    ready = start(broker)
    rss = settled_memory_kib(broker)
    waiting = drain(broker, BATCH, limit=1000 - BATCH)[0] + drain(broker, 0)[0]
    broker.stop()
    return report("finished", args, good=waiting == 1000, finished=done, waiting=waiting, in_order=True, returned_at_the_tail=BATCH, ready_seconds=round(ready, 3), rss_kib=rss)


def written(args, folder, tokens):
    broker = Broker(folder / "written", tokens, DURABILITY=args.durability)
    start(broker)
    before = written_bytes(broker.process.pid)
    began = time.monotonic()
    done = cycles(broker, args.tasks)
    time.sleep(5)  # compactions under way
    bytes_written = written_bytes(broker.process.pid) - before
    seconds = time.monotonic() - began
    folder_bytes = sum(f.stat().st_size for f in broker.data.rglob("*") if f.is_file())
    log_bytes = sum(f.stat().st_size for f in (broker.data / "log").rglob("*") if f.is_file())
    rss = memory_kib(broker.process.pid)
    broker.stop()
    return report("written", args, good=True, completed=done, per_second=round(done / seconds), disk_bytes_per_task=round(bytes_written / done),
           folder_bytes_per_task=round(folder_bytes / done), log_folder_bytes=log_bytes, rss_kib=rss)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=["backlog", "finished", "written"])
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--durability", default="sync", choices=["sync", "interval", "none"])
    parser.add_argument("--folder", help="where the data folders go (a disk, not tmpfs); default: a temporary one here")
    args = parser.parse_args()
    args.tasks = args.tasks or {"backlog": 1_000_000, "finished": 10_000_000, "written": 3_000_000}[args.scenario]
    figures = run(args)
    print(json.dumps(figures), flush=True)
    sys.exit(0 if figures["good"] else 1)


def run(args):
    """`args`: scenario, tasks, durability, folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="codeq-storage-", dir=args.folder or os.getcwd()))
    try:
        return {"backlog": backlog, "finished": finished, "written": written}[args.scenario](args, folder, Tokens())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
