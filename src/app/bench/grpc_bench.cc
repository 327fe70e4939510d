#include "app/bench/grpc_bench.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <deque>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "app/bench/payload.h"
#include "app/bench/run.h"
#include "app/bench/stream_connection.h"
#include "app/bench/stream_messages.h"

namespace codeq::app {
namespace {

constexpr std::int32_t kLeaseSeconds = 300;
constexpr std::int64_t kHelloNs = 5 * kNanosPerSecond;

struct Stream {
  StreamConnection connection;
  bool producer = false;
  std::uint32_t number = 0;  // among those of its side
  bool gone = false, flush_due = false, watched_for_write = false;

  // A producer's.
  struct Open {
    std::uint64_t seq;
    std::int64_t due_ns;
  };
  std::deque<Open> creates;  // without an ack, oldest first
  bool listed = false;       // among those that have room for another one

  // A worker's.
  struct Result {
    std::string id;
    std::int64_t counts_from_ns;
    bool ours;
  };
  std::deque<Result> results;  // without an ack, oldest first
  std::string ready;           // the message
};

class GrpcBench final : public BenchEngine {
 public:
  GrpcBench(const BenchOptions& options, const BenchAddress& producers, const BenchAddress& workers, Tally& tally)
      : options_(options),
        producer_address_(producers),
        worker_address_(workers),
        tally_(tally),
        payloads_(random_run(), options.payload_bytes),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (std::uint32_t queue = 0; queue < options.queues; ++queue) commands_.push_back(command_of(options, queue));
  }
  ~GrpcBench() override { close(epoll_); }
  GrpcBench(const GrpcBench&) = delete;
  GrpcBench& operator=(const GrpcBench&) = delete;

  Result<void> connect() override {
    for (std::uint32_t i = 0; i < options_.workers; ++i) CODEQ_TRY_VOID(open(false, i));
    for (std::uint32_t i = 0; i < options_.producers; ++i) CODEQ_TRY_VOID(open(true, i));
    producers_left_ = options_.producers;
    workers_left_ = options_.workers;
    return {};
  }

  [[nodiscard]] bool alive() const override { return producers_left_ > 0 && workers_left_ > 0; }

  void turn(std::int64_t now, std::int64_t until_ns) override {
    if (!credited_ && tally_.phase() != Phase::kFill) give_credits();
    create(now);
    flush_all();
    auto wait_ns = std::min(until_ns, tally_.next_due_ns()) - clock_.steady_ns();
    wait_ns = std::clamp<std::int64_t>(wait_ns, 0, kNanosPerSecond / 10);
    if (tally_.next_due_ns() <= now) wait_ns = std::max(wait_ns, kNanosPerMilli);  // overdue, and no window is open
    const timespec wait{.tv_sec = 0, .tv_nsec = wait_ns};
    epoll_event events[256];
    const int count = epoll_pwait2(epoll_, events, 256, &wait, nullptr);
    for (int i = 0; i < count; ++i) on_event(*static_cast<Stream*>(events[i].data.ptr), events[i].events);
  }

 private:
  Result<void> open(bool producer, std::uint32_t number) {
    streams_.push_back(std::make_unique<Stream>());
    auto& stream = *streams_.back();
    stream.producer = producer;
    stream.number = number;
    const auto& address = producer ? producer_address_ : worker_address_;
    const auto port = producer ? options_.producer_port : options_.worker_port;
    const auto where = options_.host + ":" + std::to_string(port);
    const auto* path = producer ? "/producerpb.ProducerStream/Stream" : "/workerpb.WorkerStream/Stream";
    if (!stream.connection.connect(address, path)) return fail(Code::kUnavailable, "cannot connect to " + where);
    const auto tenant = number % tenant_count(options_);
    message_.clear();
    write_hello(message_, producer ? producer_token_of(options_, tenant) : worker_token_of(options_, tenant));
    stream.connection.send(message_);
    if (!stream.connection.flush() || !greeted(stream)) {
      const auto& why = stream.connection.status_text();
      return fail(Code::kUnavailable, "no greeting from " + where + (why.empty() ? "" : ": " + why));
    }
    if (producer) {
      list(stream);
    } else {
      write_ready(stream.ready, commands_of_worker(options_, number), kLeaseSeconds,
                  static_cast<std::int32_t>(options_.batch));
    }
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &stream}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, stream.connection.fd(), &event) == 0) return {};
    return fail(Code::kUnavailable, "too many connections for this machine");
  }

  bool greeted(Stream& stream) {
    const auto end_ns = clock_.steady_ns() + kHelloNs;
    std::string_view message;
    while (!stream.connection.next(message)) {
      if (clock_.steady_ns() >= end_ns || stream.connection.ended()) return false;
      pollfd one{.fd = stream.connection.fd(), .events = POLLIN, .revents = 0};
      if (poll(&one, 1, 100) > 0 && !(stream.connection.receive() && stream.connection.flush())) return false;
    }
    return stream.producer ? read_producer_answer(message, produced_) && produced_.is_hello
                           : read_worker_answer(message, worked_) && worked_.is_hello;
  }

  void give_credits() {
    credited_ = true;
    for (auto& stream : streams_) {
      if (stream->producer || stream->gone) continue;
      for (std::uint32_t i = 0; i < options_.window / options_.batch; ++i) stream->connection.send(stream->ready);
      flush_later(*stream);
    }
  }

  // ---------------------------------------------------------------- creates

  void list(Stream& stream) {
    if (stream.listed || stream.gone || stream.creates.size() + options_.batch > options_.window) return;
    stream.listed = true;
    with_room_.push_back(&stream);
  }

  // As many as the tally lets and the windows take, the streams in turn.
  void create(std::int64_t now) {
    while (!with_room_.empty()) {
      auto& stream = *with_room_.front();
      if (stream.gone) {
        with_room_.pop_front();
        continue;
      }
      const auto due = tally_.next_create(now);
      if (!due) return;
      with_room_.pop_front();
      stream.listed = false;
      tally_.sent(*due, now);
      send_create(stream, *due, now);
      list(stream);
    }
  }

  void send_create(Stream& stream, std::int64_t due, std::int64_t now) {
    const auto counts_from = due + tally_.delay_ns();
    const auto run_at = options_.delay_ms == 0 ? 0 : clock_.wall_ns() + (counts_from - now);
    payload_.clear();
    payloads_.append(payload_, counts_from);
    batch_.clear();
    for (std::uint32_t i = 0; i < options_.batch; ++i) {
      batch_.push_back({.seq = ++seq_,
                        .command = commands_[next_queue_],
                        .payload = payload_,
                        .priority = next_priority_,
                        .run_at_ns = run_at});
      stream.creates.push_back({seq_, due});
      next_queue_ = (next_queue_ + 1) % commands_.size();
      next_priority_ = (next_priority_ + 1) % static_cast<std::int32_t>(options_.priorities);
    }
    message_.clear();
    if (options_.batch == 1)
      write_create(message_, batch_.front());
    else
      write_create_batch(message_, batch_);
    stream.connection.send(message_);
    flush_later(stream);
  }

  void on_producer_answer(Stream& stream, std::string_view message, std::int64_t now) {
    if (!read_producer_answer(message, produced_)) return tally_.error("create", "unreadable");
    if (!produced_.error.empty()) tally_.error("stream", std::string(produced_.error));
    for (const auto& ack : produced_.acks) {
      const auto open = std::ranges::find(stream.creates, ack.seq, &Stream::Open::seq);
      if (open == stream.creates.end()) {
        tally_.error("create", "ack of nothing");
        continue;
      }
      const auto due = open->due_ns;
      stream.creates.erase(open);
      if (ack.ok) {
        tally_.created(due, now);
      } else {
        tally_.refused(1);
        tally_.error("create", std::string(ack.error));
      }
    }
    list(stream);
  }

  // ---------------------------------------------------------------- tasks and results

  void on_worker_answer(Stream& stream, std::string_view message, std::int64_t now) {
    if (!read_worker_answer(message, worked_)) return tally_.error("task", "unreadable");
    if (!worked_.error.empty()) tally_.error("stream", std::string(worked_.error));
    if (!worked_.tasks.empty()) {
      ids_.clear();
      for (const auto& task : worked_.tasks) {
        const auto mark = read_payload(task.payload);
        const bool ours = mark.run == payloads_.run();
        if (ours) tally_.handed(mark.counts_from_ns, now);
        stream.results.push_back({std::string(task.id), mark.counts_from_ns, ours});
        ids_.push_back(task.id);
      }
      message_.clear();
      if (options_.batch == 1)
        write_result(message_, ids_.front());
      else
        write_result_batch(message_, ids_);
      stream.connection.send(message_);
    }
    if (worked_.spends_credit) {
      stream.connection.send(stream.ready);
      flush_later(stream);
    }
    for (const auto& ack : worked_.acks) on_result_ack(stream, ack, now);
  }

  void on_result_ack(Stream& stream, const StreamAck& ack, std::int64_t now) {
    const auto result = std::ranges::find(stream.results, ack.task_id, &Stream::Result::id);
    if (result == stream.results.end()) return tally_.error("result", "ack of nothing");
    if (!ack.ok) {
      if (result->ours) tally_.settle(1);
      tally_.error("result", std::string(ack.error));
    } else if (result->ours) {
      tally_.completed(result->counts_from_ns, now);
    }
    stream.results.erase(result);
  }

  // ---------------------------------------------------------------- connections

  void on_event(Stream& stream, std::uint32_t events) {
    if (stream.gone) return;
    if ((events & EPOLLOUT) != 0) flush_later(stream);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    if (!stream.connection.receive()) return lose(stream, "connection lost");
    const auto now = clock_.steady_ns();
    for (std::string_view message; stream.connection.next(message);)
      stream.producer ? on_producer_answer(stream, message, now) : on_worker_answer(stream, message, now);
    flush_later(stream);  // also window updates
    if (stream.connection.ended()) lose(stream, "ended: " + stream.connection.status_text());
  }

  void flush_later(Stream& stream) {
    if (std::exchange(stream.flush_due, true)) return;
    to_flush_.push_back(&stream);
  }

  void flush_all() {
    for (auto* stream : to_flush_) {
      stream->flush_due = false;
      if (stream->gone) continue;
      if (!stream->connection.flush()) {
        lose(*stream, "connection lost");
        continue;
      }
      if (stream->connection.wants_write() == stream->watched_for_write) continue;
      stream->watched_for_write = !stream->watched_for_write;
      epoll_event event{.events = stream->watched_for_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.ptr = stream}};
      epoll_ctl(epoll_, EPOLL_CTL_MOD, stream->connection.fd(), &event);
    }
    to_flush_.clear();
  }

  // What was open on it may have been done or not; nobody will say.
  void lose(Stream& stream, std::string why) {
    tally_.error("stream", std::move(why));
    tally_.lost(stream.creates.size());
    tally_.settle(static_cast<std::uint64_t>(std::ranges::count_if(stream.results, &Stream::Result::ours)));
    stream.creates.clear();
    stream.results.clear();
    stream.gone = true;
    stream.connection.close();
    --(stream.producer ? producers_left_ : workers_left_);
  }

  const BenchOptions& options_;
  const BenchAddress& producer_address_;
  const BenchAddress& worker_address_;
  Tally& tally_;
  SystemClock clock_;
  PayloadMaker payloads_;
  int epoll_;
  bool credited_ = false;
  std::uint32_t producers_left_ = 0, workers_left_ = 0;
  std::uint64_t seq_ = 0;
  std::vector<std::string> commands_;  // by queue
  std::size_t next_queue_ = 0;
  std::int32_t next_priority_ = 0;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::deque<Stream*> with_room_;   // producers whose window is open
  std::vector<Stream*> to_flush_;   // at the end of the turn, so that what one turn says leaves at once
  // Used again and again.
  std::string message_, payload_;
  std::vector<StreamCreate> batch_;
  std::vector<std::string_view> ids_;
  ProducerAnswer produced_;
  WorkerAnswer worked_;
};

}  // namespace

int run_grpc_bench(const BenchOptions& options, std::ostream& out) {
  const auto refuse = [&out](const std::string& why) {
    out << "codeq bench grpc: " << why << '\n';
    return 2;
  };
  if (const auto ok = check_bench(options, kGrpcBatchMax); !ok) return refuse(ok.error().message);
  if (options.producers < tenant_count(options)) return refuse("as many producers as tenants at least");
  if (options.idle_polls > 0) return refuse("idle polls are of HTTP");
  const auto producers = BenchAddress::look_up(options.host, options.producer_port);
  const auto workers = BenchAddress::look_up(options.host, options.worker_port);
  if (!producers) return refuse(producers.error().message);
  if (!workers) return refuse(workers.error().message);
  const auto outstanding =
      options.outstanding == 0 ? std::uint64_t{options.window} * options.producers : options.outstanding;
  Tally tally(options, outstanding);
  GrpcBench bench(options, *producers, *workers, tally);
  return run_bench("grpc", options, outstanding, bench, tally, out);
}

}  // namespace codeq::app
