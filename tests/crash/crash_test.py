#!/usr/bin/python3
"""Load, kill -9, restart, again and again, with an oracle outside the process.

    tests/crash/crash_test.py [--cycles 10] [--seed N] [--canary] [--streams]

The oracle believes only what the broker has said yes to, and holds it to that:
  - every acknowledged create exists after the last kill, and its payload is what was sent
  - every acknowledged result can be read, exactly as it was acknowledged
  - no task has two live leases: no delivery is handed out twice, and a lease that its worker still holds is held by nobody else
  - an answer of "not yours" needs a reason: a lease that ran out, or a call whose answer the kill swallowed
  - one idempotency key, one task
  - every acknowledged result whose task has a webhook is delivered
  - in the end every task is finished and the queues are empty
What the kill left unanswered may have happened or not; both are fine, and counted.
"""

import argparse
import collections
import http.client
import json
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import BASE, Broker, Raw, Tokens, request_bytes  # noqa: E402
from harness.webhooks import WebhookReceiver  # noqa: E402
from stream_connection import StreamConnection  # noqa: E402

COMMANDS = ["ALPHA", "BETA", "GAMMA"]
LEASE_SECONDS = 2
# Record time may differ from ours by its slewing, and our reading of the clock by scheduling.
SLACK_SECONDS = 0.1
GONE = (ConnectionError, http.client.HTTPException, socket.timeout, TimeoutError, OSError)


class Connection:
    """Keep-alive requests; `ask` raises one of GONE when the answer did not come."""

    def __init__(self, port, token):
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        self._http.request(method, BASE + path, data, self._headers)
        answer = self._http.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def close(self):
        self._http.close()


class Lease:
    """What a worker knows of a delivery that it was handed."""

    def __init__(self, attempt, worker, asked, answered):
        self.attempt, self.worker = attempt, worker
        self.sure_from = answered                            # it was certainly ours when the answer came
        self.sure_until = asked + LEASE_SECONDS - SLACK_SECONDS  # and until the lease that began no earlier than we asked
        self.ended = None                                    # when we sent what may have ended it


class Oracle:
    def __init__(self):
        self.lock = threading.Lock()
        self.created = {}                    # id -> payload text, acknowledged
        self.keys = {}                       # idempotency key -> id
        self.hooks = {}                      # id -> webhook path
        self.results = {}                    # id -> record, acknowledged
        self.maybe_ended = set()             # ids with a result, nack or abandon whose answer was swallowed
        self.leases = collections.defaultdict(list)
        self.counts = collections.Counter()
        self.violations = []

    def violation(self, text):
        with self.lock:
            self.violations.append(text)

    def ack_create(self, task, payload, key, hook):
        with self.lock:
            self.counts["creates acknowledged"] += 1
            if task["payload"] != payload:
                self.violations.append(f"create of {task['id']} answered with another payload")
            if key is not None and self.keys.setdefault(key, task["id"]) != task["id"]:
                self.violations.append(f"key {key} has two tasks: {self.keys[key]} and {task['id']}")
            self.created[task["id"]] = payload
            if hook:
                self.hooks[task["id"]] = hook

    def ack_claim(self, task, worker, asked, answered):
        lease = Lease(task["attempts"], worker, asked, answered)
        with self.lock:
            self.counts["claims acknowledged"] += 1
            if task["id"] in self.results:
                self.violations.append(f"{task['id']} was handed out after its result had been acknowledged")
            if task["id"] in self.created and task["payload"] != self.created[task["id"]]:
                self.violations.append(f"{task['id']} was handed out with another payload")
            for other in self.leases[task["id"]]:
                if other.attempt == lease.attempt:
                    self.violations.append(f"delivery {lease.attempt} of {task['id']} was handed out twice")
                # The other is certainly alive from sure_from to the earlier of its end and what its worker did; this one
                # began somewhere between asked and answered.
                until = min(other.sure_until, other.ended if other.ended is not None else other.sure_until)
                if other.sure_from < asked and answered < until:
                    self.violations.append(f"{task['id']}: delivery {lease.attempt} inside the live lease of delivery {other.attempt}")
            self.leases[task["id"]].append(lease)
        return lease

    def refused(self, task_id, lease, what, answer, asked):
        """An owner call came back with 403, 404 or 409: is there a reason?"""
        with self.lock:
            self.counts[f"{what} refused"] += 1
            if asked < lease.sure_until and task_id not in self.maybe_ended:
                self.violations.append(f"{what} of {task_id} refused inside a live lease: {answer}")


class Load:
    """Producers and workers of one cycle; they end when the broker is gone or the cycle is over."""

    def __init__(self, oracle, broker, tokens, hooks, seed, cycle, start):
        self.oracle, self.broker, self.tokens, self.hooks = oracle, broker, tokens, hooks
        self.stop = threading.Event()
        self.cycle = cycle
        self.threads = [threading.Thread(target=self._guard, args=(act, random.Random(f"{seed}/{cycle}/{n}"), n))
                        for n, act in enumerate(start)]
        for thread in self.threads:
            thread.start()

    def join(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _guard(self, act, dice, n):
        try:
            act(self, dice, n)
        except GONE:
            pass
        except Exception as error:  # noqa: BLE001: an unexpected answer is a finding, not a crash of the test
            self.oracle.violation(f"{act.__name__}: {error!r}")

    def producer(self, dice, n):
        self._produce(Connection(self.broker.port, self.tokens.acme_producer), dice, n)

    def stream_producer(self, dice, n):
        self._produce(StreamConnection(self.broker, self.tokens.acme_producer, self.stop), dice, n)

    def _produce(self, connection, dice, n):
        try:
            self._produce_until_gone(connection, dice, n)
        finally:
            connection.close()

    def _produce_until_gone(self, connection, dice, n):
        while not self.stop.is_set():
            if dice.random() < 0.3:
                self._create_batch(connection, dice, n)
                continue
            number = dice.getrandbits(40)
            body = {"command": dice.choice(COMMANDS), "payload": {"n": number, "pad": "x" * dice.randrange(300)},
                    "maxAttempts": 10_000, "priority": dice.randrange(10)}
            if dice.random() < 0.2:
                body["webhook"] = self.hooks.url(f"/hook-{number}")
            key = None
            if dice.random() < 0.3:
                key = body["idempotencyKey"] = f"{n}-{number}"
            if dice.random() < 0.1:
                body["delaySeconds"] = 1
            for _ in range(2 if key else 1):  # With a key the same create may be repeated at will.
                status, task = connection.ask("POST", "/tasks", body)
                if status != 202:
                    raise AssertionError(f"create: {status} {task}")
                self.oracle.ack_create(task, json.dumps(body["payload"]), key, body.get("webhook"))

    def _create_batch(self, connection, dice, n):
        bodies = [{"command": dice.choice(COMMANDS), "payload": {"n": dice.getrandbits(40), "of": n}, "maxAttempts": 10_000}
                  for _ in range(dice.randrange(1, 20))]
        status, answer = connection.ask("POST", "/tasks/batch", {"tasks": bodies})
        if status != 200:
            raise AssertionError(f"batch create: {status} {answer}")
        for body, item in zip(bodies, answer["results"]):
            self.oracle.ack_create(item["task"], json.dumps(body["payload"]), None, None)

    def worker(self, dice, n):
        name, token = self._who(n)
        self._work(Connection(self.broker.port, token), name, dice)

    def stream_worker(self, dice, n):
        name, token = self._who(n)
        self._work(StreamConnection(self.broker, token, self.stop, dice.choice(["", f"{name}-of-{n}"])), name, dice)

    def _who(self, n):
        return (("worker-1", self.tokens.acme_worker), ("worker-2", self.tokens.acme_worker2))[n % 2]

    def _work(self, connection, name, dice):
        try:
            self._work_until_gone(connection, name, dice)
        finally:
            connection.close()

    def _work_until_gone(self, connection, name, dice):
        while not self.stop.is_set():
            asked = time.monotonic()
            if dice.random() < 0.4:
                status, answer = connection.ask("POST", "/tasks/claim/batch", {
                    "commands": COMMANDS, "count": dice.randrange(1, 20), "leaseSeconds": LEASE_SECONDS})
                tasks = answer["tasks"] if status == 200 else []
            else:
                status, answer = connection.ask("POST", "/tasks/claim", {
                    "commands": COMMANDS, "waitSeconds": dice.choice([0, 1]), "leaseSeconds": LEASE_SECONDS})
                tasks = [answer] if status == 200 else []
            if status not in (200, 204):
                raise AssertionError(f"claim: {status} {answer}")
            answered = time.monotonic()
            held = [(task, self.oracle.ack_claim(task, name, asked, answered)) for task in tasks]
            if len(held) > 3 and dice.random() < 0.5:
                self._results_batch(connection, held)
            else:
                for task, lease in held:
                    self._finish(connection, dice, task, lease)

    def _owner_call(self, connection, what, task, lease, path, body, ends):
        """Sends it; True if acknowledged. A swallowed answer is remembered as something that may have happened."""
        asked = time.monotonic()
        if ends:
            lease.ended = asked
            with self.oracle.lock:
                self.oracle.maybe_ended.add(task["id"])
        status, answer = connection.ask("POST", path, body)
        if ends:
            with self.oracle.lock:
                self.oracle.maybe_ended.discard(task["id"])
        if status == 200:
            self.oracle.counts[f"{what} acknowledged"] += 1
            return answer
        lease.ended = asked
        self.oracle.refused(task["id"], lease, what, (status, answer), asked)
        return None

    def _finish(self, connection, dice, task, lease):
        path = f"/tasks/{task['id']}"
        fate = dice.random()
        if fate < 0.05:
            return  # The worker forgets it; the lease runs out.
        if fate < 0.2:
            asked = time.monotonic()
            if self._owner_call(connection, "heartbeat", task, lease, f"{path}/heartbeat", {"extendSeconds": LEASE_SECONDS}, False):
                lease.sure_until = max(lease.sure_until, asked + LEASE_SECONDS - SLACK_SECONDS)
        if fate < 0.1:
            self._owner_call(connection, "nack", task, lease, f"{path}/nack", {"delaySeconds": 1, "reason": "dice"}, True)
        elif fate < 0.15:
            self._owner_call(connection, "abandon", task, lease, f"{path}/abandon", None, True)
        else:
            body = {"status": "COMPLETED", "result": {"of": task["id"], "attempt": task["attempts"]}}
            record = self._owner_call(connection, "result", task, lease, f"{path}/result", body, True)
            if record:
                with self.oracle.lock:
                    self.oracle.results[task["id"]] = record

    def _results_batch(self, connection, held):
        asked = time.monotonic()
        for task, lease in held:
            lease.ended = asked
        with self.oracle.lock:
            self.oracle.maybe_ended.update(task["id"] for task, _ in held)
        status, answer = connection.ask("POST", "/tasks/batch/results", {"results": [
            {"taskId": task["id"], "status": "COMPLETED", "result": {"of": task["id"], "attempt": task["attempts"]}} for task, _ in held]})
        if status != 200:
            raise AssertionError(f"batch results: {status} {answer}")
        with self.oracle.lock:
            self.oracle.maybe_ended.difference_update(task["id"] for task, _ in held)
        for (task, lease), item in zip(held, answer["results"]):
            if "result" in item:
                with self.oracle.lock:
                    self.oracle.counts["result acknowledged"] += 1
                    self.oracle.results[task["id"]] = item["result"]
            else:
                self.oracle.refused(task["id"], lease, "result", item, asked)


def drain(oracle, broker, tokens, hooks, seed, deadline_seconds, workers):
    """Workers only, until nothing is left."""
    deadline = time.monotonic() + deadline_seconds
    load = Load(oracle, broker, tokens, hooks, seed, "drain", workers)
    try:
        while True:
            left = sum(v for k, v in broker.metrics().items()
                       if k.startswith("codeq_queue_depth") and 'queue="dlq"' not in k)
            if left == 0:
                return
            if time.monotonic() > deadline:
                oracle.violation(f"the queue does not drain: {left:.0f} tasks left")
                return
            time.sleep(0.05)
    finally:
        load.join()


def read_all(broker, tokens, ids, suffix):
    """(id, answer of GET /tasks/{id}<suffix>) for all of them, fifty in flight."""
    ids = list(ids)
    with Raw(broker.port, timeout=30) as raw:
        for at in range(0, len(ids), 50):
            some = ids[at:at + 50]
            raw.send(b"".join(request_bytes("GET", f"{BASE}/tasks/{i}{suffix}", tokens.acme_producer) for i in some))
            for task_id in some:
                yield task_id, raw.answer()


def verify(oracle, broker, tokens, hooks):
    for task_id, answer in read_all(broker, tokens, oracle.created, ""):
        if answer.status != 200:
            oracle.violation(f"acknowledged create {task_id} is lost: {answer.status}")
        elif answer.json["payload"] != oracle.created[task_id]:
            oracle.violation(f"{task_id} has another payload")
        elif answer.json["status"] != "COMPLETED":
            oracle.violation(f"{task_id} is {answer.json['status']} after the queue has drained")
    for task_id, answer in read_all(broker, tokens, oracle.results, "/result"):
        record = oracle.results[task_id]
        if answer.status != 200:
            oracle.violation(f"acknowledged result of {task_id} is lost: {answer.status}")
        elif {key: answer.json["result"].get(key) for key in record} != record:
            oracle.violation(f"result of {task_id} changed: {record} -> {answer.json['result']}")
    status, _ = Connection(broker.port, tokens.acme_producer).ask("POST", "/tasks", {"command": "AFTER", "payload": 1})
    if status != 202:
        oracle.violation("the broker takes no tasks any more")
    wanted = {path for task_id, path in oracle.hooks.items() if task_id in oracle.created}
    deadline = time.monotonic() + 20
    while wanted and time.monotonic() < deadline:
        got = {hooks.url(d.path) for d in hooks.all()}
        if wanted <= got:
            break
        time.sleep(0.1)
    missing = wanted - {hooks.url(d.path) for d in hooks.all()}
    for path in sorted(missing)[:20]:
        oracle.violation(f"webhook {path} was never delivered")
    oracle.counts["webhooks wanted"] = len(wanted)


# So that cuts, flushes, compactions and recycled segments happen all the time.
TINY = {"STORE_WRITE_BUFFER_BYTES": 65536, "STORE_CACHE_BYTES": 262144, "LOG_BYTES_MAX": 1 << 20, "LOG_SEGMENT_BYTES": 65536,
        "IMAGE_CUT_MS": 5, "IMAGE_CUT_BYTES": 16384, "MEMORY_BUDGET_BYTES": 64 << 20}


def run(cycles, seed, durability, canary=False, tiny=False, streams=False):
    dice = random.Random(seed)
    oracle, tokens, hooks = Oracle(), Tokens(), WebhookReceiver()
    start = [Load.producer] * 2 + [Load.worker] * 2
    last = [Load.worker] * 4
    if streams:  # beside one of each over HTTP, for they meet in the same queues
        start = [Load.stream_producer] * 2 + [Load.stream_worker] * 4 + [Load.producer, Load.worker]
        last = [Load.stream_worker] * 3 + [Load.worker]
    with tempfile.TemporaryDirectory(prefix="codeq-crash-") as folder:
        broker = Broker(folder, tokens, None, DURABILITY=durability, LOG_LEVEL="warn", RESULT_WEBHOOK_MAX_ATTEMPTS=50,
                        **(TINY if tiny else {}))
        begin = time.monotonic()
        slowest = 0.0
        for cycle in range(cycles):
            if canary and cycle == cycles - 1:
                shutil.copytree(broker.data, f"{folder}/older", ignore=shutil.ignore_patterns("*.sock"))
            started = time.monotonic()
            broker.start(deadline_seconds=60)
            slowest = max(slowest, time.monotonic() - started)
            load = Load(oracle, broker, tokens, hooks, seed, cycle, start)
            time.sleep(dice.uniform(0.05, 0.8))
            broker.kill()
            load.join()
            if oracle.violations:
                break
        if canary:
            shutil.rmtree(broker.data)
            shutil.move(f"{folder}/older", broker.data)
        broker.start(deadline_seconds=60)
        if not oracle.violations:
            drain(oracle, broker, tokens, hooks, seed, 60 + cycles, last)
            verify(oracle, broker, tokens, hooks)
        broker.stop()
        hooks.stop()
        oracle.counts["results acknowledged, distinct"] = len(oracle.results)
        oracle.counts["tasks acknowledged, distinct"] = len(oracle.created)
        print(f"crash test: {cycles} kills, seed {seed}, durability {durability}{', tiny' if tiny else ''}{', streams' if streams else ''}, {time.monotonic() - begin:.1f} s, "
              f"slowest start {slowest * 1000:.0f} ms")
        for name, count in sorted(oracle.counts.items()):
            print(f"  {count:8d}  {name}")
        for text in oracle.violations[:40]:
            print(f"  VIOLATION {text}")
        if oracle.violations:
            print(f"  {len(oracle.violations)} violations; again with --seed {seed}")
            log = pathlib.Path(tempfile.gettempdir()) / f"codeq-crash-{seed}.log"
            log.write_text(broker.log())
            print(f"  the broker's output is in {log}")
    return 1 if oracle.violations else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--durability", choices=["sync", "interval", "none"], default="sync")
    parser.add_argument("--canary", action="store_true",
                        help="put the folder back to before the last cycle: the oracle must notice, or this fails")
    parser.add_argument("--tiny", action="store_true", help="tiny buffers, segments and cuts: storage is always at work")
    parser.add_argument("--streams", action="store_true", help="most producers and workers speak the gRPC streams")
    options = parser.parse_args()
    status = run(options.cycles, options.seed, options.durability, options.canary, options.tiny, options.streams)
    return status if not options.canary else 1 - status


if __name__ == "__main__":
    sys.exit(main())
