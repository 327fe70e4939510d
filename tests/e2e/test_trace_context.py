"""W3C Trace Context, Level 2, case by case, over a raw socket: what comes in as header lines and what goes on.

The broker's answer to a create shows what it made of the lines: `traceParent` (its create span continues the caller's
trace, or starts one) and `traceState`. The cases are those of the working group's own validation suite, in our words,
and those that our own rules add.
"""

import secrets

import pytest

from harness import BASE, Context, Raw, request_bytes

TRACE = "12345678901234567890123456789012"
SPAN = "1234567890123456"
GOOD = f"00-{TRACE}-{SPAN}-01"


def sent(world, lines, path="/tasks", command=None):
    """Header lines as they are -> (trace id, span id, flags, tracestate) that the task carries on."""
    body = b'{"command":"W3C","payload":1}'
    with Raw(world.broker.port) as raw:
        raw.send(request_bytes("POST", BASE + path, world.tokens.acme_producer, body, lines))
        answer = raw.answer()
    assert answer.status == 202, answer
    task = answer.json
    context = Context.parse(task["traceParent"])
    return context, task.get("traceState", "")


def continues(world, lines):
    context, state = sent(world, lines)
    assert context.trace_id == TRACE, f"{lines} should continue the trace"
    assert context.span_id != SPAN
    return context, state


def restarts(world, lines):
    context, state = sent(world, lines)
    assert context.trace_id != TRACE and int(context.trace_id, 16) != 0
    assert context.flags & 2, "a trace of ours has a random id"
    assert state == "", "a restarted trace has no tracestate"
    return context


def test_without_any_header_a_trace_is_started(shared):
    restarts(shared, [])


def test_a_traceparent_alone_is_continued(shared):
    _, state = continues(shared, [("traceparent", GOOD)])
    assert state == ""


@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_the_header_name_matches_in_any_case(shared, name):
    continues(shared, [(name, GOOD)])


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "traceparent2", "x-traceparent", "trace_parent"])
def test_another_header_name_is_another_header(shared, name):
    restarts(shared, [(name, GOOD)])


@pytest.mark.parametrize("second", [GOOD, f"00-{TRACE[:-1]}1-{SPAN}-01", "", "junk"])
def test_two_traceparent_lines_restart_the_trace(shared, second):
    context = restarts(shared, [("traceparent", GOOD), ("tracestate", "foo=1"), ("TraceParent", second)])
    assert context.trace_id != TRACE[:-1] + "1"


ILLEGAL = {
    "trailing dot in version 00": GOOD + ".",
    "trailing text in version 00": GOOD + "-what-the-future-will-be-like",
    "trailing dash in version 00": GOOD + "-",
    "future version with a wrong separator": f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    "future version with text right behind": f"cc-{TRACE}-{SPAN}-01x",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "version ff with more": f"ff-{TRACE}-{SPAN}-01-x",
    "upper-case version": f"0A-{TRACE}-{SPAN}-01",
    "version .0": f".0-{TRACE}-{SPAN}-01",
    "version 0.": f"0.-{TRACE}-{SPAN}-01",
    "version of three": f"000-{TRACE}-{SPAN}-01",
    "version of four": f"0000-{TRACE}-{SPAN}-01",
    "version of one": f"0-{TRACE}-{SPAN}-01",
    "no version": f"{TRACE}-{SPAN}-01",
    "trace id all zero": f"00-{'0' * 32}-{SPAN}-01",
    "trace id begins with a dot": f"00-.2345678901234567890123456789012-{SPAN}-01",
    "trace id ends with a dot": f"00-1234567890123456789012345678901.-{SPAN}-01",
    "trace id too long": f"00-{TRACE}3-{SPAN}-01",
    "trace id too short": f"00-{TRACE[:-1]}-{SPAN}-01",
    "trace id in upper case": f"00-{'ABCDEF' + TRACE[6:]}-{SPAN}-01",
    "parent id all zero": f"00-{TRACE}-{'0' * 16}-01",
    "parent id begins with a dot": f"00-{TRACE}-.234567890123456-01",
    "parent id ends with a dot": f"00-{TRACE}-123456789012345.-01",
    "parent id too long": f"00-{TRACE}-{SPAN}7-01",
    "parent id too short": f"00-{TRACE}-{SPAN[:-1]}-01",
    "parent id in upper case": f"00-{TRACE}-ABCDEF7890123456-01",
    "flags .0": f"00-{TRACE}-{SPAN}-.0",
    "flags 0.": f"00-{TRACE}-{SPAN}-0.",
    "flags of three": f"00-{TRACE}-{SPAN}-001",
    "flags of one": f"00-{TRACE}-{SPAN}-1",
    "flags in upper case": f"00-{TRACE}-{SPAN}-0A",
    "no flags": f"00-{TRACE}-{SPAN}",
    "underscores": GOOD.replace("-", "_"),
    "spaces inside": GOOD.replace("-", " "),
    "a comma list": f"{GOOD},{GOOD}",
    "empty": "",
    "one letter": "x",
    "ten thousand letters": "0" * 10_000,
    "a byte above 0x7f": f"00-{TRACE}-{SPAN}-0\xe9",
    "quoted": f'"{GOOD}"',
}


@pytest.mark.parametrize("text", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_an_illegal_traceparent_restarts_the_trace_and_drops_the_tracestate(shared, text):
    body = b'{"command":"W3C","payload":1}'
    lines = f"traceparent: {text}\r\ntracestate: foo=1,bar=2\r\n".encode("latin-1")
    request = request_bytes("POST", f"{BASE}/tasks", shared.tokens.acme_producer, body)
    with Raw(shared.broker.port) as raw:
        raw.send(request.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n", 1))
        answer = raw.answer()
    assert answer.status == 202, answer
    context = Context.parse(answer.json["traceParent"])
    assert TRACE[:30] not in context.trace_id and context.flags & 2
    assert "traceState" not in answer.json


@pytest.mark.parametrize("text", [f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
                                  f"01-{TRACE}-{SPAN}-01", f"fe-{TRACE}-{SPAN}-01-"])
def test_a_future_version_is_read_as_far_as_we_know_it_and_answered_in_ours(shared, text):
    context, _ = continues(shared, [("traceparent", text)])
    assert context.sampled  # Context.parse has seen version 00.


@pytest.mark.parametrize("text", [f" {GOOD}", f"\t{GOOD}", f"{GOOD} ", f"{GOOD}\t", f"\t {GOOD} \t"])
def test_white_space_around_the_value_does_not_matter(shared, text):
    continues(shared, [("traceparent", text)])


@pytest.mark.parametrize("flags,kept", [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("ff", 3), ("fc", 0), ("08", 0)])
def test_flags_that_we_know_are_kept_and_the_others_cleared(shared, flags, kept):
    context, _ = continues(shared, [("traceparent", f"00-{TRACE}-{SPAN}-{flags}")])
    assert context.flags == kept


def test_a_tracestate_without_a_traceparent_is_dropped(shared):
    restarts(shared, [("tracestate", "foo=1")])
    restarts(shared, [("tracestate", "foo=1,bar=2")])


def with_state(world, *lines):
    """The tracestate that comes out; the traceparent must always be continued."""
    _, state = continues(world, [("traceparent", f"00-{TRACE}-{SPAN}-00"), *[("tracestate", line) for line in lines]])
    return state


def members(state):
    return [m.strip(" \t") for m in state.split(",") if m.strip(" \t")]


def test_a_tracestate_is_kept_byte_for_byte(shared):
    assert with_state(shared, "foo=1,bar=2") == "foo=1,bar=2"


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_the_tracestate_header_name_matches_in_any_case(shared, name):
    _, state = continues(shared, [("traceparent", GOOD), (name, "foo=1")])
    assert state == "foo=1"


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_another_tracestate_header_name_is_another_header(shared, name):
    _, state = continues(shared, [("traceparent", GOOD), (name, "foo=1")])
    assert state == ""


def test_empty_tracestate_lines_do_no_harm(shared):
    assert members(with_state(shared, "")) == []
    assert members(with_state(shared, "foo=1", "")) == ["foo=1"]
    assert members(with_state(shared, "", "foo=1")) == ["foo=1"]
    assert members(with_state(shared, "foo=1,,bar=2")) == ["foo=1", "bar=2"]


def test_several_tracestate_lines_are_one_list_in_order(shared):
    state = with_state(shared, "foo=1,bar=2", "rojo=1,congo=2", "baz=3")
    assert members(state) == ["foo=1", "bar=2", "rojo=1", "congo=2", "baz=3"]


@pytest.mark.parametrize("lines", [("foo=1,foo=1",), ("foo=1,foo=2",), ("foo=1", "foo=1"), ("foo=1", "foo=2")])
def test_a_key_that_stands_twice_drops_the_list(shared, lines):
    assert with_state(shared, *lines) == ""


def test_all_characters_that_are_allowed_are_kept(shared):
    key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
    value = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")
    for state in (f"{key}={value}", f"{key}@a-z0-9_-*/={value}"):
        assert with_state(shared, state).strip(" ") == state.strip(" ")


@pytest.mark.parametrize("state,kept", [
    ("foo=1 \t , \t bar=2, \t baz=3", ["foo=1", "bar=2", "baz=3"]), ("foo=1\t \t,\t \tbar=2,\t \tbaz=3", ["foo=1", "bar=2", "baz=3"]),
    (" foo=1", ["foo=1"]), ("\tfoo=1", ["foo=1"]), ("foo=1 ", ["foo=1"]), ("foo=1\t", ["foo=1"]), ("\t foo=1 \t", ["foo=1"])])
def test_white_space_around_members_does_not_matter(shared, state, kept):
    assert members(with_state(shared, state)) == kept


@pytest.mark.parametrize("state", [
    "foo =1", "FOO=1", "foo.bar=1", "foo@=1,bar=2", "@foo=1,bar=2", "foo@@bar=1,bar=2", "foo@bar@baz=1,bar=2", "=1", "foo",
    "foo=bar=baz", "foo=,bar=3", "foo=1;bar=2=3", "foo=\xe9", ",".join(f"bar{n:02}={n:02}" for n in range(1, 34)),
    "foo=1," + "z" * 257 + "=1", "foo=1," + "t" * 242 + "@v=1", "foo=1,t@" + "v" * 15 + "=1", "foo=" + "v" * 257])
def test_an_illegal_list_drops_the_tracestate_but_not_the_traceparent(shared, state):
    assert with_state(shared, state) == ""


@pytest.mark.parametrize("state", [
    ",".join(f"bar{n:02}={n:02}" for n in range(1, 33)), "foo=1," + "z" * 256 + "=1",
    "foo=1," + "t" * 241 + "@" + "v" * 14 + "=1", "foo=" + "v" * 256, "a=1,0tenant@sys=2",
    ",".join(f"k{n}={'v' * 200}" for n in range(32))])
def test_a_legal_list_at_its_limits_is_kept(shared, state):
    assert with_state(shared, state) == state


def test_every_use_of_one_context_gets_a_span_of_its_own(shared):
    spans = {continues(shared, [("traceparent", GOOD)])[0].span_id for _ in range(3)}
    assert len(spans) == 3
    own = [restarts(shared, []) for _ in range(3)]
    assert len({c.span_id for c in own}) == len({c.trace_id for c in own}) == 3
    illegal = [restarts(shared, [("traceparent", f"00-{'0' * 32}-{SPAN}-01")]) for _ in range(3)]
    assert len({c.span_id for c in illegal}) == 3


@pytest.mark.parametrize("baggage,kept", [
    ("a=1", True), ("a=1,b=2;prop=x", True), ("key=%20value", True), ("a = 1 , b = 2", True), ("", False), ("=1", False),
    ("nonsense", False), ("a=1,b=\xe9", False), ("x=" + "y" * 8190, True), ("x=" + "y" * 8191, False)])
def test_baggage_is_kept_as_it_is_or_dropped_alone(shared, baggage, kept):
    command = "BAGGAGE-" + secrets.token_hex(4)
    body = f'{{"command":"{command}","payload":1}}'.encode()
    with Raw(shared.broker.port) as raw:
        raw.send(request_bytes("POST", f"{BASE}/tasks", shared.tokens.acme_producer, body,
                               [("traceparent", GOOD)]).replace(
            b"\r\n\r\n", b"\r\nbaggage: " + baggage.encode("latin-1") + b"\r\n\r\n", 1))
        answer = raw.answer()
    assert answer.status == 202 and Context.parse(answer.json["traceParent"]).trace_id == TRACE
    assert shared.worker.claim(command).get("baggage", "") == (baggage if kept else "")


def test_several_baggage_lines_are_one_list_in_order(shared):
    command = shared.command()
    body = f'{{"command":"{command}","payload":1}}'.encode()
    with Raw(shared.broker.port) as raw:
        raw.send(request_bytes("POST", f"{BASE}/tasks", shared.tokens.acme_producer, body, [
            ("baggage", "a=1"), ("BAGGAGE", "b=2")]))
        assert raw.answer().status == 202
    assert shared.worker.claim(command)["baggage"].replace(" ", "") == "a=1,b=2"


def test_baggage_needs_no_traceparent(shared):
    command = shared.command()
    task = shared.producer.call("POST", "/tasks", {"command": command, "payload": 1}, headers=[("baggage", "a=1")])
    assert task.status == 202
    assert shared.worker.claim(command)["baggage"] == "a=1"
