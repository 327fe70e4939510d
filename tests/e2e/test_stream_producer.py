"""The producer's stream after its handshake: what is created, what is refused and in which words, and in which order."""

import json
import time

import grpc
import pytest

from harness import Producer
from harness.stream import messages

MESSAGE_BYTES_MAX = 4 << 20


def field(number, data):
    """One length-delimited field, for what the message classes would not write."""
    def varint(value):
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])
    return varint(number << 3 | 2) + varint(len(data)) + data


@pytest.fixture
def producer(shared):
    with shared.produce() as stream:
        yield stream


def stored(shared, ack):
    assert ack.ok and not ack.error_message, ack
    return shared.producer.task(ack.task_id)


def test_a_created_task_is_the_one_that_http_shows(shared, producer):
    command = shared.command()
    ack = producer.create(command, b'{"page": 3}', seq=77, priority=4, max_attempts=3, webhook=shared.hooks.url("/unused"))
    assert ack.seq == 77
    task = stored(shared, ack)
    assert task["command"] == command and task["payload"] == '{"page": 3}' and task["priority"] == 4
    assert task["maxAttempts"] == 3 and task["webhook"] == shared.hooks.url("/unused") and task["tenantId"] == "acme"
    assert task["status"] == "PENDING" and task["lastKnownLocation"] == "PENDING_LIST"


def test_defaults_are_those_of_http(shared, producer):
    command = shared.command()
    task = stored(shared, producer.create(command, b""))
    twin = shared.producer.create_batch([{"command": command, "payload": None}])[0]["task"]
    same = ["command", "payload", "maxAttempts", "status", "lastKnownLocation", "tenantId"]
    assert {key: task[key] for key in same} == {key: twin[key] for key in same}
    assert task["payload"] == "null", "an empty payload means null"
    assert task.keys() == twin.keys()


def test_seq_comes_back_whatever_it_is(shared, producer):
    command, numbers = shared.command(), [9, 0, 3, 3, 2**64 - 1, 2, 9]
    for number in numbers:
        producer.send(create=producer.task(command, seq=number))
    acks = [producer.take("create_ack") for _ in numbers]
    assert sorted(ack.seq for ack in acks) == sorted(numbers)
    assert len({ack.task_id for ack in acks}) == len(numbers), "equal numbers are different tasks"


def test_every_element_of_a_batch_is_answered_in_its_order_and_becomes_ready_in_it(shared, producer):
    command = shared.command()
    tasks = [producer.task(command, {"n": n}, seq=100 - n) for n in range(50)]
    acks = producer.create_batch(tasks)
    assert all(ack.ok for ack in acks)
    claimed = shared.worker.claim_batch(command, 50)
    assert [task["id"] for task in claimed] == [ack.task_id for ack in acks]


def test_a_refused_task_harms_no_other_of_its_batch(shared, producer):
    command = shared.command()
    acks = producer.create_batch([
        producer.task(command), producer.task(""), producer.task(command, delay_seconds=-1), producer.task(command, b"{nope"),
        producer.task(command, webhook="ftp://x/y"), producer.task(command)])
    assert [ack.ok for ack in acks] == [True, False, False, False, False, True]
    assert [ack.error_message for ack in acks] == [
        "", "command is required", "delaySeconds must be >= 0", "payload is not valid JSON", "invalid webhook url", ""]
    assert [bool(ack.task_id) for ack in acks] == [ack.ok for ack in acks]
    assert len(shared.worker.claim_batch(command, 10)) == 2


@pytest.mark.parametrize("fields, text", [
    (dict(command=""), "command is required"),
    (dict(command=" \t "), "command is required"),
    (dict(delay_seconds=-1), "delaySeconds must be >= 0"),
    (dict(webhook="not a url"), "invalid webhook url"),
    (dict(webhook="ftp://host/x"), "invalid webhook url"),
    (dict(webhook="http://"), "invalid webhook url"),
    (dict(payload=b"{"), "payload is not valid JSON"),
    (dict(payload=b"nul"), "payload is not valid JSON"),
    (dict(payload=b'{"a":1} x'), "payload is not valid JSON"),
    (dict(payload=b'"\xff\xfe"'), "payload is not valid JSON"),
    (dict(payload=b'"\xed\xa0\x80"'), "payload is not valid JSON"),
    (dict(payload=b"\x00"), "payload is not valid JSON"),
    (dict(payload=b"   "), "payload is not valid JSON"),
])
def test_a_refusal_says_why_in_fixed_words(shared, producer, fields, text):
    fields = {"command": shared.command(), "payload": b"1", **fields}
    ack = producer.create(fields.pop("command"), fields.pop("payload"), seq=31, **fields)
    assert (ack.seq, ack.ok, ack.task_id, ack.error_message) == (31, False, "", text)
    assert producer.created(shared.command()), "and the stream goes on"


@pytest.mark.parametrize("payload", [
    b"null", b"0", b'"text"', b"[]", b'{ "b":1,\n "a" : 12345678901234567890.123, "b":2 }', b"1e999", b'"\\ud800"',
    '"Gr\u00fc\u00dfe \U0001f600"'.encode(), b'"</script>&"'], ids=range(9))
def test_a_payload_is_kept_byte_for_byte(shared, producer, payload):
    command = shared.command()
    ack = producer.create(command, payload)
    assert stored(shared, ack)["payload"].encode() == payload
    with shared.work() as worker:
        assert worker.claim(command).payload == payload
        worker.complete(ack.task_id)


@pytest.mark.parametrize("asked, kept", [(-(2**31), 0), (-1, 0), (10, 9), (2**31 - 1, 9)])
def test_priorities_are_clamped(shared, producer, asked, kept):
    assert stored(shared, producer.create(shared.command(), priority=asked)).get("priority", 0) == kept


@pytest.mark.parametrize("asked", [0, -3])
def test_no_number_of_attempts_means_the_default(shared, producer, asked):
    assert stored(shared, producer.create(shared.command(), max_attempts=asked))["maxAttempts"] == 5


def test_blanks_around_a_command_are_taken_off(shared, producer):
    command = shared.command()
    assert stored(shared, producer.create(f"  {command}\t"))["command"] == command


def at(pb_task, seconds):
    pb_task.run_at.seconds, pb_task.run_at.nanos = int(seconds), int(seconds % 1 * 1e9)
    return pb_task


def test_run_at_wins_over_delay_seconds(shared, producer):
    def created(task):
        producer.send(create=task)
        return stored(shared, producer.take("create_ack"))
    command = shared.command()
    now = time.time()
    assert created(at(producer.task(command, delay_seconds=3600), now - 60))["lastKnownLocation"] == "PENDING_LIST"
    assert created(at(producer.task(command), now + 3600))["lastKnownLocation"] == "DELAYED_ZSET"
    assert created(producer.task(command, delay_seconds=3600))["lastKnownLocation"] == "DELAYED_ZSET"
    assert created(producer.task(command, delay_seconds=0))["lastKnownLocation"] == "PENDING_LIST"
    assert created(at(producer.task(command, delay_seconds=-5), now + 3600))["lastKnownLocation"] == "DELAYED_ZSET"


@pytest.mark.parametrize("seconds, nanos", [(2**62, 0), (-(2**62), 0), (0, -1), (10, 2**30)])
def test_a_run_at_out_of_this_world_gets_a_clear_answer(shared, producer, seconds, nanos):
    task = producer.task(shared.command())
    task.run_at.seconds, task.run_at.nanos = seconds, nanos
    producer.send(create=task)
    ack = producer.take("create_ack")
    assert ack.ok == bool(ack.task_id) != bool(ack.error_message)
    assert producer.created(shared.command())


def test_a_key_seen_before_gives_the_first_task_and_other_content_is_refused(shared, producer):
    command = shared.command()
    first = producer.created(command, {"a": 1}, idempotency_key="k-" + command)
    assert producer.created(command, {"a": 1}, idempotency_key="k-" + command) == first
    assert shared.producer.create(command, {"a": 1}, idempotencyKey="k-" + command)["id"] == first, "over HTTP too"
    ack = producer.create(command, {"a": 2}, idempotency_key="k-" + command)
    assert not ack.ok and ack.error_message == "idempotency conflict"
    with shared.produce(shared.tokens.globex_producer) as other:
        assert other.created(command, {"a": 1}, idempotency_key="k-" + command) != first, "another tenant's key is another key"


def test_equal_keys_in_one_batch_are_one_task(shared, producer):
    command = shared.command()
    acks = producer.create_batch([producer.task(command, {"a": 1}, idempotency_key="b-" + command) for _ in range(5)])
    assert all(ack.ok for ack in acks) and len({ack.task_id for ack in acks}) == 1
    assert len(shared.worker.claim_batch(command, 10)) == 1


def test_an_empty_batch_is_ignored(shared, producer):
    producer.send(create_batch=producer.pb.CreateTaskBatch())
    producer.created(shared.command())
    assert producer.untaken() == []


@pytest.mark.parametrize("data", [b"", field(9, b"whatever"), b"\x48\x01"], ids=["nothing set", "unknown message", "unknown number"])
def test_an_unknown_event_is_answered_and_the_stream_goes_on(shared, producer, data):
    producer.send_bytes(data)
    error = producer.take("error")
    assert (error.code, error.message) == ("InvalidArgument", "unknown-event")
    assert producer.created(shared.command())


def test_unknown_fields_are_ignored(shared, producer):
    command = shared.command()
    task = producer.task(command, seq=8).SerializeToString() + field(99, b"later") + b"\xa8\x06\x2a"
    producer.send_bytes(field(2, task) + field(500, b"later"))
    assert producer.take("create_ack", lambda ack: ack.seq == 8).ok
    batch = field(1, task) + field(77, b"later")
    producer.send_bytes(field(3, batch))
    assert [ack.seq for ack in producer.take("create_ack_batch").acks] == [8]


def test_closing_our_side_lets_every_answer_come_first(shared, producer):
    command = shared.command()
    for n in range(200):
        producer.send(create=producer.task(command, {"n": n}))
    producer.send(create_batch=producer.pb.CreateTaskBatch(tasks=[producer.task(command) for _ in range(20)]))
    producer.half_close()
    assert producer.ended() == (grpc.StatusCode.OK, "")
    kinds = producer.untaken()
    assert kinds.count("create_ack") == 200 and kinds.count("create_ack_batch") == 1
    assert sum(len(shared.worker.claim_batch(command, 100)) for _ in range(3)) == 220


def test_creates_of_a_stream_that_was_cancelled_are_whole_or_absent(shared):
    command = shared.command()
    with shared.produce() as producer:
        for n in range(100):
            producer.send(create=producer.task(command, {"n": n}))
        producer.take("create_ack")
        acknowledged = 1 + producer.untaken().count("create_ack")
        producer.cancel()
    found = []
    while batch := shared.worker.claim_batch(command, 100):
        found += batch
    assert len(found) >= acknowledged
    assert len({json.loads(task["payload"])["n"] for task in found}) == len(found)


def test_many_streams_on_many_connections_at_once(shared):
    command = shared.command()
    streams = [shared.produce() for _ in range(20)]
    try:
        for n in range(30):
            for stream in streams:
                stream.send(create=stream.task(command, {"n": n}))
        ids = {stream.take("create_ack").task_id for stream in streams for _ in range(30)}
    finally:
        for stream in streams:
            stream.close()
    assert len(ids) == 600 and "" not in ids


def test_a_message_over_4_mib_ends_the_call_with_resource_exhausted(shared, producer):
    producer.send(create=producer.task(shared.command(), b'"' + b"x" * MESSAGE_BYTES_MAX + b'"'))
    assert producer.ended()[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("below", [200, 400, 1000, 5000, 100_000])
def test_a_task_that_is_accepted_can_also_be_delivered(shared, below):
    """A task's own message is longer than the one that created it; both must stay below what clients accept."""
    command = shared.command()
    payload = b'"' + b"x" * (MESSAGE_BYTES_MAX - below) + b'"'
    with shared.produce() as producer:
        ack = producer.create(command, payload)
    if not ack.ok:
        assert ack.error_message and below < 100_000, ack
        return
    with shared.work() as worker:
        task = worker.claim(command)
        assert task.payload == payload and max(worker.sizes) <= MESSAGE_BYTES_MAX
        worker.complete(task.id)


def test_a_batch_of_nearly_4_mib_is_taken_whole(shared, producer):
    command = shared.command()
    tasks = [producer.task(command, b'"' + b"y" * 1000 + b'"') for _ in range(3900)]
    assert MESSAGE_BYTES_MAX * 0.9 < messages("producerpb").CreateTaskBatch(tasks=tasks).ByteSize() < MESSAGE_BYTES_MAX
    acks = producer.create_batch(tasks)
    assert len(acks) == 3900 and all(ack.ok for ack in acks)


def test_equal_keys_in_one_burst_are_one_task(shared, producer):
    command = shared.command()
    for _ in range(50):
        producer.send(create=producer.task(command, {"a": 1}, idempotency_key="burst-" + command))
    acks = [producer.take("create_ack") for _ in range(50)]
    assert all(ack.ok for ack in acks) and len({ack.task_id for ack in acks}) == 1


def test_metadata_beyond_all_reason_end_the_call_and_nothing_else(shared, producer):
    big = Producer(shared.broker.producer_stream_port, metadata=[(f"x-{n}", "y" * 4000) for n in range(30)])
    with big:
        big.send(hello=big.pb.Hello(token=shared.tokens.acme_producer))
        assert big.ended()[0] != grpc.StatusCode.OK
    assert producer.created(shared.command())
