// `codeq backup`, `codeq restore`, `codeq store check|stats`: what is done to a data folder beside serving from it.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "app/backup/backup.h"
#include "app/backup/control.h"
#include "app/backup/look.h"
#include "app/commands.h"
#include "app/exit_codes.h"
#include "storage/check.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::app {
namespace {

namespace fs = std::filesystem;

int refuse(const char* command, const Error& error) {
  fmt::print(stderr, "codeq {}: {}\n", command, error.message);
  return error.code == Code::kInvalidArgument ? kExitConfig : exit_status_of(error.code);
}

// On a terminal a line that grows; elsewhere one for every tenth.
class ProgressLine {
 public:
  explicit ProgressLine(const char* what) : what_(what), terminal_(isatty(STDERR_FILENO) != 0) {}
  ~ProgressLine() { end(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void bytes(std::uint64_t done, std::uint64_t total) {
    const auto percent = total == 0 ? 100 : done * 100 / total;
    show(percent, fmt::format("{}: {} of {} MiB, {} %", what_, done >> 20U, total >> 20U, percent));
  }
  void tasks(std::uint64_t done) {
    if (done - tasks_ < 100'000 && done >= tasks_) return;
    tasks_ = done;
    show(done / 1'000'000, fmt::format("{}: {} tasks", what_, done));
  }
  void end() {
    if (terminal_ && shown_) fmt::print(stderr, "\n");
    shown_ = false;
  }

 private:
  void show(std::uint64_t step, const std::string& line) {
    if (!terminal_ && shown_ && step / 10 == last_ / 10) return;
    last_ = step;
    shown_ = true;
    if (terminal_)
      fmt::print(stderr, "\r{}\x1b[K", line);
    else
      fmt::print(stderr, "{}\n", line);
    std::fflush(stderr);
  }
  const char* what_;
  const bool terminal_;
  bool shown_ = false;
  std::uint64_t last_ = 0, tasks_ = 0;
};

std::uint64_t number(std::string_view& words) {
  while (words.starts_with(' ')) words.remove_prefix(1);
  std::uint64_t value = 0;
  const auto end = std::from_chars(words.data(), words.data() + words.size(), value).ptr;
  words.remove_prefix(static_cast<std::size_t>(end - words.data()));
  return value;
}

std::string absolute(const std::string& path) {
  std::error_code error;
  auto text = fs::absolute(path, error).lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

std::string hex(const log::local::FolderId& id) {
  std::string text;
  for (const char byte : id) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

void print_report(const char* what, const BackupReport& report) {
  fmt::print("{} {}: {} files, {} bytes\n", what, report.path, report.files, report.bytes);
}

}  // namespace

int exit_status_of(Code code) {
  if (code == Code::kIo) return kExitIo;
  if (code == Code::kDiskFull) return kExitDiskFull;
  if (code == Code::kCorrupt || code == Code::kInvalidArgument) return kExitCorrupt;
  if (code == Code::kUnavailable) return kExitInUse;
  return kExitInternal;
}

int backup(const Cli& cli) {
  const auto data = absolute(cli.data.data), to = absolute(cli.data.to);
  if (std::any_of(to.begin(), to.end(), [](unsigned char c) { return c < ' '; }))
    return refuse("backup", {Code::kInvalidArgument, "a path with control characters cannot be given to the broker"});
  ProgressLine line("backup");
  int status = kExitInternal;
  const auto asked = ask_control(data, "backup " + to, [&](std::string_view answer) {
    if (answer.starts_with("progress ")) {
      answer.remove_prefix(9);
      const auto done = number(answer);
      return line.bytes(done, number(answer));
    }
    line.end();
    if (answer.starts_with("done ")) {
      status = kExitOk;
      fmt::print("{}\n", answer.substr(5));
    } else if (answer.starts_with("error ")) {
      answer.remove_prefix(6);
      status = static_cast<int>(number(answer));
      fmt::print(stderr, "codeq backup:{}\n", answer);
    }
  });
  if (asked) return status;
  if (asked.error().code != Code::kUnavailable) return refuse("backup", asked.error());
  // No broker runs there: then the folder is copied as it lies.
  const auto made = back_up_stopped(data, to, [&](const BackupProgress& at) { line.bytes(at.bytes_done, at.bytes_total); });
  line.end();
  if (!made) return refuse("backup", made.error());
  print_report("backed up to", *made);
  return kExitOk;
}

int restore(const Cli& cli) {
  const auto from = absolute(cli.data.from);
  ProgressLine line(cli.data.verify_only ? "verify" : "restore");
  const auto progress = [&](const BackupProgress& at) { line.bytes(at.bytes_done, at.bytes_total); };
  const auto done = cli.data.verify_only ? verify_backup(from, progress) : restore(from, absolute(cli.data.data), progress);
  line.end();
  if (!done) return refuse("restore", done.error());
  print_report(cli.data.verify_only ? "sound:" : "restored to", *done);
  return kExitOk;
}

int store_check(const Cli& cli) {
  const auto data = absolute(cli.data.data);
  const auto opened = look_into_data(data);
  if (!opened) return refuse("store check", opened.error());
  const auto& found = opened->found;
  const auto position = opened->store->position();
  fmt::print("log: groups {} to {}{}\n", found.after + 1, found.last_group,
             found.torn_tail ? "; what a crash left behind them was never acknowledged" : "");
  fmt::print("store: as of record {}, {} groups of the log follow\n", position.records, found.last_group - position.group);
  ProgressLine bytes("table files");
  const auto sound = opened->store->verify([&](const storage::rocks::RocksStore::Progress& at) { bytes.bytes(at.bytes_done, at.bytes_total); });
  bytes.end();
  if (!sound) return refuse("store check", sound.error());
  ProgressLine tasks("rows");
  const auto rows = storage::check_tables(*opened->store, [&](std::uint64_t done) { tasks.tasks(done); });
  tasks.end();
  if (!rows) return refuse("store check", rows.error());
  fmt::print("rows: {} tasks wait, {} are leased, {} are finished; {} queues, {} idempotency keys, {} webhook deliveries, {} topics, {} subscriptions\n",
             rows->waiting, rows->leased, rows->finished, rows->queues, rows->keys, rows->deliveries, rows->topics, rows->subscriptions);
  fmt::print("no damage found\n");
  return kExitOk;
}

int store_stats(const Cli& cli) {
  const auto data = absolute(cli.data.data);
  const auto opened = look_into_data(data);
  if (!opened) return refuse("store stats", opened.error());
  const auto& found = opened->found;
  const auto position = opened->store->position();
  const auto stats = opened->store->stats();
  std::uint64_t log_bytes = 0, store_bytes = 0;
  for (const auto& segment : opened->folder->segments()) log_bytes += segment.bytes;
  for (const auto& table : stats.tables) store_bytes += table.bytes;
  if (cli.data.json) {
    std::string tables;
    for (const auto& table : stats.tables)
      tables += fmt::format("{}\"{}\":{{\"rowsAbout\":{},\"bytes\":{}}}", tables.empty() ? "" : ",", table.name, table.rows, table.bytes);
    fmt::print("{{\"id\":\"{}\",\"log\":{{\"segments\":{},\"bytes\":{},\"firstGroup\":{},\"lastGroup\":{},\"tornTail\":{}}},"
               "\"store\":{{\"records\":{},\"group\":{},\"bytes\":{},\"tables\":{{{}}}}}}}\n",
               hex(opened->folder->id()), opened->folder->segments().size(), log_bytes, found.after + 1, found.last_group,
               found.torn_tail, position.records, position.group, store_bytes, tables);
    return kExitOk;
  }
  fmt::print("id     {}\n", hex(opened->folder->id()));
  fmt::print("log    {} segments, {} bytes, groups {} to {}\n", opened->folder->segments().size(), log_bytes, found.after + 1,
             found.last_group);
  fmt::print("store  {} bytes, as of record {}; {} groups of the log follow\n\n", store_bytes, position.records,
             found.last_group - position.group);
  fmt::print("{:<8} {:>14} {:>14}\n", "table", "rows, about", "bytes");
  for (const auto& table : stats.tables) fmt::print("{:<8} {:>14} {:>14}\n", table.name, table.rows, table.bytes);
  return kExitOk;
}

}  // namespace codeq::app
