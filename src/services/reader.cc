#include "services/reader.h"
#include "base/thread_name.h"

#include <utility>

namespace codeq::services {

Reader::Reader(std::function<void(Then)> give_back, bool threaded) : give_back_(std::move(give_back)) {
  if (threaded) thread_ = std::jthread([this] {
    name_thread("reader");
    run();
  });
}

Reader::~Reader() { stop(); }

void Reader::read(Job job, bool urgent) {
  {
    const std::scoped_lock lock(mutex_);
    (urgent ? urgent_ : jobs_).push_back(std::move(job));
  }
  wake_.notify_one();
}

bool Reader::step() {
  Job job;
  {
    const std::scoped_lock lock(mutex_);
    auto& from = urgent_.empty() ? jobs_ : urgent_;
    if (from.empty()) return false;
    job = std::move(from.front());
    from.pop_front();
  }
  give_back_(job());
  return true;
}

void Reader::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Reader::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty() || !urgent_.empty(); });
      if (stopping_) return;
    }
    step();
  }
}

}  // namespace codeq::services
