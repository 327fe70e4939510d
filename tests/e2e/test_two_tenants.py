"""Two tenants that do the same things under the same names, at the same time: each sees what it would see alone.

A seeded script of calls over HTTP and streams runs for each tenant alone and for both at once. Transcripts are compared with
ids and times made alike; ids of the other tenant are tried too, where alone an id of nobody takes their place.
"""

import json
import random
import re
import threading
import uuid

import pytest

from harness import Api

COMMANDS, KEYS = ["ALPHA", "BETA"], [f"key-{n}" for n in range(12)]
STEPS = 250
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OF_THE_MOMENT = {"createdAt", "updatedAt", "leaseUntil", "completedAt", "traceParent", "originTraceParent", "leaseToken", "traceId"}


class Script:
    """The calls of one tenant. Every choice is made by the seed and by what came back, so equal answers give equal scripts."""

    def __init__(self, world, tenant, seed, foreign):
        self._world, self._tenant, self._dice, self._foreign = world, tenant, random.Random(seed), foreign
        tokens = world.tokens
        self._token = getattr(tokens, f"{tenant}_producer")
        self._producer, self._worker = Api(world.broker, self._token), Api(world.broker, getattr(tokens, f"{tenant}_worker"))
        self._admin = Api(world.broker, getattr(tokens, f"{tenant}_admin"))
        self._streams = {"producer": world.produce(self._token)}
        for name in ("", "worker-2"):  # "" is the token's subject, as over HTTP
            self._streams[name] = world.work(getattr(tokens, f"{tenant}_worker"), name)
        self.ids, self._ready = [], {command: 0 for command in COMMANDS}
        self._foreigners = set()
        self.transcript = []

    def close(self):
        for stream in self._streams.values():
            stream.close()

    def run(self):
        steps = [self.create, self.create, self.create_batch, self.claim, self.claim, self.claim_batch, self.settle, self.settle, self.settle,
                 self.settle_batch, self.look, self.look, self.topics, self.queues]
        for number in range(STEPS):
            step = self._dice.choice(steps)
            self.transcript.append(f"{number} {step.__name__} {self._alike(step())}")

    def _alike(self, value):
        if isinstance(value, dict):
            value = {key: self._alike(inner) for key, inner in value.items() if key not in OF_THE_MOMENT}
            return dict(sorted(value.items()))
        if isinstance(value, (list, tuple)):
            return [self._alike(inner) for inner in value]
        if isinstance(value, str):
            return ID.sub(lambda match: self._name(match[0]), value).replace(self._tenant, "TENANT")
        return value

    def _name(self, task_id):
        if task_id in self._foreigners:
            return "FOREIGN"
        if task_id not in self.ids:
            self.ids.append(task_id)
        return f"ID{self.ids.index(task_id)}"

    def _some_id(self):
        if self.ids and self._dice.random() < 0.8:
            return self._dice.choice(self.ids)
        nobodys, which = str(uuid.UUID(int=self._dice.getrandbits(128), version=4)), self._dice.random()
        task_id = self._foreign(which) or nobodys
        self._foreigners.add(task_id)
        return task_id

    def _new(self, task_id, command, delayed):
        if task_id not in self.ids:
            self.ids.append(task_id)
            self._ready[command] += not delayed

    def _body(self):
        dice = self._dice
        number = dice.randrange(3)
        body = {"command": dice.choice(COMMANDS), "payload": {"n": number}, "priority": dice.randrange(4)}
        if dice.random() < 0.5:
            body["idempotencyKey"] = dice.choice(KEYS)
        if dice.random() < 0.1:
            body["delaySeconds"] = 3600
        return body

    def _over_stream(self):
        return self._dice.random() < 0.5

    def _message(self, body):
        return self._streams["producer"].task(body["command"], body["payload"], priority=body["priority"],
                                              idempotency_key=body.get("idempotencyKey", ""), delay_seconds=body.get("delaySeconds", 0))

    def create(self):
        body = self._body()
        if self._over_stream():
            task = self._message(body)
            self._streams["producer"].send(create=task)
            ack = self._streams["producer"].take("create_ack")
            if ack.ok:
                self._new(ack.task_id, body["command"], "delaySeconds" in body)
            return [ack.ok, ack.task_id, ack.error_message]
        answer = self._producer.call("POST", "/tasks", body)
        if answer.status == 202:
            self._new(answer.json["id"], body["command"], "delaySeconds" in body)
        return [answer.status, answer.json]

    def create_batch(self):
        bodies = [self._body() for _ in range(self._dice.randrange(1, 6))]
        if self._over_stream():
            acks = self._streams["producer"].create_batch([self._message(body) for body in bodies])
            made = [ack.task_id if ack.ok else None for ack in acks]
            told = [[ack.ok, ack.task_id, ack.error_message] for ack in acks]
        else:
            told = self._producer.create_batch(bodies)
            made = [item["task"]["id"] if "task" in item else None for item in told]
        for task_id, body in zip(made, bodies):
            if task_id:
                self._new(task_id, body["command"], "delaySeconds" in body)
        return told

    @staticmethod
    def _shown(task):
        return {name: getattr(task, name) for name in ("id", "command", "priority", "status", "worker_id", "attempts", "tenant_id",
                                                       "max_attempts")} | {"payload": task.payload.decode()}

    def claim(self):
        command = self._dice.choice(COMMANDS)
        # On a stream a credit without work waits for ever; so there only what is known to be ready is asked for.
        if self._ready[command] > 0 and self._over_stream():
            task = self._streams[self._dice.choice(["", "worker-2"])].claim(command, lease=3000)
            self._ready[command] -= 1
            return self._shown(task)
        task = self._worker.claim(command, lease=3000)
        self._ready[command] -= task is not None
        return task

    def claim_batch(self):
        command, count = self._dice.choice(COMMANDS), self._dice.randrange(2, 5)
        if self._ready[command] > 0 and self._over_stream():
            stream = self._streams[self._dice.choice(["", "worker-2"])]
            stream.ready(command, lease=3000, count=count)
            tasks = stream.tasks()
            self._ready[command] -= len(tasks)
            return [self._shown(task) for task in tasks]
        tasks = self._worker.claim_batch(command, count, lease=3000)
        self._ready[command] -= len(tasks)
        return tasks

    def _abandoned(self, task_id):
        self._ready[self._producer.task(task_id)["command"]] += 1

    def settle(self):
        task_id, act = self._some_id(), self._dice.choice(["result", "failure", "nack", "heartbeat", "abandon"])
        if self._over_stream():
            stream = self._streams[self._dice.choice(["", "worker-2"])]
            ack = {"result": lambda: stream.result(task_id, result=b'{"r":1}'),
                   "failure": lambda: stream.result(task_id, status="FAILED", result=b"", error="it broke"),
                   "nack": lambda: stream.nack(task_id, 3600, "why"), "heartbeat": lambda: stream.heartbeat(task_id, 3000),
                   "abandon": lambda: stream.abandon(task_id)}[act]()
            if act == "abandon" and ack.ok:
                self._abandoned(task_id)
            return [act, task_id, ack.ok, ack.error_message, getattr(ack, "applied_delay_seconds", None)]
        path, body = {"result": ("result", {"status": "COMPLETED", "result": {"r": 1}}),
                      "failure": ("result", {"status": "FAILED", "error": "it broke"}),
                      "nack": ("nack", {"delaySeconds": 3600, "reason": "why"}), "heartbeat": ("heartbeat", {"extendSeconds": 3000}),
                      "abandon": ("abandon", None)}[act]
        answer = self._worker.call("POST", f"/tasks/{task_id}/{path}", body)
        if act == "abandon" and answer.status == 200:
            self._abandoned(task_id)
        return [act, task_id, answer.status, answer.json]

    def settle_batch(self):
        ids = [self._some_id() for _ in range(self._dice.randrange(1, 4))]
        if self._over_stream():
            stream = self._streams[self._dice.choice(["", "worker-2"])]
            return [[ack.task_id, ack.ok, ack.error_message] for ack in stream.results(*[stream.result_of(i) for i in ids])]
        return self._worker.results_batch([{"taskId": i, "status": "COMPLETED", "result": {"of": 1}} for i in ids])

    def look(self):
        task_id = self._some_id()
        suffix = self._dice.choice(["", "/result", "/trace"])
        answer = self._producer.call("GET", f"/tasks/{task_id}{suffix}")
        if suffix == "/trace" and answer.status == 200:  # its spans are of the moment; their names are not
            return [task_id, [span["name"] for span in answer.json["spans"]]]
        return [task_id, suffix, answer.status, answer.json]

    def topics(self):
        """Policies of the two queues change under way: attempts, and where the dead go."""
        name, method = self._dice.choice(["alpha", "beta", "other"]), self._dice.choice(["PUT", "GET", "DELETE"])
        policy = {"priorityTiers": [0, 5], "maxAttempts": self._dice.randrange(1, 4)}
        if self._dice.random() < 0.5:
            policy["deadLetterTopicRef"] = "gamma"
        query = "?deletionPolicy=Delete" if method == "DELETE" else ""
        answer = self._admin.call(method, f"/admin/topics/{name}{query}", policy if method == "PUT" else None)
        return [method, name, answer.status, self._json(answer)]

    def queues(self):
        command = self._dice.choice(COMMANDS)
        answer = self._admin.call("GET", self._dice.choice(["/admin/queues", f"/admin/queues/{command}"]))
        return [answer.status, self._json(answer)]

    @staticmethod
    def _json(answer):
        try:
            return answer.json
        except json.JSONDecodeError:
            return answer.body.decode()


def alone(new_world, tenant, seed):
    world = new_world(backend=False)
    script = Script(world, tenant, seed, lambda _: None)
    script.run()
    script.close()
    return script.transcript


@pytest.mark.parametrize("seeds", [(1, 1), (2, 3)], ids=["the same script", "different scripts"])
def test_each_of_two_tenants_sees_what_it_would_see_alone(new_world, seeds):
    seeds = dict(zip(("acme", "globex"), seeds))
    expected = {tenant: alone(new_world, tenant, seed) for tenant, seed in seeds.items()}
    world = new_world(backend=False)
    scripts = {}

    def foreign_to(tenant):
        def pick(fraction):
            ids = scripts["globex" if tenant == "acme" else "acme"].ids
            return ids[int(fraction * len(ids))] if ids else None
        return pick

    for tenant, seed in seeds.items():
        scripts[tenant] = Script(world, tenant, seed, foreign_to(tenant))
    threads = [threading.Thread(target=script.run) for script in scripts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for tenant, script in scripts.items():
        script.close()
        assert len(script.transcript) == STEPS, f"{tenant} did not come to its end"
        for seen, would_see in zip(script.transcript, expected[tenant]):
            assert seen == would_see, tenant
