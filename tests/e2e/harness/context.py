"""A caller's trace context, made up afresh for each test."""

import re
import secrets
from dataclasses import dataclass, replace

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(frozen=True)
class Context:
    trace_id: str
    span_id: str
    flags: int = 1
    tracestate: str = ""
    baggage: str = ""

    @staticmethod
    def new(flags=1, tracestate="vendor=t61rcWkgMzE,other@tenant=a b/c", baggage="shop=17,user.tier=gold;x=1"):
        # A context of a random trace id with its low bits as they fall.
        return Context(secrets.token_hex(16), secrets.token_hex(8), flags, tracestate, baggage)

    @staticmethod
    def parse(traceparent):
        match = TRACEPARENT.fullmatch(traceparent or "")
        assert match, f"not a traceparent that we may send: {traceparent!r}"
        return Context(match[1], match[2], int(match[3], 16))

    @property
    def traceparent(self):
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def sampled(self):
        return bool(self.flags & 1)

    def child(self):
        return replace(self, span_id=secrets.token_hex(8))

    def headers(self):
        lines = [("traceparent", self.traceparent)]
        if self.tracestate:
            lines.append(("tracestate", self.tracestate))
        if self.baggage:
            lines.append(("baggage", self.baggage))
        return lines
