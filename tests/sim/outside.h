// Those who look and act from outside: topics, subscriptions, cancellations, dead letters, lists, pauses. Part of the world.
//
// Shape    `act` does one thing that its own draws choose; answers go to the oracle
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "oracle.h"

namespace codeq::sim {

inline constexpr std::array kTenants = {"acme", "globex"};
inline constexpr std::array kWorkers = {"alice", "bob", "carol"};

class Outside {
 public:
  struct Deps {
    Oracle& oracle;
    std::function<services::Partition&()> broker;
    std::function<services::Caller(std::string tenant, std::string subject)> caller;  // with a request of its own
    std::function<void(const std::string&)> say;
  };
  Outside(std::uint64_t seed, Deps deps);

  [[nodiscard]] bool has_its_turn() { return chance(rng_, 12); }
  void act();
  core::SpanContext new_request();
  void put_topics();  // some, at the beginning
  // What a history is about, drawn once: tasks that die, payloads that fill the room.
  [[nodiscard]] bool has_bad_workers() { return few_attempts_ && chance(rng_, 25); }
  [[nodiscard]] std::int64_t attempts_max(std::int64_t usual);
  [[nodiscard]] std::size_t padding(std::size_t usual);

  void resume_everything();
  void look_at_tasks();         // all of them, so that the oracle knows those that nobody was told of
  void look_at_rest();          // dead letters, subscriptions, queues
  void process_ended(std::int64_t now_ns);
  // Calls that have no answer; those that wait for nothing but the broker itself.
  [[nodiscard]] std::string unanswered() const;
  [[nodiscard]] std::string unanswered_at_once() const;

 private:
  struct Asked;  // counts a call until it is answered
  std::shared_ptr<Asked> ask(std::string what, bool at_once);
  Known* any_task(bool dead);
  services::Caller anybody(const std::string& tenant) { return deps_.caller(tenant, kWorkers[below(rng_, kWorkers.size())]); }
  std::string any_tenant() { return kTenants[below(rng_, kTenants.size())]; }
  std::string any_queue();
  [[nodiscard]] std::int64_t now_ns() { return deps_.broker().now_ns(); }

  void put_topic();
  void put_topic(const std::string& tenant, const std::string& name);
  void delete_topic();
  void get_topic();
  void subscribe();
  void renew();
  void unsubscribe();
  void list_subscriptions(const std::string& tenant);
  void cancel();
  services::DeadLetterFilter dead_filter(std::string& tenant);  // names whose
  void dead_call(bool redrive);
  void list_dead_letters(const std::string& tenant, services::DeadLetterFilter filter, bool at_rest);
  void list_tasks(const std::string& tenant, services::TaskFilter filter, bool learn);
  void pause(const std::string& tenant, const std::string& command, bool paused);
  void queue_stats(const std::string& tenant, const std::string& command, bool at_rest);

  SeededRng rng_;
  Deps deps_;
  std::multiset<std::string> at_once_, later_;  // under way
  std::uint64_t life_ = 0;                      // of processes, so far
  bool few_attempts_ = false, large_ = false, steady_topics_ = false, short_retention_ = false;
};

}  // namespace codeq::sim
