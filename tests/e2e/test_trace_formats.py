"""GET /tasks/{id}/trace in the formats of other programs: the same spans, as they take them."""

import dataclasses
import json

import pytest

from harness import Context
from harness.span import spans_of_json

CREATE, QUEUED, CLAIM, RUN, NACK, SUBMIT = (
    f"codeq.task.{n}" for n in ("create", "queued", "claim", "run", "nack", "submit_result"))
DELAYED = "codeq.task.delayed"
WEBHOOK = "codeq.webhook.task_result"


@pytest.fixture
def life(shared):
    """(task id, trace at the backend) of a task that was given back once and called a webhook."""
    ctx, command = Context.new(), shared.command()
    task = shared.producer.create(command, {"n": 1}, ctx, webhook=shared.hooks.url(f"/formats/{command}"))
    shared.worker.claim(command)
    shared.worker.nack(task["id"], 1, "again, \"please\"\u2028 <b>")
    shared.worker.claim(command, wait=20)
    shared.worker.fail(task["id"])
    shared.hooks.wait(f"/formats/{command}")
    trace = shared.life(task["id"], ctx, [CREATE, QUEUED, CLAIM, RUN, NACK, DELAYED, QUEUED, CLAIM, RUN, SUBMIT, WEBHOOK])
    return task["id"], trace


def test_otlp_is_what_was_exported(shared, life):
    task_id, trace = life
    answer = shared.producer.call("GET", f"/tasks/{task_id}/trace?format=otlp")
    assert answer.status == 200
    told = {s.span_id: s for s in spans_of_json(json.dumps(answer.json))}
    exported = {s.span_id: s for s in trace.task_spans(task_id)}
    assert told.keys() == exported.keys()
    for span_id, span in exported.items():
        theirs = dataclasses.replace(span, resource={}, links=sorted(span.links, key=str))
        ours = dataclasses.replace(told[span_id], resource={}, links=sorted(told[span_id].links, key=str))
        assert ours == theirs
    assert all(s.resource["service.name"] for s in told.values())


def test_perfetto_draws_the_same_spans_and_no_line_has_two_that_cross(shared, life):
    task_id, trace = life
    page = shared.producer.call("GET", f"/tasks/{task_id}/trace?format=perfetto").json
    assert page["displayTimeUnit"] == "ms"
    assert (page["otherData"]["taskId"], page["otherData"]["traceId"]) == (task_id, trace.trace_id)
    base = int(page["otherData"]["startUnixNano"])
    slices = [e for e in page["traceEvents"] if e["ph"] == "X"]
    exported = {s.span_id: s for s in trace.task_spans(task_id)}
    assert base == min(s.start for s in exported.values())
    assert sorted(e["args"]["spanId"] for e in slices) == sorted(exported)
    for event in slices:
        span = exported[event["args"]["spanId"]]
        assert (event["name"], event["cat"]) == (span.name, span.scope)
        assert round(event["ts"] * 1000) == span.start - base and round(event["dur"] * 1000) == span.end - span.start
        assert event["args"].get("parentSpanId", "") == span.parent
        assert {k: v for k, v in event["args"].items() if k not in ("spanId", "parentSpanId", "error")} == span.attributes
    by_line = {}
    for event in slices:
        by_line.setdefault((event["pid"], event["tid"]), []).append((round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)))
    for line in by_line.values():
        for begin, end in line:
            for other_begin, other_end in line:
                assert not (begin < other_begin < end < other_end), f"{begin} to {end} crosses {other_begin} to {other_end}"


def test_the_usual_format_is_json_and_others_are_refused_with_a_list(shared, life):
    task_id, _ = life
    plain = shared.producer.timeline(task_id)
    assert shared.producer.call("GET", f"/tasks/{task_id}/trace?format=json").json == plain
    for wrong in ("", "OTLP", "jaeger", "json%20", "x" * 5000):
        answer = shared.producer.call("GET", f"/tasks/{task_id}/trace?format={wrong}")
        assert answer.status == 400, wrong
        assert answer.json["error"] == "invalid 'format': json, otlp or perfetto" and len(answer.body) < 300


def test_the_formats_belong_to_the_tenant_and_to_tasks_that_exist(shared, life):
    task_id, _ = life
    for name in ("json", "otlp", "perfetto"):
        assert shared.producer.call("GET", f"/tasks/00000000-0000-8000-8000-000000000000/trace?format={name}").status == 404
        assert shared.globex_producer.call("GET", f"/tasks/{task_id}/trace?format={name}").status == 404
