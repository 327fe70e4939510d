// fuzz-room: codeq_app_bench
// Bytes as a server's answer to the bench.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "app/bench/answer.h"
#include "app/bench/server_figures.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  codeq::app::Answer answer;
  if (codeq::app::parse_answer(bytes, answer) == codeq::app::AnswerState::kDone &&
      (answer.size > size || answer.body.size() > answer.size))
    std::abort();
  std::vector<codeq::app::ClaimedTask> tasks;
  codeq::app::find_claimed(bytes, tasks);
  for (const auto& task : tasks) {
    if (task.id.data() < bytes.data() || task.id.data() + task.id.size() > bytes.data() + size) std::abort();
  }
  static_cast<void>(codeq::app::info_label(bytes, "codeq_tracing_info", "sampling"));
  static_cast<void>(codeq::app::cpu_us_of_stat(bytes, 100));
  static_cast<void>(codeq::app::number_of_line(bytes, "VmRSS"));
  static_cast<void>(codeq::app::sample_value(bytes, "codeq_disk_syncs_total"));
  return 0;
}
