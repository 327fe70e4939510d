// One RPC: a state machine between the messages of a client and the Broker. It knows no HTTP/2 and no socket.
//
// Shape    the connection gives whole messages; the call appends framed replies to its output and asks the Broker at the end
//          of each burst, so that what came together is asked together. The Broker's answers come home through the Mailbox.
// Threads  everything on the io thread of the connection but the Broker's callbacks, which go through the Mailbox
// Owners   shared: by its connection, and by the callbacks of the Broker, which may come when the connection has gone
// Bounds   `paused` asks the connection to read no further; no reply is held back for ever
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "core/trace_context.h"
#include "observe/metrics.h"
#include "services/auth.h"
#include "services/broker.h"
#include "services/rate_limit.h"
#include "transport/mailbox.h"
#include "transport/wire_status.h"

namespace codeq::transport::grpc {

struct CallLimits {
  std::size_t message_bytes_max = 4U << 20U;  // in and out; what clients of the reference accept
  std::size_t hello_bytes_max = 64U << 10U;  // of a message before we know who it is
  std::size_t batch_max = 10'000;  // tasks or results of one message
  std::size_t in_flight_max = 4'096;  // creates, results and owner calls without an answer; then reading stops
  std::size_t in_flight_bytes_max = 8U << 20U;  // of those
  std::size_t output_bytes_pause = 256U << 10U;  // of unsent replies, beyond which nothing more is read or claimed
  std::size_t credits_max = 16'384;  // of Ready, all together
  std::size_t ready_count_max = 1'024;  // tasks of one Ready
  std::size_t claims_max = 8;  // at the Broker at one time, of one stream
  std::size_t pools_max = 64;  // different (commands, lease) of one stream
  std::size_t json_depth_max = 64;
  std::int64_t hello_timeout_ns = 10 * kNanosPerSecond;
};

class Call;

struct CallDeps {  // borrowed; outlive every call
  services::Broker& broker;
  const services::Authenticator& authenticator;
  Clock& clock;
  observe::Metrics* metrics = nullptr;
  services::RateLimiter* rates = nullptr;
  CallLimits limits;
  // The memory of all streams is spent, or the share of this call's connection; empty: never. The io thread of the call.
  std::function<bool(const Call&)> crowded = {};
};

// gRPC status of an RPC, number and text.
struct Ending {
  int status = 0;
  std::string message;
};
inline constexpr int kOk = 0, kUnknown = 2, kUnimplemented = 12;
constexpr int number_of(GrpcStatus status) { return static_cast<int>(status); }

using Answer =
    std::variant<std::monostate, Result<services::Principal>, Result<std::vector<Result<services::TaskSnapshot>>>,
                 Result<std::vector<services::TaskSnapshot>>, Result<>, Result<services::NackOutcome>,
                 Result<std::vector<Result<services::ResultSnapshot>>>>;

struct Slot;  // where the connection keeps a call

struct Letter {
  std::shared_ptr<Call> call;
  std::uint64_t job = 0;
  Answer answer;
};
using Letters = Mailbox<Letter>;

// Tasks that leave with the output up to `end`: given back if the client never gets that far.
struct Handed {
  std::uint64_t end = 0;  // position in all bytes that the call ever wrote
  std::vector<services::LeaseRef> leases;
};

class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(const CallDeps& deps, std::shared_ptr<Letters> mailbox, core::TraceContext metadata)
      : deps_(deps), mailbox_(std::move(mailbox)), metadata_(std::move(metadata)), opened_ns_(deps.clock.steady_ns()) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual void message(std::string_view bytes, std::int64_t received_ns) = 0;
  virtual void half_closed() = 0;  // the client sends no more
  virtual void burst_over() {}  // what came together has been given
  virtual void ask_rest() {}  // the same for a call that ends: what has come is still asked
  virtual void answered(std::uint64_t job, Answer& answer) = 0;
  virtual void tick(std::int64_t now_ns) = 0;
  virtual void drain() = 0;  // the broker stops: come to an end
  // The client or the connection has gone, or the call has ended: nothing more is written.
  virtual void gone() { gone_ = true; }
  [[nodiscard]] virtual std::size_t message_bytes_max() const { return deps_.limits.message_bytes_max; }
  [[nodiscard]] virtual bool paused() const { return false; }
  [[nodiscard]] virtual std::size_t held_bytes() const { return 0; }  // beside the output

  // Ends the RPC; replies written before it still go out.
  void finish(int status, std::string message) {
    if (!ending) ending = Ending{status, std::move(message)};
  }

  // --- the connection's side: takes from the front of `output`
  Slot* slot = nullptr;
  std::string output;
  std::size_t output_start = 0;
  std::uint64_t written = 0;  // bytes ever appended to output
  std::deque<Handed> handed;
  std::optional<Ending> ending;

  [[nodiscard]] std::size_t unsent() const { return output.size() - output_start; }

 protected:
  // Appends by `write(output)`, keeping count.
  template <class Write>
  void reply(Write&& write) {
    if (gone_ || ending) return;
    const auto before = output.size();
    write(output);
    written += output.size() - before;
  }
  void hand_out(std::vector<services::LeaseRef> leases) { handed.push_back({written, std::move(leases)}); }
  template <class T>
  services::Done<T> to_me(std::uint64_t job) {
    return [mailbox = mailbox_, me = shared_from_this(), job](Result<T> result) mutable {
      Letter letter{.call = std::move(me), .job = job, .answer = {}};
      letter.answer.template emplace<Result<T>>(std::move(result));
      mailbox->push(std::move(letter));
    };
  }

  const CallDeps& deps_;
  const std::shared_ptr<Letters> mailbox_;
  const core::TraceContext metadata_;  // of the stream
  const std::int64_t opened_ns_;
  bool gone_ = false;
};

// "FailedPrecondition", as the reference spells it in ServerError.
std::string_view code_name(GrpcStatus status);

}  // namespace codeq::transport::grpc
