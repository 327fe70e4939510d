// Messages read and written: protobuf for the streams, requests and JSON for HTTP.
#include "messages.h"
#include "stage.h"

namespace codeq::stages {

void add_wire_stages(Stages& stages) {
  constexpr std::size_t kLaps = 20;
  stages.push_back(plain("grpc/read/create", kBurst, kLaps, &read_grpc_creates));
  stages.push_back(plain("grpc/read/ready", kBurst, kLaps, &read_grpc_readies));
  stages.push_back(plain("grpc/read/result", kBurst, kLaps, &read_grpc_results));
  stages.push_back(plain("grpc/write/create_ack", kBurst, kLaps, &write_grpc_create_acks));
  stages.push_back(plain("grpc/write/task", kBurst, kLaps, &write_grpc_tasks));
  stages.push_back(plain("grpc/write/task_batch:32", 32, kLaps, &write_grpc_task_batch));
  stages.push_back(plain("grpc/write/result_ack", kBurst, kLaps, &write_grpc_result_acks));
  stages.push_back(plain("http/read/create", 1, 8 * kLaps, &read_http_create));
  stages.push_back(plain("http/read/create_batch:32", 32, kLaps, &read_http_create_batch));
  stages.push_back(plain("http/read/claim", 1, 8 * kLaps, &read_http_claim));
  stages.push_back(plain("http/read/submit", 1, 8 * kLaps, &read_http_submit));
  stages.push_back(plain("http/write/task", kBurst, kLaps, &write_http_tasks));
}

}  // namespace codeq::stages
