// For tests: a state with a clock in the hand, and random histories of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "core/state.h"

namespace codeq::core {

inline constexpr std::int64_t kSecond = 1'000'000'000;
inline constexpr std::int64_t kStart = 1'700'000'000 * kSecond;
inline const std::string kTenant = "acme";
inline const std::string kAlice = "alice";
inline const std::string kBob = "bob";

inline SpanId span(std::uint64_t n) {
  SpanId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[7 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

// A state with a clock in the hand and short words for what people do to it.
struct World {
  State state;
  std::int64_t now = kStart;
  std::uint64_t draws = 0;
  RetryPolicy retry{.kind = RetryKind::kFixed, .base_seconds = 5, .max_seconds = 900};

  Result<Effects> create(CreateRecord r) {
    r.time_ns = now;
    r.received_ns = now - 1'000'000;
    r.id_random = 7;
    if (r.tenant.empty()) r.tenant = kTenant;
    if (r.command.empty()) r.command = "RENDER";
    r.payload = std::make_shared<const std::string>("{}");
    r.create_span = span(++draws);
    r.timeline_trace_id.bytes[0] = 1;
    r.trace.span = {.trace_id = r.timeline_trace_id, .span_id = r.create_span, .flags = 3};
    r.traced = true;
    return state.apply(r);
  }
  Result<Effects> claim(const std::string& worker, std::int64_t seconds = 30) {
    const auto sequence = state.head(kTenant, "render");
    return state.apply(ClaimRecord{.time_ns = now,
                                   .sequence = sequence,
                                   .worker = std::make_shared<const std::string>(worker),
                                   .lease_ns = seconds * kSecond,
                                   .lease_token = ++draws,
                                   .queued_span = span(++draws),
                                   .claim_span = span(++draws),
                                   .request = {},
                                   .limited = true});
  }
  OwnerFields by(const std::string& worker, const Task& task, std::uint64_t token = 0) {
    return {.sequence = task.info->id.sequence,
            .id_random = task.info->id.random,
            .tenant = task.info->tenant,
            .worker = worker,
            .lease_token = token,
            .received_ns = now,
            .span = span(++draws),
            .run_span = span(++draws),
            .request = {}};
  }
  ReturnRules rules() {
    ReturnRules made{.retry = retry,
                     .draw = ++draws,
                     .count_twice = false,
                     .dead_letter_span = span(++draws),
                     .delivery_id = ++draws,
                     .retention_ns = 24LL * 3600 * kSecond};
    if (!state.has_topics()) return made;
    made.copy_span = span(++draws);
    made.copy_random = ++draws;
    return made;
  }
  Result<Effects> nack(const std::string& worker, const Task& task, std::int64_t seconds,
                       std::string reason = "broken") {
    return state.apply(NackRecord{.time_ns = now,
                                  .owner = by(worker, task),
                                  .delay_seconds = seconds,
                                  .reason = std::move(reason),
                                  .rules = rules()});
  }
  Result<Effects> submit(const std::string& worker, const Task& task, std::uint64_t token = 0) {
    SubmitRecord r{.time_ns = now,
                   .owner = by(worker, task, token),
                   .status = Status::kCompleted,
                   .has_result = true,
                   .result = {},
                   .delivery_id = ++draws,
                   .retention_ns = 24LL * 3600 * kSecond};
    r.result.result_json = "{}";
    return state.apply(r);
  }
  Result<Effects> put_topic(std::string name, TopicPolicy policy, std::string tenant = kTenant) {
    return state.apply(PutTopicRecord{
        .time_ns = now, .tenant = std::move(tenant), .name = std::move(name), .policy = std::move(policy)});
  }
  CancelRecord cancel_record(const Task& task, std::string reason) {
    return {.time_ns = now,
            .sequence = task.info->id.sequence,
            .id_random = task.info->id.random,
            .tenant = task.info->tenant,
            .reason = std::move(reason),
            .received_ns = now,
            .span = span(++draws),
            .wait_span = span(++draws),
            .request = {},
            .delivery_id = ++draws,
            .retention_ns = 24LL * 3600 * kSecond};
  }
  Result<Effects> cancel(const Task& task, std::string reason = "") {
    return state.apply(cancel_record(task, std::move(reason)));
  }
  RedriveRecord redrive_record(const Task& task, std::int64_t visible_ns) {
    return {.time_ns = now,
            .sequence = task.info->id.sequence,
            .tenant = task.info->tenant,
            .visible_ns = visible_ns,
            .received_ns = now,
            .span = span(++draws),
            .request = {}};
  }
  Result<Effects> redrive(const Task& task, std::int64_t visible_ns = 0) {
    return state.apply(redrive_record(task, visible_ns));
  }
  Result<Effects> pause(bool paused, const std::string& command = "render") {
    return state.apply(PauseRecord{.time_ns = now, .tenant = kTenant, .command = command, .paused = paused});
  }
  Result<Effects> expire(const Task& task) {
    return state.apply(
        ExpireRecord{.time_ns = now, .sequence = task.info->id.sequence, .span = span(++draws), .rules = rules()});
  }
};

inline const Task& must(const Result<Effects>& effects) {
  EXPECT_TRUE(effects.has_value()) << (effects ? "" : effects.error().message);
  return *effects->task;
}

inline Code code_of(const Result<Effects>& effects) { return effects ? Code::kInternal : effects.error().code; }

// Finished tasks whose time has come, in order of it.
inline std::vector<std::uint64_t> over(State& state, std::int64_t now_ns) {
  std::set<std::pair<std::int64_t, std::uint64_t>> found;
  for (std::uint64_t sequence = 1; sequence <= state.last_sequence(); ++sequence)
    if (const auto* task = state.task(sequence); task != nullptr && task->finished() && task->retire_ns <= now_ns)
      found.emplace(task->retire_ns, sequence);
  std::vector<std::uint64_t> sequences;
  for (const auto& [time, sequence] : found) sequences.push_back(sequence);
  return sequences;
}

// A change of a random topic or subscription of two tenants.
inline Record random_catalogue_change(SeededRng& rng, const World& w) {
  const auto pick = [&](std::uint64_t n) { return rng.next() % n; };
  static const std::vector<std::string> names = {"render", "encode", "dlq"};
  auto tenant = pick(4) == 0 ? std::string("other") : kTenant;
  auto id = "s" + std::to_string(pick(6));
  auto subject = pick(3) == 0 ? kBob : kAlice;
  const auto what = pick(9);
  if (what >= 5 && pick(3) != 0 && !w.state.subscriptions().empty()) {  // one that is there
    const auto& one = w.state.subscriptions().all().begin()->second;
    tenant = one.tenant;
    id = one.id;
    subject = one.owner;
  }
  switch (what) {
    case 0:
    case 1:
    case 2:
      return PutTopicRecord{.time_ns = w.now,
                            .tenant = tenant,
                            .name = names[pick(3)],
                            .policy = {.priority_tiers = {0, static_cast<std::uint8_t>(1 + pick(9))},
                                       .max_attempts = static_cast<std::uint32_t>(1 + pick(3)),
                                       .dead_letter = pick(3) == 0 ? "" : names[pick(3)],
                                       .retention_seconds = pick(2) == 0 ? 0 : static_cast<std::int64_t>(pick(9000)),
                                       .max_consumers = static_cast<std::uint32_t>(pick(3))}};
    case 3: return DeleteTopicRecord{.time_ns = w.now, .tenant = tenant, .name = names[pick(3)]};
    case 4:
      return SubscribeRecord{.time_ns = w.now,
                             .subscription = {.id = id,
                                              .tenant = tenant,
                                              .owner = subject,
                                              .callback_url = "http://hooks.example/" + id,
                                              .host = {},
                                              .event_types = {names[pick(3)], pick(2) == 0 ? "*" : "Encode"},
                                              .mode = static_cast<DeliveryMode>(1 + pick(3)),
                                              .group = "g",
                                              .min_interval_seconds = static_cast<std::int64_t>(pick(5)),
                                              .created_ns = 0,
                                              .expires_ns = w.now + static_cast<std::int64_t>(pick(60)) * kSecond}};
    case 5:
    case 6:
      return RenewSubscriptionRecord{.time_ns = w.now,
                                     .id = id,
                                     .tenant = tenant,
                                     .subject = subject,
                                     .ttl_ns = static_cast<std::int64_t>(pick(60)) * kSecond};
    case 7: return UnsubscribeRecord{.time_ns = w.now, .id = id, .tenant = tenant, .subject = subject};
    default: return ExpireSubscriptionsRecord{.time_ns = w.now};
  }
}

// A random history: whatever happened live happens again from the log's bytes, from every prefix.
inline std::vector<std::pair<std::string, std::string>> random_history(std::uint64_t seed, int steps) {
  SeededRng rng(seed);
  World w;
  std::vector<std::pair<std::string, std::string>> history;  // record bytes, digest after it
  const auto log = [&](const Record& record) {
    const auto effects = w.state.apply(record);
    if (!effects || effects->duplicate) return;
    std::string bytes;
    append_record(record, bytes);
    history.emplace_back(std::move(bytes), w.state.digest());
  };
  for (int step = 0; step < steps; ++step) {
    w.now += static_cast<std::int64_t>(rng.next() % (3 * static_cast<std::uint64_t>(kSecond)));
    const auto pick = [&](std::uint64_t n) { return rng.next() % n; };
    auto* task = w.state.task(1 + pick(20));
    const auto worker = pick(2) == 0 ? kAlice : kBob;
    if (pick(4) == 0) log(random_catalogue_change(rng, w));
    switch (pick(13)) {
      case 0:
      case 1: {
        CreateRecord r{.time_ns = w.now,
                       .received_ns = w.now,
                       .visible_ns = pick(3) == 0 ? w.now + 2 * kSecond : 0,
                       .key_ttl_ns = kSecond,
                       .id_random = 7,
                       .tenant = kTenant,
                       .command = pick(2) == 0 ? "render" : "Encode",
                       .webhook = pick(2) == 0 ? "http://h/x" : "",
                       .idempotency_key = pick(3) == 0 ? "key" + std::to_string(pick(5)) : "",
                       .payload = std::make_shared<const std::string>("1"),
                       .content_hash = pick(2),
                       .priority = static_cast<int>(pick(10)),
                       .max_attempts = static_cast<std::uint32_t>(1 + pick(3)),
                       .default_attempts = pick(2) == 0};
        log(r);
        break;
      }
      case 2:
      case 3:
        log(ClaimRecord{.time_ns = w.now,
                        .sequence = w.state.head_of_any(kTenant),
                        .worker = std::make_shared<const std::string>(worker),
                        .lease_ns = static_cast<std::int64_t>(pick(10)) * kSecond,
                        .lease_token = rng.next() | 1U,
                        .queued_span = span(rng.next()),
                        .claim_span = span(rng.next()),
                        .request = {},
                        .limited = pick(4) != 0});
        break;
      case 4:
        if (task != nullptr)
          log(HeartbeatRecord{.time_ns = w.now, .owner = w.by(worker, *task), .extend_ns = 5 * kSecond});
        break;
      case 5:
        if (task != nullptr) log(AbandonRecord{.time_ns = w.now, .owner = w.by(worker, *task)});
        break;
      case 6:
        if (task != nullptr)
          log(NackRecord{.time_ns = w.now,
                         .owner = w.by(worker, *task),
                         .delay_seconds = static_cast<std::int64_t>(pick(3)),
                         .reason = "",
                         .rules = w.rules()});
        break;
      case 7:
        if (task != nullptr) {
          SubmitRecord r{.time_ns = w.now,
                         .owner = w.by(worker, *task),
                         .status = Status::kCompleted,
                         .has_result = true,
                         .result = {},
                         .delivery_id = rng.next() >> 1,
                         .retention_ns = static_cast<std::int64_t>(pick(30)) * 3600 * kSecond};
          r.result.result_json = R"({"n":1})";
          r.result.artifacts = {{"a", "b"}};
          log(r);
        }
        break;
      case 8:
        log(DurableRecord{.time_ns = w.now, .upto = w.state.records(), .durable_ns = w.now});
        if (!w.state.deliveries().empty())
          log(WebhookRecord{.time_ns = w.now,
                            .delivery_id = w.state.deliveries().begin()->first,
                            .start_ns = w.now,
                            .end_ns = w.now,
                            .http_status = 500,
                            .error = pick(2) == 0 ? WebhookError::kStatus : WebhookError::kNone,
                            .span = span(rng.next()),
                            .attempts_max = 2,
                            .backoff_base_ns = kSecond,
                            .backoff_max_ns = kSecond});
        break;
      case 9:
        if (task != nullptr) log(w.cancel_record(*task, pick(2) == 0 ? "" : "not needed"));
        break;
      case 10: {
        std::uint64_t dead = 0;
        for (std::uint64_t sequence = 1; sequence <= 400 && dead == 0; ++sequence)
          if (const auto* one = w.state.task(sequence); one != nullptr && one->place == Place::kDead) dead = sequence;
        if (dead != 0)
          log(w.redrive_record(*w.state.task(dead), pick(2) == 0 ? 0 : w.now + static_cast<std::int64_t>(pick(9)) * kSecond));
        break;
      }
      case 11:
        log(PauseRecord{.time_ns = w.now,
                        .tenant = kTenant,
                        .command = pick(3) == 0 ? "never-used" : pick(2) == 0 ? "RENDER" : "encode",
                        .paused = pick(3) == 0});
        break;
      default:
        while (!w.state.leases().empty() && w.state.leases().begin()->first <= w.now)
          log(ExpireRecord{.time_ns = w.now,
                           .sequence = w.state.leases().begin()->second,
                           .span = span(rng.next()),
                           .rules = w.rules()});
        while (!w.state.delayed().empty() && w.state.delayed().top().first <= w.now)
          log(PromoteRecord{.time_ns = w.now, .sequence = w.state.delayed().top().second, .span = span(rng.next())});
        if (pick(10) == 0) w.now += 25LL * 3600 * kSecond;
        for (const auto sequence : over(w.state, w.now))
          if (pick(2) == 0) {
            log(RetireRecord{.time_ns = w.now, .sequence = sequence});
          } else {
            const auto& gone = *w.state.task(sequence);
            log(RetireBatchRecord{.time_ns = w.now, .entries = {w.state.retire_entry(gone)}});
          }
    }
  }
  return history;
}

}  // namespace codeq::core
