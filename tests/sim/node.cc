#include "node.h"

#include <algorithm>
#include <initializer_list>

namespace codeq::sim {

// Keeps what is exported: it has left the process, so a death does not take it back.
class Node::Tracer final : public observe::Tracer {
 public:
  explicit Tracer(std::vector<Span>& out) : out_(out) {}
  [[nodiscard]] bool enabled() const override { return true; }
  [[nodiscard]] core::SpanContext start(const core::SpanContext& parent, Rng& rng) const override {
    return observe::start_span(sampler_, parent, rng);
  }
  void record(const observe::Span& span) noexcept override {
    out_.push_back({.context = span.context, .parent = span.parent, .name = std::string(span.name)});
  }
  [[nodiscard]] observe::TracerStats stats() const override { return {}; }

 private:
  observe::Sampler sampler_;
  std::vector<Span>& out_;
};

namespace {

template <class T>
T one_of(Rng& rng, std::initializer_list<T> values) {
  return *(values.begin() + below(rng, values.size()));
}

}  // namespace

Setup Setup::draw(Rng& rng, bool on_rocks) {
  Setup setup;
  setup.on_rocks = on_rocks;
  setup.first_segment_bytes = one_of<std::uint64_t>(rng, {4096, 8192});
  setup.segment_bytes = one_of<std::uint64_t>(rng, {8192, 16'384, 65'536});
  setup.spare_segments = below(rng, 3);
  setup.flush_every = one_of<std::uint64_t>(rng, {0, 0, 3, 10});
  auto& options = setup.partition;
  options.threaded = false;
  options.cut_after_ns = one_of<std::int64_t>(rng, {0, 0, 50, 250}) * kNanosPerMilli;
  options.cut_bytes = one_of<std::size_t>(rng, {4096, 16U << 20U});
  options.ready_bytes_max = one_of<std::size_t>(rng, {0, 8192, 32U << 20U});
  options.log_bytes_max = one_of<std::uint64_t>(rng, {8192, 32'768, 1U << 20U});
  options.unsaved_bytes_max = one_of<std::size_t>(rng, {65'536, 128U << 20U});
  options.retry = {.kind = core::RetryKind::kExpFullJitter, .base_seconds = 2, .max_seconds = 20};
  const bool forgets = chance(rng, 30);
  options.retention_seconds = forgets ? 90 : 86'400;
  options.idempotency_ttl_seconds = forgets ? 60 : 86'400;
  options.webhook_attempts_max = 100'000;
  return setup;
}

void Setup::widen(Rng& rng) {
  auto& options = partition;
  options.default_max_attempts = 1 + static_cast<std::int64_t>(below(rng, 3));
  options.subscription_min_interval_seconds = 1;
  if (chance(rng, 50)) options.outbox.per_host = 1;  // so that calls to subscribers wait for their turn
  // So small that a redrive waits for the store, and that the next in line are not in memory.
  if (chance(rng, 40)) options.unsaved_bytes_max = one_of<std::size_t>(rng, {4096, 16'384});
  if (chance(rng, 30)) options.ready_bytes_max = one_of<std::size_t>(rng, {0, 2048});
}

Machine::Machine(const Setup& drawn, std::uint64_t seed)
    : setup(drawn), rng(seed ^ 0x5eed), rows({.atomic_flush = true, .flush_every = drawn.flush_every, .on_durable = {}}) {}

void Machine::power_cut(Rng& draws) {
  disk.power_cut(draws);
  rows.crash();
  clock.advance_ns(static_cast<std::int64_t>(below(draws, 20)) * kNanosPerSecond);
  if (chance(draws, 30)) clock.step_wall_ns(static_cast<std::int64_t>(below(draws, 7200) - 3600) * kNanosPerSecond);
  clock.reboot("boot-" + std::to_string(++boots_));
}

void Machine::process_killed() {
  disk.process_killed();
  rows.crash();
}

Result<void> Node::open_store() {
  if (!machine_.setup.on_rocks) return {};
  storage::rocks::Options options;
  options.folder = "/data/store";
  std::copy(log_->id().begin(), log_->id().end(), options.id.begin());
  options.write_buffer_bytes = options.cache_bytes = std::uint64_t{64} << 10;
  options.disk = &machine_.disk;
  options.can_replay_after = [this](const storage::Position& position) -> Result<bool> {
    CODEQ_TRY(const auto before, log_->begins_after());
    return before <= position.group;
  };
  rocks_has_failed = false;
  options.on_error = [this](const Error&) {
    rocks_has_failed = true;
    failed_ = true;
  };
  CODEQ_TRY(rocks_, storage::rocks::RocksStore::open(std::move(options)));
  return {};
}

Result<void> Node::start() {
  const auto& setup = machine_.setup;
  log::LocalLogOptions options;
  options.folder = "/data/log";
  options.first_segment_bytes = setup.first_segment_bytes;
  options.segment_bytes = setup.segment_bytes;
  options.spare_segments = setup.spare_segments;
  options.prepare_ahead = false;
  options.disk = &machine_.disk;
  CODEQ_TRY(log_, log::LocalLog::open(std::move(options)));
  CODEQ_TRY_VOID(open_store());
  tracer_ = std::make_unique<Tracer>(machine_.exported);
  storage::Store& store = rocks_ ? static_cast<storage::Store&>(*rocks_) : machine_.rows;
  partition_ = std::make_unique<services::Partition>(setup.partition,
                                                     services::Partition::Deps{.log = *log_,
                                                                               .store = store,
                                                                               .clock = machine_.clock,
                                                                               .rng = machine_.rng,
                                                                               .tracer = *tracer_,
                                                                               .metrics = metrics_,
                                                                               .webhooks = *this,
                                                                               .disk_low = {},
                                                                               .on_failure = [this](const Error& why) {
                                                                                 failed_ = true;
                                                                                 if (!dying_) throw Died{why};
                                                                               }});
  CODEQ_TRY_VOID(partition_->start());
  return {};
}

void Node::stop() {
  partition_->stop();
  webhooks.clear();
  partition_.reset();
  rocks_.reset();
  log_.reset();
}

void Node::kill() {
  machine_.disk.power_off_at(1);
  dying_ = true;
  if (partition_) partition_->vanish();
  webhooks.clear();
  partition_.reset();
  rocks_.reset();
  log_.reset();
}

bool Node::step(Part part) {
  switch (part) {
    case Part::kPartition: return partition_->step();
    case Part::kCommitter: return partition_->step_committer();
    case Part::kImage: return partition_->step_image();
    default: return partition_->step_reader();
  }
}

bool Node::settle() {
  for (int round = 0; round < 20'000; ++round) {
    bool moved = false;
    for (const auto part : {Part::kPartition, Part::kCommitter, Part::kImage, Part::kReader}) moved = step(part) || moved;
    if (!moved) return true;
  }
  return false;
}

}  // namespace codeq::sim
