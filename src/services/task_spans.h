// From an event of a task's timeline to its span: the one place that knows names, kinds, parents, links and attributes of
// design section "trace model", used by the exporter path and by GET /tasks/{id}/trace alike, so that they agree.
//
// Shape    `out` borrows every text from `info` and `event`; it is valid as long as they are
// Cost     no allocation
#pragma once

#include "core/record.h"
#include "core/task.h"
#include "observe/span.h"

namespace codeq::services {

void to_span(const core::TaskInfo& info, const core::Event& event, observe::Span& out);

// The create span of an idempotent replay: in its caller's trace, linked to the task that was there.
void to_replay_span(const core::TaskInfo& info, const core::SpanContext& context, core::SpanId parent,
                    std::string_view tracestate, std::int64_t start_ns, std::int64_t end_ns, observe::Span& out);

// A short stable word for error.type, the delivery list and the docs; "" for none.
std::string_view webhook_error_text(core::WebhookError error);

}  // namespace codeq::services
