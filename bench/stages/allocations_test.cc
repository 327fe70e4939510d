// How often each operation asks for memory in steady state, against a budget. A program of its own: it replaces new.
//
// Shape    whole operations through a partition in one thread (quiet_broker.h), then the messages of both wires; payload of
//          300 bytes, one batch size at a time. Counts do not depend on the machine, the sanitizer or the time
// Budget   the most that a task may cost, on average over 1,024 of them, and what it is for. Fewer is always fine: then
//          lower the budget. The table that the test prints says both
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "core/json_scan.h"
#include "messages.h"
#include "transport/grpc/messages.h"
#include "transport/http/decode.h"
#include "transport/http/json_write.h"
#include "transport/http/request.h"
#include "work.h"

namespace {
thread_local std::uint64_t allocations = 0;

void* counted(std::size_t size, std::size_t alignment = 0) {
  ++allocations;
  void* memory = alignment == 0 ? std::malloc(size)
                                : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// noinline: g++ otherwise sees free() meet a pointer of operator new and warns.
#define CODEQ_COUNTED [[gnu::noinline]]
using Size = std::size_t;
using Align = std::align_val_t;
using NoThrow = const std::nothrow_t&;
CODEQ_COUNTED void* operator new(Size size) { return counted(size); }
CODEQ_COUNTED void* operator new[](Size size) { return counted(size); }
CODEQ_COUNTED void* operator new(Size size, Align to) { return counted(size, static_cast<Size>(to)); }
CODEQ_COUNTED void* operator new[](Size size, Align to) { return counted(size, static_cast<Size>(to)); }
CODEQ_COUNTED void* operator new(Size size, NoThrow) noexcept { return ++allocations, std::malloc(size); }
CODEQ_COUNTED void* operator new[](Size size, NoThrow) noexcept { return ++allocations, std::malloc(size); }
CODEQ_COUNTED void operator delete(void* memory) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete[](void* memory) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete(void* memory, Size) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete[](void* memory, Size) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete(void* memory, Align) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete[](void* memory, Align) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete(void* memory, Size, Align) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete[](void* memory, Size, Align) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete(void* memory, NoThrow) noexcept { std::free(memory); }
CODEQ_COUNTED void operator delete[](void* memory, NoThrow) noexcept { std::free(memory); }

namespace codeq::stages {
namespace {

constexpr std::size_t kTasks = 1024;  // that are counted, after as many that are not

class Count {
 public:
  template <class Act>
  void add(Act&& act) {
    const auto before = allocations;
    act();
    count_ += allocations - before;
  }
  void restart() { count_ = 0; }
  // `budget`: allocations for each of `items`.
  void within(const std::string& what, double budget, std::size_t items = kTasks) const {
    const double each = static_cast<double>(count_) / static_cast<double>(items);
    std::printf("%-44s %8.2f of %5.1f\n", what.c_str(), each, budget);
    EXPECT_LE(each, budget) << what << " asks for memory more often than it may";
  }

 private:
  std::uint64_t count_ = 0;
};

struct Budget {
  double create, claim, submit, image;
};

void expect_cycles_within(std::size_t batch, double sample_ratio, const std::string& name, const Budget& budget) {
  QuietBroker broker(sample_ratio);
  Work work(broker, batch);
  Count create, claim, submit, image;
  for (int lap = 0; lap < 2; ++lap) {
    for (auto* count : {&create, &claim, &submit, &image}) count->restart();
    for (std::size_t i = 0; i < kTasks / batch; ++i) {
      create.add([&] { work.create(); });
      claim.add([&] { work.claim(); });
      submit.add([&] { work.submit(); });
    }
    image.add([&] { broker.cut(); });
  }
  ASSERT_EQ(work.completed(), 2 * kTasks);
  create.within("create, " + name, budget.create);
  claim.within("claim, " + name, budget.claim);
  submit.within("submit, " + name, budget.submit);
  image.within("image, " + name, budget.image);
}

// What a task itself needs, in any batch:
//   create  its payload (2: the call's, then the shared one), its info and the text of its id, its first five events, its
//           place in the table
//   claim   the lease's place in time
//   submit  the id as it was asked for, the result, the row that says when the task goes (2), and once its commit is known
//           the task as its row, with the result in it (decision 0013)
//   image   nothing more
// A call adds what one call needs: its command in the inbox, the functions that answer it, its lists, the group of the log,
// and the names of its worker and queue.

TEST(Allocations, OfWholeCyclesOneAtATimeAreWithinTheirBudget) {
  expect_cycles_within(1, -1, "1 at a time", {.create = 14.5, .claim = 8.5, .submit = 11.5, .image = 0.1});
}

TEST(Allocations, OfWholeCyclesInBatchesAreWithinTheirBudget) {
  expect_cycles_within(32, -1, "32 at a time", {.create = 6.6, .claim = 1.6, .submit = 5.5, .image = 0.1});
}

// Spans cost nothing but the growth of the lists in which they wait for their commit.
TEST(Allocations, OfWholeCyclesInBatchesAreWithinTheirBudgetWhenEveryTraceIsKept) {
  expect_cycles_within(32, 1, "32 at a time, every trace kept",
                       {.create = 6.6, .claim = 1.6, .submit = 5.5, .image = 0.1});
}

TEST(Allocations, OfALeasesOwnerAreWithinTheirBudget) {
  QuietBroker broker;
  Work work(broker, 32);
  Count heartbeat, nack;
  for (int lap = 0; lap < 2; ++lap) {
    heartbeat.restart();
    nack.restart();
    for (std::size_t i = 0; i < kTasks / work.batch(); ++i) {
      work.create();
      work.claim();
      heartbeat.add([&] { work.heartbeat(); });
      nack.add([&] { work.nack(); });
      broker.pass_ns(2 * kNanosPerSecond);  // the delay of the nack is over
      work.claim();
      work.submit();
    }
    broker.cut();
  }
  ASSERT_EQ(work.beats(), 2 * kTasks);
  ASSERT_EQ(work.nacked(), 2 * kTasks);
  ASSERT_EQ(work.completed(), 2 * kTasks);
  // The command in the inbox with its functions, what it carries, the answer; one call each, all of them in one group of the log.
  heartbeat.within("heartbeat", 4.3);
  nack.within("nack", 4.3);
}

// A message that a connection reads or writes over and over, in buffers that it keeps.
void expect_within(const std::string& what, double budget, std::size_t items, std::move_only_function<void()> act) {
  act();
  Count count;
  for (int i = 0; i < 4; ++i) count.add(act);
  count.within(what, budget, 4 * items);
}

TEST(Allocations, OfTheStreamsMessagesAreWithinTheirBudget) {
  expect_within("grpc, read create", 0.1, kBurst, read_grpc_creates());  // a burst beyond 4 KiB is not kept
  expect_within("grpc, read ready", 1, kBurst, read_grpc_readies());  // the list of its commands
  expect_within("grpc, read result", 0, kBurst, read_grpc_results());
  expect_within("grpc, write create ack", 0, kBurst, write_grpc_create_acks());
  expect_within("grpc, write task", 0, kBurst, write_grpc_tasks());
  expect_within("grpc, write task, batch of 32", 0, 32, write_grpc_task_batch());
  expect_within("grpc, write result ack", 0, kBurst, write_grpc_result_acks());
}

TEST(Allocations, OfHttpsMessagesAreWithinTheirBudget) {
  expect_within("http, read create", 1, 1, read_http_create());  // the payload
  expect_within("http, read create, batch of 32", 1.3, 32, read_http_create_batch());  // and the growing list
  expect_within("http, read claim", 1, 1, read_http_claim());  // the list of its commands
  expect_within("http, read submit", 0, 1, read_http_submit());
  expect_within("http, write task", 0, kBurst, write_http_tasks());
}

}  // namespace
}  // namespace codeq::stages
