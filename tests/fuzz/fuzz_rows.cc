// fuzz-room: codeq_core
// Rows of the store: whatever the bytes, decoding stays within them, and what decodes encodes to something that decodes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/state.h"

using namespace codeq::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  if (all.empty()) return 0;
  const auto kind = static_cast<unsigned>(all.front()) % 9;
  const auto bytes = all.substr(1);
  const auto half = bytes.size() / 2;
  Task task;
  State state;
  Delivery delivery;
  switch (kind) {
    case 0:
      if (decode_body(1, bytes, task)) {
        Task again;
        if (!decode_body(1, encode_body(task), again) || again.info->id_text != task.info->id_text) std::abort();
      }
      break;
    case 1:
    case 2:
      if (decode_body(1, bytes.substr(0, half), task)) {
        if (kind == 1)
          (void)decode_live(1, bytes.substr(half), task);
        else
          (void)decode_done(1, bytes.substr(half), task);
      }
      break;
    case 3: (void)decode_live_head(1, bytes); break;
    case 4: (void)decode_retire(bytes.substr(0, 16), bytes.size() > 16 ? bytes.substr(16) : std::string_view()); break;
    case 5: (void)decode_delivery(1, bytes, delivery); break;
    case 7: (void)decode_topic(bytes); break;
    case 8: (void)decode_subscription(bytes); break;
    default:
      if (state.restore_meta(bytes.substr(0, half))) (void)state.restore_queue("0001", bytes.substr(half));
  }
  return 0;
}
