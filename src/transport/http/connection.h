// One client connection, and the loop of the io thread that it lives on. Internal: the only header here that knows sockets.
//
// Shape    bytes in -> RequestReader -> exchanges in the order of their requests -> bytes out, several answers in one write
// Threads  everything on the io thread of the loop
// Cost     one read and one write per burst of requests; no timer per request, one tick per loop looks at every deadline
// Memory   about 0.3 KiB while nothing moves, parked polls included: the buffers of bytes and of a request that comes in are
//          the loop's, and a connection keeps one only while it is in the middle of something
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/connection_count.h"
#include "transport/http/api.h"
#include "transport/http/poller.h"
#include "transport/tls/session.h"

namespace codeq::transport::http {

// What all connections hold in memory, bodies, answers and kept buffers. Creates are refused past 70 % of the bound, claims
// and reads past 85 %, the calls of a lease's owner and replies past all of it.
class InFlight {
 public:
  explicit InFlight(std::size_t max) : max_(max) {}
  void change(std::ptrdiff_t bytes) { now_.fetch_add(bytes, std::memory_order_relaxed); }
  // Whether a request with this route may come in; `route` null: not known yet, or none.
  [[nodiscard]] bool refuses(const Route* route) const;
  [[nodiscard]] bool tight() const { return percent(50); }  // buffers should not be kept
  [[nodiscard]] bool crowded() const { return percent(70); }
  [[nodiscard]] bool full() const { return percent(100); }

 private:
  [[nodiscard]] bool percent(std::size_t share) const {
    return now_.load(std::memory_order_relaxed) > static_cast<std::ptrdiff_t>(max_ / 100 * share);
  }
  const std::size_t max_;
  std::atomic<std::ptrdiff_t> now_{0};
};

// A request that comes in, from its first byte until it is taken.
struct Incoming {
  explicit Incoming(RequestLimits limits) : reader(limits) {}
  RequestReader reader;
  std::int64_t head_read_ns = 0;
  std::int64_t body_since_ns = 0;  // the body's last progress
  std::size_t body_bytes_then = 0;
  std::size_t kernel_bytes = 0;  // counted for what the kernel holds of a body that does not come at once
  bool continue_sent = false;
};

inline constexpr std::size_t kOutputKept = 256U << 10U;  // a larger buffer of answers is given back when it is empty

class Loop;

class Connection final : public Pollable {
 public:
  Connection(Loop& loop, Socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  void on_ready(Ready ready) override;
  void read_on();  // its turn has come, after `Loop::read_later`
  void answered(const Shared& exchange);  // its answer has come in; `flush` comes after the burst
  void flush();  // writes what is ready
  void tick(std::int64_t now_ns);  // cuts what has taken too long
  void drain();  // closes after the last answer that is under way
  void close();  // at once

  // The loop's.
  std::list<Connection>::iterator place;
  bool dirty = false;  // waits for a flush
  bool reads_later = false;

 private:
  void read();
  void on_end_of_input();
  void take_fresh(std::string_view bytes);  // and keeps what cannot be taken yet
  void take_kept();
  [[nodiscard]] std::size_t take(std::string_view bytes);  // requests; returns how many of the bytes
  void take_request(bool more_bytes);
  void say_continue();
  void refuse(const Error& error);  // bad input: the last answer of this connection
  void collect();  // moves ready answers from the front of the order to the output
  void append_response(Exchange& exchange);
  void became_ready(const Exchange& exchange);
  [[nodiscard]] bool refuses_request();  // the one whose head has been read
  void hold(const Exchange& exchange, int sign);  // counts what a request keeps that waits for a key
  void account();  // tells what is held here to the loop's InFlight
  [[nodiscard]] Socket::Outcome write_some();
  void wait_to_write();
  void finish_writing();
  void linger();
  void let_go();  // of every request and claim whose answer is not written: they are given back
  [[nodiscard]] bool paused() const;
  [[nodiscard]] RequestReader::State state() const {
    return incoming_ == nullptr ? RequestReader::State::kIdle : incoming_->reader.state();
  }
  [[nodiscard]] bool all_taken() const { return in_start_ == in_.size(); }

  // connection_tls.cc; only with `tls_`
  void unseal(std::string_view wire);
  void tls_failed();
  void say_last();  // close_notify, if it can still be said
  [[nodiscard]] Socket::Outcome write_sealed();
  [[nodiscard]] bool more_to_write() const {
    return out_start_ < out_.size() || (tls_ != nullptr && !tls_->wire().empty());
  }
  [[nodiscard]] std::size_t unsent() const { return ready_bytes_ + out_.size() - out_start_; }
  [[nodiscard]] std::int64_t now_ns() const;

  struct Claimed {
    std::uint64_t end;
    std::vector<services::TaskSnapshot> tasks;
  };

  Loop& loop_;
  Socket socket_;
  std::unique_ptr<Incoming> incoming_;  // the loop's, borrowed; null: nothing of the next request was seen
  std::string in_;  // bytes read that cannot be taken yet, from in_start_: half a head, or requests beyond the bound
  std::size_t in_start_ = 0;
  ExchangeLine order_;  // requests under way, oldest first
  std::size_t ready_bytes_ = 0;  // of answers in `order_` that wait for one before them
  std::string out_;  // answers not yet written, from out_start_; its memory is the loop's while it is empty
  std::size_t out_start_ = 0;
  std::uint64_t out_base_ = 0;  // bytes of earlier `out_`s: positions in the whole stream
  std::vector<Claimed> claimed_;  // claims in `out_`, by the end of their answer in the stream

  std::unique_ptr<TlsSession> tls_;  // null: plain HTTP
  std::size_t sealed_ = 0;  // bytes of `out_` from out_start_ on whose ciphertext waits in tls_->wire()
  std::uint64_t wire_written_ = 0;  // ciphertext written

  bool readable_ = false;  // there may be something to read that nobody will tell of again
  bool end_is_near_ = false;  // of the input: it stays readable until that was read
  bool write_waiting_ = false;  // the kernel took no more
  bool closed_ = false;
  bool input_ended_ = false;  // the client will send no more
  bool no_more_requests_ = false;  // we take no more: the last answer is in `order_`
  bool write_blocked_ = false;  // the kernel took no more, and some of `out_` is still here
  bool lingering_ = false, draining_ = false, served_one_ = false;

  std::size_t accounted_ = 0;
  std::size_t held_bytes_ = 0;
  std::int64_t waiting_since_ns_ = 0;  // connected, or the last answer went out, or the first byte of a request came
  std::int64_t write_since_ns_ = 0;
  std::uint64_t written_then_ = 0;
  std::int64_t linger_since_ns_ = 0;
};

class Loop {
 public:
  Loop(const HttpOptions& options, Api& api, ConnectionCount& count, InFlight& in_flight, std::unique_ptr<Poller> poller);
  ~Loop();  // after `stop`
  void run();  // the body of the io thread
  void stop();  // any thread: cuts every connection, ends `run`
  void drain();  // any thread
  void adopt(Socket socket);  // any thread; counted already

  // For its connections.
  void mark_dirty(Connection& connection);
  void read_later(Connection& connection);  // in this burst, when the others had their turn
  void remove(Connection& connection);  // it is there until the end of the burst
  // What connections borrow for as long as they are in the middle of something.
  std::unique_ptr<Incoming> lend_incoming();
  void give_back(std::unique_ptr<Incoming> incoming);
  void lend_output(std::string& out);  // where `out` has no memory of its own
  void give_back_output(std::string& out);

  const std::unique_ptr<Poller> poller;
  const HttpOptions& options;
  Api& api;
  ConnectionCount& count;
  InFlight& in_flight;
  std::shared_ptr<Inbox> inbox;  // shared with answers that may outlive us
  std::vector<char> wire;  // where bytes lie until they are taken, the same for every connection
  std::string plain;  // the same for what was sealed in them
  std::function<void()> on_tick;  // set before `run`

 private:
  void deliver();
  void tick();
  [[nodiscard]] bool settle();  // true: somebody has more to read

  std::list<Connection> connections_;
  std::list<Connection> gone_;  // closed in this burst
  std::vector<Connection*> dirty_;
  std::vector<Connection*> reading_;  // `read_later`; none that is closed
  std::vector<Connection*> turn_;
  std::vector<Shared> burst_;
  std::vector<std::unique_ptr<Incoming>> spare_;
  std::string spare_output_;
  bool draining_ = false, stopped_ = false;
};

}  // namespace codeq::transport::http
