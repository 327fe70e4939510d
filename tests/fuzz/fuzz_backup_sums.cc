// fuzz-room: codeq_app
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "app/backup/sums.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace app = codeq::app;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto sums = app::parse_sums(text)) {
    CHECK(app::format_sums(*sums) == text);
    for (const auto& sum : *sums) CHECK(sum.path.find("..") == 0 || sum.path.find("/..") == std::string::npos);
  }
  return 0;
}
