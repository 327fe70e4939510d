// codeq_stages: what each stage of the hot path costs.
//
//   codeq_stages [--benchmark_filter=REGEX ...]     times, by Google Benchmark: items are tasks or messages
//   codeq_stages --count [NAME...]                  for callgrind, see count.py: one process and fixed laps for each stage
//   codeq_stages --list                             the names
//
// Counting  what runs inside `counted` is to be counted (--toggle-collect of callgrind); the process of a stage is forked,
//           so that no stage changes another one's heap. Lines PID<tab>NAME<tab>ITEMS<tab>PHASE,... say what was run.
#include <benchmark/benchmark.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "stage.h"

namespace codeq::stages {

// One function for each phase, for callgrind to tell them apart. What follows the call keeps it from becoming a jump.
template <std::size_t kPhase>
[[gnu::noinline]] void counted(Stage& stage) {
  stage.run(kPhase);
  asm volatile("" : : : "memory");
}

namespace {

using Counted = void (*)(Stage&);
constexpr std::array<Counted, kPhasesMax> kCounted = {&counted<0>, &counted<1>, &counted<2>, &counted<3>};

Stages all_stages() {
  Stages stages;
  add_cycle_stages(stages);
  add_core_stages(stages);
  add_wire_stages(stages);
  add_disk_stages(stages);
  return stages;
}

void count(const StageEntry& entry) {
  {
    const auto stage = entry.make();
    for (std::size_t lap = 0; lap < (entry.laps + 1) / 2; ++lap)
      for (const auto phase : entry.order) stage->run(phase);
    for (std::size_t lap = 0; lap < entry.laps; ++lap)
      for (const auto phase : entry.order) kCounted.at(phase)(*stage);
  }
  std::string line =
      std::to_string(::getpid()) + '\t' + entry.name + '\t' + std::to_string(entry.items * entry.laps) + '\t';
  for (const auto& phase : entry.phases) line += phase + ',';
  line.back() = '\n';
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

// The stages of these names; all of them where none is named.
int count_all(std::span<char*> names) {
  for (const auto& entry : all_stages()) {
    const auto is_it = [&](const char* name) { return std::string_view(name) == entry.name; };
    if (!names.empty() && std::none_of(names.begin(), names.end(), is_it)) continue;
    std::fflush(stdout);
    const auto child = ::fork();
    if (child == 0) {
      count(entry);
      std::_Exit(0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
      std::fprintf(stderr, "codeq_stages: stage %s failed\n", entry.name.c_str());
      return 1;
    }
  }
  return 0;
}

void benchmark_all() {
  for (const auto& entry : all_stages())
    benchmark::RegisterBenchmark(entry.name.c_str(), [entry](benchmark::State& state) {
      const auto stage = entry.make();
      for (const auto _ : state)
        for (const auto phase : entry.order) stage->run(phase);
      const auto items = static_cast<double>(state.iterations() * static_cast<std::int64_t>(entry.items));
      state.counters["per_item"] = benchmark::Counter(items, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    });
}

}  // namespace
}  // namespace codeq::stages

int main(int argc, char** argv) {
  using namespace codeq::stages;
  if (argc >= 2 && std::strcmp(argv[1], "--count") == 0) return count_all(std::span(argv + 2, argv + argc));
  if (argc >= 2 && std::strcmp(argv[1], "--list") == 0) {
    for (const auto& entry : all_stages()) std::puts(entry.name.c_str());
    return 0;
  }
  benchmark_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
