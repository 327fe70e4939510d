// Writes artifacts that came as content to disk, off the connection threads, before the record that names them.
//
// Shape    <dir>/results/<task id>/<name>, files 0600, folders 0700; a file appears whole, and is synced with every folder
//          above it that may be new before `done` is called
// Errors   kIo "artifact <name> upload: ..."; kOverloaded when the queue is full
// Threads  `write` from any thread; `done` is called on the writer's own thread, exactly once
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/task.h"
#include "transport/http/decode.h"

namespace codeq::transport::http {

struct ArtifactJob {
  std::string task_id;  // in the form that core prints: it becomes a folder's name
  std::vector<Upload> uploads;  // names are valid_artifact_name
};

class ArtifactWriter {
 public:
  using Written = Result<std::vector<core::Artifact>>;  // one `file://` URL per upload, in order
  using Done = std::move_only_function<void(std::vector<Written>)>;

  explicit ArtifactWriter(std::string dir, std::size_t queue_max = 256);
  ~ArtifactWriter();  // what was queued is answered first
  ArtifactWriter(const ArtifactWriter&) = delete;
  ArtifactWriter& operator=(const ArtifactWriter&) = delete;

  // One answer per job, in order.
  void write(std::vector<ArtifactJob> jobs, Done done);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace codeq::transport::http
