"""Clients that mean harm, or are broken: the stream ports bound what each can take, and others do not notice.

Every case runs beside a client that goes on creating, claiming and completing, and prints what the broker's memory did.
"""

import random
import struct
import threading
import time

import pytest

from harness import World
from harness import h2
from harness.h2 import Connection, frame, message
from harness.stream import PRODUCER_METHOD, WORKER_METHOD, messages

MIB = 1 << 20


def resident(process, what="VmRSS"):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what))


def instrumented(process):
    with open(f"/proc/{process.pid}/maps") as maps:
        return "libasan" in (text := maps.read()) or "libtsan" in text


class Bystander:
    """Somebody who works as always; a round that does not come to its end, or an error, fails the test."""

    def __init__(self, world, name, show, may_grow=128 * MIB):
        self._world, self._name, self._show, self._may_grow = world, name, show, may_grow
        self._stop, self._error, self.rounds = threading.Event(), None, 0
        self._thread = threading.Thread(target=self._guard)

    def __enter__(self):
        self._before = self._most = resident(self._world.broker.process)
        self._begin = time.monotonic()
        self._thread.start()
        return self

    def _guard(self):
        try:
            self._run()
        except Exception as error:  # noqa: BLE001: told by the test's own thread
            self._error = error

    def _run(self):
        command = self._world.command()
        with self._world.produce() as producer, self._world.work() as worker:
            while True:
                last = self._stop.is_set()
                task_id = producer.created(command)
                assert worker.claim(command, timeout=20).id == task_id
                worker.complete(task_id)
                self.rounds += 1
                self._most = max(self._most, resident(self._world.broker.process))
                if last:
                    return

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive() and self._error is None, f"the bystander was harmed: {self._error!r}"
        process = self._world.broker.process
        after = resident(process)
        with self._show():
            print(f"\n  {self._name}: {time.monotonic() - self._begin:.1f} s, resident {self._before / MIB:.0f} MiB before, "
                  f"{self._most / MIB:.0f} at most, {after / MIB:.0f} after; bystander: {self.rounds} rounds")
        if kind is None:
            # A sanitizer keeps what was freed for a while, on purpose.
            allowed = self._may_grow + (512 * MIB if instrumented(process) else 0)
            assert self._most - self._before <= allowed, f"grew by {(self._most - self._before) / MIB:.0f} MiB"


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("abuse"), backend=False, LOG_LEVEL="info", MEMORY_BUDGET_BYTES=512 * MIB)
    yield world
    world.stop()


@pytest.fixture
def beside(victim, capsys, request):
    return lambda **options: Bystander(victim, request.node.name.removeprefix("test_"), capsys.disabled, **options)


def connect(victim, side="producer", **options):
    return Connection(getattr(victim.broker, f"{side}_stream_port"), **options)


def greeted(victim, side, **options):
    """A connection whose stream 1 is past its handshake."""
    pb = messages("producerpb" if side == "producer" else "workerpb")
    event_type = pb.ProducerEvent if side == "producer" else pb.WorkerEvent
    token = victim.tokens.acme_producer if side == "producer" else victim.tokens.acme_worker
    connection = connect(victim, side, **options)
    connection.open(1, PRODUCER_METHOD if side == "producer" else WORKER_METHOD)
    connection.event(1, event_type(hello=pb.Hello(token=token)))
    assert connection.messages(1, pb.ServerEvent, 1)[0].hello_ack.tenant_id == "acme"
    return connection, pb


def flood(connection, chunk, most_bytes, seconds=15):
    """Sends `chunk` again and again without reading, until the broker takes no more; the bytes that it took."""
    taken, deadline, view = 0, time.monotonic() + seconds, memoryview(chunk * max(1, 65536 // len(chunk)))
    while taken < most_bytes and time.monotonic() < deadline:
        got = connection.send_some(view, 0.5)
        if not got:
            break
        rest = len(view) - got
        taken += got
        if rest:  # keep to whole frames
            if not connection.send_some(view[got:], 0.5):
                break
            taken += rest
    return taken


def test_rapid_reset(victim, beside):
    with beside(), connect(victim) as attacker:
        headers = h2.block(h2.request_headers(PRODUCER_METHOD))
        for first in range(1, 60_000, 200):
            burst = b"".join(frame(h2.HEADERS, stream, headers, h2.END_HEADERS) +
                             frame(h2.RST_STREAM, stream, struct.pack(">I", h2.CANCEL)) for stream in range(first, first + 200, 2))
            if not attacker.send(burst):
                break
        assert attacker.ended_by(), "who resets thousands of streams is cut off"


def test_streams_that_are_reset_after_their_hello(victim, beside):
    """A slower cousin: each stream gets as far as its token before it is dropped."""
    pb = messages("producerpb")
    hello = message(pb.ProducerEvent(hello=pb.Hello(token=victim.tokens.acme_producer)).SerializeToString())
    headers = h2.block(h2.request_headers(PRODUCER_METHOD))
    with beside(), connect(victim) as attacker:
        for stream in range(1, 8_000, 2):
            if not attacker.send(frame(h2.HEADERS, stream, headers, h2.END_HEADERS) + frame(h2.DATA, stream, hello) +
                                 frame(h2.RST_STREAM, stream, struct.pack(">I", h2.CANCEL))):
                break
            if stream % 101 == 0:
                attacker.pump()
        assert attacker.ended_by()


def test_more_streams_than_allowed(victim, beside):
    headers = h2.block(h2.request_headers(PRODUCER_METHOD))
    with beside(), connect(victim) as attacker:
        for stream in range(1, 20_000, 2):
            if not attacker.send(frame(h2.HEADERS, stream, headers, h2.END_HEADERS)):
                break
        attacker.pump(0.5)
        refused = [f for f in attacker.frames if f[0] in (h2.RST_STREAM, h2.GOAWAY)]
        assert refused or not attacker.pump(1), "what is above the announced number is refused"


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_continuation_flood(victim, beside, size):
    with beside(), connect(victim) as attacker:
        attacker.send(frame(h2.HEADERS, 1, h2.block(h2.request_headers(PRODUCER_METHOD))))
        part = h2.block([("x-" + "a" * 20, "b" * max(size - 30, 1))])[:size]
        flood(attacker, frame(h2.CONTINUATION, 1, part), 64 * MIB)
        assert attacker.ended_by()


@pytest.mark.parametrize("kind", ["settings", "ping", "priority", "window", "empty data", "unknown frames"])
def test_flood_of_small_frames_that_nobody_reads_answers_to(victim, beside, kind):
    chunk = {"settings": frame(h2.SETTINGS, payload=struct.pack(">HI", h2.INITIAL_WINDOW_SIZE, 65535)),
             "ping": frame(h2.PING, payload=b"12345678"), "priority": frame(h2.PRIORITY, 1, struct.pack(">IB", 0, 5)),
             "window": frame(h2.WINDOW_UPDATE, 0, struct.pack(">I", 1)), "empty data": frame(h2.DATA, 1),
             "unknown frames": frame(0x77, 0, b"x" * 8)}[kind]
    with beside(), connect(victim) as attacker:
        if kind == "empty data":
            attacker.open(1, PRODUCER_METHOD)
        flood(attacker, chunk, 64 * MIB)


def test_settings_of_a_thousand_entries(victim, beside):
    with beside(), connect(victim) as attacker:
        flood(attacker, frame(h2.SETTINGS, payload=struct.pack(">HI", h2.INITIAL_WINDOW_SIZE, 65535) * 1000), 8 * MIB)
        assert attacker.ended_by()


def test_ten_thousand_credits_are_kept_and_served(victim, beside):
    command = victim.command()
    with beside(), victim.work() as worker:
        for _ in range(10_000):
            worker.ready(command)
        with victim.produce() as producer:
            ids = {ack.task_id for ack in producer.create_batch([producer.task(command) for _ in range(300)])}
        assert {worker.task(30).id for _ in range(300)} == ids
        worker.nothing_comes()


def test_a_hundred_thousand_credits_for_twenty_commands_each(victim, beside):
    connection, pb = greeted(victim, "worker")
    ready = [pb.Ready(commands=[f"C{m}-{n}" for m in range(20)], count=2**31 - 1, lease_seconds=n) for n in range(500)]
    chunk = b"".join(message(pb.WorkerEvent(ready=r).SerializeToString()) for r in ready)
    with beside(), connection as attacker:
        assert attacker.offer(1, chunk * 200) > 0
        assert b"too many" in b"".join(f[3] for f in attacker.frames if f[0] == h2.DATA), "told so, in words"


@pytest.mark.parametrize("side", ["producer", "worker"])
def test_replies_that_are_never_read(victim, beside, side):
    """Events whose answers are eight times as long as themselves; the client grants no more than its first window."""
    connection, _ = greeted(victim, side)
    with beside(), connection as attacker:
        taken = attacker.offer(1, message(b"") * (64 * MIB // 5))
        assert attacker.ended_by(0) == "", "a client that keeps to its windows is not cut for being slow"
        assert 100_000 < taken < 4 * MIB, f"{taken / MIB:.1f} MiB of events were taken although no answer was read"


def test_a_gibibyte_of_replies_that_are_never_read(victim, beside, capsys):
    """4,000 streams, each of which asks for 400 KiB of answers."""
    pb = messages("producerpb")
    hello = pb.ProducerEvent(hello=pb.Hello(token=victim.tokens.acme_producer))
    events, taken = message(b"") * 10_000, 0
    crowd = []
    with beside():
        begin = time.monotonic()
        for _ in range(40):
            if time.monotonic() - begin > 15:
                break
            attacker = connect(victim, receive_buffer=65536)
            crowd.append(attacker)
            for stream in range(1, 200, 2):
                attacker.open(stream, PRODUCER_METHOD)
                attacker.event(stream, hello)
            attacker.pump(1)
            for stream in range(1, 200, 2):
                taken += attacker.offer(stream, events, 0.0005, 1)
        with capsys.disabled():
            print(f"\n  {len(crowd)} connections had {taken / MIB:.0f} MiB of events taken, worth {taken / 5 * 41 / MIB:.0f} MiB of answers")
    for attacker in crowd:
        attacker.close()


def test_large_deliveries_that_are_never_read(victim, beside):
    """64 streams with all the window in the world ask for tasks of 1 MiB and read nothing."""
    command, pb = victim.command(), messages("workerpb")
    with victim.produce() as producer:
        for n in range(48):
            producer.created(command, b'"' + b"z" * MIB + b'"')
    with beside(may_grow=192 * MIB):
        attackers = []
        try:
            for _ in range(8):
                attacker, _ = greeted(victim, "worker", INITIAL_WINDOW_SIZE=2**31 - 1, receive_buffer=4096)
                attacker.send(frame(h2.WINDOW_UPDATE, 0, struct.pack(">I", 2**31 - 1 - 65535)))
                for _ in range(20):
                    attacker.event(1, pb.WorkerEvent(ready=pb.Ready(commands=[command], lease_seconds=600, count=4)))
                attackers.append(attacker)
            time.sleep(2)  # What they may take, they have taken by now.
        finally:
            for attacker in attackers:
                attacker.reset()
    with victim.work(victim.tokens.acme_worker2) as worker:
        got = 0
        while got < 48:
            worker.ready(command, count=3)
            for task in worker.tasks(30):
                assert task.attempts == 1, "what was never read costs nothing"
                worker.complete(task.id)
                got += 1


def test_half_closed_and_trickling_connections(victim, beside):
    pb = messages("producerpb")
    with beside():
        crowd = []
        try:
            for n in range(200):
                crowd.append(connect(victim, ("producer", "worker")[n % 2], preface=n % 4 != 0))
                if n % 4 == 0:
                    crowd[-1].send(h2.PREFACE[:n % 23])
                elif n % 4 == 1:
                    crowd[-1].half_close()
                elif n % 4 == 2:
                    crowd[-1].open(1, PRODUCER_METHOD)
                    crowd[-1].send(frame(h2.DATA, 1, message(b"x", length=4 * MIB)))
                else:
                    crowd[-1].send(frame(h2.HEADERS, 1, h2.block(h2.request_headers(WORKER_METHOD)), h2.END_HEADERS)[:-3])
            hello = message(pb.ProducerEvent(hello=pb.Hello(token="x" * 30)).SerializeToString())
            for byte in hello[:20]:
                for connection in crowd[2::4]:
                    connection.send(frame(h2.DATA, 1, bytes([byte])))
        finally:
            for connection in crowd:
                connection.close()


GARBAGE = {
    "random bytes": random.Random("codeq").randbytes(4096),
    "a frame of 16 MiB": frame(h2.DATA, 1, b"x" * 100_000, length=(1 << 24) - 1),
    "an unknown frame of 16 MiB": frame(0x55, 0, b"x" * 100_000, length=(1 << 24) - 1),
    "data on stream 0": frame(h2.DATA, 0, b"xxxx"),
    "data on a stream that is not open": frame(h2.DATA, 77, b"xxxx"),
    "headers on an even stream": frame(h2.HEADERS, 2, h2.block(h2.request_headers(PRODUCER_METHOD)), h2.END_HEADERS),
    "headers on stream 0": frame(h2.HEADERS, 0, h2.block(h2.request_headers(PRODUCER_METHOD)), h2.END_HEADERS),
    "a header block that is none": frame(h2.HEADERS, 1, b"\xff" * 200, h2.END_HEADERS),
    "a table size out of bounds": frame(h2.HEADERS, 1, b"\x3f\xff\xff\xff\xff\x0f", h2.END_HEADERS),
    "padding longer than its frame": frame(h2.HEADERS, 1, b"\xff" + h2.block(h2.request_headers(PRODUCER_METHOD)), h2.END_HEADERS | h2.PADDED),
    "a reset of an idle stream": frame(h2.RST_STREAM, 99, struct.pack(">I", 8)),
    "a push": frame(h2.PUSH_PROMISE, 1, struct.pack(">I", 2) + h2.block(h2.request_headers(PRODUCER_METHOD)), h2.END_HEADERS),
    "a window that overflows": frame(h2.WINDOW_UPDATE, 0, struct.pack(">I", 2**31 - 1)) * 2,
    "a window of nothing": frame(h2.WINDOW_UPDATE, 0, struct.pack(">I", 0)),
    "a settings frame cut short": frame(h2.SETTINGS, payload=b"\0\1\0"),
    "a ping of nine bytes": frame(h2.PING, payload=b"123456789"),
    "a continuation of nothing": frame(h2.CONTINUATION, 1, b"xx", h2.END_HEADERS),
    "headers of a megabyte": frame(h2.HEADERS, 1, h2.block(h2.request_headers(PRODUCER_METHOD) + [("x", "y" * 16_000)])) +
    frame(h2.CONTINUATION, 1, h2.block([("x", "y" * 16_000)])) * 64,
    "http/1.1": b"POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000,
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_ends_its_own_connection_only(victim, beside, what):
    with beside(), connect(victim, preface=what not in ("http/1.1",)) as attacker:
        attacker.send(GARBAGE[what])
        assert attacker.ended_by(5)


@pytest.mark.parametrize("greeted_first", [False, True])
@pytest.mark.parametrize("length", [4 * MIB + 1, 2**31, 2**32 - 1])
def test_a_message_that_announces_more_than_it_may_is_refused_at_once(victim, beside, greeted_first, length):
    with beside():
        attacker = greeted(victim, "producer")[0] if greeted_first else connect(victim)
        with attacker:
            if not greeted_first:
                attacker.open(1, PRODUCER_METHOD)
            attacker.send(frame(h2.DATA, 1, message(b"x" * 100, length=length)))
            assert ended(attacker), "long before so much could have come"


@pytest.mark.parametrize("greeted_first", [False, True])
def test_a_compressed_message_is_refused(victim, beside, greeted_first):
    with beside():
        attacker = greeted(victim, "producer")[0] if greeted_first else connect(victim)
        with attacker:
            if not greeted_first:
                attacker.open(1, PRODUCER_METHOD, extra=[("grpc-encoding", "gzip")])
            attacker.send(frame(h2.DATA, 1, message(b"\x1f\x8b" + b"x" * 100, compressed=1)))
            assert ended(attacker)


def ended(connection, stream=1):
    """The call is over: trailers, a reset, or the connection's end."""
    return connection.wait(h2.HEADERS, lambda f: f[2] == stream and f[1] & h2.END_STREAM, 5) is not None or \
        any(f[0] == h2.RST_STREAM for f in connection.frames) or connection.ended_by(1)


@pytest.mark.parametrize("side", ["producer", "worker"])
def test_random_messages(victim, beside, side):
    """Bytes that nearly are messages, on streams that are past their handshake; seeded, so that a finding can be found again."""
    dice = random.Random(f"codeq {side}")
    pb = messages("producerpb" if side == "producer" else "workerpb")
    good = pb.ProducerEvent(create=pb.CreateTask(seq=1, command="FUZZ", payload=b'{"a":1}', trace_parent="00-")) if side == "producer" \
        else pb.WorkerEvent(result=pb.Result(task_id="x", status="COMPLETED", result_json=b"{}"))
    seed = good.SerializeToString()
    with beside():
        for _ in range(60):
            connection, _ = greeted(victim, side)
            with connection:
                for _ in range(10):
                    data = bytearray(seed if dice.random() < 0.7 else dice.randbytes(dice.randrange(40)))
                    for _ in range(dice.randrange(4)):
                        if data:
                            data[dice.randrange(len(data))] = dice.randrange(256)
                    if not connection.send(frame(h2.DATA, 1, message(bytes(data)))):
                        break
                connection.pump(0.01)


def test_many_connections_at_once(victim, beside):
    with beside(may_grow=256 * MIB):
        crowd = [connect(victim, ("producer", "worker")[n % 2]) for n in range(600)]
        for connection in crowd:
            connection.open(1, PRODUCER_METHOD)
        time.sleep(0.5)  # They are all there, and do nothing.
        for connection in crowd:
            connection.reset()
