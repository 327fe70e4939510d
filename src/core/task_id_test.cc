#include "core/task_id.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace codeq::core {
namespace {

TEST(TaskId, HasTheLayoutThatItsHeaderDraws) {
  const TaskId id{.sequence = 0x0123456789ab, .random = 0x123456789abcdef0, .partition = 0xcde};
  EXPECT_EQ(to_string(id), "01234567-89ab-8cde-9234-56789abcdef0");
  EXPECT_EQ(to_string(TaskId{}), "00000000-0000-8000-8000-000000000000");
  EXPECT_EQ(to_string({.sequence = kSequenceMax, .random = kIdRandomMask, .partition = 0xfff}),
            "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

TEST(TaskId, ReadsBackWhatItWroteForAnyValue) {
  SeededRng rng(1);
  for (int i = 0; i < 10'000; ++i) {
    const TaskId id{.sequence = rng.next() & kSequenceMax,
                    .random = rng.next() & kIdRandomMask,
                    .partition = static_cast<std::uint16_t>(rng.next() & 0xfff)};
    EXPECT_EQ(parse_task_id(to_string(id)), id);
  }
}

TEST(TaskId, IsTheSameInUpperCase) {
  EXPECT_EQ(parse_task_id("01234567-89AB-8CDE-9234-56789ABCDEF0"),
            parse_task_id("01234567-89ab-8cde-9234-56789abcdef0"));
}

TEST(TaskId, LaterTasksOfAPartitionSortBehindEarlierOnes) {
  const TaskId first{.sequence = 7, .random = 99, .partition = 3};
  const TaskId second{.sequence = 8, .random = 1, .partition = 3};
  EXPECT_LT(first, second);
  EXPECT_LT(to_string(first), to_string(second));
}

TEST(TaskId, OfAnotherVersionOrVariantIsNotOurs) {
  EXPECT_FALSE(parse_task_id("01234567-89ab-4cde-9234-56789abcdef0").has_value());
  EXPECT_FALSE(parse_task_id("01234567-89ab-7cde-9234-56789abcdef0").has_value());
  for (const char variant : {'0', '7', 'c', 'f'}) {
    std::string text = "01234567-89ab-8cde-9234-56789abcdef0";
    text[19] = variant;
    EXPECT_FALSE(parse_task_id(text).has_value()) << text;
  }
}

TEST(TaskId, ThatIsNotAUuidIsRefused) {
  const std::string good = "01234567-89ab-8cde-9234-56789abcdef0";
  for (const std::string_view text :
       {"", "x", "0123456789ab8cde923456789abcdef0", "{01234567-89ab-8cde-9234-56789abcdef0}"}) {
    EXPECT_FALSE(parse_task_id(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_task_id(good + "0").has_value());
  EXPECT_FALSE(parse_task_id(good.substr(1)).has_value());
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char bad : {'g', ' ', '\0', '\xff', '_'}) {
      auto text = good;
      text[i] = bad;
      EXPECT_FALSE(parse_task_id(text).has_value()) << text;
    }
  }
}

}  // namespace
}  // namespace codeq::core
