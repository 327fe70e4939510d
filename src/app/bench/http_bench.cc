#include "app/bench/http_bench.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <deque>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "app/bench/connection.h"
#include "app/bench/requests.h"
#include "app/bench/run.h"

namespace codeq::app {
namespace {

constexpr std::int64_t kAfterErrorNs = 100 * kNanosPerMilli;  // before an erring connection tries again
constexpr std::int64_t kAfterNothingNs = 5 * kNanosPerMilli;  // before the next claim where the server does not wait
constexpr std::uint64_t kOutstandingDefault = 256;

enum class Role : std::uint8_t { kProducer, kWorker, kIdler };
enum class Doing : std::uint8_t { kNothing, kCreate, kClaim, kResult };

const char* name_of(Doing doing) {
  switch (doing) {
    case Doing::kNothing: return "connect";
    case Doing::kCreate: return "create";
    case Doing::kClaim: return "claim";
    case Doing::kResult: return "result";
  }
  return "";
}

struct Client {
  BenchConnection connection;
  Role role = Role::kIdler;
  std::uint32_t number = 0;  // among those of its role
  Doing doing = Doing::kNothing;
  bool watched_for_write = false;
  std::int64_t sent_ns = 0;
  std::int64_t due_ns = 0;     // of a create
  std::int64_t resume_ns = 0;  // not before
  std::vector<HeldTask> held;  // claimed, and not settled
};

class HttpBench final : public BenchEngine {
 public:
  HttpBench(const BenchOptions& options, const BenchAddress& address, Tally& tally)
      : options_(options),
        address_(address),
        tally_(tally),
        run_(random_run()),
        requests_(options, run_),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~HttpBench() override { close(epoll_); }
  HttpBench(const HttpBench&) = delete;
  HttpBench& operator=(const HttpBench&) = delete;

  Result<void> connect() override {
    const auto add = [&](Role role, std::uint32_t count) {
      for (std::uint32_t i = 0; i < count; ++i) {
        clients_.push_back(std::make_unique<Client>());
        auto& client = *clients_.back();
        client.role = role;
        client.number = i;
        if (!reconnect(client)) return false;
        if (role == Role::kProducer) idle_producers_.push_back(&client);
        if (role == Role::kWorker) resting_.push_back(&client);
        if (role == Role::kIdler) go_on(client, clock_.steady_ns());
      }
      return true;
    };
    // The idle ones last: where a server has room for less, they are turned away.
    if (add(Role::kProducer, options_.producers) && add(Role::kWorker, options_.workers) &&
        add(Role::kIdler, options_.idle_polls))
      return {};
    return fail(Code::kUnavailable, "cannot connect to " + options_.host + ":" + std::to_string(options_.port));
  }

  [[nodiscard]] bool alive() const override { return true; }

  void turn(std::int64_t now, std::int64_t until_ns) override {
    wake(now);
    auto wait_ns = std::min(until_ns, tally_.next_due_ns());
    if (!resting_.empty()) wait_ns = std::min(wait_ns, now + kNanosPerMilli);
    wait_ns = std::clamp<std::int64_t>(wait_ns - clock_.steady_ns(), 0, kNanosPerSecond / 10);
    if (tally_.next_due_ns() <= now) wait_ns = std::max(wait_ns, kNanosPerMilli);  // overdue, and nobody is free
    const timespec wait{.tv_sec = 0, .tv_nsec = wait_ns};
    epoll_event events[256];
    const int count = epoll_pwait2(epoll_, events, 256, &wait, nullptr);
    for (int i = 0; i < count; ++i) on_event(*static_cast<Client*>(events[i].data.ptr), events[i].events);
  }

 private:
  // Whoever may go on, goes on.
  void wake(std::int64_t now) {
    if (tally_.phase() != Phase::kFill && !resting_.empty()) {
      auto rested = std::exchange(resting_, {});
      for (auto* client : rested) go_on(*client, now);
    }
    for (auto left = idle_producers_.size(); left > 0; --left) {
      auto* client = idle_producers_.front();
      if (now >= client->resume_ns && !start_create(*client, now)) break;
      idle_producers_.pop_front();
      if (now < client->resume_ns && client->doing == Doing::kNothing) idle_producers_.push_back(client);
    }
  }

  bool start_create(Client& client, std::int64_t now) {
    if (!client.connection.open() && !reconnect(client)) {
      error(client, "connection", now);
      return false;
    }
    const auto due = tally_.next_create(now);
    if (!due) return false;
    client.due_ns = *due;
    tally_.sent(*due, now);
    const auto counts_from = *due + tally_.delay_ns();
    start(client, Doing::kCreate, requests_.create(counts_from, clock_.wall_ns() + (counts_from - now)), now);
    return true;
  }

  void on_event(Client& client, std::uint32_t events) {
    if ((events & EPOLLOUT) != 0 && !client.connection.flush()) return broken(client);
    watch_write(client);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
    Answer answer;
    switch (client.connection.receive(answer)) {
      case BenchConnection::Io::kWaiting: return;
      case BenchConnection::Io::kBroken: return broken(client);
      case BenchConnection::Io::kAnswer: break;
    }
    if (client.doing == Doing::kNothing) return broken(client);  // an answer to nothing
    const auto now = clock_.steady_ns();
    on_answer(client, answer, now);
    client.doing = Doing::kNothing;
    if (answer.close) client.connection.close();  // opened again when there is something to send
    go_on(client, now);
  }

  void on_answer(Client& client, const Answer& answer, std::int64_t now) {
    switch (client.doing) {
      case Doing::kNothing: return;
      case Doing::kCreate: return on_created(client, answer, now);
      case Doing::kClaim: return on_claimed(client, answer, now);
      case Doing::kResult: return on_result(client, answer, now);
    }
  }

  void on_created(Client& client, const Answer& answer, std::int64_t now) {
    const bool batch = options_.batch > 1;
    if (answer.status != (batch ? 200 : 202)) {
      tally_.refused(options_.batch);
      return error(client, std::to_string(answer.status), now);
    }
    const auto kept =
        batch ? std::min<std::uint64_t>(options_.batch, occurrences(answer.body, R"("task":{)")) : std::uint64_t{1};
    for (std::uint64_t i = 0; i < kept; ++i) tally_.created(client.due_ns, now);
    if (kept == options_.batch) return;
    tally_.refused(options_.batch - kept);
    error(client, "item", now);
  }

  void on_claimed(Client& client, const Answer& answer, std::int64_t now) {
    const auto took = now - client.sent_ns;
    if (answer.status == 204) {
      if (took < kAfterNothingNs) client.resume_ns = now + kAfterNothingNs;
      return;
    }
    if (answer.status != 200) return error(client, std::to_string(answer.status), now);
    found_.clear();
    find_claimed(answer.body, found_);
    if (found_.empty()) return error(client, "unreadable", now);
    for (const auto& task : found_) {
      client.held.push_back({std::string(task.id), task.created_ns, task.run == run_});
      if (task.run == run_) tally_.handed(task.created_ns, now);
    }
    tally_.took(tally_.claim_request, took);
  }

  void on_result(Client& client, const Answer& answer, std::int64_t now) {
    const auto held = std::exchange(client.held, {});
    const auto ours = std::ranges::count_if(held, &HeldTask::ours);
    if (answer.status != 200) {
      tally_.settle(static_cast<std::uint64_t>(ours));
      return error(client, std::to_string(answer.status), now);
    }
    tally_.took(tally_.result_request, now - client.sent_ns);
    // Every record of a result has a completedAt, and an error of a batch has not.
    const auto kept = options_.batch > 1 ? occurrences(answer.body, R"("completedAt":)") : 1;
    if (kept < held.size()) {  // nobody can say here which ones
      tally_.settle(static_cast<std::uint64_t>(ours));
      return error(client, "item", now);
    }
    for (const auto& task : held) {
      if (task.ours) tally_.completed(task.counts_from_ns, now);
    }
  }

  // Starts what this connection does next, or puts it where it waits.
  void go_on(Client& client, std::int64_t now) {
    if (client.doing != Doing::kNothing) return;
    if (client.role == Role::kProducer) {
      idle_producers_.push_back(&client);
      return;
    }
    if (now < client.resume_ns) return resting_.push_back(&client);
    if (!client.connection.open() && !reconnect(client)) {
      error(client, "connection", now);
      return resting_.push_back(&client);
    }
    if (client.role == Role::kIdler) return start(client, Doing::kClaim, requests_.idle_claim(), now);
    if (!client.held.empty()) return start(client, Doing::kResult, requests_.result(client.number, client.held), now);
    start(client, Doing::kClaim, requests_.claim(client.number), now);
  }

  void start(Client& client, Doing doing, std::string_view request, std::int64_t now) {
    client.doing = doing;
    client.sent_ns = now;
    if (!client.connection.send(request)) return broken(client);
    watch_write(client);
  }

  void broken(Client& client) {
    const auto now = clock_.steady_ns();
    if (client.doing == Doing::kCreate)
      tally_.lost(options_.batch);  // it may have been created; then it is found as a task of ours
    tally_.settle(static_cast<std::uint64_t>(std::ranges::count_if(client.held, &HeldTask::ours)));
    client.held.clear();
    error(client, "connection", now);
    const bool waits_already = client.doing == Doing::kNothing;  // in one of the lists
    client.doing = Doing::kNothing;
    client.connection.close();  // which takes it out of the epoll set too
    if (!waits_already) go_on(client, now);
  }

  void error(Client& client, std::string what, std::int64_t now) {
    tally_.error(name_of(client.doing), std::move(what));
    client.resume_ns = now + kAfterErrorNs;
  }

  bool reconnect(Client& client) {
    // One address has some 28,000 ports for one listener; loopback has many addresses.
    constexpr std::uint32_t kPortsOfOneAddress = 20'000;
    const auto source = client.role == Role::kIdler ? client.number / kPortsOfOneAddress + 1 : 0;
    if (!client.connection.connect(address_, source)) return false;
    client.watched_for_write = false;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &client}};
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, client.connection.fd(), &event) == 0;
  }

  void watch_write(Client& client) {
    if (!client.connection.open() || client.connection.wants_write() == client.watched_for_write) return;
    client.watched_for_write = !client.watched_for_write;
    epoll_event event{.events = client.watched_for_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.ptr = &client}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, client.connection.fd(), &event);
  }

  const BenchOptions& options_;
  const BenchAddress& address_;
  Tally& tally_;
  SystemClock clock_;
  std::string run_;
  BenchRequests requests_;
  int epoll_;
  std::vector<ClaimedTask> found_;
  std::vector<std::unique_ptr<Client>> clients_;
  // Every client that does nothing stands in one of these, once.
  std::deque<Client*> idle_producers_;
  std::vector<Client*> resting_;  // workers and idlers, until their instant, or until the backlog is there
};

}  // namespace

int run_http_bench(const BenchOptions& options, std::ostream& out) {
  const auto refuse = [&out](const std::string& why) {
    out << "codeq bench http: " << why << '\n';
    return 2;
  };
  // The window is one of streams.
  auto checked = options;
  checked.window = std::max(checked.window, checked.batch);
  if (const auto ok = check_bench(checked, kHttpBatchMax); !ok) return refuse(ok.error().message);
  const auto address = BenchAddress::look_up(options.host, options.port);
  if (!address) return refuse(address.error().message);
  const auto outstanding =
      std::max<std::uint64_t>(options.outstanding == 0 ? kOutstandingDefault : options.outstanding, options.batch);
  Tally tally(options, outstanding);
  HttpBench bench(options, *address, tally);
  return run_bench("http", options, outstanding, bench, tally, out);
}

}  // namespace codeq::app
