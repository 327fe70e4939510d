#include "core/record.h"

#include <concepts>
#include <utility>

#include "core/catalogue_codec.h"

namespace codeq::core {
namespace {

constexpr std::uint8_t kVersion = 1;

// One function per type serves both directions: Io is Writer or Reader, the record const or not.
template <class Io>
void context(Io& io, auto& c) {
  io(c.trace_id.bytes);
  io(c.span_id.bytes);
  io(c.flags);
}

// A context that is mostly absent costs one byte then.
template <class Io>
void optional_context(Io& io, auto& c) {
  bool there = c.valid();
  io(there);
  if (there) context(io, c);
}

template <class Io>
void owner(Io& io, auto& o) {
  io(o.sequence);
  io(o.id_random);
  io(o.tenant);
  io(o.worker);
  io(o.lease_token);
  io(o.received_ns);
  io(o.span.bytes);
  io(o.run_span.bytes);
  optional_context(io, o.request);
}

template <class Io>
void rules(Io& io, auto& r) {
  io(r.retry.kind);
  io(r.retry.base_seconds);
  io(r.retry.max_seconds);
  io(r.draw);
  io(r.count_twice);
  io(r.dead_letter_span.bytes);
  io(r.delivery_id);
  io(r.retention_ns);
}

template <class Io>
void artifacts(Io& io, auto& list) {
  std::uint64_t count = list.size();
  io(count);
  if constexpr (Io::kReading) {
    if (count > io.left()) return io.fail();  // two bytes at least for each: a bound before any memory is taken
    list.resize(count);
  }
  for (auto& artifact : list) {
    io(artifact.name);
    io(artifact.url);
  }
}

template <class Io>
void result_fields(Io& io, auto& r) {
  io(r.status);
  io(r.result_json);
  io(r.error);
  artifacts(io, r.artifacts);
  io(r.completed_ns);
}

// As differences: entries come in order of time, and times and sequences of neighbours are close.
template <class Io>
void retirements(Io& io, auto& list) {
  std::uint64_t count = list.size();
  io(count);
  if constexpr (Io::kReading) {
    if (count > io.left()) return io.fail();  // six bytes at least for each
    list.resize(count);
  }
  std::int64_t time_ns = 0;
  std::uint64_t sequence = 0;
  for (auto& entry : list) {
    bool key = entry.key != KeyHash{};
    auto step_ns = entry.retire_ns - time_ns;
    auto step = static_cast<std::int64_t>(entry.sequence - sequence);
    io(step_ns);
    io(step);
    if constexpr (Io::kReading) {
      entry.retire_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(time_ns) + static_cast<std::uint64_t>(step_ns));
      entry.sequence = sequence + static_cast<std::uint64_t>(step);
    }
    io(entry.queue);
    io(entry.dead);
    io(entry.delivery);
    io(key);
    if (key) io(entry.key);
    time_ns = entry.retire_ns;
    sequence = entry.sequence;
  }
}

// Versions: 2 of a create says that its attempts are the setting's; 2 of a claim that its queue was limited; 2 of a nack
// and an expiry has the chance of a copy in a dead-letter topic. A record that needs nothing of the newer version is written as the older one.
template <class R>
std::uint8_t version_of(const R& r) {
  if constexpr (std::same_as<R, CreateRecord>) return r.default_attempts ? 2 : 1;
  if constexpr (std::same_as<R, ClaimRecord>) return r.limited ? 2 : 1;
  if constexpr (std::same_as<R, NackRecord> || std::same_as<R, ExpireRecord>) return r.rules.copy_span.valid() ? 2 : 1;
  return kVersion;
}
template <class R>
constexpr std::uint8_t kNewestVersion = std::same_as<R, CreateRecord> || std::same_as<R, ClaimRecord> ||
                                                std::same_as<R, NackRecord> || std::same_as<R, ExpireRecord>
                                            ? 2
                                            : kVersion;

template <class Io>
void copy_chance(Io& io, auto& r) {
  io(r.copy_span.bytes);
  io(r.copy_random);
}

template <class Io, class R>
void body(Io& io, R& r, std::uint8_t version) {
  using T = std::remove_const_t<R>;
  io(r.time_ns);
  if constexpr (std::same_as<T, CreateRecord>) {
    io(r.received_ns);
    io(r.visible_ns);
    io(r.key_ttl_ns);
    io(r.id_random);
    io(r.partition);
    io(r.tenant);
    io(r.command);
    io(r.webhook);
    io(r.idempotency_key);
    io(r.payload);
    io(r.content_hash);
    io(r.content_hash_high);
    io(r.priority);
    io(r.max_attempts);
    optional_context(io, r.trace.span);
    io(r.trace.tracestate);
    io(r.trace.baggage);
    io(r.timeline_trace_id.bytes);
    io(r.create_span.bytes);
    io(r.create_parent.bytes);
    io(r.traced);
    if constexpr (Io::kReading) r.default_attempts = version == 2;
  } else if constexpr (std::same_as<T, ClaimRecord>) {
    io(r.sequence);
    io(r.worker);
    io(r.lease_ns);
    io(r.lease_token);
    io(r.queued_span.bytes);
    io(r.claim_span.bytes);
    optional_context(io, r.request);
    io(r.traced);
    if constexpr (Io::kReading) r.limited = version == 2;
  } else if constexpr (std::same_as<T, HeartbeatRecord>) {
    owner(io, r.owner);
    io(r.extend_ns);
  } else if constexpr (std::same_as<T, AbandonRecord>) {
    owner(io, r.owner);
  } else if constexpr (std::same_as<T, NackRecord>) {
    owner(io, r.owner);
    io(r.delay_seconds);
    io(r.reason);
    rules(io, r.rules);
    if (version == 2) copy_chance(io, r.rules);
  } else if constexpr (std::same_as<T, ExpireRecord>) {
    io(r.sequence);
    io(r.span.bytes);
    rules(io, r.rules);
    if (version == 2) copy_chance(io, r.rules);
  } else if constexpr (std::same_as<T, SubmitRecord>) {
    owner(io, r.owner);
    io(r.status);
    io(r.has_result);
    result_fields(io, r.result);
    io(r.delivery_id);
    io(r.retention_ns);
  } else if constexpr (std::same_as<T, PromoteRecord>) {
    io(r.sequence);
    io(r.span.bytes);
  } else if constexpr (std::same_as<T, UndeliveredRecord>) {
    io(r.sequence);
    io(r.lease_token);
    io(r.run_span.bytes);
  } else if constexpr (std::same_as<T, RetireRecord>) {
    io(r.sequence);
  } else if constexpr (std::same_as<T, WebhookRecord>) {
    io(r.delivery_id);
    io(r.start_ns);
    io(r.end_ns);
    io(r.http_status);
    io(r.error);
    io(r.span.bytes);
    io(r.attempts_max);
    io(r.backoff_base_ns);
    io(r.backoff_max_ns);
  } else if constexpr (std::same_as<T, ReplayRecord>) {
    io(r.delivery_id);
    io(r.tenant);
  } else if constexpr (std::same_as<T, DurableRecord>) {
    io(r.upto);
    io(r.durable_ns);
  } else if constexpr (std::same_as<T, ClockRecord>) {
    io(r.steady_ns);
    io(r.boot_id);
  } else if constexpr (std::same_as<T, RetireBatchRecord>) {
    retirements(io, r.entries);
  } else if constexpr (std::same_as<T, PutTopicRecord>) {
    io(r.tenant);
    io(r.name);
    policy_fields(io, r.policy);
  } else if constexpr (std::same_as<T, DeleteTopicRecord>) {
    io(r.tenant);
    io(r.name);
  } else if constexpr (std::same_as<T, SubscribeRecord>) {
    subscription_fields(io, r.subscription);
  } else if constexpr (std::same_as<T, RenewSubscriptionRecord> || std::same_as<T, UnsubscribeRecord>) {
    io(r.id);
    io(r.tenant);
    io(r.subject);
    if constexpr (std::same_as<T, RenewSubscriptionRecord>) io(r.ttl_ns);
  } else if constexpr (std::same_as<T, ExpireSubscriptionsRecord>) {
    // its time is all
  } else if constexpr (std::same_as<T, CancelRecord>) {
    io(r.sequence);
    io(r.id_random);
    io(r.tenant);
    io(r.reason);
    io(r.received_ns);
    io(r.span.bytes);
    io(r.wait_span.bytes);
    optional_context(io, r.request);
    io(r.delivery_id);
    io(r.retention_ns);
  } else if constexpr (std::same_as<T, RedriveRecord>) {
    io(r.sequence);
    io(r.tenant);
    io(r.visible_ns);
    io(r.received_ns);
    io(r.span.bytes);
    optional_context(io, r.request);
  } else {
    static_assert(std::same_as<T, PauseRecord>);
    io(r.tenant);
    io(r.command);
    io(r.paused);
  }
}

template <std::size_t I = 0>
bool knows_version(std::size_t index, std::uint8_t version) {
  if constexpr (I < std::variant_size_v<Record>) {
    if (index != I) return knows_version<I + 1>(index, version);
    return version >= 1 && version <= kNewestVersion<std::variant_alternative_t<I, Record>>;
  } else {
    return false;
  }
}

template <std::size_t I = 0>
bool decode_as(std::size_t index, std::uint8_t version, Reader& io, Record& out) {
  if constexpr (I < std::variant_size_v<Record>) {
    if (index != I) return decode_as<I + 1>(index, version, io, out);
    body(io, out.emplace<I>(), version);
    return io.ok() && io.at_end();
  } else {
    return false;
  }
}

}  // namespace

void append_record(const Record& record, std::string& group) {
  const auto* create = std::get_if<CreateRecord>(&record);
  const auto expected = create != nullptr && create->payload ? 192 + create->payload->size() : 100;
  Writer io(group, expected + kVarintRoom);
  io.nested(expected, [&] {
    io(static_cast<std::uint8_t>(record.index() + 1));
    std::visit(
        [&](const auto& r) {
          const auto version = version_of(r);
          io(version);
          body(io, r, version);
        },
        record);
  });
  io.end();
}

Result<std::vector<Record>> decode_group(std::string_view group) {
  std::vector<Record> records;
  Reader in(group);
  while (!in.at_end()) {
    const auto at = group.size() - in.left();
    const auto bytes = in.bytes();
    const auto refuse = [&](const std::string& why) {
      return fail(Code::kCorrupt, "record " + std::to_string(records.size()) + " at byte " + std::to_string(at) +
                                      " of its group: " + why);
    };
    if (!in.ok() || bytes.size() < 2) return refuse("cut short");
    const auto type = static_cast<std::uint8_t>(bytes[0]);
    const auto version = static_cast<std::uint8_t>(bytes[1]);
    if (type == 0 || type > std::variant_size_v<Record>)
      return refuse("unknown type " + std::to_string(type) + " (written by a newer codeq?)");
    if (!knows_version(type - 1U, version))
      return refuse("unknown version " + std::to_string(version) + " of type " + std::to_string(type));
    Reader io(bytes.substr(2));
    if (!decode_as(type - 1U, version, io, records.emplace_back())) {
      records.pop_back();
      return refuse("bad fields of type " + std::to_string(type));
    }
  }
  return records;
}

void put_result(Writer& io, const TaskResult& result) {
  io(kVersion);
  result_fields(io, result);
}

std::string encode_result(const TaskResult& result) {
  std::string out;
  Writer io(out);
  put_result(io, result);
  io.end();
  return out;
}

Result<TaskResult> decode_result(std::string_view bytes) {
  TaskResult result;
  Reader io(bytes);
  std::uint8_t version = 0;
  io(version);
  result_fields(io, result);
  if (!io.ok() || !io.at_end() || version != kVersion) return fail(Code::kCorrupt, "a stored result cannot be read");
  return result;
}

}  // namespace codeq::core
