// Records applied to the state, records and rows as bytes, events as spans.
#include <string>

#include "core_work.h"
#include "observe/otlp/encode.h"
#include "observe/otlp/options.h"
#include "observe/otlp/span_queue.h"
#include "services/task_spans.h"
#include "stage.h"

namespace codeq::stages {
namespace {

constexpr std::size_t kTasks = 1024;  // of a lap

// `phases` of every batch, and the last one once.
std::vector<std::size_t> batches(std::size_t phases, bool and_one_more) {
  std::vector<std::size_t> order;
  for (std::size_t batch = 0; batch < kTasks / CoreWork::kBatch; ++batch)
    for (std::size_t phase = 0; phase < phases; ++phase) order.push_back(phase);
  if (and_one_more) order.push_back(phases);
  return order;
}

struct Apply final : Stage {
  void run(std::size_t phase) override {
    switch (phase) {
      case 0: work.apply(work.creates()); break;
      case 1: work.apply(work.claims()); break;
      case 2: work.apply(work.submits()); break;
      default: return work.settle(work.cut());
    }
    work.durable();
  }
  CoreWork work;
};

struct Records final : Stage {
  Records() {
    creates = work.creates();
    work.apply(creates);
    claims = work.claims();
    work.apply(claims);
    submits = work.submits();
  }
  void run(std::size_t phase) override {
    bytes.clear();
    for (const auto& record : phase == 0 ? creates : phase == 1 ? claims : submits) core::append_record(record, bytes);
    keep(bytes);
  }
  CoreWork work;
  std::vector<core::Record> creates, claims, submits;
  std::string bytes;
};

// The five spans of a task that was created, claimed and completed.
struct Spans final : Stage {
  Spans() : work(true), queue(options) {
    work.apply(work.creates());
    work.durable();
    work.apply(work.claims());
    work.durable();
    work.apply(work.submits());
    work.durable();
    events = work.submitted(0).timeline.events();
    CHECK(events.size() == 5);
  }
  void run(std::size_t phase) override {
    if (phase == 0) {
      const auto& info = *work.submitted(0).info;
      for (const auto& event : events) {
        services::to_span(info, event, span);
        queue.push(span.scope, observe::encode_span(span, scratch));
      }
      return;
    }
    auto batch = queue.take();
    observe::encode_request(resource, batch.front().bodies, request);
    keep(request);
    const auto spans = batch.front().spans;
    queue.settle(std::move(batch), spans);
  }
  static constexpr std::size_t kTasksOfBatch = 100;
  CoreWork work;
  std::vector<core::Event> events;
  observe::TracingOptions options = [] {
    observe::TracingOptions made;
    made.batch_spans = 5 * kTasksOfBatch;
    made.schedule_delay = std::chrono::hours(1);
    return made;
  }();
  observe::SpanQueue queue;
  observe::Span span;
  const std::string resource = observe::encode_resource(options);
  std::string scratch, request;
};

}  // namespace

void add_core_stages(Stages& stages) {
  stages.push_back({.name = "apply",
                    .phases = {"create", "claim", "submit", "rows"},
                    .order = batches(3, true),
                    .items = kTasks,
                    .laps = 2,
                    .make = [] { return std::make_unique<Apply>(); }});
  stages.push_back({.name = "record",
                    .phases = {"create", "claim", "submit"},
                    .order = batches(3, false),
                    .items = kTasks,
                    .laps = 1,
                    .make = [] { return std::make_unique<Records>(); }});
  std::vector<std::size_t> order(Spans::kTasksOfBatch, 0);
  order.push_back(1);
  stages.push_back({.name = "spans",
                    .phases = {"record", "export"},
                    .order = std::move(order),
                    .items = Spans::kTasksOfBatch,
                    .laps = 4,
                    .make = [] { return std::make_unique<Spans>(); }});
}

}  // namespace codeq::stages
