#include "transport/http/artifacts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace codeq::transport::http {

namespace {

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] bool open() const { return fd_ >= 0; }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

bool sync_folder(const std::filesystem::path& folder) {
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return file.open() && ::fsync(file.get()) == 0;
}

// Makes `folder` and those above it; a new one is synced together with its parent.
bool make_folder(const std::filesystem::path& folder) {
  if (folder.empty()) return true;
  if (::mkdir(folder.c_str(), 0700) == 0) return sync_folder(folder.parent_path());
  if (errno == EEXIST) return true;
  if (errno != ENOENT || folder.parent_path() == folder) return false;
  return make_folder(folder.parent_path()) && make_folder(folder);
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// Under another name first, so that nobody reads half of it.
bool write_file(const std::filesystem::path& folder, const Upload& upload, std::uint64_t serial) {
  const auto draft = folder / ("." + std::to_string(::getpid()) + "-" + std::to_string(serial) + ".part");
  {
    const File file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.open()) return false;
    if (write_all(file.get(), upload.bytes) && ::fsync(file.get()) == 0 &&
        ::rename(draft.c_str(), (folder / upload.name).c_str()) == 0) {
      return true;
    }
  }
  const int error = errno;
  ::unlink(draft.c_str());
  errno = error;
  return false;
}

}  // namespace

struct ArtifactWriter::Impl {
  struct Order {
    std::vector<ArtifactJob> jobs;
    Done done;
  };

  std::filesystem::path dir;
  std::size_t queue_max = 0;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<Order> queue;          // under `mutex`
  std::uint64_t serial = 0;         // the loop's own
  std::jthread loop;                // last: joined before anything it uses goes away

  Written write_job(const ArtifactJob& job) {
    const auto folder = dir / "results" / job.task_id;
    std::vector<core::Artifact> artifacts;
    const auto failed = [](const std::string& name) {
      return fail(Code::kIo, "artifact " + name + " upload: " + std::generic_category().message(errno));
    };
    for (const auto& upload : job.uploads) {
      if (!make_folder(folder) || !write_file(folder, upload, ++serial)) return failed(upload.name);
      artifacts.push_back({.name = upload.name, .url = "file://" + (folder / upload.name).string()});
    }
    if (!sync_folder(folder)) return failed(job.uploads.front().name);
    return artifacts;
  }

  void run(const std::stop_token& stop) {
    for (;;) {
      Order order;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, stop, [this] { return !queue.empty(); });
        if (queue.empty()) return;
        order = std::move(queue.front());
        queue.pop_front();
      }
      std::vector<Written> answers;
      answers.reserve(order.jobs.size());
      for (const auto& job : order.jobs) answers.push_back(write_job(job));
      order.done(std::move(answers));
    }
  }
};

ArtifactWriter::ArtifactWriter(std::string dir, std::size_t queue_max) : impl_(std::make_unique<Impl>()) {
  std::error_code ec;
  impl_->dir = std::filesystem::absolute(dir, ec).lexically_normal();
  if (!impl_->dir.has_filename()) impl_->dir = impl_->dir.parent_path();  // a trailing slash
  impl_->queue_max = queue_max;
  impl_->loop = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
}

ArtifactWriter::~ArtifactWriter() = default;

void ArtifactWriter::write(std::vector<ArtifactJob> jobs, Done done) {
  {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->queue.size() < impl_->queue_max) {
      impl_->queue.push_back({std::move(jobs), std::move(done)});
      impl_->changed.notify_one();
      return;
    }
  }
  std::vector<Written> answers;
  for (std::size_t i = 0; i < jobs.size(); ++i) answers.emplace_back(fail(Code::kOverloaded, "too many uploads"));
  done(std::move(answers));
}

}  // namespace codeq::transport::http
