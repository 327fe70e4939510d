// The store on a disk that fails: power cuts, failing calls, flipped bits. CODEQ_SEED=n replays one power history,
// CODEQ_HISTORIES=n asks for more; RocksDB's own threads make a replay nearly, not always, the same.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>

#include "disk/sim_disk.h"
#include "storage/contract/model_testing.h"
#include "storage/contract/store_contract.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::storage::rocks {
namespace {

using disk::SimDisk;

std::uint64_t from_env(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// One store over any number of processes on one disk, and everything that was ever written to it.
class Life {
 public:
  explicit Life(std::uint64_t write_buffer_bytes = 64U << 10) {
    options_.folder = "/store";
    options_.id = {7};
    options_.write_buffer_bytes = write_buffer_bytes;
    options_.cache_bytes = 256U << 10;
    options_.disk = &disk;
    options_.can_replay_after = [this](const Position& position) {
      ++torn;
      return position.records >= durable_;
    };
    options_.on_durable = [this](Position position) { durable_ = position.records; };
    options_.on_error = [this](const Error& error) {
      ++told_;
      EXPECT_TRUE(error.code == Code::kIo || error.code == Code::kDiskFull) << error.message;
    };
    history_[0] = {};
  }

  // Whatever a start shows was once written, all of it as of one moment, and nothing durable is missing.
  Result<void> open() {
    told_ = 0;
    store.reset();
    CODEQ_TRY(store, RocksStore::open(options_));
    CODEQ_TRY(model, read_all(*store));
    const auto records = model.position.records;
    EXPECT_GE(records, durable_.load()) << "what was durable is gone";
    EXPECT_TRUE(history_.contains(records));
    EXPECT_EQ(model, history_[records]) << "not as of one moment";
    history_.erase(history_.upper_bound(records), history_.end());
    durable_ = records;
    return {};
  }
  Result<void> step(Rng& rng, std::size_t value_bytes) {
    const auto next = at(model.position.records + 1);
    const auto rows = random_rows(rng, model, value_bytes);
    Model then = model;
    then.apply(next, rows);
    history_[next.records] = then;
    CODEQ_TRY_VOID(store->write(next, rows));
    model = std::move(then);
    if (rng.next() % 6 == 0) {
      CODEQ_TRY_VOID(store->flush());
      durable_ = std::max(durable_.load(), next.records);
    }
    return {};
  }
  [[nodiscard]] unsigned told() const { return told_; }
  [[nodiscard]] bool matches(const Model& found) const {
    const auto then = history_.find(found.position.records);
    return then != history_.end() && then->second == found;
  }

  SimDisk disk;
  std::unique_ptr<RocksStore> store;
  Model model;
  unsigned torn = 0;  // starts that found a torn MANIFEST

 private:
  Options options_;
  std::map<std::uint64_t, Model> history_;
  std::atomic<std::uint64_t> durable_ = 0;
  std::atomic<unsigned> told_ = 0;
};

class OnSimDisk final : public Subject {
 public:
  OnSimDisk() { open(); }
  Store& store() override { return *store_; }
  void restart() override {
    disk_.power_off_at(1);
    store_.reset();
    disk_.power_cut(rng_);
    open();
  }

 private:
  void open() {
    Options options;
    options.folder = "/store";
    options.id = {7};
    options.write_buffer_bytes = options.cache_bytes = 256U << 10;
    options.disk = &disk_;
    auto store = RocksStore::open(std::move(options));
    if (!store) {
      ADD_FAILURE() << store.error().message;
      std::abort();
    }
    store_ = *std::move(store);
  }

  SimDisk disk_;
  SeededRng rng_{1};
  std::unique_ptr<RocksStore> store_;
};

INSTANTIATE_TEST_SUITE_P(RocksOnSimDisk, StoreContract,
                         ::testing::Values(Kind{"RocksOnSimDisk", [] { return std::make_unique<OnSimDisk>(); }}),
                         name_of_kind);

TEST(StorePower, ACutAtAnyMomentKeepsWhatWasDurableAsOfOneMoment) {
  const auto base = from_env("CODEQ_SEED", 1);
  const auto histories = std::getenv("CODEQ_SEED") != nullptr ? 1 : from_env("CODEQ_HISTORIES", 100);
  std::uint64_t cuts = 0, in_recovery = 0, torn = 0;
  for (std::uint64_t seed = base; seed < base + histories; ++seed) {
    SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
    SeededRng rng(seed);
    Life life;
    for (int process = 0; process < 4; ++process) {
      life.disk.power_off_at(1 + rng.next() % (process == 0 ? 300 : 250));
      if (life.open()) {
        while (life.step(rng, 600)) {
        }
      } else {
        ++in_recovery;
      }
      ASSERT_TRUE(life.disk.is_off());
      ++cuts;
      life.store.reset();
      life.disk.power_cut(rng);
    }
    const auto opened = life.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ASSERT_TRUE(life.step(rng, 600).has_value());
    torn += life.torn;
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu power cuts, %llu of them during a start; %llu starts found a torn MANIFEST\n",
              static_cast<unsigned long long>(cuts), static_cast<unsigned long long>(in_recovery),
              static_cast<unsigned long long>(torn));
}

TEST(StorePower, AfterTheNthCallFailsNothingIsDurableAnyMoreAndTheNextStartIsClean) {
  // Every call fails in one of the four ways; with CODEQ_EVERY=1 in all of them, with 16 every fourth in one.
  const auto step = from_env("CODEQ_EVERY", 4);
  std::uint64_t first = 0;
  for (const int error : {EIO, ENOSPC}) {
    for (const bool cut : {false, true}) {
      std::uint64_t failures = 0, calls = 0;
      first = step == 1 ? 1 : first + 1;
      bool failed = true;
      for (std::uint64_t nth = first; failed; nth += step) {
        SCOPED_TRACE(fmt::format("call {} fails with errno {}", nth, error));
        Life life;
        SeededRng rng(7);
        life.disk.fail_nth(nth, error);
        Result<void> good = life.open();
        const bool opened = good.has_value();
        for (int i = 0; good && i < 60; ++i) good = life.step(rng, 600);
        failed = life.disk.failed_calls() > 0;
        calls += failed ? 1 : 0;
        if (!good) {
          ASSERT_TRUE(failed);
          ++failures;
          EXPECT_EQ(good.error().code, error == EIO ? Code::kIo : Code::kDiskFull) << good.error().message;
          if (opened) {
            EXPECT_EQ(life.told(), 1U);
            const auto durable = life.store->durable();
            EXPECT_FALSE(life.store->write(at(life.model.position.records + 1), {}).has_value());
            EXPECT_FALSE(life.store->flush().has_value());
            EXPECT_FALSE(life.store->get(core::Table::kBody, "key-1").has_value());
            EXPECT_EQ(life.store->durable(), durable);
          }
        }
        life.store.reset();
        life.disk.heal();
        if (cut) life.disk.power_cut(rng);
        const auto again = life.open();
        ASSERT_TRUE(again.has_value()) << again.error().message;
        ASSERT_TRUE(life.step(rng, 600).has_value());
        if (testing::Test::HasFailure()) return;
      }
      std::printf("errno %d%s: %llu calls failed one by one, %llu of them ended the store\n", error,
                  cut ? ", then a power cut" : "", static_cast<unsigned long long>(calls),
                  static_cast<unsigned long long>(failures));
      EXPECT_GT(failures, 10U);
    }
  }
}

std::string kind_of(const std::string& path) {
  const auto name = path.substr(path.rfind('/') + 1);
  return name.ends_with(".sst") ? "table" : name.substr(0, name.find('-'));
}

TEST(StorePower, AFlippedBitIsRefusedWithItsFileOrWasNeverNeeded) {
  const auto flips = from_env("CODEQ_FLIPS", 400);
  std::map<std::string, unsigned> refused, unused, older;
  Life life;
  SeededRng rng(11);
  ASSERT_TRUE(life.open().has_value());
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(life.step(rng, 600).has_value());
  ASSERT_TRUE(life.store->flush().has_value());
  const auto newest = life.model.position.records;
  life.store.reset();
  for (std::uint64_t flip = 0; flip < flips; ++flip) {
    // Every other flip hits a table; the few files of every other kind have their turns.
    std::map<std::string, std::vector<std::string>> by_kind;
    for (const auto& file : life.disk.files()) by_kind[kind_of(file)].push_back(file);
    auto wanted = by_kind.find("table");
    if (flip % 2 == 1) {
      by_kind.erase(wanted);
      wanted = std::next(by_kind.begin(), static_cast<std::ptrdiff_t>(flip / 2 % by_kind.size()));
    }
    const std::string path = wanted->second[rng.next() % wanted->second.size()];
    struct stat status{};
    ASSERT_EQ(life.disk.status(path, status), 0);
    if (status.st_size == 0) continue;
    const std::uint64_t byte = rng.next() % static_cast<std::uint64_t>(status.st_size);
    const auto bit = static_cast<unsigned>(rng.next() % 8);
    SCOPED_TRACE(fmt::format("bit {} of byte {} of {}", bit, byte, path));
    const auto name = path.substr(path.rfind('/') + 1);
    const std::string kind = kind_of(path);
    ASSERT_TRUE(life.disk.flip_bit(path, byte, bit));
    Options look;  // a reader: it leaves everything as it is
    look.folder = "/store";
    look.any_id = look.read_only = true;
    look.write_buffer_bytes = look.cache_bytes = 256U << 10;
    look.disk = &life.disk;
    auto opened = RocksStore::open(look);
    Result<void> sound = opened ? (*opened)->verify({}) : std::unexpected(opened.error());
    if (opened) {
      const auto read = read_all(**opened);
      if (read) {
        EXPECT_TRUE(life.matches(*read)) << "wrong data";
        if (sound) ++(read->position.records == newest ? unused : older)[kind];
      } else if (sound) {
        sound = std::unexpected(read.error());
      }
    }
    if (!sound) {
      ++refused[kind];
      EXPECT_TRUE(sound.error().code == Code::kCorrupt || sound.error().code == Code::kInvalidArgument)
          << sound.error().message;
      EXPECT_NE(sound.error().message.find(kind == "table" ? name : "/store"), std::string::npos)
          << sound.error().message;
    }
    opened = std::unexpected(Error{});
    ASSERT_TRUE(life.disk.flip_bit(path, byte, bit));
    if (testing::Test::HasFailure()) return;
  }
  for (const auto& [what, counts] : {std::pair{"refused", refused}, {"never needed", unused}, {"an older moment", older}})
    for (const auto& [kind, count] : counts) std::printf("%s: %s %u\n", kind.c_str(), what, count);
  EXPECT_GT(refused["table"], flips / 4);
  EXPECT_GT(refused["MANIFEST"], 0U);
  EXPECT_TRUE(life.open().has_value());
}

}  // namespace
}  // namespace codeq::storage::rocks
