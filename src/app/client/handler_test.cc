#include "app/client/handler.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace codeq::app::client {
namespace {

using Kind = HandlerEnd::Kind;
using std::chrono::seconds;

HandlerJob shell(const std::string& script, std::string_view input = "") {
  return {.words = {"sh", "-c", script},
          .variables = {},
          .input = input,
          .label = "task",
          .timeout = {},
          .kill_after = seconds(20),
          .output_bytes_max = 1 << 20};
}

// As main() does it.
[[maybe_unused]] const auto kPipesIgnored = std::signal(SIGPIPE, SIG_IGN);

HandlerEnd run(const HandlerJob& job) {
  HandlerStop stop;
  SystemClock clock;
  auto end = run_handler(job, stop, clock);
  EXPECT_TRUE(end) << end.error().message;
  return end ? *std::move(end) : HandlerEnd{};
}

TEST(Handler, ReadsItsInputAndItsOutputIsKept) {
  const auto end = run(shell("cat; exit 3", "hello"));
  EXPECT_EQ(end.kind, Kind::kExited);
  EXPECT_EQ(end.code, 3);
  EXPECT_EQ(end.output, "hello");
}

TEST(Handler, MuchInputAndMuchOutputDoNotBlockEachOther) {
  const std::string input(4 << 20, 'x');
  auto job = shell("cat", input);
  job.output_bytes_max = 8 << 20;
  EXPECT_EQ(run(job).output, input);
}

TEST(Handler, MayLeaveItsInputUnread) {
  const std::string input(4 << 20, 'x');
  EXPECT_EQ(run(shell("echo done", input)).output, "done\n");
  EXPECT_EQ(run(shell("exec 0<&-; echo closed", input)).output, "closed\n");
}

TEST(Handler, OutputBeyondTheBoundIsReadAndDropped) {
  auto job = shell("head -c 300000 /dev/zero; echo end >&2");
  job.output_bytes_max = 1000;
  const auto end = run(job);
  EXPECT_EQ(end.output.size(), 1000U);
  EXPECT_TRUE(end.output_over);
  EXPECT_EQ(end.code, 0) << "it was not kept from writing";
  EXPECT_EQ(end.last_line, "end");
}

TEST(Handler, ErrorsGoOnLineByLineBehindTheLabel) {
  ::testing::internal::CaptureStderr();
  const auto end = run(shell("printf 'one\\ntwo' >&2; echo out"));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "[task] one\n[task] two\n");
  EXPECT_EQ(end.last_line, "two");
  EXPECT_EQ(end.output, "out\n");
}

TEST(Handler, InheritsNothingButItsThreeDescriptorsAndNoSignalSettings) {
  const int leak = ::dup(STDIN_FILENO);  // without CLOEXEC, as a careless parent leaves it
  const auto end = run(shell("ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/self/status"));
  ::close(leak);
  // The fourth is the folder that ls reads.
  EXPECT_TRUE(end.output.starts_with("0 1 2 3 ")) << end.output;
  EXPECT_EQ(end.output.find(" 4 "), std::string::npos) << end.output;
  // Bits 31 and 32 are the C library's own, which ignores them in whatever it spawns.
  const auto ignored = std::stoull(end.output.substr(end.output.find("SigIgn:") + 7), nullptr, 16);
  EXPECT_EQ(ignored & 0x7fffffffU, 0U) << end.output;
}

TEST(Handler, GetsItsVariablesAndLosesThoseThatAreEmpty) {
  ::setenv("TRACEPARENT", "ours", 1);
  ::setenv("TRACESTATE", "ours", 1);
  auto job = shell("echo ${TRACEPARENT-none} ${TRACESTATE-none}");
  job.variables = {{"TRACEPARENT", "theirs"}, {"TRACESTATE", ""}};
  EXPECT_EQ(run(job).output, "theirs none\n");
  ::unsetenv("TRACEPARENT");
  ::unsetenv("TRACESTATE");
}

TEST(Handler, EndsAtItsTimeoutBySigterm) {
  auto job = shell("sleep 60");
  job.timeout = std::chrono::milliseconds(50);
  const auto end = run(job);
  EXPECT_EQ(end.kind, Kind::kTimedOut);
  EXPECT_TRUE(end.signalled);
  EXPECT_EQ(end.code, SIGTERM);
}

TEST(Handler, ThatIgnoresSigtermIsKilledWithItsWholeGroup) {
  auto job = shell("trap '' TERM; sleep 60 & sleep 60");
  job.timeout = std::chrono::milliseconds(200);
  job.kill_after = std::chrono::milliseconds(50);
  const auto end = run(job);
  EXPECT_EQ(end.kind, Kind::kTimedOut);
  EXPECT_EQ(end.code, SIGKILL);
}

TEST(Handler, WhatItLeavesBehindIsKilledAndDoesNotHoldUpTheResult) {
  std::string name = ::testing::TempDir() + "codeq-handler.XXXXXX";
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const auto end = run(shell("sleep 300 & echo $! > " + name + "/pid; echo done"));
  EXPECT_EQ(end.output, "done\n");
  pid_t left = 0;
  std::ifstream(name + "/pid") >> left;
  ASSERT_GT(left, 0);
  // It was sent SIGKILL, which the kernel carries out in its own time: soon it is gone, or a zombie that nobody has buried.
  const auto runs = [left] {
    std::string text;
    std::ifstream stat("/proc/" + std::to_string(left) + "/stat");
    std::getline(stat, text);
    return !text.empty() && text.find(") Z ") == std::string::npos && text.find(") X ") == std::string::npos;
  };
  while (runs()) std::this_thread::yield();
  std::filesystem::remove_all(name);
}

TEST(Handler, StopsWhenItIsAskedToFromAnotherThread) {
  HandlerStop stop;
  SystemClock clock;
  stop.ask(StopReason::kLeaseLost);
  const auto end = run_handler(shell("sleep 60"), stop, clock);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->kind, Kind::kLeaseLost);
  HandlerStop kill;
  kill.ask(StopReason::kKill);
  const auto killed = run_handler(shell("trap '' TERM; sleep 60"), kill, clock);
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->kind, Kind::kStopped);
  EXPECT_EQ(stop.reason(), StopReason::kLeaseLost);
}

TEST(Handler, AProgramThatIsNotThereIsAnError) {
  HandlerStop stop;
  SystemClock clock;
  auto job = shell("");
  job.words = {"/nowhere/program"};
  EXPECT_FALSE(run_handler(job, stop, clock));
  EXPECT_FALSE(can_run("/nowhere/program"));
  EXPECT_FALSE(can_run("codeq-no-such-program"));
  EXPECT_FALSE(can_run(""));
  EXPECT_FALSE(can_run("/etc/passwd")) << "it may not be run";
  EXPECT_TRUE(can_run("sh"));
  EXPECT_TRUE(can_run("/bin/sh"));
}

}  // namespace
}  // namespace codeq::app::client
