// fuzz-room: codeq_app_bench
// Bytes as a message that a server of streams sends to the bench, and as a payload that it hands out.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "app/bench/payload.h"
#include "app/bench/stream_messages.h"

namespace {

std::string_view all;

void check_inside(std::string_view part) {
  if (!part.empty() && part.data() >= all.data() && part.data() + part.size() > all.data() + all.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  all = {reinterpret_cast<const char*>(data), size};
  codeq::app::ProducerAnswer produced;
  if (codeq::app::read_producer_answer(all, produced)) {
    for (const auto& ack : produced.acks) check_inside(ack.task_id), check_inside(ack.error);
  }
  codeq::app::WorkerAnswer worked;
  if (codeq::app::read_worker_answer(all, worked)) {
    for (const auto& ack : worked.acks) check_inside(ack.task_id), check_inside(ack.error);
    for (const auto& task : worked.tasks) {
      check_inside(task.id);
      check_inside(codeq::app::read_payload(task.payload).run);
    }
  }
  check_inside(codeq::app::read_payload(all).run);
  return 0;
}
