// codeq_stream_bench: full cycles over the gRPC streams, each create, result and credit a message of its own (or batches).
//
//   codeq_stream_bench --producer-port N --worker-port N --producer-token T --worker-token T --server-pid PID
//                      [--producers 8] [--workers 8] [--window 64] [--batch 1] [--seconds 5] [--payload 300]
//
// Shape    a thread per connection; a producer keeps `window` creates unacknowledged, a worker keeps `window` credits open
// Counts   a cycle when its result was acknowledged with ok. Server CPU from /proc, per cycle. Writes one JSON line
#include <fmt/format.h>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "app/bench/report.h"
#include "transport/grpc/test_client.h"

namespace {

using codeq::transport::grpc::StreamClient;
using protozero::pbf_reader;
using protozero::pbf_writer;

struct Options {
  std::uint16_t producer_port = 9092, worker_port = 9091;
  std::string producer_token, worker_token;
  int server_pid = 0;
  std::uint32_t producers = 8, workers = 8, window = 64, batch = 1, seconds = 5, payload = 300;
};

std::atomic<bool> stop{false};
std::atomic<std::uint64_t> created{0}, completed{0}, refused{0};
std::atomic<std::int64_t> waiting{0};  // created and not yet completed

template <class Write>
std::string event(std::uint32_t tag, Write&& write) {
  std::string body, message;
  pbf_writer inner(body);
  write(inner);
  pbf_writer(message).add_message(tag, body);
  return message;
}
std::string hello(const std::string& token) {
  return event(1, [&](pbf_writer& out) { out.add_string(1, token); });
}

void produce(const Options& options) {
  StreamClient client(options.producer_port, "/producerpb.ProducerStream/Stream");
  client.send(hello(options.producer_token));
  if (!client.receive()) return;
  const std::string payload = "\"" + std::string(options.payload - 2, 'x') + "\"";
  std::uint64_t seq = 0;
  std::uint32_t open = 0;
  while (!stop) {
    while (open + options.batch <= options.window && waiting < std::int64_t{options.window} * options.producers) {
      const auto task = [&](pbf_writer& out) {
        out.add_uint64(1, ++seq);
        out.add_string(2, "BENCH");
        out.add_bytes(3, payload);
      };
      if (options.batch == 1) {
        client.send(event(2, task));
      } else {
        client.send(event(3, [&](pbf_writer& out) {
          for (std::uint32_t i = 0; i < options.batch; ++i) {
            std::string one;
            pbf_writer writer(one);
            task(writer);
            out.add_message(1, one);
          }
        }));
      }
      open += options.batch;
      waiting += options.batch;
    }
    client.flush();
    if (open == 0) {
      std::this_thread::yield();
      continue;
    }
    if (client.messages.empty() && !client.pump()) return;
    for (; !client.messages.empty(); client.messages.pop_front()) {
      pbf_reader reader(client.messages.front());
      const auto ack = [&](pbf_reader one) {
        bool ok = false;
        while (one.next()) one.tag() == 2 ? void(ok = one.get_bool()) : one.skip();
        --open;
        ok ? ++created : ++refused;
        if (!ok) --waiting;
      };
      while (reader.next()) {
        if (reader.tag() == 2) {
          ack(reader.get_message());
        } else if (reader.tag() == 4) {
          auto batch = reader.get_message();
          while (batch.next(1)) ack(batch.get_message());
        } else {
          reader.skip();
        }
      }
    }
  }
}

void work(const Options& options) {
  StreamClient client(options.worker_port, "/workerpb.WorkerStream/Stream");
  client.send(hello(options.worker_token));
  if (!client.receive()) return;
  const auto ready = event(2, [&](pbf_writer& out) {
    out.add_string(1, "BENCH");
    out.add_int32(2, 300);
    out.add_int32(3, static_cast<std::int32_t>(options.batch));
  });
  for (std::uint32_t i = 0; i < options.window / options.batch; ++i) client.send(ready);
  client.flush();
  const auto id_of = [](pbf_reader task) {
    std::string id;
    while (task.next()) task.tag() == 1 ? void(id = task.get_string()) : task.skip();
    return id;
  };
  const auto result = [](pbf_writer& out, const std::string& id) {
    out.add_string(1, id);
    out.add_string(2, "COMPLETED");
    out.add_bytes(3, "{\"ok\":true}");
  };
  while (client.pump()) {
    for (; !client.messages.empty(); client.messages.pop_front()) {
      pbf_reader reader(client.messages.front());
      while (reader.next()) {
        switch (reader.tag()) {
          case 2: {
            auto assignment = reader.get_message();
            while (assignment.next(1)) {
              const auto id = id_of(assignment.get_message());
              client.send(event(3, [&](pbf_writer& out) { result(out, id); }));
            }
            client.send(ready);
            break;
          }
          case 8: {
            auto batch = reader.get_message();
            client.send(event(7, [&](pbf_writer& out) {
              while (batch.next(1)) {
                const auto id = id_of(batch.get_message());
                std::string one;
                pbf_writer writer(one);
                result(writer, id);
                out.add_message(1, one);
              }
            }));
            client.send(ready);
            break;
          }
          case 3:
          case 9: {
            const bool single = reader.tag() == 3;
            auto body = reader.get_message();
            const auto ack = [&](pbf_reader one) {
              bool ok = false;
              while (one.next()) one.tag() == 2 ? void(ok = one.get_bool()) : one.skip();
              ok ? ++completed : ++refused;
              --waiting;
            };
            if (single)
              ack(body);
            else
              while (body.next(1)) ack(body.get_message());
            break;
          }
          default: reader.skip();
        }
      }
    }
    client.flush();
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  const auto number = [&](const char* name, auto& value) {
    if (given.contains(name))
      value = static_cast<std::remove_reference_t<decltype(value)>>(std::strtoul(given[name].c_str(), nullptr, 10));
  };
  number("--producer-port", options.producer_port);
  number("--worker-port", options.worker_port);
  number("--server-pid", options.server_pid);
  number("--producers", options.producers);
  number("--workers", options.workers);
  number("--window", options.window);
  number("--batch", options.batch);
  number("--seconds", options.seconds);
  number("--payload", options.payload);
  options.producer_token = given["--producer-token"];
  options.worker_token = given["--worker-token"];
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < options.workers; ++i) threads.emplace_back([&] { work(options); });
  for (std::uint32_t i = 0; i < options.producers; ++i) threads.emplace_back([&] { produce(options); });
  std::this_thread::sleep_for(std::chrono::seconds(1));  // warm-up
  const auto before = completed.load();
  const auto cpu_before = codeq::app::process_cpu_us(options.server_pid);
  const auto machine_before = codeq::app::machine_times();
  const auto began = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto cpu_after = codeq::app::process_cpu_us(options.server_pid);
  const auto machine_after = codeq::app::machine_times();
  const auto done = completed - before;
  const double cpu = cpu_before && cpu_after && done > 0
                         ? static_cast<double>(*cpu_after - *cpu_before) / static_cast<double>(done)
                         : 0;
  const double stolen =
      machine_before && machine_after ? codeq::app::stolen_percent(*machine_before, *machine_after) : 0;
  fmt::print(
      "{{\"completed_per_second\":{:.0f},\"server_cpu_us_per_task\":{:.2f},\"cpu_stolen_percent\":{:.1f},\"refused\":{},\"producers\":{},\"workers\":{},"
      "\"window\":{},\"batch\":{},\"payload\":{}}}\n",
      static_cast<double>(done) / seconds, cpu, stolen, refused.load(), options.producers, options.workers, options.window,
      options.batch, options.payload);
  std::fflush(stdout);
  _exit(done > 0 ? 0 : 1);  // the threads wait for messages that do not come any more
}
