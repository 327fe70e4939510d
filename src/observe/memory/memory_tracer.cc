#include "observe/memory/memory_tracer.h"

#include <utility>

namespace codeq::observe {

std::string OwnedSpan::attribute(const std::string& key) const {
  const auto found = attributes.find(key);
  if (found == attributes.end()) return {};
  if (const auto* text = std::get_if<std::string>(&found->second)) return *text;
  if (const auto* number = std::get_if<std::int64_t>(&found->second)) return std::to_string(*number);
  return std::get<bool>(found->second) ? "true" : "false";
}

void MemoryTracer::record(const Span& span) noexcept {
  if (!span.context.sampled()) return;
  OwnedSpan owned{.context = span.context,
                  .parent = span.parent,
                  .parent_is_remote = span.parent_is_remote,
                  .tracestate = std::string(span.tracestate),
                  .name = std::string(span.name),
                  .kind = span.kind,
                  .scope = span.scope,
                  .start_ns = span.start_ns,
                  .end_ns = span.end_ns,
                  .error = span.error,
                  .error_message = std::string(span.error_message),
                  .attributes = {},
                  .links = {span.links.begin(), span.links.begin() + span.link_count}};
  for (std::uint32_t i = 0; i < span.attribute_count; ++i) {
    const Attribute& attribute = span.attributes[i];
    auto& value = owned.attributes[std::string(attribute.key)];
    if (const auto* text = std::get_if<std::string_view>(&attribute.value))
      value = std::string(*text);
    else if (const auto* number = std::get_if<std::int64_t>(&attribute.value))
      value = *number;
    else
      value = std::get<bool>(attribute.value);
  }
  const std::scoped_lock lock(mutex_);
  ++recorded_;
  spans_.push_back(std::move(owned));
}

TracerStats MemoryTracer::stats() const {
  const std::scoped_lock lock(mutex_);
  return {.recorded = recorded_, .exported = recorded_, .dropped = 0};
}

std::vector<OwnedSpan> MemoryTracer::spans() const {
  const std::scoped_lock lock(mutex_);
  return spans_;
}

void MemoryTracer::clear() {
  const std::scoped_lock lock(mutex_);
  spans_.clear();
}

}  // namespace codeq::observe
