// One broker process: every room opened in order, joined, and closed in the reverse order.
//
//   start   log -> replay -> partition -> streams -> HTTP last: an accepted connection means ready
//   stop    stop accepting -> end streams -> answer parked polls -> drain HTTP (10 s together) -> partition -> log -> flush spans (5 s)
//
// Errors   start: the first room that cannot open, with the exit status that says so
// Threads  start, stop and the destructor from one thread
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "app/config/load.h"
#include "base/result.h"

namespace codeq::app {

struct StartFailure {
  int exit_status = 1;
  std::string message;
};

// Makes the folder (0700) where there is none; one that holds anything of another program is refused untouched.
// Errors: kInvalidArgument with what to do, kIo
Result<void> check_data_folder(const std::string& path);

class Server {
 public:
  static std::expected<std::unique_ptr<Server>, StartFailure> start(const Config& config, const GetEnv& getenv,
                                                                    bool local_view);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // Nothing: that listener is off.
  [[nodiscard]] std::optional<std::uint16_t> worker_stream_port() const;
  [[nodiscard]] std::optional<std::uint16_t> producer_stream_port() const;
  [[nodiscard]] bool secure() const;  // the HTTP port speaks TLS
  void reload_certificates();  // returns at once
  void stop();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace codeq::app
