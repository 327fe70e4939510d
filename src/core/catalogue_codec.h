// Topics and subscriptions as bytes: the same fields in log records, in rows and in digests.
#pragma once

#include "core/codec.h"
#include "core/subscription.h"
#include "core/topic.h"

namespace codeq::core {

template <class Io>
void list_fields(Io& io, auto& list) {
  std::uint64_t count = list.size();
  io(count);
  if constexpr (Io::kReading) {
    if (count > io.left()) return io.fail();  // a byte at least for each
    list.resize(count);
  }
  for (auto& element : list) io(element);
}

template <class Io>
void policy_fields(Io& io, auto& policy) {
  list_fields(io, policy.priority_tiers);
  io(policy.max_attempts);
  io(policy.dead_letter);
  io(policy.retention_seconds);
  io(policy.max_consumers);
}

template <class Io>
void topic_fields(Io& io, auto& topic) {
  io(topic.tenant);
  io(topic.name);
  policy_fields(io, topic.policy);
  io(topic.version);
  io(topic.created_ns);
  io(topic.updated_ns);
}

template <class Io>
void subscription_fields(Io& io, auto& subscription) {
  io(subscription.id);
  io(subscription.tenant);
  io(subscription.owner);
  io(subscription.callback_url);
  list_fields(io, subscription.event_types);
  io(subscription.mode);
  io(subscription.group);
  io(subscription.min_interval_seconds);
  io(subscription.created_ns);
  io(subscription.expires_ns);
}

}  // namespace codeq::core
