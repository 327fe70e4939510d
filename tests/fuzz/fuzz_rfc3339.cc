// fuzz-room: codeq_core
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/check.h"
#include "core/rfc3339.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace core = codeq::core;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ns = core::parse_rfc3339(text)) {
    CHECK(*ns >= core::kTimeMinNs && *ns <= core::kTimeMaxNs);
    for (const int offset : {0, -3 * 3600, 14 * 3600, 5 * 3600 + 45 * 60}) {
      std::string written;
      core::append_rfc3339_nanos(written, *ns, offset);
      CHECK(core::parse_rfc3339(written) == ns);
    }
  }
  CHECK(codeq::decode_base64(codeq::encode_base64(text)) == text);
  if (const auto bytes = codeq::decode_base64(text)) CHECK(codeq::decode_base64(codeq::encode_base64(*bytes)) == bytes);
  return 0;
}
