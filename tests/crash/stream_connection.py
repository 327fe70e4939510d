"""The crash test's requests over gRPC streams: one producer's and one worker's stream with the face of its HTTP connection.

A claim becomes a credit and waits until it is served or the load is to stop, so that no credit outlives its claim: the
oracle reckons a lease from the moment it was asked for.
"""

import grpc

from harness import Producer, StreamEnded, WorkerStream

GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class StreamGone(ConnectionError):
    """The answer did not come."""


class StreamConnection:
    def __init__(self, broker, token, stop, worker_id=None):
        """`worker_id`: None for a producer's stream."""
        self._stop = stop
        self._worker = worker_id is not None
        try:
            self._stream = (WorkerStream(broker.worker_stream_port, token, worker_id) if self._worker
                            else Producer(broker.producer_stream_port, token))
        except StreamEnded as end:
            raise self._gone(end) from None

    @staticmethod
    def _gone(end):
        return StreamGone(str(end)) if end.code in GONE else end

    def ask(self, method, path, body=None):
        try:
            return self._worker_ask(path, body or {}) if self._worker else self._producer_ask(path, body)
        except StreamEnded as end:
            raise self._gone(end) from None

    def close(self):
        self._stream.close()

    # As over HTTP, the answers of creates hold what the oracle looks at.

    def _task(self, body):
        return self._stream.task(
            body["command"], body["payload"], priority=body.get("priority", 0), max_attempts=body["maxAttempts"],
            webhook=body.get("webhook", ""), idempotency_key=body.get("idempotencyKey", ""), delay_seconds=body.get("delaySeconds", 0))

    def _producer_ask(self, path, body):
        tasks = [self._task(one) for one in (body["tasks"] if path == "/tasks/batch" else [body])]
        if path == "/tasks/batch":
            acks = self._stream.create_batch(tasks)
        else:
            self._stream.send(create=tasks[0])
            acks = [self._stream.take("create_ack")]
        for ack in acks:
            if not ack.ok:
                return 400, ack.error_message
        made = [{"id": ack.task_id, "payload": task.payload.decode()} for ack, task in zip(acks, tasks)]
        return (200, {"results": [{"task": task} for task in made]}) if path == "/tasks/batch" else (202, made[0])

    def _worker_ask(self, path, body):
        if path.startswith("/tasks/claim"):
            return self._claim(body)
        stream = self._stream
        if path == "/tasks/batch/results":
            acks = stream.results(*[stream.result_of(r["taskId"], r["status"], r["result"]) for r in body["results"]])
            return 200, {"results": [{"result": self._record(result)} if ack.ok else {"error": ack.error_message}
                                     for ack, result in zip(acks, body["results"])]}
        task_id, what = path.split("/")[2:]
        if what == "result":
            ack = stream.result(task_id, status=body["status"], result=body["result"])
        elif what == "nack":
            ack = stream.nack(task_id, body["delaySeconds"], body["reason"])
        elif what == "heartbeat":
            ack = stream.heartbeat(task_id, body["extendSeconds"])
        else:
            ack = stream.abandon(task_id)
        if not ack.ok:
            return 409, ack.error_message
        return 200, self._record(body) if what == "result" else {"ok": True}

    @staticmethod
    def _record(result):
        """What a later look at the result must show."""
        return {"status": result["status"], "result": result["result"]}

    def _claim(self, body):
        batch = body.get("count", 1) > 1
        self._stream.ready(*body["commands"], lease=body["leaseSeconds"], count=body.get("count", 1))
        while not self._stop.is_set():
            try:
                tasks = self._stream.tasks(0.1) if batch else [self._stream.task(0.1)]
            except AssertionError:
                continue  # Nothing yet; the broker holds the credit.
            shown = [{"id": task.id, "attempts": task.attempts, "payload": task.payload.decode()} for task in tasks]
            return 200, {"tasks": shown} if "count" in body else shown[0]
        raise StreamGone("the load stops with a credit out")
