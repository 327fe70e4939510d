#include "base/base64.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace codeq {
namespace {

TEST(Base64, MatchesTheVectorsOfRfc4648) {
  for (const auto& [bytes, text] : {std::pair{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes);
  }
  EXPECT_EQ(encode_base64("\xfb\xff\xfe"), "+//+");
}

TEST(Base64, PaddingMayBeLeftOutAndLinesMayBreakAnywhere) {
  EXPECT_EQ(decode_base64("Zg"), "f");
  EXPECT_EQ(decode_base64("Zm8"), "fo");
  EXPECT_EQ(decode_base64("Zm\r\n9vY\ng=\n=\n"), "foob");
  EXPECT_EQ(decode_base64("Zh=="), "f");  // bits left over
}

TEST(Base64, RefusesWhatItIsNot) {
  for (const std::string_view text : {"Z", "Zm9vY", "Zg=", "Zg===", "=", "==", "====", "Zm9v=", "Zm9v====", "Zg==Zg==",
                                      "Z=g=", "Zm9v ", "Zm 9v", "Zm-_", "Zm9\t", "\xff\xff\xff\xff"}) {
    EXPECT_FALSE(decode_base64(text).has_value()) << text;
  }
}

TEST(Base64, AnyBytesComeBack) {
  SeededRng rng(2);
  for (std::size_t length = 0; length < 200; ++length) {
    std::string bytes(length, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(rng.next());
    auto text = encode_base64(bytes);
    EXPECT_EQ(text.size() % 4, 0U);
    EXPECT_EQ(decode_base64(text), bytes);
    while (text.ends_with('=')) text.pop_back();
    EXPECT_EQ(decode_base64(text), bytes);
  }
}

}  // namespace
}  // namespace codeq
