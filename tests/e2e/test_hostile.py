"""Bad input: what it is -> status, code, connection kept or closed. None stalls the others, none loses a task."""

import json
import pathlib
import secrets
import threading

import pytest

from harness import BASE, Raw, request_bytes

TASKS = f"{BASE}/tasks"
CODE_PAGES = pathlib.Path(__file__).parents[2] / "docs" / "errors"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from harness import World
    world = World(tmp_path_factory.mktemp("hostile"), HTTP_HEADER_TIMEOUT_SECONDS=1, HTTP_BODY_TIMEOUT_SECONDS=1,
                  HTTP_IDLE_TIMEOUT_SECONDS=2)
    world.canary = world.producer.create("CANARY", {"keep": "me"})
    yield world
    try:
        kept = world.producer.task(world.canary["id"])
        assert kept["payload"] == world.canary["payload"], "an acknowledged task was lost on the way"
    finally:
        world.stop()


@pytest.fixture(autouse=True)
def alive(world):
    yield
    assert world.broker.running
    assert world.broker.get("/livez").status == 200, "the others are served"


def producer_says(world, body, **options):
    return world.producer.call("POST", "/tasks", body, **options)


def check_error(answer, status, code=None, error=None):
    assert answer.status == status, answer
    assert answer.json["error"] and answer.code, "every error says what and which"
    assert (CODE_PAGES / f"{answer.code}.md").exists(), f"no page for {answer.code}"
    assert code is None or answer.code == code, answer
    assert error is None or answer.error == error, answer


MALFORMED = {
    "nothing": b"", "a space": b" ", "an open brace": b"{", "an array": b"[]", "null": b"null", "a string": b'"x"', "a number": b"1",
    "trailing bytes": b'{"command":"X","payload":1}x', "two values": b'{"command":"X","payload":1}{}',
    "trailing comma": b'{"command":"X","payload":1,}', "single quotes": b"{'command':'X','payload':1}",
    "a comment": b'{"command":"X",/* */"payload":1}', "an unquoted key": b'{command:"X","payload":1}', "no colon": b'{"command" "X"}',
    "NaN": b'{"command":"X","payload":NaN}', "Infinity": b'{"command":"X","payload":Infinity}', "leading zero": b'{"command":"X","payload":01}',
    "a plus": b'{"command":"X","payload":+1}', "a bare minus": b'{"command":"X","payload":-}', "no fraction": b'{"command":"X","payload":1.}',
    "no integer": b'{"command":"X","payload":.5}', "no exponent": b'{"command":"X","payload":1e}', "hex": b'{"command":"X","payload":0x10}',
    "a half literal": b'{"command":"X","payload":tru}', "a long literal": b'{"command":"X","payload":truee}',
    "a raw newline in a string": b'{"command":"X","payload":"a\nb"}', "a NUL in a string": b'{"command":"X","payload":"a\0b"}',
    "a bad escape": b'{"command":"X","payload":"\\x41"}', "a short \\u": b'{"command":"X","payload":"\\u12"}',
    "invalid UTF-8": b'{"command":"X","payload":"\xff"}', "overlong UTF-8": b'{"command":"X","payload":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"command":"X","payload":"\xed\xa0\x80"}', "cut UTF-8": b'{"command":"X","payload":"\xe2\x82"}',
    "beyond Unicode": b'{"command":"X","payload":"\xf4\x90\x80\x80"}', "a byte order mark": b'\xef\xbb\xbf{"command":"X","payload":1}',
    "65 levels": b'{"command":"X","payload":' + b"[" * 64 + b"]" * 64 + b"}", "ten thousand levels": b'{"command":"X","payload":' + b"[" * 10_000,
    "ten thousand levels of objects": b'{"command":"X","payload":' + b'{"a":' * 10_000,
    "form data": b"command=X&payload=1", "XML": b"<task/>", "random bytes": bytes(range(256)),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_json_is_400_and_the_connection_is_kept(world, body):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", TASKS, world.tokens.acme_producer, body))
        answer = raw.answer()
        check_error(answer, 400, "invalid-body", "invalid body")
        raw.send(request_bytes("GET", "/livez"))
        assert raw.answer().status == 200, "the connection is kept"


WRONG = {
    "command is a number": {"command": 1, "payload": 1}, "command is null": {"command": None, "payload": 1},
    "command is missing": {"payload": 1}, "command is empty": {"command": "", "payload": 1}, "payload is missing": {"command": "X"},
    "payload is null": {"command": "X", "payload": None}, "priority is a string": {"command": "X", "payload": 1, "priority": "5"},
    "priority is a fraction": {"command": "X", "payload": 1, "priority": 5.5}, "priority is an object": {"command": "X", "payload": 1, "priority": {}},
    "delay is a bool": {"command": "X", "payload": 1, "delaySeconds": True}, "webhook is an array": {"command": "X", "payload": 1, "webhook": []},
    "runAt is a number": {"command": "X", "payload": 1, "runAt": 17}, "maxAttempts is beyond 64 bits": {"command": "X", "payload": 1, "maxAttempts": 2**64},
    "key is a number": {"command": "X", "payload": 1, "idempotencyKey": 5},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_wrong_types_are_400(world, body):
    check_error(producer_says(world, body), 400, "invalid-body", "invalid body")


@pytest.mark.parametrize("number", ["5.0", "1e2", "5E0"])
def test_an_integer_with_a_fraction_or_an_exponent_is_a_wrong_type(world, number):
    check_error(producer_says(world, f'{{"command":"X","payload":1,"priority":{number}}}'.encode()), 400, "invalid-body")


@pytest.mark.parametrize("fields,error", [
    ({"runAt": "tomorrow"}, "invalid 'runAt' (use RFC3339)"), ({"runAt": "2026-13-01T00:00:00Z"}, "invalid 'runAt' (use RFC3339)"),
    ({"runAt": "2026-02-30T00:00:00Z"}, "invalid 'runAt' (use RFC3339)"), ({"runAt": "2026-05-01 10:00:00Z"}, "invalid 'runAt' (use RFC3339)"),
    ({"runAt": "2026-05-01T10:00:00"}, "invalid 'runAt' (use RFC3339)"), ({"delaySeconds": -1}, "invalid 'delaySeconds' (must be >= 0)"),
    ({"command": "   "}, "invalid command"), ({"command": "\t\n"}, "invalid command"),
    *(({"webhook": url}, "invalid webhook url") for url in (
        "ftp://example.org/", "example.org", "http://", "http:///path", "https://", "javascript:alert(1)", "http://exa mple.org/", "//example.org",
        "http://[::1", "http://example.org:99999/", "http://example.org\r\nX: y/", "file:///etc/passwd", "gopher://example.org/")),
])
def test_fields_that_break_a_rule_are_400_with_the_references_text(world, fields, error):
    answer = producer_says(world, {"command": "X", "payload": 1} | fields)
    check_error(answer, 400, error=error)


def test_a_body_beyond_a_mebibyte_is_413_and_the_connection_closed(world):
    body = b'{"command":"X","payload":"' + b"x" * (1 << 20) + b'"}'
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", TASKS, world.tokens.acme_producer, body))
        check_error(raw.answer(), 413)
        assert raw.closed()


def test_a_body_announced_as_huge_is_refused_before_it_is_sent(world):
    with Raw(world.broker.port) as raw:
        raw.send(f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tokens.acme_producer}\r\n"
                 "Content-Length: 999999999999\r\n\r\n".encode())
        check_error(raw.answer(), 413)
        assert raw.closed()


def test_a_body_of_just_a_mebibyte_is_taken(world):
    head, tail = b'{"command":"BIG","payload":"', b'"}'
    body = head + b"x" * ((1 << 20) - len(head) - len(tail)) + tail
    assert producer_says(world, body).status == 202
    assert len(world.worker.claim("BIG")["payload"]) == len(body) - len(head) - len(tail) + 2


def test_batches_have_bounds(world):
    item = {"command": "B", "payload": 1}
    too_many = world.producer.call("POST", "/tasks/batch", {"tasks": [item] * 101})
    check_error(too_many, 400, error="batch size exceeds maximum of 100")
    results = world.worker.call("POST", "/tasks/batch/results", {"results": [{"taskId": "x", "status": "COMPLETED", "result": {}}] * 101})
    check_error(results, 400, error="batch size exceeds maximum of 100")
    for body in ({}, {"tasks": []}, {"tasks": None}, {"tasks": [1]}, {"tasks": {}}, {"tasks": [item, "x"]}):
        check_error(world.producer.call("POST", "/tasks/batch", body), 400, error="invalid body")
    for body in ({}, {"results": []}, {"results": [1]}):
        check_error(world.worker.call("POST", "/tasks/batch/results", body), 400, error="invalid body")
    for count in (0, -1, None):
        check_error(world.worker.call("POST", "/tasks/claim/batch", {"count": count}), 400, error="invalid body")
    check_error(world.worker.call("POST", "/tasks/claim/batch", {"count": 101}), 400)
    assert world.worker.claim("B") is None, "a refused batch created nothing"


def test_one_bad_item_does_not_fail_its_batch(world):
    items = [{"command": "GOOD", "payload": 1}, {"payload": 1}, {"command": " ", "payload": 1},
             {"command": "GOOD", "payload": 1, "webhook": "ftp://x"}, {"command": "GOOD", "payload": 2}]
    results = world.producer.create_batch(items)
    assert [r.get("error") for r in results] == [None, "invalid command", "invalid command", "invalid webhook url", None]
    assert len(world.worker.claim_batch("GOOD", 10)) == 2


@pytest.mark.parametrize("task_id", [
    "nobody", "00000000-0000-0000-0000-000000000000", "00000000-0000-8000-8000-000000000000", "x" * 5000, "%00", "a%0Ab", "..", "%2e%2e", "%FF%FE", "-1", "{id}",
    "5f0c6b1e-1111-4222-8333-123456789abc", "5F0C6B1E-1111-8222-8333-123456789ABC", "'; DROP TABLE tasks; --".replace(" ", "%20"), "1e9"])
def test_an_unknown_id_is_404_never_400(world, task_id):
    for method, path, body, who in (
            ("GET", f"/tasks/{task_id}", None, world.producer), ("GET", f"/tasks/{task_id}/result?waitSeconds=30", None, world.producer),
            ("GET", f"/tasks/{task_id}/trace", None, world.producer), ("POST", f"/tasks/{task_id}/heartbeat", {}, world.worker),
            ("POST", f"/tasks/{task_id}/abandon", None, world.worker), ("POST", f"/tasks/{task_id}/nack", {}, world.worker),
            ("POST", f"/tasks/{task_id}/result", {"status": "COMPLETED", "result": {}}, world.worker)):
        answer = who.call(method, path, body)
        assert answer.status == 404, (path[:80], answer)


def test_an_id_is_compared_whole_so_that_it_cannot_be_guessed(world):
    task_id = world.producer.create("GUESS")["id"]
    for n, old in enumerate(task_id):
        if old == "-":
            continue
        other = task_id[:n] + ("0" if old != "0" else "1") + task_id[n + 1:]
        assert world.producer.call("GET", f"/tasks/{other}").status == 404, f"character {n} does not count"


def test_results_that_break_a_rule_are_400_and_the_lease_lives_on(world):
    task_id = world.producer.create("RULES")["id"]
    world.worker.claim("RULES")
    for body, error in (
            ({"status": "COMPLETED"}, "result required when status=COMPLETED"), ({"status": "COMPLETED", "result": None}, "result required when status=COMPLETED"),
            ({"status": "FAILED"}, "error required when status=FAILED"), ({"status": "FAILED", "error": "  "}, "error required when status=FAILED"),
            ({"status": "completed", "result": {}}, "invalid status"), ({"status": "DONE", "result": {}}, "invalid status")):
        check_error(world.worker.call("POST", f"/tasks/{task_id}/result", body), 400, error=error)
    for body in (b"{", b"[]", b'{"status":1}', b'{"status":"COMPLETED","result":[]}', b'{"status":"COMPLETED","result":"x"}', b'{"result":{}}', b""):
        check_error(world.worker.call("POST", f"/tasks/{task_id}/result", body), 400, error="invalid request body")
    world.worker.complete(task_id)
    check_error(world.worker.call("POST", f"/tasks/{task_id}/result", {"status": "COMPLETED", "result": {}}), 409, error="not-in-progress")


@pytest.mark.parametrize("header,error", [
    (None, "missing Authorization header"), ("", "missing Authorization header"), ("Basic abc", "invalid Authorization format"),
    ("Bearer", "invalid Authorization format"), ("token", "invalid Authorization format"), ("Bearer wrong", None), ("Bearer " + "x" * 9000, None)])
def test_without_a_good_token_it_is_401(world, header, error):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", TASKS, None, b"{}", [("Authorization", header)] if header is not None else []))
        answer = raw.answer()
    check_error(answer, 401)
    assert error is None or answer.error == error


def test_a_producers_token_does_not_claim_and_a_workers_does_not_create(world):
    assert world.producer.call("POST", "/tasks/claim", {}).status == 401
    assert world.worker.call("POST", "/tasks", {"command": "X", "payload": 1}).status == 401


# The wire

def wire(token, *lines, body=b"", method="POST", path=TASKS, version="HTTP/1.1", host=True):
    head = [f"{method} {path} {version}", *(["Host: x"] if host else []), f"Authorization: Bearer {token}", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


BODY = b'{"command":"WIRE","payload":1}'
SIZE = len(BODY)
BROKEN = {
    "two lengths that differ": lambda t: wire(t, f"Content-Length: {SIZE}", "Content-Length: 5", body=BODY),
    "two lengths in one line": lambda t: wire(t, f"Content-Length: {SIZE}, 5", body=BODY),
    "a negative length": lambda t: wire(t, "Content-Length: -1", body=BODY),
    "a signed length": lambda t: wire(t, f"Content-Length: +{SIZE}", body=BODY),
    "a hex length": lambda t: wire(t, "Content-Length: 0x1e", body=BODY),
    "a length of letters": lambda t: wire(t, "Content-Length: many", body=BODY),
    "an empty length": lambda t: wire(t, "Content-Length: ", body=BODY),
    "a length beyond 64 bits": lambda t: wire(t, "Content-Length: 99999999999999999999999", body=BODY),
    "length and chunked": lambda t: wire(t, f"Content-Length: {SIZE}", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": lambda t: wire(t, "Transfer-Encoding: chunked", f"Content-Length: {SIZE}", body=b"0\r\n\r\n"),
    "another coding": lambda t: wire(t, "Transfer-Encoding: gzip", body=BODY),
    "chunked not last": lambda t: wire(t, "Transfer-Encoding: chunked, gzip", body=BODY),
    "a disguised coding": lambda t: wire(t, "Transfer-Encoding: xchunked", body=BODY),
    "a bad chunk size": lambda t: wire(t, "Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "a huge chunk size": lambda t: wire(t, "Transfer-Encoding: chunked", body=b"ffffffffffffffffff\r\nabc\r\n"),
    "a negative chunk size": lambda t: wire(t, "Transfer-Encoding: chunked", body=b"-5\r\nabc\r\n"),
    "no host": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY, host=False),
    "two hosts": lambda t: wire(t, "Host: y", f"Content-Length: {SIZE}", body=BODY),
    "a folded header": lambda t: wire(t, "X-Fold: a\r\n b", f"Content-Length: {SIZE}", body=BODY),
    "a space before the colon": lambda t: wire(t, f"Content-Length : {SIZE}", body=BODY),
    "a header without a colon": lambda t: wire(t, "Nonsense", f"Content-Length: {SIZE}", body=BODY),
    "a header without a name": lambda t: wire(t, ": x", f"Content-Length: {SIZE}", body=BODY),
    "a NUL in a header": lambda t: wire(t, "X-Nul: a\0b", f"Content-Length: {SIZE}", body=BODY),
    "a bare CR in a header": lambda t: wire(t, "X-Cr: a\rb", f"Content-Length: {SIZE}", body=BODY),
    "bare line feeds": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY).replace(b"\r\n", b"\n"),
    "HTTP/2's preface": lambda t: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY, version="HTTP/9.9"),
    "HTTP/0.9": lambda t: b"GET /livez\r\n\r\n",
    "no version": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY, version=""),
    "a space in the path": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY, path="/v1/codeq/ta sks"),
    "a TLS hello": lambda t: bytes.fromhex("16030100a5010000a10303") + secrets.token_bytes(160),
    "random bytes": lambda t: b"\xff\xfe" + secrets.token_bytes(200) + b"\r\n\r\n",
    "a header block beyond 32 KiB": lambda t: wire(t, "X-Big: " + "a" * 40_000, f"Content-Length: {SIZE}", body=BODY),
    "a thousand headers": lambda t: wire(t, *[f"X-{n}: {'b' * 30}" for n in range(1000)], f"Content-Length: {SIZE}", body=BODY),
    "an endless path": lambda t: wire(t, f"Content-Length: {SIZE}", body=BODY, path="/" + "a" * 100_000),
    "an endless method": lambda t: b"A" * 100_000,
    "an endless header line": lambda t: b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("build", BROKEN.values(), ids=BROKEN.keys())
def test_broken_http_is_answered_and_cut(world, build):
    before = world.broker.metrics().get('codeq_task_created_total{command="WIRE"}', 0)
    with Raw(world.broker.port) as raw:
        raw.send(build(world.tokens.acme_producer))
        answer = raw.answer()
        if answer is not None:
            assert answer.status in (400, 408, 413, 414, 431, 501, 505), answer
            assert answer.status == 408 or "code" in answer.json
        assert raw.closed(), "what follows on this connection cannot be trusted"
    assert world.broker.metrics().get('codeq_task_created_total{command="WIRE"}', 0) == before


def test_a_smuggled_second_request_is_not_served(world):
    inner = wire(world.tokens.acme_producer, f"Content-Length: {SIZE}", body=BODY)
    for outer in (wire(world.tokens.acme_producer, "Content-Length: 0", f"Content-Length: {len(inner)}"),
                  wire(world.tokens.acme_producer, f"Content-Length: {len(inner)}", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")):
        with Raw(world.broker.port) as raw:
            raw.send(outer + inner)
            answer = raw.answer()
            assert answer is None or answer.status == 400
            assert raw.closed()
    assert world.worker.claim("WIRE") is None


def test_a_chunked_body_is_taken(world):
    with Raw(world.broker.port) as raw:
        body = b'{"command":"CHUNKED","payload":1}'
        chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:8], body[8:]))
        raw.send(wire(world.tokens.acme_producer, "Transfer-Encoding: chunked", body=chunks + b"0\r\nTrailer: x\r\n\r\n"))
        assert raw.answer().status == 202
        raw.send(request_bytes("GET", "/livez"))
        assert raw.answer().status == 200


def test_a_client_that_expects_100_gets_it_or_is_served_right_away(world):
    with Raw(world.broker.port) as raw:
        raw.send(wire(world.tokens.acme_producer, "Expect: 100-continue", f"Content-Length: {SIZE}"))
        assert raw.answer().status == 100
        raw.send(BODY.replace(b"WIRE", b"CONT"))
        assert raw.answer().status == 202


def test_http_1_0_is_served_and_closed(world):
    with Raw(world.broker.port) as raw:
        raw.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert raw.answer().status == 200 and raw.closed()


def test_a_client_that_asks_to_close_is_closed_after_its_answer(world):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("GET", "/livez", headers=[("Connection", "close")]))
        answer = raw.answer()
        assert answer.status == 200 and answer.header("Connection").lower() == "close" and raw.closed()


def test_an_idle_connection_is_closed_in_silence(world):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("GET", "/livez"))
        assert raw.answer().status == 200
        assert raw.closed()


def test_pipelined_requests_are_answered_in_their_order(world):
    token = world.tokens.acme_producer
    requests = [request_bytes("POST", TASKS, token, b'{"command":"PIPE","payload":%d}' % n) for n in range(50)]
    with Raw(world.broker.port) as raw:
        raw.send(b"".join(requests) + request_bytes("GET", "/livez"))
        answers = [raw.answer() for _ in range(51)]
    assert [a.status for a in answers] == [202] * 50 + [200]
    assert [a.json["payload"] for a in answers[:50]] == [str(n) for n in range(50)]
    assert [t["payload"] for t in world.worker.claim_batch("PIPE", 50)] == [str(n) for n in range(50)]


def test_a_parked_poll_holds_its_place_in_the_pipeline(world):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", f"{BASE}/tasks/claim", world.tokens.acme_worker, b'{"commands":["NEVER"],"waitSeconds":1}')
                 + request_bytes("GET", "/livez"))
        assert [raw.answer().status, raw.answer().status] == [204, 200]


def test_garbage_behind_a_good_request_does_not_spoil_its_answer(world):
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", TASKS, world.tokens.acme_producer, b'{"command":"BEFORE","payload":1}') + b"\x00\xff garbage\r\n\r\n")
        assert raw.answer().status == 202
        answer = raw.answer()
        assert answer is None or answer.status == 400
        assert raw.closed()
    assert world.worker.claim("BEFORE") is not None


@pytest.mark.parametrize("cut", [1, 10, 60, -20, -1])
def test_half_a_request_creates_nothing(world, cut):
    request = request_bytes("POST", TASKS, world.tokens.acme_producer, b'{"command":"HALF","payload":1}')
    for hang_up in ("close", "reset", "half_close"):
        with Raw(world.broker.port) as raw:
            raw.send(request[:cut])
            getattr(raw, hang_up)()
    assert world.worker.claim("HALF") is None


def test_a_client_that_leaves_before_its_answer_loses_only_the_answer(world):
    request = request_bytes("POST", TASKS, world.tokens.acme_producer, b'{"command":"LEFT","payload":1}')
    raw = Raw(world.broker.port)
    raw.send(request)
    raw.half_close()  # It says no more but still listens: this one must be answered.
    assert raw.answer().status == 202
    raw.close()
    assert world.worker.claim("LEFT") is not None


def test_a_worker_that_leaves_its_parked_claim_takes_no_task_with_it(world):
    body = b'{"commands":["ORPHAN"],"waitSeconds":30,"leaseSeconds":600}'
    for hang_up in ("close", "reset"):
        raw = Raw(world.broker.port)
        raw.send(request_bytes("POST", f"{BASE}/tasks/claim", world.tokens.acme_worker, body))
        with Raw(world.broker.port) as other:  # One round trip, so that the claim is likely to be parked by now.
            other.send(request_bytes("GET", "/livez"))
            other.answer()
        getattr(raw, hang_up)()
    task = world.producer.create("ORPHAN", maxAttempts=1)
    claimed = world.worker2.claim("ORPHAN", wait=10)
    assert claimed["id"] == task["id"] and claimed["attempts"] == 1, "given back without costing an attempt"


def test_slow_clients_are_cut_and_cost_the_others_nothing(world):
    head = request_bytes("POST", TASKS, world.tokens.acme_producer, BODY)
    slow = [Raw(world.broker.port) for _ in range(100)]
    for n, raw in enumerate(slow):
        raw.send(head[:1 + n % (len(head) - 1)])
    assert world.producer.create("QUICK")["id"]
    for raw in slow:
        answer = raw.answer()
        assert answer is None or answer.status == 408
        assert raw.closed()
        raw.close()
    assert world.worker.claim("WIRE") is None


def test_a_header_that_drips_does_not_live_longer_than_its_limit(world):
    # A byte every 100 ms keeps the connection busy, but the limit is for the whole header.
    done = threading.Event()
    with Raw(world.broker.port) as raw:
        def drip():
            for byte in b"GET /livez HTTP/1.1\r\nX-Slow: " + b"a" * 200:
                if done.wait(0.1):
                    return
                raw.send(bytes([byte]))
        thread = threading.Thread(target=drip)
        thread.start()
        answer = raw.answer()
        closed = raw.closed()
        done.set()
        thread.join()
    assert (answer is None or answer.status == 408) and closed


def test_a_client_that_never_reads_its_answers_is_cut(world):
    requests = request_bytes("GET", "/metrics") * 2000
    with Raw(world.broker.port, timeout=2) as raw:
        try:
            raw.send(requests)
        except TimeoutError:
            pass  # It stopped reading from us, as it should.
        assert world.producer.create("OTHERS")["id"]


def test_many_connections_at_once_are_all_answered(world):
    raws = [Raw(world.broker.port) for _ in range(400)]
    for raw in raws:
        raw.send(request_bytes("GET", "/livez"))
    assert all(raw.answer().status == 200 for raw in raws)
    for raw in raws:
        raw.close()


def test_connections_beyond_the_limit_are_refused_and_the_others_served(new_world):
    small = new_world(backend=False, HTTP_CONNECTIONS_MAX=10, HTTP_PARKED_POLLS_MAX=3)
    held = [Raw(small.broker.port) for _ in range(10)]
    for raw in held:
        raw.send(request_bytes("GET", "/livez"))
        assert raw.answer().status == 200
    with Raw(small.broker.port) as extra:
        extra.send(request_bytes("GET", "/livez"))
        answer = extra.answer()
        assert answer is None or answer.status == 503
    poll = request_bytes("POST", f"{BASE}/tasks/claim", small.tokens.acme_worker, b'{"commands":["P"],"waitSeconds":2}')
    for raw in held[:6]:
        raw.send(poll)
    statuses = sorted(raw.answer().status for raw in held[:6])
    assert statuses == [204] * 3 + [503] * 3, "parked polls have a bound of their own"
    for raw in held:
        raw.close()


def test_a_thousand_random_mutations_of_good_requests_do_no_harm(world):
    import random
    seed = secrets.randbits(32)
    dice = random.Random(seed)
    good = [request_bytes("POST", TASKS, world.tokens.acme_producer, b'{"command":"MUTANT","payload":{"a":[1,2,"x"]}}',
                          [("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"), ("tracestate", "a=1")]),
            request_bytes("POST", f"{BASE}/tasks/claim", world.tokens.acme_worker, b'{"commands":["MUTANT"]}'),
            request_bytes("GET", f"{TASKS}/{world.canary['id']}/result?waitSeconds=0", world.tokens.acme_producer)]
    print(f"seed {seed}")
    for _ in range(1000):
        data = bytearray(dice.choice(good))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data))
            how = dice.randrange(3)
            if how == 0:
                data[at] = dice.randrange(256)
            elif how == 1:
                del data[at:at + dice.randint(1, 5)]
            else:
                data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 5)))
        with Raw(world.broker.port) as raw:
            raw.send(bytes(data))
            raw.half_close()
            answer = raw.answer()
            assert answer is None or answer.status in range(200, 506) and answer.status not in (500, 502), (seed, bytes(data), answer)
    for task in world.worker.claim_batch("MUTANT", 100):
        json.loads(task["payload"])
