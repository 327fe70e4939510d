#include "storage/rocks/page.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace codeq::storage::rocks {
namespace {

using core::Table;
using Kind = PageRow::Kind;
using Rows = std::map<std::string, std::pair<Kind, std::string>>;

std::string page_of(const Rows& rows) {
  std::string page;
  for (const auto& [key, row] : rows) append_to_page(page, {.kind = row.first, .key = key, .value = row.second});
  return page;
}

Rows rows_of(std::string_view page) {
  Rows rows;
  PageReader reader(page);
  for (PageRow row; reader.next(row);) {
    EXPECT_TRUE(rows.emplace(row.key, std::pair(row.kind, std::string(row.value))).second) << "twice";
  }
  EXPECT_FALSE(reader.damaged());
  return rows;
}

TEST(Page, KeysOfPagesAreInTheOrderOfTheirRows) {
  for (const auto table : {Table::kLive, Table::kBody, Table::kDone, Table::kRetire}) {
    SeededRng rng(3);
    for (int i = 0; i < 1000; ++i) {
      std::string low = core::key_of(rng.next() >> rng.next() % 64), high = core::key_of(rng.next() >> rng.next() % 64);
      low.resize(rng.next() % 12), high.resize(rng.next() % 12);
      if (high < low) std::swap(low, high);
      EXPECT_LE(page_key(table, low), page_key(table, high));
      EXPECT_EQ(same_page(table, low, high), page_key(table, low) == page_key(table, high));
    }
  }
  EXPECT_TRUE(same_page(Table::kBody, core::key_of(32), core::key_of(63)));
  EXPECT_FALSE(same_page(Table::kBody, core::key_of(63), core::key_of(64)));
  EXPECT_EQ(rows_of_page(Table::kBody), 32U);
  EXPECT_TRUE(same_page(Table::kRetire, core::retire_key(1 << 24, 7), core::retire_key((2 << 24) - 1, 1)));
  EXPECT_FALSE(same_page(Table::kRetire, core::retire_key((2 << 24) - 1, 7), core::retire_key(2 << 24, 7)));
  EXPECT_EQ(rows_of_page(Table::kRetire), 0U);
}

TEST(Page, GivesBackWhatWasAppended) {
  const Rows rows{{"", {Kind::kHere, ""}},
                  {"a", {Kind::kHere, std::string(300, 'x')}},
                  {"b", {Kind::kApart, ""}},
                  {std::string("c\0", 2), {Kind::kErased, ""}}};
  const auto page = page_of(rows);
  EXPECT_EQ(rows_of(page), rows);
  PageRow row;
  ASSERT_TRUE(find_in_page(page, "b", row));
  EXPECT_EQ(row.kind, Kind::kApart);
  ASSERT_TRUE(find_in_page(page, "nobody", row));
  EXPECT_EQ(row.kind, Kind::kErased);
}

TEST(Page, AnyOrderOfFoldingGivesTheSamePage) {
  SeededRng rng(4);
  for (int history = 0; history < 300; ++history) {
    std::vector<std::string> pages;
    Rows expected;
    for (auto count = 1 + rng.next() % 6; count > 0; --count) {
      Rows rows;
      for (auto i = rng.next() % 5; i > 0; --i) {
        const auto kind = static_cast<Kind>(rng.next() % 3);
        rows[core::key_of(rng.next() % 6)] = {kind, kind == Kind::kHere ? std::string(rng.next() % 20, 'v') : ""};
      }
      for (const auto& [key, row] : rows) expected[key] = row;
      pages.push_back(page_of(rows));
    }
    std::erase_if(expected, [](const auto& row) { return row.second.first == Kind::kErased; });
    // Some neighbours first, then the rest, as compactions do.
    const auto from = rng.next() % pages.size(), until = from + 1 + rng.next() % (pages.size() - from);
    std::vector<std::string_view> some(pages.begin() + static_cast<std::ptrdiff_t>(from),
                                       pages.begin() + static_cast<std::ptrdiff_t>(until));
    std::string folded, all;
    ASSERT_TRUE(merge_pages(some, false, folded));
    std::vector<std::string_view> rest(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(from));
    rest.push_back(folded);
    rest.insert(rest.end(), pages.begin() + static_cast<std::ptrdiff_t>(until), pages.end());
    ASSERT_TRUE(merge_pages(rest, true, all));
    EXPECT_EQ(rows_of(all), expected);
  }
}

TEST(Page, WhatIsNoPageIsTold) {
  const auto whole = page_of({{"key", {Kind::kHere, "value"}}});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto torn = std::string_view(whole).substr(0, size);
    PageRow row;
    std::string merged;
    EXPECT_FALSE(find_in_page(torn, "other", row)) << size;
    EXPECT_FALSE(merge_pages(std::vector{torn}, true, merged)) << size;
  }
  for (const std::string_view bytes : {std::string_view("\x03\x01k", 3), std::string_view("\x05\x01kv", 4),
                                       std::string_view("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12)}) {
    PageRow row;
    EXPECT_FALSE(find_in_page(bytes, "other", row));
  }
}

}  // namespace
}  // namespace codeq::storage::rocks
