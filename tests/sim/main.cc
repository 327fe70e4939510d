// codeq_sim: histories of one broker under faults, each from a seed. See README.md.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/plant.h"
#include "world.h"

namespace codeq::sim {
namespace {

struct Settings {
  std::uint64_t seeds = 0, from = 1, steps = 400;
  std::optional<std::uint64_t> seed;
  std::string store = "memory", file;
  bool plants = false, plain = false;
};

const char* program = "codeq_sim";

std::array<char, 64> at_work{};  // "seed 12\n", for a process that stops itself

constexpr int kCutShort = 4;

// RocksDB may stop the process some time after a flush has failed (MemTableList::RollbackMemtableFlush asserts that every table of
// an atomic flush had something to flush). Only on its own threads, and only after it was told: ours all run on the first.
void name_seed(int) {
  if (rocks_has_failed && gettid() != getpid()) _exit(kCutShort);
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, at_work.data(), strnlen(at_work.data(), at_work.size()));
}

void begin(std::uint64_t seed) {
  *fmt::format_to_n(at_work.data(), at_work.size() - 1, "seed {}: stopped itself\n", seed).out = '\0';
}

void print_wrong(std::uint64_t seed, const Settings& settings, const std::string& what) {
  fmt::print("seed {}: {}\n  again: {} --store {} --steps {}{} --seed {}\n", seed, what, program, settings.store,
             settings.steps, settings.plain ? " --plain" : "", seed);
}

// In a process of its own, which RocksDB may stop.
Outcome run_apart(std::uint64_t seed, std::uint64_t steps, bool plain) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {.wrong = "no pipe could be made", .counts = {}};
  fflush(nullptr);
  const auto child = fork();
  if (child == 0) {
    close(ends[0]);
    const auto outcome = run_history(seed, steps, true, plain, false);
    std::string text(sizeof(Counts), '\0');
    std::memcpy(text.data(), &outcome.counts, sizeof(Counts));
    text += outcome.wrong.value_or("");
    const bool whole = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(whole ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> bytes{};
  for (ssize_t got = 0; (got = read(ends[0], bytes.data(), bytes.size())) > 0;) text.append(bytes.data(), static_cast<std::size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCutShort) {
    outcome.counts.histories = outcome.counts.cut_short = 1;
  } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.size() < sizeof(Counts)) {
    outcome.wrong = "stopped itself";
  } else {
    std::memcpy(&outcome.counts, text.data(), sizeof(Counts));
    if (text.size() > sizeof(Counts)) outcome.wrong = text.substr(sizeof(Counts));
  }
  return outcome;
}

// The number of histories that went wrong.
std::uint64_t run_seeds(const Settings& settings) {
  Counts counts;
  std::uint64_t wrong = 0;
  auto told = std::chrono::steady_clock::now();
  for (auto seed = settings.from; seed < settings.from + settings.seeds; ++seed) {
    begin(seed);
    const auto outcome = settings.store == "rocks" ? run_apart(seed, settings.steps, settings.plain)
                                                   : run_history(seed, settings.steps, false, settings.plain, false);
    counts += outcome.counts;
    if (outcome.wrong) {
      print_wrong(seed, settings, *outcome.wrong);
      if (++wrong == 10) break;
    }
    if (const auto now = std::chrono::steady_clock::now(); now - told > std::chrono::seconds(10)) {
      told = now;
      fmt::print(stderr, "  {} of {} histories\n", seed - settings.from + 1, settings.seeds);
    }
  }
  fmt::print("store {}: {}; {} went wrong\n", settings.store, counts.text(), wrong);
  if (counts.cut_short > 2 + settings.seeds / 50) ++wrong;  // that many would be something else
  return wrong;
}

// A file of lines `store seed steps [plain]  # what it taught`.
int run_file(const Settings& settings) {
  std::ifstream file(settings.file);
  if (!file) {
    fmt::print(stderr, "codeq_sim: cannot read {}\n", settings.file);
    return 2;
  }
  std::uint64_t wrong = 0, histories = 0;
  for (std::string line; std::getline(file, line);) {
    line = line.substr(0, line.find('#'));
    Settings one = settings;
    std::uint64_t seed = 0;
    std::istringstream words(line);
    if (!(words >> one.store >> seed >> one.steps)) continue;
    std::string plain;
    one.plain = words >> plain && plain == "plain";
    begin(seed);
    const auto outcome = run_history(seed, one.steps, one.store == "rocks", one.plain, false);
    ++histories;
    if (!outcome.wrong) continue;
    ++wrong;
    print_wrong(seed, one, *outcome.wrong);
  }
  fmt::print("{} kept histories, {} went wrong\n", histories, wrong);
  return wrong == 0 && histories > 0 ? 0 : 1;
}

#ifdef CODEQ_PLANTS
constexpr std::array<std::pair<Plant, const char*>, 15> kPlants = {{
    {Plant::kDroppedSync, "a dropped sync"},
    {Plant::kEarlyAnswer, "an early answer"},
    {Plant::kMissingAtomicFlush, "a missing atomic flush"},
    {Plant::kReorderedRecycle, "a reordered recycle"},
    {Plant::kLostTimer, "a lost timer"},
    {Plant::kWrongTail, "a wrong tail"},
    {Plant::kDoublePromotion, "a double promotion"},
    {Plant::kForgottenOutboxRow, "a forgotten outbox row"},
    {Plant::kLostSpanContext, "a lost span context"},
    {Plant::kWrappedClock, "a wrapped clock"},
    {Plant::kForgottenPause, "a forgotten pause"},
    {Plant::kKeptRetirement, "a kept retirement"},
    {Plant::kOneConsumerMore, "one consumer more"},
    {Plant::kSilentResume, "a silent resume"},
    {Plant::kForgottenCopy, "a forgotten copy"},
}};
constexpr unsigned kPlantSecondsMax = 120;
constexpr int kFound = 3;

// In a process of its own: a planted bug may end it.
bool find_planted(Plant bug, const char* name, const Settings& settings) {
  fflush(nullptr);
  const auto child = fork();
  if (child == 0) {
    alarm(kPlantSecondsMax);
    plant = bug;
    for (auto seed = settings.from; seed < settings.from + settings.seeds; ++seed) {
      const auto outcome = run_history(seed, settings.steps, false, settings.plain, false);
      if (!outcome.wrong) continue;
      fmt::print("{}: found by seed {}: {}\n", name, seed, *outcome.wrong);
      fflush(nullptr);
      _exit(kFound);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kFound) return true;
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM) {
    fmt::print("{}: found, the process stopped itself\n", name);
    return true;
  }
  fmt::print("{}: NOT found in {} histories or {} s\n", name, settings.seeds, kPlantSecondsMax);
  return false;
}

int run_plants(const Settings& settings) {
  std::size_t found = 0;
  for (const auto& [bug, name] : kPlants) found += find_planted(bug, name, settings) ? 1 : 0;
  fmt::print("{} of {} planted bugs were found\n", found, kPlants.size());
  return found == kPlants.size() ? 0 : 1;
}
#else
int run_plants(const Settings&) {
  fmt::print(stderr, "codeq_sim: this build cannot plant bugs; build the debug preset\n");
  return 2;
}
#endif

int run(int argc, char** argv) {
  Settings settings;
  program = argv[0];
  CLI::App app("Histories of one broker under faults, each from a seed.");
  app.add_option("--seeds", settings.seeds, "how many histories (with --plants: at most so many for each bug)");
  app.add_option("--from", settings.from, "the first seed")->capture_default_str();
  app.add_option("--seed", settings.seed, "this one alone, telling what happens");
  app.add_option("--steps", settings.steps, "of each history, before it is drained")->capture_default_str();
  app.add_option("--store", settings.store, "memory or rocks")->check(CLI::IsMember({"memory", "rocks"}))->capture_default_str();
  app.add_flag("--plain", settings.plain, "nobody acts from outside");
  app.add_option("--file", settings.file, "histories that taught something");
  app.add_flag("--plants", settings.plants, "plant each of fifteen bugs and look for it");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::off);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::signal(SIGABRT, name_seed);
  if (settings.plants) {
    if (settings.seeds == 0) settings.seeds = 2000;
    return run_plants(settings);
  }
  if (!settings.file.empty()) return run_file(settings);
  if (settings.seed) {
    const auto outcome = run_history(*settings.seed, settings.steps, settings.store == "rocks", settings.plain, true);
    fmt::print("{}\n{}\n", outcome.counts.text(), outcome.wrong ? "WRONG: " + *outcome.wrong : "nothing went wrong");
    return outcome.wrong ? 1 : 0;
  }
  if (settings.seeds == 0) settings.seeds = 200;
  return run_seeds(settings) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace codeq::sim

int main(int argc, char** argv) { return codeq::sim::run(argc, argv); }
