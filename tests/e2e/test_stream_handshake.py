"""The first messages of both streams: hello and its answer, or the status that ends the call."""

import json

import grpc
import pytest

from harness import Api, Producer, StreamEnded, WorkerStream
from harness.stream import PRODUCER_METHOD, WORKER_METHOD, Call, messages

UNAUTHENTICATED, PERMISSION_DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
BOTH = pytest.mark.parametrize("side", ["producer", "worker"])


def opened(world, side):
    """A stream on which nothing has been said."""
    return (Producer(world.broker.producer_stream_port) if side == "producer" else WorkerStream(world.broker.worker_stream_port))


def refused(stream, token="", **fields):
    """(code, text) with which a hello ends the call."""
    stream.send(hello=stream.pb.Hello(token=token, **fields))
    return stream.ended()


def static(token="t", subject="acme", **config):
    return json.dumps({"token": token, "subject": subject, **config})


def test_a_producer_is_told_its_tenant_and_subject(shared):
    with shared.produce() as producer:
        assert (producer.ack.tenant_id, producer.ack.subject) == ("acme", "producer-1")
    with shared.produce(shared.tokens.globex_producer) as producer:
        assert producer.ack.tenant_id == "globex"


@pytest.mark.parametrize("asked, told", [("", "worker-1"), ("   ", "worker-1"), ("render-7", "render-7")])
def test_a_worker_is_told_its_tenant_and_the_name_under_which_it_takes_leases(shared, asked, told):
    with shared.work(worker_id=asked) as worker:
        assert (worker.ack.worker_id, worker.ack.tenant_id) == (told, "acme")


@BOTH
def test_the_first_event_must_be_hello(shared, side):
    first = {"producer": lambda pb: {"create": pb.CreateTask(seq=1, command="X", payload=b"1")},
             "worker": lambda pb: {"ready": pb.Ready(commands=["X"])}}[side]
    with opened(shared, side) as stream:
        stream.send(**first(stream.pb))
        assert stream.ended() == (grpc.StatusCode.FAILED_PRECONDITION, "first event must be Hello")
        assert stream.untaken() == []


@BOTH
@pytest.mark.parametrize("data", [b"", b"\xca\x0c\x02hi"], ids=["nothing set", "an unknown event"])
def test_an_event_of_no_known_kind_is_no_hello(shared, side, data):
    with opened(shared, side) as stream:
        stream.send_bytes(data)
        assert stream.ended() == (grpc.StatusCode.FAILED_PRECONDITION, "first event must be Hello")


@BOTH
@pytest.mark.parametrize("token", ["", "  \t "])
def test_a_blank_token_is_missing(shared, side, token):
    text = {"producer": "missing token", "worker": "auth failed: missing token"}[side]
    with opened(shared, side) as stream:
        assert refused(stream, token) == (UNAUTHENTICATED, text)


@BOTH
def test_a_wrong_token_is_refused_with_the_words_of_the_http_api(shared, side):
    with opened(shared, side) as stream:
        code, text = refused(stream, "nobody")
    path = {"producer": "/tasks", "worker": "/tasks/claim"}[side]
    answer = Api(shared.broker, "nobody").call("POST", path, {})
    assert answer.status == 401
    assert (code, text) == (UNAUTHENTICATED, f"auth failed: {answer.error}")


@BOTH
def test_a_token_of_the_other_kind_is_refused(shared, side):
    token = {"producer": shared.tokens.acme_worker, "worker": shared.tokens.acme_producer}[side]
    with opened(shared, side) as stream:
        code, text = refused(stream, token)
        assert code == UNAUTHENTICATED and text.startswith("auth failed: ")
        assert token not in text


@pytest.mark.parametrize("config, text", [
    (dict(scopes=["codeq:claim"]), "auth failed: missing eventTypes"),
    (dict(eventTypes=["*"]), "auth failed: missing scope")])
def test_a_worker_token_must_name_event_types_and_scopes(new_world, config, text):
    world = new_world(backend=False, WORKER_AUTH_PROVIDER="static", WORKER_AUTH_CONFIG=static(**config))
    with opened(world, "worker") as stream:
        assert refused(stream, "t") == (UNAUTHENTICATED, text)


@BOTH
def test_a_token_without_a_usable_tenant_may_not(new_world, side):
    bad = static(subject="Not.A.Tenant", eventTypes=["*"], scopes=["codeq:claim"])
    world = new_world(backend=False, **{f"{side.upper()}_AUTH_PROVIDER": "static", f"{side.upper()}_AUTH_CONFIG": bad})
    with opened(world, side) as stream:
        assert refused(stream, "t") == (PERMISSION_DENIED, "invalid tenant claims")


@pytest.mark.parametrize("raw", [{"tid": "acme", "tenantId": "globex"}, {"tenantId": 7}, {"organization_id": "Upper"}])
def test_tenant_claims_that_disagree_or_are_malformed_never_fall_back_to_the_subject(new_world, raw):
    world = new_world(backend=False, PRODUCER_AUTH_PROVIDER="static", PRODUCER_AUTH_CONFIG=static(raw=raw))
    with opened(world, "producer") as stream:
        assert refused(stream, "t") == (PERMISSION_DENIED, "invalid tenant claims")


def test_a_producer_may_work_where_the_settings_say_so(new_world):
    world = new_world(backend=False, ALLOW_PRODUCER_AS_WORKER="true")
    with world.produce() as producer, world.work(world.tokens.acme_producer) as worker:
        assert (worker.ack.worker_id, worker.ack.tenant_id) == ("producer-1", "acme")
        task_id = producer.created("BOTH")
        assert worker.claim("BOTH").id == task_id
        worker.complete(task_id)


@BOTH
def test_a_second_hello_is_answered_and_the_stream_goes_on(shared, side):
    token = {"producer": shared.tokens.globex_producer, "worker": shared.tokens.globex_worker}[side]
    with shared.produce() if side == "producer" else shared.work() as stream:
        stream.send(hello=stream.pb.Hello(token=token))
        error = stream.take("error")
        assert (error.code, error.message) == ("FailedPrecondition", "already-authenticated")
        command = shared.command()
        if side == "producer":
            assert shared.producer.task(stream.created(command))["tenantId"] == "acme", "who one is cannot be changed"
        else:
            task = shared.producer.create(command)
            assert stream.claim(command).id == task["id"]
            stream.complete(task["id"])


@BOTH
def test_closing_before_hello_ends_the_call(shared, side):
    with opened(shared, side) as stream:
        stream.half_close()
        assert stream.ended() == (grpc.StatusCode.UNKNOWN, "EOF")


@BOTH
def test_events_sent_together_with_hello_are_served_after_it(shared, side):
    command = shared.command()
    with opened(shared, side) as stream:
        if side == "producer":
            stream.send(hello=stream.pb.Hello(token=shared.tokens.acme_producer))
            stream.send(create=stream.task(command, seq=5))
            answers = ["hello_ack", "create_ack"]
        else:
            shared.producer.create(command)
            stream.send(hello=stream.pb.Hello(token=shared.tokens.acme_worker))
            stream.ready(command)
            answers = ["hello_ack", "task"]
        first, second = stream.take(), stream.take()
        assert [first.DESCRIPTOR.name, second.DESCRIPTOR.name] == [
            {"hello_ack": "HelloAck", "create_ack": "CreateAck", "task": "TaskAssignment"}[kind] for kind in answers]


@BOTH
def test_a_message_that_is_not_protobuf_ends_the_call(shared, side):
    with opened(shared, side) as stream:
        stream.send_bytes(b"\x0a\xff\xff\xff\xff\xff\xff")
        code, _ = stream.ended()
        assert code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT), code


@pytest.mark.parametrize("port, method", [
    ("producer_stream_port", WORKER_METHOD), ("worker_stream_port", PRODUCER_METHOD),
    ("producer_stream_port", "/producerpb.ProducerStream/Other"), ("worker_stream_port", "/nobody.Knows/This"),
    ("worker_stream_port", "/")])
def test_an_unknown_method_is_unimplemented(shared, port, method):
    pb = messages("producerpb")
    with Call(getattr(shared.broker, port), method, pb.ProducerEvent, pb.ServerEvent) as call:
        call.send(hello=pb.Hello(token=shared.tokens.acme_producer))
        assert call.ended()[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_stream_that_was_refused_leaves_the_connection_usable(shared):
    pb = messages("producerpb")
    with opened(shared, "producer") as stream:
        refused(stream, "nobody")
        again = stream._channel.stream_stream(PRODUCER_METHOD, pb.ProducerEvent.SerializeToString, pb.ServerEvent.FromString)
        answers = again(iter([pb.ProducerEvent(hello=pb.Hello(token=shared.tokens.acme_producer))]))
        assert next(answers).hello_ack.tenant_id == "acme"
        answers.cancel()


def test_nothing_of_a_refusal_names_the_token(shared):
    with opened(shared, "worker") as stream:
        _, text = refused(stream, "se-cret-token")
        assert "se-cret" not in text
    assert "se-cret" not in shared.broker.log()
    with pytest.raises(StreamEnded):
        shared.work("se-cret-token")


@BOTH
def test_a_listener_whose_clients_nobody_could_check_is_refused_at_start(new_world, side):
    name = side.upper()
    world = new_world(backend=False, start=False, **{f"{name}_AUTH_PROVIDER": "", f"{name}_AUTH_CONFIG": "",
                                                    f"{name}_STREAM_ADDR": "127.0.0.1:0"})
    with pytest.raises(AssertionError, match=f"{side}StreamAddr set but no {side} validator configured"):
        world.broker.start()


def test_without_an_address_there_is_no_listener(new_world):
    world = new_world(backend=False, WORKER_STREAM_ADDR="")
    with world.produce() as producer:
        assert producer.created("X")
    with pytest.raises(StreamEnded) as ended:
        world.work()
    assert ended.value.code == grpc.StatusCode.UNAVAILABLE
