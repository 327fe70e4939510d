#include "log/local/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"

namespace codeq::log::local {
namespace {

TEST(Crc32c, AgreesWithTheVectorsOfRfc3720) {
  std::string rising;
  std::string falling;
  for (int i = 0; i < 32; ++i) {
    rising += static_cast<char>(i);
    falling += static_cast<char>(31 - i);
  }
  // Appendix B.4 lists the bytes as they travel, that is least significant first.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c(rising), 0x46dd794eU);
  EXPECT_EQ(crc32c(falling), 0x113fdb5cU);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(Crc32c, TheTableAndTheProcessorAgreeOnEveryLengthAndSplit) {
  SeededRng rng(7);
  std::string bytes;
  for (int length = 0; length < 100; ++length) {
    EXPECT_EQ(crc32c(bytes), crc32c_extend_by_table(0, bytes)) << length;
    const std::string_view view = bytes;
    const std::size_t split = view.size() / 3;
    EXPECT_EQ(crc32c(bytes), crc32c_extend(crc32c(view.substr(0, split)), view.substr(split))) << length;
    bytes += static_cast<char>(rng.next());
  }
}

}  // namespace
}  // namespace codeq::log::local
