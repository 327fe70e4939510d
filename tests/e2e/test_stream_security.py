"""Who may do what on the streams: tenants, holders of leases, scopes, event types, limits, deadlines."""

import json
import time

import grpc
import pytest

from harness import Context, Producer, StreamEnded, WorkerStream
from harness.jwks import JwksServer, Key

ACTS = {"result": lambda w, i: w.result(i), "nack": lambda w, i: w.nack(i), "heartbeat": lambda w, i: w.heartbeat(i),
        "abandon": lambda w, i: w.abandon(i)}


def held(shared, lease=60, **options):
    """A task of acme and the stream that holds it."""
    command = shared.command()
    task_id = shared.producer.create(command)["id"]
    holder = shared.work(**options)
    assert holder.claim(command, lease=lease).id == task_id
    return task_id, holder


def test_a_worker_gets_tasks_of_its_own_tenant_only(shared):
    command = shared.command()
    with shared.work() as ours, shared.work(shared.tokens.globex_worker) as theirs:
        ours.ready(command)
        theirs.ready(command)
        their_id = shared.globex_producer.create(command)["id"]
        assert theirs.task().id == their_id
        ours.nothing_comes()
        our_id = shared.producer.create(command)["id"]
        assert ours.task().id == our_id
        theirs.complete(their_id)
        ours.complete(our_id)


@pytest.mark.parametrize("act", ACTS)
def test_g27_a_worker_of_another_tenant_with_the_same_name_sees_no_such_task(shared, act):
    task_id, holder = held(shared, worker_id="same-name")
    with holder, shared.work(shared.tokens.globex_worker, "same-name") as thief:
        ack = ACTS[act](thief, task_id)
        assert (ack.ok, ack.error_message) == (False, "task not found" if act == "result" else "not-found")
        holder.complete(task_id)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["", "same-name"])
def test_g27_another_token_cannot_settle_under_the_holders_name(shared, act, name):
    task_id, holder = held(shared, worker_id=name)
    with holder, shared.work(shared.tokens.acme_worker2, holder.ack.worker_id) as thief:
        assert thief.ack.worker_id == holder.ack.worker_id
        ack = ACTS[act](thief, task_id)
        assert (ack.ok, ack.error_message) == (False, "not-owner")
        (item,) = thief.results(thief.result_of(task_id))
        assert (item.ok, item.error_message) == (False, "not-owner")
        holder.complete(task_id)


def test_a_name_cannot_be_chosen_so_that_it_looks_like_anothers(shared):
    """However worker ids and subjects are kept together, no pair of them may be taken for another pair."""
    task_id, holder = held(shared, worker_id="w")
    with holder:
        for name in ("w\0worker-1", "w\x00", "worker-1", "w worker-1", "w/worker-1", "w:worker-1", "w|worker-1"):
            try:
                with shared.work(shared.tokens.acme_worker2, name) as thief:
                    assert not thief.result(task_id).ok
            except StreamEnded as refused:
                assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
        holder.complete(task_id)


def test_the_same_token_under_another_name_is_another_worker(shared):
    task_id, holder = held(shared, worker_id="left-hand")
    with holder, shared.work(worker_id="right-hand") as other:
        assert other.result(task_id).error_message == "not-owner"
        holder.complete(task_id)


def test_a_lease_taken_over_http_is_settled_on_a_stream_of_the_same_token_and_the_other_way_round(shared):
    command = shared.command()
    shared.producer.create_batch([{"command": command, "payload": n} for n in range(2)])
    with shared.work() as worker, shared.work(shared.tokens.acme_worker2, "worker-1") as thief:
        over_http = shared.worker.claim(command)["id"]
        assert thief.result(over_http).error_message == "not-owner"
        worker.complete(over_http)
        over_stream = worker.claim(command).id
        shared.worker2.complete(over_stream, expect=403)
        shared.worker.complete(over_stream)


@pytest.mark.parametrize("event", ["result", "result_batch", "nack", "heartbeat", "abandon"])
def test_an_event_beyond_the_tokens_scopes_is_refused_and_the_stream_goes_on(shared, event):
    with shared.work(shared.tokens.narrow_worker) as worker:
        pb = worker.pb
        worker.send(**{event: {
            "result": pb.Result(task_id="x", status="COMPLETED"), "nack": pb.Nack(task_id="x"),
            "result_batch": pb.ResultBatch(results=[pb.Result(task_id="x", status="COMPLETED")]),
            "heartbeat": pb.Heartbeat(task_id="x"), "abandon": pb.Abandon(task_id="x")}[event]})
        error = worker.take("error")
        assert (error.code, error.message) == ("PermissionDenied", "missing scope")
        worker.nothing_comes()


def test_claiming_needs_its_scope(new_world):
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="static", WORKER_AUTH_CONFIG=json.dumps(
        {"token": "t", "subject": "acme", "eventTypes": ["*"], "scopes": ["codeq:result"]}))
    task = world.producer.create("X")
    with world.work("t") as worker:
        worker.ready("X")
        error = worker.take("error")
        assert (error.code, error.message) == ("PermissionDenied", "missing scope")
        worker.nothing_comes()
    assert world.producer.task(task["id"])["status"] == "PENDING"


def test_a_command_outside_the_event_types_is_refused_and_nothing_is_claimed_for_it(shared):
    command = shared.command()
    task = shared.producer.create(command)
    with shared.work(shared.tokens.narrow_worker) as worker:
        for commands in ([command], ["NARROW", command], [" " + command]):
            worker.ready(*commands)
            error = worker.take("error")
            assert (error.code, error.message) == ("PermissionDenied", "event type not allowed")
        worker.nothing_comes()
    assert shared.worker.claim(command)["id"] == task["id"]


@pytest.mark.parametrize("kind", [Producer, WorkerStream])
def test_g28_a_stream_without_hello_is_ended(new_world, kind):
    world = new_world(backend=False, STREAM_HELLO_TIMEOUT_SECONDS=1)
    port = world.broker.producer_stream_port if kind is Producer else world.broker.worker_stream_port
    with kind(port) as silent:
        assert silent.ended(15)[0] == grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_endless_or_huge_hello_is_not_read(shared):
    with Producer(shared.broker.producer_stream_port) as stream:
        stream.send(hello=stream.pb.Hello(token="x" * (3 << 20)))
        assert stream.ended()[0] in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED)
    with WorkerStream(shared.broker.worker_stream_port) as stream:
        stream.send(hello=stream.pb.Hello(token=shared.tokens.acme_worker, worker_id="w" * 5000))
        assert stream.ended()[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_creates_beyond_the_rate_are_refused_in_words_and_a_batch_counts_once(new_world):
    world = new_world(backend=False, RATE_LIMIT_PRODUCER_REQUESTS_PER_MINUTE=1, RATE_LIMIT_PRODUCER_BURST_SIZE=3)
    with world.produce() as producer, world.produce(world.tokens.globex_producer) as other:
        assert all(ack.ok for ack in producer.create_batch([producer.task("X") for _ in range(50)]))
        assert producer.create("X").ok and producer.create("X").ok
        ack = producer.create("X", seq=99)
        assert (ack.seq, ack.ok, ack.error_message) == (99, False, "rate limit exceeded")
        acks = producer.create_batch([producer.task("X") for _ in range(3)])
        assert {(ack.ok, ack.error_message) for ack in acks} == {(False, "rate limit exceeded")}
        assert other.create("X").ok, "another token has a bucket of its own"
    with world.produce() as again:
        assert not again.create("X").ok, "a new stream is no new bucket"
    assert world.producer.call("POST", "/tasks", {"command": "X", "payload": 1}).status == 429, "HTTP draws from the same one"


def test_claims_beyond_the_rate_wait_and_no_credit_is_lost(new_world):
    world = new_world(backend=False, RATE_LIMIT_WORKER_REQUESTS_PER_MINUTE=120, RATE_LIMIT_WORKER_BURST_SIZE=1)
    with world.produce() as producer, world.work() as worker:
        for _ in range(3):
            producer.created("X")
            worker.ready("X")
        got = {worker.task(20).id for _ in range(3)}
        assert len(got) == 3 and worker.untaken() == [], "late, but nobody was told an error that would cost a slot"


# A token that ends


@pytest.fixture
def identity():
    """(key, server of its JWKS)"""
    key = Key("ES256", "k1")
    server = JwksServer(key)
    yield key, server
    server.stop()


def test_g28_a_stream_ends_with_its_token(new_world, identity):
    key, server = identity
    world = new_world(backend=False, PRODUCER_AUTH_PROVIDER="jwks", PRODUCER_AUTH_CONFIG=server.config(),
                      WORKER_AUTH_PROVIDER="jwks", WORKER_AUTH_CONFIG=server.config())
    end = int(time.time()) + 4
    with world.produce(key.token()) as lasting, world.produce(key.token(exp=end)) as producer, world.work(key.worker_token(exp=end)) as worker:
        assert producer.ack.subject == "alice" and worker.ack.worker_id == "worker-1"
        worker.ready("X")
        for stream in (producer, worker):
            code, text = stream.ended(20)
            assert (code, text) == (grpc.StatusCode.UNAUTHENTICATED, "auth failed: token is expired")
        assert time.time() >= end
        task_id = lasting.created("X")
        with pytest.raises(StreamEnded) as refused:
            world.produce(key.token(exp=end))
        assert refused.value.code == grpc.StatusCode.UNAUTHENTICATED
        with world.work(key.worker_token()) as again:
            assert again.claim("X").id == task_id, "the credit of the ended stream took nothing away"


def test_a_hello_that_waits_for_a_key_holds_up_nobody(new_world, identity):
    key, server = identity
    both = {"providers": [{"type": "static", "config": {"token": "quick", "subject": "acme"}},
                          {"type": "jwks", "config": json.loads(server.config())}]}
    world = new_world(backend=False, PRODUCER_AUTH_PROVIDER="multi", PRODUCER_AUTH_CONFIG=json.dumps(both))
    server.manners = "hang"
    waiting = [Producer(world.broker.producer_stream_port) for _ in range(5)]
    try:
        for stream in waiting:
            stream.send(hello=stream.pb.Hello(token=key.token(sub="late")))
            stream.send(create=stream.task("LATE"))
        server.wait_for_fetches(1)
        with world.produce("quick") as quick:
            assert quick.created("QUICK")
        server.let_go()
        for stream in waiting:
            assert stream.take("hello_ack").subject == "late"
            assert stream.take("create_ack").ok, "what came behind the hello was not lost"
    finally:
        for stream in waiting:
            stream.close()
    assert server.fetches <= 2, "one fetch for all of them"


# Secrets


def test_nothing_secret_of_a_stream_is_in_a_span_a_metric_or_a_log(new_world, own_receiver):
    world = new_world(backend=own_receiver())
    ctx = Context.new()
    with world.produce() as producer, world.work() as worker:
        ack = producer.create("SECRETS", b'"secret-payload-1"', ctx=ctx, idempotency_key="secret-key-2",
                              webhook=world.hooks.url("/secret-hook-3"))
        worker.claim("SECRETS")
        worker.nack(ack.task_id, 1, "secret-reason-4")
        worker.claim("SECRETS")
        worker.complete(ack.task_id, b'{"a":"secret-result-5"}')
        world.hooks.wait("/secret-hook-3")
        producer.create("SECRETS", b"secret-garbage-6")
        producer.send_bytes(b"\x0a\xffsecret-garbage-7")
    world.spans.wait_trace(ctx.trace_id, ["codeq.task.create", "codeq.task.submit_result", "codeq.webhook.task_result"])
    spans = b"".join(world.backend.raw)
    words = [b"secret-payload-1", b"secret-key-2", b"secret-hook-3", b"secret-reason-4", b"secret-result-5", b"secret-garbage-6",
             b"secret-garbage-7", *[token.encode() for token in world.tokens.all()]]
    metrics = world.broker.get("/metrics").body
    for word in words:
        assert word not in spans and word not in metrics and word.decode() not in world.broker.log(), word
