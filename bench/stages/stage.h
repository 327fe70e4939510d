// A stage: one piece of the broker's work that is measured alone, in time or in instructions.
//
// Shape    a lap is the unit that is repeated: its phases in the order of `order`; it handles `items` tasks (or messages)
// Repeats  every lap does the same work: seeded chance, a clock that the stage moves, no thread of its own but the disk's
// Threads  one
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace codeq::stages {

class Stage {
 public:
  Stage() = default;
  virtual ~Stage() = default;
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  virtual void run(std::size_t phase) = 0;
};

inline constexpr std::size_t kPhasesMax = 4;

struct StageEntry {
  std::string name;
  std::vector<std::string> phases;  // their names; one without a name: the stage is not divided
  std::vector<std::size_t> order;  // of one lap
  std::size_t items = 1;  // of one lap
  std::size_t laps = 1;  // that are counted; half as many go before them
  std::function<std::unique_ptr<Stage>()> make;
};
using Stages = std::vector<StageEntry>;

// A stage of one phase from a function that makes the function to repeat (which owns what it needs).
inline StageEntry plain(std::string name, std::size_t items, std::size_t laps,
                        std::function<std::move_only_function<void()>()> make) {
  struct Plain final : Stage {
    explicit Plain(std::move_only_function<void()> act) : act_(std::move(act)) {}
    void run(std::size_t) override { act_(); }
    std::move_only_function<void()> act_;
  };
  return {.name = std::move(name),
          .phases = {""},
          .order = {0},
          .items = items,
          .laps = laps,
          .make = [make = std::move(make)] { return std::make_unique<Plain>(make()); }};
}

// Makes the compiler believe that `value` is read, and that memory has changed.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

// Each file's stages; main.cc runs them in this order.
void add_cycle_stages(Stages& stages);
void add_core_stages(Stages& stages);
void add_wire_stages(Stages& stages);
void add_disk_stages(Stages& stages);

}  // namespace codeq::stages
