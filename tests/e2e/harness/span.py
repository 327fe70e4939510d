"""One exported span as the tests look at it, and a searchable store of them."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
ERROR = 2


@dataclass(frozen=True)
class Link:
    trace_id: str
    span_id: str


@dataclass
class Span:
    trace_id: str
    span_id: str
    parent: str  # "" for a root
    name: str
    kind: int
    start: int  # nanoseconds since the epoch
    end: int
    attributes: dict
    links: list
    trace_state: str
    flags: int
    status: int
    status_message: str
    scope: str
    resource: dict = field(repr=False)

    @property
    def task_id(self):
        return self.attributes.get("codeq.task_id")

    @property
    def link(self):
        return Link(self.trace_id, self.span_id)


class Trace:
    """The spans that share one trace id."""

    def __init__(self, trace_id, spans):
        self.trace_id = trace_id
        self.spans = sorted(spans, key=lambda s: (s.start, s.end))

    def many(self, name, **attributes):
        """`name`, and attributes given as codeq_task_id="..." for codeq.task_id (first underscore only)."""
        wanted = {key.replace("codeq_", "codeq.", 1): value for key, value in attributes.items()}
        return [s for s in self.spans
                if s.name == name and all(s.attributes.get(k) == v for k, v in wanted.items())]

    def one(self, name, **attributes):
        found = self.many(name, **attributes)
        assert len(found) == 1, f"{len(found)} spans {name} {attributes} in\n{self}"
        return found[0]

    def by_id(self, span_id):
        found = [s for s in self.spans if s.span_id == span_id]
        assert len(found) == 1, f"{len(found)} spans with id {span_id} in\n{self}"
        return found[0]

    def task_spans(self, task_id=None):
        return [s for s in self.spans
                if s.name.startswith("codeq.") and (task_id is None or s.task_id == task_id)]

    def __str__(self):
        if not self.spans:
            return f"trace {self.trace_id}: no spans"
        zero = self.spans[0].start
        lines = [f"trace {self.trace_id}"]
        for s in self.spans:
            lines.append(f"  {(s.start - zero) / 1e6:9.3f} +{(s.end - s.start) / 1e6:9.3f} ms  {s.span_id} <- "
                         f"{s.parent or 'root':16}  {s.name} {s.attributes}")
        return "\n".join(lines)


class SpanStore:
    """What a backend has received; waits are woken by arrivals and end at a deadline."""

    def __init__(self):
        self._changed = threading.Condition()
        self._spans = []

    def add(self, spans):
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._spans)

    def trace(self, trace_id):
        return Trace(trace_id, [s for s in self.all() if s.trace_id == trace_id])

    def wait(self, predicate, deadline_seconds=10, what="the spans"):
        """Until predicate(list of spans) is true."""
        deadline = time.monotonic() + deadline_seconds
        with self._changed:
            while not predicate(self._spans):
                left = deadline - time.monotonic()
                if left <= 0:
                    names = Counter(s.name for s in self._spans)
                    raise AssertionError(f"after {deadline_seconds} s still waiting for {what}; received {dict(names)}")
                self._changed.wait(left)
            return list(self._spans)

    def wait_trace(self, trace_id, names, deadline_seconds=10):
        """Until the trace holds at least these span names, each as often as it is listed."""
        wanted = Counter(names)

        def there(spans):
            have = Counter(s.name for s in spans if s.trace_id == trace_id)
            return all(have[name] >= count for name, count in wanted.items())

        try:
            self.wait(there, deadline_seconds, f"{dict(wanted)} of trace {trace_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.trace(trace_id)}") from None
        return self.trace(trace_id)


def _json_value(value):
    for key, read in (("stringValue", str), ("intValue", int), ("boolValue", bool), ("doubleValue", float)):
        if key in value:
            return read(value[key])
    if "arrayValue" in value:
        return [_json_value(v) for v in value["arrayValue"].get("values", [])]
    return None


def _json_attributes(items):
    return {item["key"]: _json_value(item.get("value", {})) for item in items or []}


def spans_of_json(line):
    """One line of OTLP JSON, as the Collector's file exporters write it."""
    spans = []
    for resource_spans in json.loads(line).get("resourceSpans", []):
        resource = _json_attributes(resource_spans.get("resource", {}).get("attributes"))
        for scope_spans in resource_spans.get("scopeSpans", []):
            scope = scope_spans.get("scope", {}).get("name", "")
            for s in scope_spans.get("spans", []):
                spans.append(Span(
                    trace_id=s["traceId"], span_id=s["spanId"], parent=s.get("parentSpanId", ""), name=s["name"],
                    kind=s.get("kind", 0), start=int(s["startTimeUnixNano"]), end=int(s["endTimeUnixNano"]),
                    attributes=_json_attributes(s.get("attributes")),
                    links=[Link(link["traceId"], link["spanId"]) for link in s.get("links", [])],
                    trace_state=s.get("traceState", ""), flags=s.get("flags", 0),
                    status=s.get("status", {}).get("code", 0), status_message=s.get("status", {}).get("message", ""),
                    scope=scope, resource=resource))
    return spans


def _value(value):
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    return getattr(value, kind)


def _attributes(items):
    keys = [item.key for item in items]
    assert len(keys) == len(set(keys)), f"an attribute stands twice: {keys}"
    return {item.key: _value(item.value) for item in items}


def spans_of_message(request):
    """A decoded ExportRequest of otlp.proto."""
    spans = []
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for s in scope_spans.spans:
                spans.append(Span(
                    trace_id=s.trace_id.hex(), span_id=s.span_id.hex(), parent=s.parent_span_id.hex(), name=s.name,
                    kind=s.kind, start=s.start_time_unix_nano, end=s.end_time_unix_nano,
                    attributes=_attributes(s.attributes),
                    links=[Link(link.trace_id.hex(), link.span_id.hex()) for link in s.links],
                    trace_state=s.trace_state, flags=s.flags, status=s.status.code,
                    status_message=s.status.message, scope=scope_spans.scope.name, resource=resource))
    return spans
