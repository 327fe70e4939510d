// Reads rows of the store for the partition, which never waits for a disk.
//
// Shape    a job runs on the reader's thread and leaves behind what the partition is to do with what it found
// Threads  read: the partition thread. One thread of its own, or none: then `step` runs one job (simulation)
// Cost     bounded by who asks: the partition refuses calls while too many wait here
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace codeq::services {

class Reader {
 public:
  using Then = std::move_only_function<void()>;
  using Job = std::move_only_function<Then()>;
  // `give_back` takes what a job left, on the reader's thread.
  Reader(std::function<void(Then)> give_back, bool threaded);
  ~Reader();

  // `urgent`: before all that are not.
  void read(Job job, bool urgent = false);
  // Runs the next job; false: there was none.
  bool step();
  void stop();

 private:
  void run();

  std::function<void(Then)> give_back_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_, urgent_;
  bool stopping_ = false;
  std::jthread thread_;  // last: joined before anything it uses goes away
};

}  // namespace codeq::services
