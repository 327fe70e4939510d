#include "storage/contract/store_contract.h"

#include <map>
#include <utility>

#include "base/rng.h"

namespace codeq::storage {
namespace {

Blob blob(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }
std::string text(const Blob& value) { return value == nullptr ? "(nothing)" : *value; }

TEST_P(StoreContract, IsEmptyAtPositionZeroAtFirst) {
  EXPECT_EQ(store_->position(), 0U);
  EXPECT_EQ(store_->get(Family::kPayload, 1), nullptr);
}

TEST_P(StoreContract, GivesBackWhatWasWrittenByteForByte) {
  const std::string bytes("\0\xff{\"a\": 1e999}", 15);
  store_->write(1, {{Family::kPayload, 7, blob(bytes)}, {Family::kPayload, 8, blob("")}});
  EXPECT_EQ(text(store_->get(Family::kPayload, 7)), bytes);
  EXPECT_EQ(text(store_->get(Family::kPayload, 8)), "");
  EXPECT_EQ(store_->get(Family::kPayload, 9), nullptr);
  EXPECT_EQ(store_->position(), 1U);
}

TEST_P(StoreContract, KeepsAPayloadAndAResultOfOneTaskApart) {
  store_->write(1, {{Family::kPayload, 7, blob("in")}, {Family::kResult, 7, blob("out")}});
  store_->write(2, {{Family::kPayload, 7, nullptr}});
  EXPECT_EQ(store_->get(Family::kPayload, 7), nullptr);
  EXPECT_EQ(text(store_->get(Family::kResult, 7)), "out");
}

TEST_P(StoreContract, TheLastWriteOfARowWinsAlsoWithinOneBatch) {
  store_->write(1, {{Family::kResult, 1, blob("old")},
                    {Family::kResult, 1, blob("new")},
                    {Family::kResult, 2, blob("x")},
                    {Family::kResult, 2, nullptr}});
  EXPECT_EQ(text(store_->get(Family::kResult, 1)), "new");
  EXPECT_EQ(store_->get(Family::kResult, 2), nullptr);
}

TEST_P(StoreContract, ErasingWhatIsNotThereIsNoHarm) {
  store_->write(3, {{Family::kPayload, 1, nullptr}});
  EXPECT_EQ(store_->position(), 3U);
}

TEST_P(StoreContract, WhatWasHandedOutOutlivesItsRow) {
  store_->write(1, {{Family::kPayload, 1, blob("still being sent")}});
  const Blob held = store_->get(Family::kPayload, 1);
  store_->write(2, {{Family::kPayload, 1, nullptr}});
  EXPECT_EQ(text(held), "still being sent");
}

TEST_P(StoreContract, ThePositionMovesWithoutWritesToo) {
  store_->write(5, {});
  EXPECT_EQ(store_->position(), 5U);
}

TEST_P(StoreContract, AnswersLikeAMapAfterAnyHistory) {
  SeededRng rng(20);
  std::map<std::pair<Family, std::uint64_t>, std::string> model;
  for (std::uint64_t position = 1; position <= 2000; ++position) {
    std::vector<Write> writes;
    for (std::uint64_t i = rng.next() % 4; i > 0; --i) {
      const Family family = rng.next() % 2 == 0 ? Family::kPayload : Family::kResult;
      const std::uint64_t sequence = rng.next() % 50;
      if (rng.next() % 3 == 0) {
        writes.push_back({family, sequence, nullptr});
        model.erase({family, sequence});
      } else {
        const std::string value = std::to_string(rng.next());
        writes.push_back({family, sequence, blob(value)});
        model[{family, sequence}] = value;
      }
    }
    store_->write(position, writes);
    for (const Family family : {Family::kPayload, Family::kResult}) {
      const std::uint64_t sequence = rng.next() % 50;
      const auto expected = model.find({family, sequence});
      ASSERT_EQ(text(store_->get(family, sequence)), expected == model.end() ? "(nothing)" : expected->second);
    }
  }
}

}  // namespace
}  // namespace codeq::storage
