#include "outside.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace codeq::sim {

using services::DeadLetterFilter;
using services::TaskFilter;

namespace {

constexpr std::array kQueues = {"RENDER", "Print", "dead"};
constexpr std::array kTopics = {"render", "print", "dead"};
constexpr std::size_t kAll = 100'000;

}  // namespace

// Kept by what an answer calls: gone with it, answered or not.
struct Outside::Asked {
  Outside& outside;
  std::multiset<std::string>& among;
  std::string what;
  std::uint64_t life;
  Asked(Outside& out, std::multiset<std::string>& set, std::string text)
      : outside(out), among(set), what(std::move(text)), life(out.life_) {
    among.insert(what);
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  ~Asked() {
    if (life == outside.life_) among.erase(among.find(what));
  }
};

Outside::Outside(std::uint64_t seed, Deps deps)
    : rng_(seed), deps_(std::move(deps)), few_attempts_(chance(rng_, 75)), large_(chance(rng_, 25)),
      steady_topics_(chance(rng_, 50)), short_retention_(chance(rng_, 20)) {}

std::shared_ptr<Outside::Asked> Outside::ask(std::string what, bool at_once) {
  return std::make_shared<Asked>(*this, at_once ? at_once_ : later_, std::move(what));
}

void Outside::process_ended(std::int64_t now_ns) {
  ++life_;
  at_once_.clear();
  later_.clear();
  deps_.oracle.process_ended(now_ns);
}

core::SpanContext Outside::new_request() { return random_context(rng_); }

std::string Outside::unanswered_at_once() const { return at_once_.empty() ? "" : *at_once_.begin(); }
std::string Outside::unanswered() const { return later_.empty() ? unanswered_at_once() : *later_.begin(); }

std::int64_t Outside::attempts_max(std::int64_t usual) {
  if (!few_attempts_) return usual;
  const auto draw = below(rng_, 10);
  return draw < 5 ? 0 : draw < 9 ? static_cast<std::int64_t>(1 + below(rng_, 2)) : usual;
}

std::size_t Outside::padding(std::size_t usual) { return large_ && chance(rng_, 10) ? 2000 + below(rng_, 10'000) : usual; }

std::string Outside::any_queue() { return kQueues[below(rng_, kQueues.size())]; }

// One that is dead, if there is one and it is asked for.
Known* Outside::any_task(bool dead) {
  auto& tasks = deps_.oracle.tasks();
  if (tasks.empty()) return nullptr;
  const auto from = std::next(tasks.begin(), static_cast<std::ptrdiff_t>(below(rng_, tasks.size())));
  if (!dead) return &from->second;
  for (auto it = from; it != tasks.end(); ++it)
    if (it->second.dead) return &it->second;
  for (auto it = tasks.begin(); it != from; ++it)
    if (it->second.dead) return &it->second;
  return &from->second;
}

void Outside::act() {
  const auto draw = below(rng_, 100);
  if (draw < 18) return cancel();
  if (draw < 34) return dead_call(true);
  if (draw < 42) return dead_call(false);
  if (draw < 50) {
    std::string tenant;
    auto filter = dead_filter(tenant);
    return list_dead_letters(tenant, std::move(filter), false);
  }
  if (draw < 57) {
    TaskFilter filter;
    if (chance(rng_, 40)) filter.command = any_queue();
    if (chance(rng_, 30)) filter.state = chance(rng_, 50) ? services::TaskState::kDead : services::TaskState::kReady;
    if (const auto* task = any_task(false); task != nullptr && chance(rng_, 20))
      filter.trace_id = task->create->request.trace_id;
    if (chance(rng_, 10)) filter.worker = kWorkers[below(rng_, kWorkers.size())];
    filter.limit = chance(rng_, 30) ? 1 + below(rng_, 5) : 1000;
    return list_tasks(any_tenant(), std::move(filter), false);
  }
  if (draw < 65) return steady_topics_ ? get_topic() : put_topic();
  if (draw < 68) return steady_topics_ ? get_topic() : delete_topic();
  if (draw < 71) return get_topic();
  if (draw < 77) return subscribe();
  if (draw < 79) return renew();
  if (draw < 81) return unsubscribe();
  if (draw < 83) return list_subscriptions(any_tenant());
  if (draw < 96) return pause(any_tenant(), any_queue(), chance(rng_, 45));
  queue_stats(any_tenant(), any_queue(), false);
}

// ------------------------------------------------ topics

void Outside::put_topics() {
  for (const auto* tenant : kTenants)
    for (const auto* name : kTopics)
      if (chance(rng_, 60)) put_topic(tenant, name);
}

void Outside::put_topic() { put_topic(any_tenant(), kTopics[below(rng_, kTopics.size())]); }

void Outside::put_topic(const std::string& tenant, const std::string& name) {
  core::TopicPolicy policy;
  policy.priority_tiers = {0};
  policy.max_attempts = 1 + static_cast<std::uint32_t>(below(rng_, 3));
  const std::string to = kTopics[below(rng_, kTopics.size())];
  if (to != name && chance(rng_, 70)) policy.dead_letter = to;
  if (short_retention_ && chance(rng_, 50)) policy.retention_seconds = 20 + static_cast<std::int64_t>(below(rng_, 100));
  if (chance(rng_, 50)) policy.max_consumers = 1 + static_cast<std::uint32_t>(below(rng_, 2));
  auto& fact = deps_.oracle.queues().topic(tenant, name);
  const auto call = fact.sent(policy, now_ns());
  deps_.broker().put_topic(deps_.caller(tenant, "admin"), name, policy,
                           [this, call, tenant, policy, &fact, asked = ask("put topic", true)](const auto& answer) {
                             if (!answer) return fact.refused(call);
                             if (answer->topic.policy != policy || answer->topic.tenant != tenant)
                               wrong("a topic is not what was put");
                             const bool was_none = fact.may_be(std::nullopt);
                             const bool was_some = fact.now().size() > (was_none ? 1U : 0U);
                             if (answer->created ? !was_none : !was_some)
                               wrong(fmt::format("a topic was {}made by a put", answer->created ? "" : "not "));
                             if (answer->created && answer->topic.version != 1) wrong("a new topic has a past");
                             deps_.say(fmt::format("topic {} of {}: {} attempts, {} consumers, dead to '{}'",
                                                   answer->topic.name, tenant, policy.max_attempts, policy.max_consumers,
                                                   policy.dead_letter));
                             fact.answered(call, now_ns());
                           });
}

void Outside::delete_topic() {
  const auto tenant = any_tenant();
  const std::string name = kTopics[below(rng_, kTopics.size())];
  auto& fact = deps_.oracle.queues().topic(tenant, name);
  const auto call = fact.sent(std::nullopt, now_ns());
  deps_.broker().delete_topic(deps_.caller(tenant, "admin"), name,
                              [this, call, &fact, asked = ask("delete topic", true)](const auto& answer) {
                                if (!answer) return fact.refused(call);
                                deps_.say("a topic is deleted");
                                fact.answered(call, now_ns());
                              });
}

void Outside::get_topic() {
  const auto tenant = any_tenant();
  const std::string name = kTopics[below(rng_, kTopics.size())];
  auto& fact = deps_.oracle.queues().topic(tenant, name);
  deps_.broker().get_topic(deps_.caller(tenant, "admin"), name,
                           [this, tenant, name, &fact, asked = ask("get topic", true)](const auto& answer) {
                             if (!answer && not_done(answer.error().code)) return;
                             const auto policy = answer ? std::optional(answer->policy) : std::nullopt;
                             if (!fact.seen(policy, now_ns()))
                               wrong(fmt::format("topic {} of {} is {}", name, tenant, answer ? "not what it was" : "gone"));
                           });
}

// ------------------------------------------------ subscriptions

void Outside::subscribe() {
  services::Subscribe wish;
  wish.event_types = {chance(rng_, 30) ? std::string(core::kAnyCommand) : any_queue()};
  wish.ttl_seconds = 10 + static_cast<std::int64_t>(below(rng_, chance(rng_, 50) ? 60 : 3000));
  wish.mode = static_cast<core::DeliveryMode>(1 + below(rng_, 3));
  wish.group = "g";
  wish.min_interval_seconds = 1;
  auto& one = deps_.oracle.queues().subscribe_sent(anybody(any_tenant()), std::move(wish));
  deps_.broker().subscribe(one.caller, one.ask, [this, &one, asked = ask("subscribe", true)](const auto& answer) {
    if (answer) deps_.oracle.queues().subscribed(one, *answer);
  });
}

void Outside::renew() {
  auto& all = deps_.oracle.queues().subscribers();
  if (all.empty()) return;
  auto& one = std::next(all.begin(), static_cast<std::ptrdiff_t>(below(rng_, all.size())))->second;
  if (one.id.empty()) return;
  const std::int64_t seconds = 5 + static_cast<std::int64_t>(below(rng_, 200));
  const auto would_end_ns = now_ns() + seconds * kNanosPerSecond;
  one.renewals_ns.insert(would_end_ns);
  deps_.broker().renew_subscription(one.caller, one.id, seconds,
                                    [this, &one, would_end_ns, asked = ask("renew", true)](const auto& answer) {
                                      deps_.oracle.queues().renewed(one, would_end_ns, answer, now_ns());
                                    });
}

void Outside::unsubscribe() {
  auto& all = deps_.oracle.queues().subscribers();
  if (all.empty()) return;
  auto& one = std::next(all.begin(), static_cast<std::ptrdiff_t>(below(rng_, all.size())))->second;
  if (one.id.empty()) return;
  ++one.removals;
  deps_.broker().unsubscribe(one.caller, one.id, [this, &one, asked = ask("unsubscribe", true)](const auto& answer) {
    deps_.oracle.queues().unsubscribed(one, answer, now_ns());
  });
}

void Outside::list_subscriptions(const std::string& tenant) {
  deps_.broker().list_subscriptions(
      deps_.caller(tenant, "reader"),
      [this, tenant, asked_ns = now_ns(), asked = ask("list subscriptions", true)](const auto& answer) {
        if (answer) deps_.oracle.queues().listed(tenant, *answer, asked_ns, now_ns());
      });
}

// ------------------------------------------------ tasks

void Outside::cancel() {
  auto* task = any_task(false);
  if (task == nullptr) return;
  const std::string reason = chance(rng_, 50) ? "no need" : "";
  deps_.oracle.cancel_sent(*task);
  deps_.broker().cancel(deps_.caller(task->create->tenant, "producer"), task->id, reason,
                        [this, task, reason, asked = ask("cancel", true)](const auto& answer) {
                          if (answer) deps_.say("cancelled " + task->id);
                          deps_.oracle.cancelled(*task, reason, answer, now_ns());
                        });
}

void Outside::look_at_tasks() {
  for (const auto* tenant : kTenants) list_tasks(tenant, {.limit = kAll}, true);
}

void Outside::list_tasks(const std::string& tenant, TaskFilter filter, bool learn) {
  auto must = deps_.oracle.certainly_there(tenant, filter, now_ns());
  deps_.broker().list_tasks(
      deps_.caller(tenant, "reader"), filter,
      [this, tenant, filter, learn, must = std::move(must), asked = ask("list tasks", false)](const auto& answer) {
        if (!answer) return;
        deps_.oracle.task_list(tenant, filter, must, *answer, now_ns());
        if (!learn) return;
        if (answer->next != 0) wrong("a list of a few tasks has a second page");
        for (const auto& task : answer->tasks)
          if (!deps_.oracle.tasks().contains(task.info->id_text))
            deps_.broker().get_task(deps_.caller(tenant, "reader"), task.info->id_text,
                                    [this, asked = ask("get task", true)](const auto& found) {
                                      if (found) deps_.oracle.read(deps_.oracle.learn(*found), found, 0, now_ns());
                                    });
      });
}

// ------------------------------------------------ dead letters

// What somebody asks for who has seen a dead task, or thinks so.
DeadLetterFilter Outside::dead_filter(std::string& tenant) {
  DeadLetterFilter filter;
  const auto* seen = any_task(chance(rng_, 90));
  tenant = seen == nullptr ? any_tenant() : seen->create->tenant;
  filter.limit = chance(rng_, 20) ? 1 + below(rng_, 3) : 1000;
  if (seen != nullptr && chance(rng_, 60)) {
    filter.ids.push_back(seen->id);
    for (auto count = chance(rng_, 70) ? 0 : below(rng_, 3); count > 0; --count)
      if (const auto* task = any_task(true); task->create->tenant == tenant) filter.ids.push_back(task->id);
    std::sort(filter.ids.begin(), filter.ids.end());
    filter.ids.erase(std::unique(filter.ids.begin(), filter.ids.end()), filter.ids.end());
    return filter;
  }
  if (chance(rng_, 20)) filter.command = any_queue();
  if (chance(rng_, 15)) filter.reason_prefix = chance(rng_, 50) ? "LEASE" : "not";
  if (chance(rng_, 10)) filter.before_ns = now_ns() - static_cast<std::int64_t>(below(rng_, 20)) * kNanosPerSecond;
  return filter;
}

void Outside::dead_call(bool redrive) {
  std::string tenant;
  auto filter = dead_filter(tenant);
  const bool dry_run = chance(rng_, 15);
  const std::int64_t rate = redrive && chance(rng_, 30) ? 1 + static_cast<std::int64_t>(below(rng_, 3)) : 0;
  const auto number = deps_.oracle.dead_call_sent(redrive, dry_run, tenant, filter, now_ns());
  deps_.say(fmt::format("{} {} of {}: {}, {}", redrive ? "redrive" : "purge", number, tenant,
                        filter.ids.empty() ? "all" : filter.ids.front(), dry_run ? "dry" : "really"));
  const auto done = [this, number, asked = ask(redrive ? "redrive" : "purge", true)](
                        const Result<services::DeadLetterOutcome>& answer) {
    const auto outcome = answer.value_or(services::DeadLetterOutcome{});
    deps_.say(fmt::format("{} is answered: {} of {}", number, outcome.changed, outcome.matched));
    deps_.oracle.dead_call_answered(number, answer, now_ns());
  };
  auto by = deps_.caller(tenant, "admin");
  if (redrive) return deps_.broker().redrive(std::move(by), std::move(filter), dry_run, rate, done);
  deps_.broker().purge(std::move(by), std::move(filter), dry_run, done);
}

void Outside::list_dead_letters(const std::string& tenant, DeadLetterFilter filter, bool at_rest) {
  filter.ids.clear();  // a list takes none
  auto must = deps_.oracle.certainly_dead(tenant, filter, now_ns());
  deps_.broker().list_dead_letters(
      deps_.caller(tenant, "reader"), filter, "",
      [this, tenant, filter, at_rest, must = std::move(must), asked = ask("list dead letters", false)](
          const auto& answer) {
        if (answer) deps_.oracle.dead_letters(tenant, filter, must, *answer, now_ns(), at_rest);
      });
}

// ------------------------------------------------ queues

void Outside::pause(const std::string& tenant, const std::string& command, bool paused) {
  auto& fact = deps_.oracle.queues().paused(tenant, command);
  const auto call = fact.sent(paused, now_ns());
  deps_.broker().pause(deps_.caller(tenant, "admin"), command, paused,
                       [this, call, paused, tenant, command, &fact, asked = ask("pause", true)](const auto& answer) {
                         if (!answer) return fact.refused(call);
                         if (answer->paused != paused) wrong("a queue is not paused as it was asked for");
                         deps_.say(fmt::format("{} of {} is {}paused", command, tenant, paused ? "" : "not "));
                         fact.answered(call, now_ns());
                       });
}

void Outside::resume_everything() {
  for (const auto* tenant : kTenants)
    for (const auto* command : kQueues)
      if (!deps_.oracle.queues().paused(tenant, command).is(false)) pause(tenant, command, false);
}

void Outside::queue_stats(const std::string& tenant, const std::string& command, bool at_rest) {
  deps_.broker().queue_stats(deps_.caller(tenant, "admin"), command,
                             [this, tenant, command, at_rest, asked = ask("queue stats", true)](const auto& answer) {
                               if (answer) deps_.oracle.queue_seen(tenant, command, *answer, now_ns(), at_rest);
                             });
}

void Outside::look_at_rest() {
  for (const auto* tenant : kTenants) {
    list_dead_letters(tenant, {.limit = kAll}, true);
    list_subscriptions(tenant);
    for (const auto* command : kQueues) queue_stats(tenant, command, true);
  }
}

}  // namespace codeq::sim
