// fuzz-room: codeq_core
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "core/task_id.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace core = codeq::core;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto id = core::parse_task_id(text)) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
    CHECK(core::to_string(*id) == lower);
  }
  return 0;
}
