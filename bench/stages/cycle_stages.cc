// Whole cycles through a partition: everything between a transport's call and its answer, but for the disk.
#include <string>

#include "stage.h"
#include "work.h"

namespace codeq::stages {
namespace {

constexpr std::size_t kTasks = 1024;  // of a lap, which ends with one cut

class Cycle final : public Stage {
 public:
  Cycle(std::size_t batch, double sample_ratio) : broker_(sample_ratio), work_(broker_, batch) {}
  ~Cycle() override { CHECK(work_.created() == work_.completed()); }
  void run(std::size_t phase) override {
    switch (phase) {
      case 0: return work_.create();
      case 1: return work_.claim();
      case 2: return work_.submit();
      default: return broker_.cut();
    }
  }

 private:
  QuietBroker broker_;
  Work work_;
};

StageEntry cycle(std::string name, std::size_t batch, double sample_ratio, bool backlog = false) {
  std::vector<std::size_t> order;
  const auto repeat = [&](std::initializer_list<std::size_t> phases) {
    for (std::size_t i = 0; i < kTasks / batch; ++i) order.insert(order.end(), phases);
  };
  if (backlog) {  // all of them wait until the store has them
    repeat({0});
    order.push_back(3);
    repeat({1, 2});
  } else {
    repeat({0, 1, 2});
  }
  order.push_back(3);
  return {.name = std::move(name),
          .phases = {"create", "claim", "submit", "image"},
          .order = std::move(order),
          .items = kTasks,
          .laps = 2,
          .make = [batch, sample_ratio] { return std::make_unique<Cycle>(batch, sample_ratio); }};
}

}  // namespace

void add_cycle_stages(Stages& stages) {
  for (const std::size_t batch : {1, 32}) {
    const auto name = "cycle/batch:" + std::to_string(batch);
    stages.push_back(cycle(name + "/tracing:off", batch, -1));
    stages.push_back(cycle(name + "/tracing:1%", batch, 0.01));
    stages.push_back(cycle(name + "/tracing:100%", batch, 1));
  }
  stages.push_back(cycle("cycle/batch:32/tracing:off/backlog", 32, -1, true));
}

}  // namespace codeq::stages
