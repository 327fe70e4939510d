// The store on disk: the contract, whose folder it is, what is durable, copies and damage.
#include "storage/rocks/rocks_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>

#include "storage/contract/model_testing.h"
#include "storage/contract/store_contract.h"
#include "storage/rocks/format_file.h"
#include "storage/rocks/test_folder.h"

namespace codeq::storage::rocks {
namespace {

namespace fs = std::filesystem;
using core::Table;

constexpr StoreId kId{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

Options options_of(const std::string& folder, std::uint64_t write_buffer_bytes = 1U << 20) {
  Options options;
  options.folder = folder;
  options.id = kId;
  options.write_buffer_bytes = write_buffer_bytes;
  options.cache_bytes = 1U << 20;
  return options;
}

std::unique_ptr<RocksStore> must_open(Options options) {
  auto store = RocksStore::open(std::move(options));
  if (!store) {
    ADD_FAILURE() << store.error().message;
    std::abort();
  }
  return *std::move(store);
}

class OnDisk final : public Subject {
 public:
  Store& store() override { return *store_; }
  void restart() override {
    store_.reset();
    store_ = must_open(options_of(folder_ / "store"));
  }

 private:
  TestFolder folder_;
  std::unique_ptr<RocksStore> store_ = must_open(options_of(folder_ / "store"));
};

std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  return files;
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Opening must fail with `code`, and must leave every byte of the folder as it is.
void expect_refused(const std::string& folder, Options options, Code code, const std::string& text) {
  const auto before = files_in(folder);
  const auto refused = RocksStore::open(std::move(options));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, code) << refused.error().message;
  EXPECT_NE(refused.error().message.find(text), std::string::npos) << refused.error().message;
  EXPECT_EQ(files_in(folder), before);
}

INSTANTIATE_TEST_SUITE_P(Rocks, StoreContract,
                         ::testing::Values(Kind{"Rocks", [] { return std::make_unique<OnDisk>(); }}), name_of_kind);

TEST(RocksStore, TheStoreOfAnotherLogIsRefusedUntouched) {
  TestFolder folder;
  must_open(options_of(folder / "store"));
  auto options = options_of(folder / "store");
  options.id[3] ^= 1;
  expect_refused(folder / "store", options, Code::kInvalidArgument, "belongs to another log");
  options.any_id = true;
  EXPECT_EQ(must_open(options)->id(), kId);
}

TEST(RocksStore, AnotherFormatIsRefusedUntouched) {
  for (const std::uint32_t other : {kFormatVersion - 1, kFormatVersion + 1}) {
    TestFolder folder;
    must_open(options_of(folder / "store"));
    write_file(folder / "store/format", format_bytes(kId, other));
    expect_refused(folder / "store", options_of(folder / "store"), Code::kInvalidArgument,
                   "format version " + std::to_string(other));
  }
}

TEST(RocksStore, StatsCountWhatStandsApart) {
  TestFolder folder;
  const auto store = must_open(options_of(folder / "store"));
  const core::Row large{core::Table::kBody, core::Row::Op::kPut, core::key_of(1), std::string(100'000, 'x')};
  ASSERT_TRUE(store->write({.records = 1}, {large}));
  ASSERT_TRUE(store->flush());
  const auto stats = store->stats();
  EXPECT_EQ(stats.tables.back().name, "large");
  EXPECT_EQ(stats.tables.back().rows, 1U);
  EXPECT_GT(stats.tables.back().bytes, 0U);
  EXPECT_EQ(stats.tables[static_cast<std::size_t>(core::Table::kBody)].rows, 1U);
}

// docs/formats/store.md
TEST(RocksStore, TheFormatFileIsThatOfTheWorkedExample) {
  std::string hex;
  for (const char byte : format_bytes(kId)) hex += fmt::format("{:02x} ", static_cast<unsigned char>(byte));
  EXPECT_EQ(hex,
            "43 4f 44 45 51 49 4d 47 03 00 00 00 00 00 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 "
            "a6 a5 f3 96 8a f8 24 b2 ");
}

TEST(RocksStore, ADamagedOrMissingFormatIsRefusedUntouched) {
  TestFolder folder;
  must_open(options_of(folder / "store"));
  std::string bytes = format_bytes(kId);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] ^= 4;
    write_file(folder / "store/format", bytes);
    expect_refused(folder / "store", options_of(folder / "store"), Code::kCorrupt, "store/format");
    bytes[at] ^= 4;
  }
  fs::remove(folder / "store/format");
  expect_refused(folder / "store", options_of(folder / "store"), Code::kCorrupt, "format is missing");
}

TEST(RocksStore, AFolderOfSomebodyElseIsRefusedUntouched) {
  TestFolder folder;
  write_file(folder / "letter", "dear");
  expect_refused(folder.path(), options_of(folder.path()), Code::kInvalidArgument, "not empty");
}

TEST(RocksStore, AStoreWithoutItsCurrentFileIsDamageAndNotANewStore) {
  TestFolder folder;
  must_open(options_of(folder / "store"));
  fs::remove(folder / "store/CURRENT");
  const auto refused = RocksStore::open(options_of(folder / "store"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCorrupt) << refused.error().message;
  EXPECT_NE(refused.error().message.find("CURRENT"), std::string::npos) << refused.error().message;
}

TEST(RocksStore, WhatACrashLeftOfAFirstStartIsInNobodysWay) {
  TestFolder folder;
  fs::create_directory(folder / "store.new");
  write_file(folder / "store.new/MANIFEST-000001", "half");
  fs::create_directory(folder / "store");
  EXPECT_EQ(must_open(options_of(folder / "store"))->position(), Position{});
  EXPECT_FALSE(fs::exists(folder / "store.new"));
}

TEST(RocksStore, OneProcessAtATime) {
  TestFolder folder;
  const auto store = must_open(options_of(folder / "store"));
  const auto second = RocksStore::open(options_of(folder / "store"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kIo) << second.error().message;
}

TEST(RocksStore, AReaderSeesWhatIsDurableAndChangesNothing) {
  TestFolder folder;
  auto options = options_of(folder / "store");
  options.read_only = true;
  EXPECT_EQ(RocksStore::open(options).error().code, Code::kInvalidArgument);
  {
    const auto store = must_open(options_of(folder / "store"));
    ASSERT_TRUE(store->write(at(1), {put(Table::kBody, "a", "1")}));
    ASSERT_TRUE(store->flush());
    ASSERT_TRUE(store->write(at(2), {put(Table::kBody, "a", "2")}));
  }
  const auto before = files_in(folder / "store");
  const auto reader = must_open(options);
  EXPECT_EQ(reader->position(), at(1));
  EXPECT_EQ(reader->durable(), at(1));
  EXPECT_EQ(reader->get(Table::kBody, "a").value(), "1");
  EXPECT_EQ(reader->write(at(3), {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(reader->flush().error().code, Code::kInvalidArgument);
  EXPECT_TRUE(reader->verify({}));
  EXPECT_EQ(files_in(folder / "store"), before);
}

TEST(RocksStore, TellsWhatItFlushedByItselfAndHasItAfterAnyCrash) {
  TestFolder folder;
  std::atomic<std::uint64_t> told = 0;
  std::map<std::uint64_t, Model> history;
  Model model;
  SeededRng rng(7);
  {
    auto options = options_of(folder / "store", 64U << 10);
    options.on_durable = [&](Position position) {
      EXPECT_GT(position.records, told.load());
      told = position.records;
    };
    const auto store = must_open(options);
    for (std::uint64_t records = 1; records <= 600; ++records) {
      const auto rows = random_rows(rng, model, 2000);
      ASSERT_TRUE(store->write(at(records), rows));
      model.apply(at(records), rows);
      history[records] = model;
      EXPECT_LE(told, records);
    }
  }
  EXPECT_GT(told, 0U);  // nobody asked for a flush
  const auto store = must_open(options_of(folder / "store"));
  const auto found = read_all(*store);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->position.records, told);
  EXPECT_EQ(*found, history[found->position.records]);
}

TEST(RocksStore, ACopyIsAStoreOfItsOwn) {
  TestFolder folder;
  const auto store = must_open(options_of(folder / "store"));
  SeededRng rng(3);
  Model model;
  for (std::uint64_t records = 1; records <= 50; ++records) {
    const auto rows = random_rows(rng, model);
    ASSERT_TRUE(store->write(at(records), rows));
    model.apply(at(records), rows);
  }
  const auto position = store->checkpoint(folder / "copy");
  ASSERT_TRUE(position) << position.error().message;
  EXPECT_EQ(*position, at(50));
  ASSERT_TRUE(store->write(at(51), {put(Table::kBody, "later", "x")}));
  ASSERT_TRUE(store->flush());
  const auto copy = must_open(options_of(folder / "copy"));
  EXPECT_EQ(read_all(*copy).value(), model);
  ASSERT_TRUE(copy->write(at(60), {put(Table::kBody, "mine", "x")}));
  EXPECT_EQ(store->get(Table::kBody, "mine").value(), std::nullopt);
}

TEST(RocksStore, ACopyDoesNotReplaceWhatIsThere) {
  TestFolder folder;
  const auto store = must_open(options_of(folder / "store"));
  fs::create_directory(folder / "copy");
  write_file(folder / "copy/letter", "dear");
  EXPECT_EQ(store->checkpoint(folder / "copy").error().code, Code::kInvalidArgument);
  EXPECT_EQ(files_in(folder / "copy").size(), 1U);
}

TEST(RocksStore, TheCheckReadsEveryFileAndNamesTheDamagedOne) {
  TestFolder folder;
  const auto store = must_open(options_of(folder / "store"));
  for (std::uint64_t records = 1; records <= 3; ++records) {
    ASSERT_TRUE(store->write(at(records), {put(Table::kBody, std::to_string(records), std::string(5000, 'x'))}));
    ASSERT_TRUE(store->flush());
  }
  RocksStore::Progress last;
  ASSERT_TRUE(store->verify([&](const RocksStore::Progress& progress) { last = progress; }));
  EXPECT_GT(last.bytes_total, 0U);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
  const auto files = files_in(folder / "store");
  const auto victim =
      std::find_if(files.begin(), files.end(), [](const auto& file) { return file.first.ends_with(".sst"); });
  ASSERT_NE(victim, files.end());
  std::string bytes = victim->second;
  bytes[10] ^= 1;
  write_file(folder / ("store/" + victim->first).c_str(), bytes);
  const auto damaged = store->verify({});
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Code::kCorrupt);
  EXPECT_NE(damaged.error().message.find(victim->first), std::string::npos) << damaged.error().message;
}

}  // namespace
}  // namespace codeq::storage::rocks
