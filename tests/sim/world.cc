#include "world.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "outside.h"

namespace codeq::sim {

using core::EventKind;
using services::TaskSnapshot;

Counts& Counts::operator+=(const Counts& other) {
  histories += other.histories, steps += other.steps, tasks += other.tasks, finished += other.finished;
  cancelled += other.cancelled, redriven += other.redriven, purged += other.purged, copies += other.copies;
  webhooks += other.webhooks, power_cuts += other.power_cuts, kills += other.kills, stops += other.stops;
  failures += other.failures, failed_starts += other.failed_starts, cut_short += other.cut_short;
  return *this;
}

std::string Counts::text() const {
  return fmt::format(
      "{} histories of {} steps: {} tasks, {} finished, {} webhooks, {} cancelled, {} redriven, {} purged, {} copies of dead "
      "ones; {} power cuts, {} kills, {} stops, {} processes ended by a failing disk, {} failed starts{}",
      histories, steps, tasks, finished, webhooks, cancelled, redriven, purged, copies, power_cuts, kills, stops, failures,
      failed_starts,
      cut_short == 0 ? "" : fmt::format("; {} cut short by an assertion of RocksDB after a failure that it had been told", cut_short));
}

namespace {

constexpr std::array kCommands = {"RENDER", "Print"};
constexpr auto kParts = {Node::Part::kPartition, Node::Part::kCommitter, Node::Part::kImage, Node::Part::kReader};

class World {
 public:
  World(std::uint64_t seed, bool on_rocks, bool plain, bool verbose)
      : rng_(seed), setup_(Setup::draw(rng_, on_rocks)), machine_(setup_, seed), oracle_(setup_), verbose_(verbose) {
    // Its draws are its own: without it a history goes on as it did before there was any.
    if (SeededRng draws(seed ^ kOutside); !plain && !chance(draws, 25)) {
      setup_.widen(draws);
      machine_.setup = setup_;
      outside_ = std::make_unique<Outside>(
          draws.next(), Outside::Deps{.oracle = oracle_,
                                      .broker = [this]() -> services::Partition& { return broker(); },
                                      .caller = [this](auto tenant, auto subject) {
                                        return caller(std::move(tenant), std::move(subject), outside_->new_request());
                                      },
                                      .say = [this](const std::string& what) { say(what); }});
    }
  }

  void run(std::uint64_t steps) {
    start();
    if (outside_) survive([this] { outside_->put_topics(); });
    for (; counts_.steps < steps; ++counts_.steps) survive([this] { act(); });
    heal_and_drain();
    for (const auto& [id, task] : oracle_.tasks()) counts_.finished += task.finished || task.dead ? 1 : 0;
    for (const auto& [id, task] : oracle_.tasks()) counts_.copies += task.copy ? 1 : 0;
    counts_.tasks = oracle_.tasks().size();
    counts_.cancelled = oracle_.tally().cancelled;
    counts_.redriven = oracle_.tally().redriven;
    counts_.purged = oracle_.tally().purged;
  }
  [[nodiscard]] Counts counts() const { return counts_; }

 private:
  template <class F>
  void survive(F&& what) {
    try {
      what();
      if (!node_->failed()) return;
    } catch (const Died& died) {
      say("the process ends: " + died.why.message);
    }
    ++counts_.failures;
    end_process(machine_.disk.is_off() || chance(rng_, 50));
    start();
  }
  void say(const std::string& what) const {
    if (verbose_) fmt::print("{:>6} {:>9.3f} s  {}\n", counts_.steps, static_cast<double>(machine_clock()) / 1e9, what);
  }
  [[nodiscard]] std::int64_t machine_clock() const { return const_cast<ManualClock&>(machine_.clock).steady_ns(); }
  services::Partition& broker() { return node_->partition(); }

  // ------------------------------------------------ processes

  void end_process(bool power) {
    say(power ? "power cut" : "killed");
    ++(power ? counts_.power_cuts : counts_.kills);
    forget_calls();
    node_->kill();
    node_.reset();
    if (power)
      machine_.power_cut(rng_);
    else
      machine_.process_killed();
  }

  // Whatever a process was asked and did not answer was done or not.
  void forget_calls() {
    unread_.clear();
    const auto now_ns = node_->is_up() ? broker().now_ns() : 0;  // a failed start was asked nothing
    for (const auto& [number, claim] : std::exchange(waiting_claims_, {}))
      oracle_.claim_lost(claim.tenant, claim.worker, now_ns + kLeaseMaxNs);
    if (outside_) outside_->process_ended(now_ns);
  }

  void start() {
    for (int tries = 0;; ++tries) {
      machine_.disk.heal();
      const bool faulty = tries < 3 && chance(rng_, 25);
      if (faulty) arm(below(rng_, 40) + 1);
      const auto failed_before = machine_.disk.failed_calls();
      node_ = std::make_unique<Node>(machine_, [this](const services::WebhookJob& job) {
        if (job.id == 0) oracle_.queues().called(job.url, job.body);
      });
      Result<void> started;
      try {
        started = node_->start();
      } catch (const Died& died) {
        started = std::unexpected(died.why);
      }
      if (started) break;
      say("start failed: " + started.error().message);
      ++counts_.failed_starts;
      if (!machine_.disk.is_off() && machine_.disk.failed_calls() == failed_before)
        throw Violation{"the start is refused: " + started.error().message};
      if (started.error().code != Code::kIo && started.error().code != Code::kDiskFull)
        throw Violation{"a failing disk was taken for something else: " + started.error().message};
      end_process(machine_.disk.is_off() || chance(rng_, 50));
    }
    say("started");
    if (broker().now_ns() < newest_ns_)
      throw Violation{fmt::format("time went back, from {} to {}", newest_ns_, broker().now_ns())};
    survive([this] {
      ask_about_everything(false);
      settle();
    });
  }

  void stop_in_order() {
    say("stop");
    ++counts_.stops;
    node_->stop();
    forget_calls();
    node_.reset();
    machine_.disk.process_killed();  // descriptors are closed; the store in memory has flushed
    start();
  }

  // From now on something fails after about so many calls.
  void arm(std::uint64_t after) {
    using disk::SimDisk;
    switch (below(rng_, 5)) {
      case 0: return machine_.disk.fail_nth(after, EIO);
      case 1: return machine_.disk.fail_nth(after, ENOSPC);
      case 2: return machine_.disk.fail_nth(SimDisk::Call::kSync, 1 + after / 4, EIO);
      case 3: return machine_.disk.set_short_writes(true);
      default: return machine_.disk.power_off_at(after);
    }
  }

  void settle() {
    if (!node_->settle()) throw Violation{"the broker does not come to rest"};
    if (node_->failed()) return;
    for (const auto& [number, claim] : waiting_claims_) {
      if (claim.gone) continue;
      if (!claim.waits) throw Violation{"a claim is never answered"};
      const auto& state = broker().state();
      const core::Queue* queue = nullptr;
      if (claim.commands.empty()) queue = state.ready_queue_of_any(claim.tenant, &claim.worker);
      for (const auto& command : claim.commands)
        if (queue == nullptr) queue = state.ready_queue(claim.tenant, command, &claim.worker);
      if (queue != nullptr)
        throw Violation{fmt::format("{} waits, and queue {} of {} has work", claim.worker, queue->label, claim.tenant)};
    }
    if (outside_ && !outside_->unanswered_at_once().empty())
      throw Violation{"a call is never answered: " + outside_->unanswered_at_once()};
  }

  // ------------------------------------------------ one step

  void act() {
    if (outside_ && outside_->has_its_turn()) return outside_->act();
    const auto draw = below(rng_, 1000);
    if (draw < 120) return create();
    if (draw < 230) return claim();
    if (draw < 380) return owner_call();
    if (draw < 400) return ask_about_one();
    if (draw < 440) return webhook();
    if (draw < 520) return pass_time();
    if (draw < 524) return arm(below(rng_, 60) + 1);
    if (draw < 530) return end_it();
    if (draw < 532) return machine_.clock.step_wall_ns((chance(rng_, 50) ? 1 : -1) * 3600 * kNanosPerSecond);
    if (draw < 534) {
      if (setup_.on_rocks) return;
      return chance(rng_, 50) ? machine_.rows.fail_write(1 + below(rng_, 5), {Code::kIo, "input/output error"})
                              : machine_.rows.fail_flush(1, {Code::kDiskFull, "no space left"}, below(rng_, core::kTables));
    }
    if (draw < 560) return settle();
    if (draw < 570 && !unread_.empty()) {  // the connection was found to be closed
      const auto at = unread_.begin() + static_cast<std::ptrdiff_t>(below(rng_, unread_.size()));
      broker().undelivered({*at});
      unread_.erase(at);
      return;
    }
    node_->step(*(kParts.begin() + below(rng_, kParts.size())));
  }

  void end_it() {
    const auto draw = below(rng_, 3);
    if (draw == 0) return stop_in_order();
    end_process(draw == 1);
    start();
  }

  void pass_time() {
    const auto at = broker().next_wake_steady_ns();
    const auto now = machine_.clock.steady_ns();
    std::int64_t ns = 0;
    switch (below(rng_, 4)) {
      case 0: ns = static_cast<std::int64_t>(below(rng_, 100)) * kNanosPerMilli; break;
      case 1: ns = static_cast<std::int64_t>(below(rng_, 30)) * kNanosPerSecond; break;
      default: ns = at && *at > now ? std::min(*at - now, 60 * kNanosPerSecond) : kNanosPerMilli;
    }
    machine_.clock.advance_ns(ns);
  }

  // ------------------------------------------------ clients

  services::Caller caller(std::string tenant, std::string subject, core::SpanContext request = {}) {
    return {.tenant = std::move(tenant),
            .subject = std::move(subject),
            .request = request,
            .received_steady_ns = machine_.clock.steady_ns()};
  }

  core::SpanContext new_request() { return random_context(rng_); }

  Create wish(const std::string& tenant, const core::SpanContext& request) {
    Create wish{.tenant = tenant,
                .command = kCommands[below(rng_, 2)],
                .payload = {},
                .key = chance(rng_, 20) ? fmt::format("key-{}", below(rng_, 6)) : "",
                .priority = chance(rng_, 30) ? static_cast<int>(below(rng_, 10)) : 0,
                .webhook = chance(rng_, 30),
                .max_attempts = chance(rng_, 20) ? 1 + static_cast<std::int64_t>(below(rng_, 3)) : 50,
                .delay_ms = chance(rng_, 20) ? 1 + static_cast<std::int64_t>(below(rng_, 20'000)) : 0,
                .request = request};
    if (wish.key.empty()) {
      auto padding = below(rng_, chance(rng_, 10) ? 3000 : 200);
      if (outside_) {
        padding = outside_->padding(padding);
        wish.max_attempts = outside_->attempts_max(wish.max_attempts);
      }
      wish.payload = fmt::format(R"({{"n":{},"pad":"{}"}})", ++creates_, std::string(padding, 'x'));
      return wish;
    }
    // The same words each time, so that a repetition is one.
    wish.command = kCommands[0];
    wish.priority = 0;
    wish.webhook = false;
    wish.payload = '"' + wish.key + '"';
    return wish;
  }

  void create() {
    const std::string tenant = kTenants[below(rng_, 2)];
    const auto request = new_request();
    std::vector<const Create*> sent;
    std::vector<services::CreateTask> tasks;
    for (auto count = chance(rng_, 20) ? 1 + below(rng_, 5) : 1; count > 0; --count) {
      auto one = wish(tenant, request);
      if (std::any_of(sent.begin(), sent.end(), [&](const Create* other) { return other->payload == one.payload; })) continue;
      sent.push_back(&oracle_.sent(std::move(one)));
      tasks.push_back({.command = sent.back()->command,
                       .payload = sent.back()->payload,
                       .priority = sent.back()->priority,
                       .webhook = sent.back()->webhook ? "http://hooks.example/x" : "",
                       .max_attempts = sent.back()->max_attempts,
                       .idempotency_key = sent.back()->key,
                       .delay_ms = sent.back()->delay_ms});
    }
    broker().create(caller(tenant, "producer", request), std::move(tasks),
                    [this, sent = std::move(sent)](Result<std::vector<Result<TaskSnapshot>>> answer) {
                      if (!answer) return;
                      for (std::size_t i = 0; i < sent.size(); ++i) {
                        const auto& one = answer->at(i);
                        if (!one) continue;
                        oracle_.created(*sent[i], *one);
                        newest_ns_ = std::max(newest_ns_, one->updated_ns);
                      }
                    });
  }

  void claim() {
    const std::string tenant = kTenants[below(rng_, 2)];
    const std::string worker = kWorkers[below(rng_, kWorkers.size())];
    const bool waits = chance(rng_, 40);
    claim_as(tenant, worker, 1 + static_cast<std::uint32_t>(below(rng_, 3)), chance(rng_, 30) ? 2 : 40, waits ? 20'000 : 0,
             chance(rng_, 12));
  }

  void claim_as(const std::string& tenant, const std::string& worker, std::uint32_t count, std::int64_t lease_seconds,
                std::int64_t wait_ms, bool goes_away) {
    std::vector<std::string> commands;
    if (chance(rng_, 70)) commands.emplace_back(kCommands[below(rng_, 2)]);
    if (lease_seconds == 0) commands.clear(), lease_seconds = 40;
    const auto number = ++claims_;
    waiting_claims_[number] = {.tenant = tenant, .worker = worker, .commands = commands, .waits = wait_ms > 0};
    const auto id =
        broker().claim(caller(tenant, worker, new_request()),
                       {.commands = std::move(commands), .count = count, .lease_seconds = lease_seconds, .wait_ms = wait_ms},
                       [this, number, tenant, worker, goes_away](Result<std::vector<TaskSnapshot>> answer) {
                         waiting_claims_.erase(number);
                         if (!answer) return;
                         for (const auto& task : *answer) {
                           say(worker + " is handed " + task.info->id_text);
                           oracle_.claimed(worker, task);
                           newest_ns_ = std::max(newest_ns_, task.updated_ns);
                           if (task.info->tenant != tenant) throw Violation{"a task was handed to another tenant"};
                           if (!goes_away) held_.push_back(task);
                         }
                         if (!goes_away || answer->empty()) return;
                         for (const auto& task : *answer) {
                           oracle_.gone_back(task);
                           ++oracle_.learn(task).lease->ends_under_way;  // it ends at some time from now on
                           unread_.push_back(task);
                         }
                       });
    if (wait_ms == 0 || !chance(rng_, 5)) return;
    broker().abandon_call(id);
    if (const auto claim = waiting_claims_.find(number); claim != waiting_claims_.end()) claim->second.gone = true;
  }

  // One of the tasks that somebody got, whether or not they still hold it.
  void owner_call() {
    if (held_.empty()) return;
    auto kind = std::array{EventKind::kHeartbeat,    EventKind::kAbandon,      EventKind::kNack, EventKind::kSubmitResult,
                           EventKind::kSubmitResult, EventKind::kSubmitResult}[below(rng_, 6)];
    if (outside_ && outside_->has_bad_workers()) kind = EventKind::kNack;
    const auto at = below(rng_, held_.size());
    const auto task = held_[at];
    std::vector<TaskSnapshot> tasks{task};
    if (kind == EventKind::kSubmitResult && chance(rng_, 30))  // with others of the same worker
      for (const auto& other : held_)
        if (*other.worker == *task.worker && other.info->tenant == task.info->tenant && other.info->id != task.info->id &&
            tasks.size() < 4)
          tasks.push_back(other);
    if (kind != EventKind::kHeartbeat && chance(rng_, 90))
      std::erase_if(held_, [&](const TaskSnapshot& held) {
        return std::any_of(tasks.begin(), tasks.end(), [&](const TaskSnapshot& gone) {
          return gone.info->id == held.info->id && gone.lease_token == held.lease_token;
        });
      });
    if (kind == EventKind::kSubmitResult) return submit(tasks);
    owner_call_on(task, kind);
  }

  // What the caller believes to hold, noted as asked for.
  Lease ask_for(Known& known, const TaskSnapshot& task, EventKind kind) {
    const bool newest = known.lease && known.lease->token == task.lease_token;
    const Lease asked = newest ? *known.lease
                               : Lease{.worker = *task.worker, .token = task.lease_token, .span = {}, .until_ns = 0, .ended = true};
    if (newest) oracle_.owner_call_sent(known, kind != EventKind::kHeartbeat);
    return asked;
  }
  template <class T>
  static Result<void> outcome(const Result<T>& answer) {
    if (!answer) return std::unexpected(answer.error());
    return {};
  }

  void owner_call_on(const TaskSnapshot& task, EventKind kind) {
    auto& known = oracle_.learn(task);
    const auto asked = ask_for(known, task, kind);
    const services::OwnerCall call{.task_id = known.id, .lease_token = task.lease_token};
    const auto from = caller(task.info->tenant, *task.worker, new_request());
    const std::int64_t extend_seconds = 1 + static_cast<std::int64_t>(below(rng_, 60));
    const auto until_ns = broker().now_ns() + extend_seconds * kNanosPerSecond - kMomentNs;
    const auto answered = [this, &known, asked, kind, until_ns](const Result<void>& answer) {
      oracle_.owner_call_answered(known, asked, kind, answer, broker().now_ns(), until_ns);
    };
    if (kind == EventKind::kHeartbeat) return broker().heartbeat(from, call, extend_seconds, answered);
    known.returned = true;
    if (kind == EventKind::kAbandon) ++known.abandons;
    if (kind == EventKind::kAbandon) return broker().abandon(from, call, answered);
    broker().nack(from, call, static_cast<std::int64_t>(below(rng_, 15)), "not now",
                  [this, &known, asked, answered](const Result<services::NackOutcome>& answer) {
                    answered(outcome(answer));
                    if (answer) oracle_.nacked(known, asked, answer->dead);
                  });
  }

  // Of one worker.
  void submit(const std::vector<TaskSnapshot>& tasks) {
    struct Item {
      Known* known;
      Lease asked;
      std::string status, result;
    };
    std::vector<Item> sent;
    std::vector<services::SubmitResult> items;
    for (const auto& task : tasks) {
      const bool good = chance(rng_, 80);
      auto& known = oracle_.learn(task);
      sent.push_back({.known = &known,
                      .asked = ask_for(known, task, EventKind::kSubmitResult),
                      .status = good ? "COMPLETED" : "FAILED",
                      .result = fmt::format(R"({{"r":{}}})", ++results_)});
      items.push_back({.task_id = known.id,
                       .lease_token = task.lease_token,
                       .status = sent.back().status,
                       .result_json = good ? std::optional(sent.back().result) : std::nullopt,
                       .error = good ? "" : sent.back().result,
                       .artifacts = {}});
    }
    broker().submit(caller(tasks[0].info->tenant, *tasks[0].worker, new_request()), std::move(items),
                    [this, sent = std::move(sent)](const Result<std::vector<Result<services::ResultSnapshot>>>& answer) {
                      for (std::size_t i = 0; i < sent.size(); ++i) {
                        const auto& [known, asked, status, result] = sent[i];
                        const auto said = answer ? outcome(answer->at(i)) : outcome(answer);
                        oracle_.owner_call_answered(*known, asked, EventKind::kSubmitResult, said, broker().now_ns(), 0);
                        if (said) oracle_.submitted(*known, status, result);
                      }
                    });
  }

  void ask_about(Known& known, bool at_rest) {
    const auto reader = caller(known.create->tenant, "reader");
    broker().get_task(reader, known.id, [this, &known, asked_ns = broker().now_ns()](const Result<TaskSnapshot>& answer) {
      oracle_.read(known, answer, asked_ns, broker().now_ns());
    });
    broker().get_result(reader, known.id, 0, [this, &known](const Result<services::TaskAndResult>& answer) {
      oracle_.read_result(known, answer, broker().now_ns());
    });
    broker().get_timeline(reader, known.id, [this, &known, at_rest](const Result<services::TimelineSnapshot>& answer) {
      oracle_.read_timeline(known, answer, broker().now_ns(), at_rest);
    });
  }
  void ask_about_one() {
    auto& tasks = oracle_.tasks();
    if (tasks.empty()) return;
    ask_about(std::next(tasks.begin(), static_cast<std::ptrdiff_t>(below(rng_, tasks.size())))->second, false);
  }
  void ask_about_everything(bool at_rest) {
    for (auto& [id, known] : oracle_.tasks()) ask_about(known, at_rest);
  }

  void webhook() {
    auto& jobs = node_->webhooks;
    if (jobs.empty()) return;
    const auto at = static_cast<std::ptrdiff_t>(below(rng_, jobs.size()));
    auto job = std::move(jobs[static_cast<std::size_t>(at)]);
    jobs.erase(jobs.begin() + at);
    take_webhook(std::move(job), chance(rng_, 60));
  }
  void take_webhook(Node::Sent job, bool good) {
    ++counts_.webhooks;
    if (job.job.id != 0) oracle_.webhook(job.job, good);  // else it is to a subscriber
    job.finished(good ? services::WebhookOutcome{.http_status = 200, .error = ""}
                      : services::WebhookOutcome{.http_status = 0, .error = "timeout"});
  }

  // ------------------------------------------------ the end

  void heal_and_drain() {
    say("heal and drain");
    if (chance(rng_, 50)) {
      end_process(chance(rng_, 50));
      start();
    }
    if (outside_) survive([this] {  // what waits to be looked at is not drained
      machine_.disk.heal();
      settle();
    });
    for (int round = 0; !drained(); ++round) {
      if (round == 400) throw Violation{"something is never done: " + left()};
      survive([this] {
        machine_.disk.heal();
        settle();
        for (auto jobs = std::exchange(node_->webhooks, {}); auto& job : jobs) take_webhook(std::move(job), true);
        if (outside_) outside_->resume_everything();
        for (const auto* tenant : kTenants) claim_as(tenant, "drainer", 20, 0, 0, false);
        settle();
        for (const auto& task : std::exchange(held_, {})) submit({task});
        settle();
        const auto at = broker().next_wake_steady_ns();
        const auto now = machine_.clock.steady_ns();
        machine_.clock.advance_ns(at && *at > now ? std::min(*at - now, 30 * kNanosPerSecond) : kNanosPerSecond);
      });
    }
    const auto check = [this] {
      settle();
      if (outside_) {
        outside_->look_at_tasks();
        wait_for_the_store();
      }
      ask_about_everything(true);
      settle();
      oracle_.check_exported(machine_.exported);
      if (!outside_) return;
      outside_->look_at_rest();
      wait_for_the_store();
      if (!outside_->unanswered().empty()) throw Violation{"a call is never answered: " + outside_->unanswered()};
    };
    for (const bool again : {true, false}) {
      bool done = false;
      while (!done) {  // a failure that was planned for the store may still be waiting
        survive([&] {
          machine_.disk.heal();
          check();
          if (again) stop_in_order();
          done = true;
        });
      }
    }
    for (const auto& [id, task] : oracle_.tasks()) {
      if (!task.finished && !task.dead && !oracle_.may_be_gone(task, broker().now_ns()))
        throw Violation{"task " + id + " is never finished"};
      if (task.create->webhook && !task.copy && !oracle_.was_delivered(id) && (task.finished || task.dead))
        throw Violation{"the webhook of " + id + " was never sent"};
    }
  }

  // Lists wait until the store shows what has changed.
  void wait_for_the_store() {
    settle();
    machine_.clock.advance_ns(25 * kNanosPerMilli);
    settle();
  }

  bool drained() {
    const auto& state = broker().state();
    if (state.waiting() != 0 || !state.leases().empty()) return false;
    for (const auto& [id, delivery] : state.deliveries())
      if (!delivery.failed) return false;
    return true;
  }
  std::string left() {
    const auto& state = broker().state();
    return fmt::format("{} tasks wait, {} are leased, {} deliveries", state.waiting(), state.leases().size(),
                       state.deliveries().size());
  }

  struct WaitingClaim {
    std::string tenant, worker;
    std::vector<std::string> commands;
    bool waits = false, gone = false;
  };
  static constexpr std::int64_t kLeaseMaxNs = 45 * kNanosPerSecond;
  static constexpr std::uint64_t kOutside = 0x6f75747369646500;

  SeededRng rng_;
  Setup setup_;
  Machine machine_;
  Oracle oracle_;
  std::unique_ptr<Outside> outside_;  // null: nobody looks or acts from outside
  std::unique_ptr<Node> node_;
  std::map<std::uint64_t, WaitingClaim> waiting_claims_;
  std::vector<TaskSnapshot> held_;
  std::vector<TaskSnapshot> unread_;  // handed out to nobody, and not given back yet
  std::int64_t newest_ns_ = 0;  // record time of what was answered
  std::uint64_t creates_ = 0, results_ = 0, claims_ = 0;
  Counts counts_;
  const bool verbose_;
};

}  // namespace

Outcome run_history(std::uint64_t seed, std::uint64_t steps, bool on_rocks, bool plain, bool verbose) {
  World world(seed, on_rocks, plain, verbose);
  Outcome outcome;
  try {
    world.run(steps);
  } catch (const Violation& violation) {
    outcome.wrong = violation.what;
  }
  outcome.counts = world.counts();
  outcome.counts.histories = 1;
  return outcome;
}

}  // namespace codeq::sim
