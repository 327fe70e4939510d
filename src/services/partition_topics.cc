// The calls about topics. What a policy does to tasks is core's (core/state_topics.cc).
#include <utility>

#include "services/partition.h"

namespace codeq::services {
namespace {

std::string not_found(const std::string& tenant, const std::string& name) {
  return "queue topic \"" + tenant + "." + name + "\" not found";
}

}  // namespace

void Partition::put_topic(Caller caller, std::string name, core::TopicPolicy policy, Done<TopicPut> done) {
  core::PutTopicRecord record{
      .time_ns = 0, .tenant = std::move(caller.tenant), .name = std::move(name), .policy = std::move(policy)};
  post<TopicPut>(Kind::kRead, 1024, std::move(done), [this, record = std::move(record)](auto reply) mutable {
    put_topic_now(std::move(record), std::move(reply));
  });
}

void Partition::put_topic_now(core::PutTopicRecord record, Done<TopicPut> reply) {
  const auto refuse = [&](Error error) {
    answer([reply = std::move(reply), error = std::move(error)]() mutable {
      reply(std::unexpected<Error>(std::move(error)));
    });
  };
  const auto* before = state_.topic(record.tenant, record.name);
  if (before == nullptr && state_.topics_of(record.tenant) >= core::kTopicsPerTenantMax)
    return refuse({Code::kInvalidArgument, "too many topics"});
  if (const char* why = no_room(); why != nullptr && before == nullptr) return refuse({Code::kOverloaded, why});
  record.time_ns = stamp_ns_;
  const bool created = before == nullptr;
  const auto effects = change(record);
  CHECK(effects.has_value());
  wake_queue(record.tenant, record.name);
  answer([reply = std::move(reply), put = TopicPut{.topic = *state_.topic(record.tenant, record.name),
                                                   .created = created}]() mutable { reply(std::move(put)); });
}

// A task that died has a copy in its dead-letter topic: a task like any other from here on.
void Partition::note_copy(const core::Effects& effects) {
  const auto& info = effects.copy->info;
  if (shown(*effects.copy))
    effects.copy_events.each(effects.copy->timeline, [&](const core::Event& event) {
      group_.spans.push_back({.info = info, .event = event, .replay = false, .context = {}, .tracestate = {}});
    });
  const auto woken = woken_.insert(core::queue_key(info->tenant, info->command)).first;
  note_ready(info, *woken);
  figures(*effects.copy).created.add_alone();
}

// There may be room for more consumers now.
void Partition::wake_queue(const std::string& tenant, const std::string& command) {
  if (state_.ready_queue(tenant, command) != nullptr) woken_.insert(core::queue_key(tenant, command));
}

void Partition::get_topic(Caller caller, std::string name, Done<core::Topic> done) {
  post<core::Topic>(
      Kind::kRead, 256, std::move(done),
      [this, tenant = std::move(caller.tenant), name = std::move(name)](auto reply) mutable {
        Result<core::Topic> outcome = fail(Code::kNotFound, not_found(tenant, name));
        if (const auto* found = state_.topic(tenant, name)) outcome = *found;
        answer([reply = std::move(reply), outcome = std::move(outcome)]() mutable { reply(std::move(outcome)); });
      });
}

void Partition::delete_topic(Caller caller, std::string name, Done<void> done) {
  core::DeleteTopicRecord record{.time_ns = 0, .tenant = std::move(caller.tenant), .name = std::move(name)};
  post<void>(Kind::kRead, 256, std::move(done), [this, record = std::move(record)](auto reply) mutable {
    record.time_ns = stamp_ns_;
    const auto effects = change(record);
    CHECK(effects.has_value());
    wake_queue(record.tenant, record.name);
    answer([reply = std::move(reply)]() mutable { reply(Result<void>()); });
  });
}

}  // namespace codeq::services
