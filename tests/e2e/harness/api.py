"""The broker's HTTP calls in the words of the specification."""

from . import net

BASE = "/v1/codeq"


class Api:
    def __init__(self, broker, token):
        self.broker = broker
        self.token = token

    def call(self, method, path, body=None, ctx=None, headers=(), timeout=40):
        lines = [("Authorization", f"Bearer {self.token}"), *headers]
        if ctx is not None:
            lines += ctx.headers()
        return net.exchange(self.broker.port, method, BASE + path, body, lines, timeout, self.broker.tls)

    def _expect(self, status, answer):
        assert answer.status == status, f"expected {status}: {answer}"
        return answer

    # Producer
    def create(self, command, payload=None, ctx=None, expect=202, **fields):
        body = {"command": command, "payload": {"n": 1} if payload is None else payload, **fields}
        return self._expect(expect, self.call("POST", "/tasks", body, ctx)).json

    def create_batch(self, tasks, ctx=None):
        return self._expect(200, self.call("POST", "/tasks/batch", {"tasks": tasks}, ctx)).json["results"]

    # Worker
    def claim(self, command, ctx=None, wait=0, lease=60):
        """The task, or None on 204."""
        body = {"commands": [command] if isinstance(command, str) else command, "leaseSeconds": lease,
                "waitSeconds": wait}
        answer = self.call("POST", "/tasks/claim", body, ctx)
        assert answer.status in (200, 204), answer
        return answer.json if answer.status == 200 else None

    def claim_batch(self, command, count, ctx=None, lease=60):
        answer = self.call("POST", "/tasks/claim/batch", {"commands": [command], "count": count, "leaseSeconds": lease},
                           ctx)
        assert answer.status in (200, 204), answer
        return answer.json["tasks"] if answer.status == 200 else []

    def heartbeat(self, task_id, extend=60, ctx=None, expect=200):
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/heartbeat", {"extendSeconds": extend}, ctx)).json

    def abandon(self, task_id, ctx=None, expect=200):
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/abandon", None, ctx)).json

    def nack(self, task_id, delay=0, reason="", ctx=None, expect=200):
        body = {"delaySeconds": delay, "reason": reason}
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/nack", body, ctx)).json

    def complete(self, task_id, result=None, ctx=None, expect=200):
        body = {"status": "COMPLETED", "result": {"ok": True} if result is None else result}
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/result", body, ctx)).json

    def fail(self, task_id, error="it broke", ctx=None, expect=200):
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/result",
                                              {"status": "FAILED", "error": error}, ctx)).json

    def results_batch(self, results, ctx=None):
        return self._expect(200, self.call("POST", "/tasks/batch/results", {"results": results}, ctx)).json["results"]

    # Anyone of the tenant
    def task(self, task_id, expect=200):
        return self._expect(expect, self.call("GET", f"/tasks/{task_id}")).json

    def result(self, task_id, wait=0, expect=200):
        return self._expect(expect, self.call("GET", f"/tasks/{task_id}/result?waitSeconds={wait}")).json

    def timeline(self, task_id, expect=200):
        return self._expect(expect, self.call("GET", f"/tasks/{task_id}/trace")).json

    def deliveries(self, query=""):
        return self._expect(200, self.call("GET", f"/webhooks/deliveries{query}")).json

    def cancel(self, task_id, reason=None, ctx=None, expect=200):
        body = None if reason is None else {"reason": reason}
        return self._expect(expect, self.call("POST", f"/tasks/{task_id}/cancel", body, ctx)).json

    def list(self, query="", expect=200):
        return self._expect(expect, self.call("GET", f"/tasks{query}")).json

    def list_all(self, query="limit=200"):
        """Every page of a list, as one."""
        tasks, cursor = [], ""
        while True:
            page = self.list(f"?{query}{cursor}")
            tasks += page["tasks"]
            if "cursor" not in page:
                return tasks
            cursor = f"&cursor={page['cursor']}"

    # An admin of the tenant
    def queues(self):
        return self._expect(200, self.call("GET", "/admin/queues")).json

    def queue(self, command, action=None):
        """Its statistics; or pause or resume it."""
        answer = self.call("POST" if action else "GET", f"/admin/queues/{command}" + (f"/{action}" if action else ""))
        return self._expect(200, answer).json

    def dead_letters(self, query=""):
        return self._expect(200, self.call("GET", f"/admin/dead-letters{query}")).json

    def redrive(self, ctx=None, **filter):
        return self._expect(200, self.call("POST", "/admin/dead-letters/redrive", filter, ctx)).json

    def purge(self, **filter):
        return self._expect(200, self.call("POST", "/admin/dead-letters/purge", filter)).json
