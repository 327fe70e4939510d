// Writes the JSON of api/openapi.yaml: tasks, result records, deliveries, errors.
//
// Shape    appends to `out`; keys in the specified order, empty ones left out, our additions last
// Escapes  < > & U+2028 U+2029 as \u00XX, as in the reference; bytes are UTF-8, which the readers have checked
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "observe/span.h"
#include "services/broker.h"

namespace codeq::transport::http {

// Seconds east of UTC at that instant (nanoseconds since the epoch).
using ZoneOffset = std::function<int(std::int64_t)>;

void append_number(std::string& out, std::int64_t number);
void append_value(std::string& out, const decltype(observe::Attribute::value)& value);  // a string, a number or a truth value
void append_time(std::string& out, std::int64_t ns, const ZoneOffset& zone);

// A task without a payload, as a list has it, has no such member.
// `for_worker`: the task is handed out by a claim, so its lease token and baggage go with it.
void append_task(std::string& out, const services::TaskSnapshot& task, const ZoneOffset& zone, bool for_worker);
void append_result(std::string& out, const services::ResultSnapshot& result, const ZoneOffset& zone);
void append_delivery(std::string& out, const services::DeliverySnapshot& delivery, const ZoneOffset& zone);
void append_timeline(std::string& out, const services::TimelineSnapshot& timeline, const ZoneOffset& zone);
// `trace`: invalid, and the member is left out.
void append_error(std::string& out, const Error& error, const core::TraceId& trace);

void append_hex(std::string& out, std::uint64_t value);  // 16 lower-case digits

}  // namespace codeq::transport::http
