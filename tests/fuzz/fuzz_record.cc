// fuzz-room: codeq_core
// A group of log records from anywhere: decoding never reads past its end, and what was read writes and reads alike.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto records = codeq::core::decode_group(bytes);
  if (!records) return 0;
  // What was read is written again: the two directions agree. (Varints have longer forms too, so bytes may differ once.)
  std::string again;
  for (const auto& record : *records) codeq::core::append_record(record, again);
  const auto reread = codeq::core::decode_group(again);
  if (!reread) std::abort();
  std::string third;
  for (const auto& record : *reread) codeq::core::append_record(record, third);
  if (third != again) std::abort();
  return 0;
}
