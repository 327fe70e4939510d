// What an io thread is told of, and by whom.
#include "transport/http/poller.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <thread>

namespace codeq::transport::http {
namespace {

using namespace std::chrono_literals;

struct Told final : Pollable {
  void on_ready(Ready ready) override {
    ++times;
    last = ready;
    if (act) act();
  }
  int times = 0;
  Ready last{};
  std::function<void()> act;
};

struct PollerTest : testing::Test {
  PollerTest() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ours.emplace(fds[0]);
    theirs.emplace(fds[1]);
  }
  // Until `bursts` have passed.
  void run(int bursts) {
    int seen = 0;
    poller->run(1h, [] {}, [&] {
      if (++seen == bursts) poller->stop();
      return false;
    });
  }
  std::unique_ptr<Poller> poller = Poller::open().value();
  std::optional<Socket> ours, theirs;
  Told told;
  char room[16];
};

TEST_F(PollerTest, ASocketIsToldOfWhatIsThereAlreadyAndOfAChangeOnce) {
  ASSERT_EQ(theirs->send("abc").bytes, 3U);
  ASSERT_TRUE(poller->watch(ours->fd(), told));
  poller->post([] {});  // a burst of its own, or the same
  int bursts = 0;
  poller->run(1h, [] {}, [&] {
    if (++bursts < 20) return true;  // looks again, though nothing is read
    poller->stop();
    return false;
  });
  EXPECT_EQ(told.times, 1);
  EXPECT_TRUE(told.last.input);
  EXPECT_TRUE(told.last.output);
  EXPECT_FALSE(told.last.ended);
  EXPECT_EQ(ours->receive(room, sizeof(room)).bytes, 3U);
  EXPECT_EQ(ours->receive(room, sizeof(room)).outcome, Socket::Outcome::kBlocked);
}

TEST_F(PollerTest, TheEndComesWithTheBytesBeforeIt) {
  ASSERT_TRUE(poller->watch(ours->fd(), told));
  theirs->send("abc");
  theirs.reset();
  run(1);
  EXPECT_EQ(told.times, 1);
  EXPECT_TRUE(told.last.input);
  EXPECT_TRUE(told.last.ended);
  EXPECT_EQ(ours->receive(room, sizeof(room)).outcome, Socket::Outcome::kMoved);
  EXPECT_EQ(ours->receive(room, sizeof(room)).outcome, Socket::Outcome::kEnded);
  EXPECT_EQ(ours->send("x").outcome, Socket::Outcome::kFailed);
}

TEST_F(PollerTest, WhoCouldNotWriteIsToldWhenThereIsRoom) {
  ASSERT_TRUE(poller->watch(ours->fd(), told));
  run(1);  // that it may be written
  const std::string much(1U << 20U, 'x');
  while (ours->send(much).outcome == Socket::Outcome::kMoved) {}
  told.times = 0;
  std::string all(4U << 20U, ' ');
  while (theirs->receive(all.data(), all.size()).outcome == Socket::Outcome::kMoved) {}
  told.act = [&] { poller->stop(); };
  poller->run(1h, [] {}, [] { return false; });
  EXPECT_TRUE(told.last.output);
  EXPECT_EQ(ours->send("x").bytes, 1U);
}

TEST_F(PollerTest, WhatOtherThreadsPostIsDoneInItsOrderAndEachOnce) {
  std::vector<int> done;
  poller->post([&] { done.push_back(-1); });  // before anybody runs
  std::jthread other([&] {
    for (int i = 0; i < 1000; ++i) poller->post([&, i] { done.push_back(i); });
    poller->post([&] { poller->stop(); });
  });
  poller->run(1h, [] {}, [] { return false; });
  ASSERT_EQ(done.size(), 1001U);
  for (int i = 0; i <= 1000; ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i - 1);
}

TEST_F(PollerTest, ItTicksThoughNothingHappens) {
  int ticks = 0;
  poller->run(1ms, [&] { if (++ticks == 3) poller->stop(); }, [] { return false; });
  EXPECT_EQ(ticks, 3);
}

TEST_F(PollerTest, AListenerIsToldUntilItIsForgotten) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const Socket owner(listener);
  ASSERT_EQ(::listen(listener, 4), 0);  // on an address of the system's choice
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const Socket client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.fd(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_TRUE(poller->watch_listener(listener, told));
  told.act = [&] {
    if (told.times == 3) poller->forget(listener);
  };
  int bursts = 0;
  poller->run(1h, [] {}, [&] {
    if (++bursts < 20) return true;  // looks again
    poller->stop();
    return false;
  });
  EXPECT_EQ(told.times, 3);
}

}  // namespace
}  // namespace codeq::transport::http
