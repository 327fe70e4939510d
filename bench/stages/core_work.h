// For stages that need no partition: a state, and records that take `kBatch` tasks at a time from create to submit.
// Repeats  times and ids are counted up, nothing is drawn
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "core/record.h"
#include "core/state.h"

namespace codeq::stages {

class CoreWork {
 public:
  static constexpr std::size_t kBatch = 32;

  explicit CoreWork(bool traced = false) : traced_(traced), creates_(kBatch), claims_(kBatch), submits_(kBatch) {
    const auto payload = std::make_shared<const std::string>(R"({"page":")" + std::string(300 - 11, 'x') + R"("})");
    const auto worker = std::make_shared<const std::string>("worker");
    for (std::size_t i = 0; i < kBatch; ++i) {
      core::CreateRecord create;
      create.tenant = "acme";
      create.command = "RENDER_PAGE";
      create.payload = payload;
      create.key_ttl_ns = kDayNs;
      create.default_attempts = true;
      create.traced = traced;
      creates_[i] = std::move(create);
      claims_[i] =
          core::ClaimRecord{.worker = worker, .lease_ns = 60 * kNanosPerSecond, .request = {}, .traced = traced};
      core::SubmitRecord submit;
      submit.owner.tenant = "acme";
      submit.owner.worker = "worker";
      submit.status = core::Status::kCompleted;
      submit.has_result = true;
      submit.result.result_json = R"({"ok":true})";
      submit.retention_ns = kDayNs;
      submits_[i] = std::move(submit);
    }
  }

  // Each gives the records of a batch their time and ids; the state has to be asked about what went before.
  const std::vector<core::Record>& creates() {
    for (auto& record : creates_) {
      auto& create = std::get<core::CreateRecord>(record);
      create.time_ns = create.received_ns = now();
      create.id_random = ++drawn_;
      create.create_span = span();
      create.timeline_trace_id = {.bytes = {1, 2, 3, 4, 5, 6, 7, static_cast<std::uint8_t>(drawn_ | 1U)}};
      if (traced_)
        create.trace.span = {.trace_id = create.timeline_trace_id, .span_id = create.create_span, .flags = 3};
    }
    return creates_;
  }
  const std::vector<core::Record>& claims() {
    auto sequence = state_.head("acme", "render_page");
    for (auto& record : claims_) {
      auto& claim = std::get<core::ClaimRecord>(record);
      claim.time_ns = now();
      claim.sequence = sequence++;
      claim.lease_token = ++drawn_;
      claim.queued_span = span();
      claim.claim_span = span();
    }
    return claims_;
  }
  const std::vector<core::Record>& submits() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      auto& submit = std::get<core::SubmitRecord>(submits_[i]);
      const auto& claim = std::get<core::ClaimRecord>(claims_[i]);
      submit.time_ns = submit.owner.received_ns = now();
      submit.owner.sequence = claim.sequence;
      submit.owner.id_random = std::get<core::CreateRecord>(creates_[i]).id_random;
      submit.owner.lease_token = claim.lease_token;
      submit.owner.span = span();
      submit.owner.run_span = span();
    }
    return submits_;
  }
  void apply(const std::vector<core::Record>& records) {
    for (const auto& record : records) CHECK(state_.apply(record).has_value());
  }
  // As when a group has become durable: spans end, and tasks may leave the memory.
  void durable() {
    const core::DurableRecord now{.time_ns = time_ns_, .upto = state_.records(), .durable_ns = time_ns_};
    CHECK(state_.apply(now).has_value());
  }
  core::Cut cut() {
    state_.begin_cut();
    while (!state_.encode_cut(512)) {}
    return state_.take_cut();
  }
  // The store has the cut: what is finished leaves.
  void settle(const core::Cut& cut) {
    state_.cut_written();
    for (const auto sequence : cut.sequences) {
      state_.settled(sequence);
      state_.evict(sequence);
      CHECK(state_.peek(sequence) == nullptr);
    }
  }
  // Of the batch that was submitted last.
  const core::Task& submitted(std::size_t i) { return *state_.task(std::get<core::ClaimRecord>(claims_[i]).sequence); }

 private:
  static constexpr std::int64_t kDayNs = 24LL * 3600 * kNanosPerSecond;
  std::int64_t now() { return time_ns_ += 1'000; }
  core::SpanId span() {
    ++drawn_;
    core::SpanId id;
    for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(drawn_ >> (8 * (7 - i)));
    return id;
  }

  core::State state_;
  bool traced_;
  std::int64_t time_ns_ = 1'700'000'000 * kNanosPerSecond;
  std::uint64_t drawn_ = 0;
  std::vector<core::Record> creates_, claims_, submits_;
};

}  // namespace codeq::stages
