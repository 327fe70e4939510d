// Base64 with the standard alphabet (RFC 4648 section 4).
// Errors   decoding refuses other characters and wrong padding. As in Go, line breaks anywhere are skipped and left-over bits
//          of the last character are not looked at; unlike there, the padding may be left out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace codeq {

std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace codeq
