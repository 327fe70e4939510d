#include "core/json_pen.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "base/rng.h"
#include "core/json_scan.h"
#include "core/utf8.h"

namespace codeq::core {
namespace {

using namespace std::string_view_literals;

// As the header says it, one character at a time.
std::string escaped_slowly(std::string_view text) {
  std::string out;
  for (const char* at = text.data(); at != text.data() + text.size();) {
    const auto length = utf8_length(at, text.data() + text.size());
    const std::string_view character(at, length == 0 ? 1 : length);
    at += character.size();
    const auto byte = static_cast<unsigned char>(character[0]);
    constexpr auto kLetters = "bfnrt"sv;
    const auto letter = "\b\f\n\r\t"sv.find(character[0]);
    if (length == 0)
      out += "\\ufffd";
    else if (character == "\u2028" || character == "\u2029")
      out += character == "\u2028" ? "\\u2028" : "\\u2029";
    else if (character == "\"" || character == "\\")
      out += '\\' + std::string(character);
    else if (letter != std::string_view::npos)
      out += std::string("\\") + kLetters[letter];
    else if (byte < 0x20 || character == "<" || character == ">" || character == "&")
      out += "\\u00" + std::string(1, "0123456789abcdef"[byte / 16]) + "0123456789abcdef"[byte % 16];
    else
      out += character;
  }
  return out;
}

TEST(JsonPen, EscapesAnyTextAsOneCharacterAtATimeWould) {
  constexpr std::array kPieces{"plain"sv, "\""sv,     "\\"sv,     "<"sv,    ">"sv,    "&"sv,
                               "\n"sv,    "\x01"sv,   "\x1f"sv,   "\x7f"sv, "é"sv,    "€"sv,
                               "😀"sv,    "\u2028"sv, "\u2029"sv, "\xff"sv, "\xe2"sv, "\xc3"sv,
                               "слово"sv, "="sv,      "?"sv,      "'"sv,    "%"sv,    "sixteen and more"sv};
  SeededRng rng(20261128);
  for (int round = 0; round < 4'000; ++round) {
    std::string text;
    const bool long_one = round % 50 == 0;  // more than the pen's buffer
    for (auto pieces = rng.next() % (long_one ? 2'000 : 12); pieces > 0; --pieces)
      text += kPieces[static_cast<std::size_t>(rng.next() % kPieces.size())];
    std::string out = "before";
    append_json_string(out, text);
    ASSERT_EQ(out, "before\"" + escaped_slowly(text) + '"');
    ASSERT_TRUE(valid_json(std::string_view(out).substr(6)));
  }
}

TEST(JsonPen, WritesInOrderWhateverTheSizeOfItsPieces) {
  std::string out, expected;
  {
    JsonPen pen(out);
    for (std::size_t i = 0; i < 600; ++i) {
      const std::string piece(i, static_cast<char>('a' + i % 26));
      pen.raw(piece);
      pen.raw("-literal-");
      pen.number(-static_cast<std::int64_t>(i));
      pen.quoted(piece);
      auto* at = pen.room(JsonPen::kRoomMax);
      *at = '!';
      pen.wrote(at + 1);
      expected += piece + "-literal-" + std::to_string(-static_cast<int>(i)) + '"' + piece + "\"!";
    }
  }
  EXPECT_EQ(out, expected);
}

}  // namespace
}  // namespace codeq::core
