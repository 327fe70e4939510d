// The certificates of every listener: opened before anything else, watched while the broker runs.
//
// Errors   open: kInvalidArgument, with the key of the settings and what is wrong with its file
// Threads  open and the destructor from one thread; everything else from any
#pragma once

#include <memory>

#include "app/config/config.h"
#include "base/result.h"
#include "observe/metrics.h"
#include "transport/tls/context.h"
#include "transport/tls/watcher.h"

namespace codeq::app {

class Tls {
 public:
  static Result<std::unique_ptr<Tls>> open(const Config& config);

  // Null: plaintext. Shared with the listener.
  [[nodiscard]] const std::shared_ptr<transport::TlsContext>& http() const { return http_; }
  [[nodiscard]] const std::shared_ptr<transport::TlsContext>& streams() const { return streams_; }  // ALPN h2

  void reload_now();  // at once and in the background, changed or not
  void add_to(observe::Gauges& gauges) const;

 private:
  std::shared_ptr<transport::TlsContext> http_, streams_;
  std::unique_ptr<transport::TlsWatcher> watcher_;  // null: nothing to watch
};

}  // namespace codeq::app
