// One client connection, and the loop of the io thread that it lives on. Internal: the only header here that knows Asio.
//
// Shape    bytes in -> RequestReader -> exchanges in the order of their requests -> bytes out, several answers in one write
// Threads  everything on the io thread of the loop
// Cost     one read and one write per burst of requests; no timer per request, one tick per loop looks at every deadline
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "transport/connection_count.h"
#include "transport/http/api.h"
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

 private:
  [[nodiscard]] bool percent(std::size_t share) const {
    return now_.load(std::memory_order_relaxed) > static_cast<std::ptrdiff_t>(max_ / 100 * share);
  }
  const std::size_t max_;
  std::atomic<std::ptrdiff_t> now_{0};
};

class Loop;

class Connection : public std::enable_shared_from_this<Connection> {  // shared with its handlers in flight
 public:
  Connection(Loop& loop, boost::asio::ip::tcp::socket socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  void answered(const Shared& exchange);  // its answer has come in; `flush` comes after the burst
  void flush();  // writes what is ready
  void tick(std::int64_t now_ns);  // cuts what has taken too long
  void drain();  // closes after the last answer that is under way
  void close();  // at once

  bool dirty = false;  // the loop's: waits for a flush

 private:
  void forget_taken();
  void make_room();
  void read();
  void on_read(const boost::system::error_code& ec, std::size_t n);
  void on_end_of_input();
  void process();
  void take_request();
  void refuse(const Error& error);  // bad input: the last answer of this connection
  void collect();  // moves ready answers from the front of the order to the output
  void append_response(Exchange& exchange);
  void became_ready(const Exchange& exchange);
  [[nodiscard]] bool refuses_request();  // the one whose head has been read
  void hold(const Exchange& exchange, int sign);  // counts what a request keeps that waits for a key
  void account();  // tells what is held here to the loop's InFlight
  void wait_to_write();
  void finish_writing();
  void linger();
  void let_go();  // of every request and claim whose answer is not written: they are given back
  [[nodiscard]] bool paused() const;

  // connection_tls.cc; only with `tls_`
  void read_sealed();
  void on_readable(const boost::system::error_code& ec);
  void unseal(std::string_view wire);
  void tls_failed();
  void say_last();  // close_notify, if it can still be said
  [[nodiscard]] std::size_t write_sealed(boost::system::error_code& ec);  // bytes of out_ that are wholly written now
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
  boost::asio::ip::tcp::socket socket_;
  RequestReader reader_;
  std::string in_;  // bytes read, [in_start_, in_end_) not yet taken
  std::size_t in_start_ = 0, in_end_ = 0;
  std::deque<Shared> order_;  // requests under way, oldest first
  std::size_t ready_bytes_ = 0;  // of answers in `order_` that wait for one before them
  std::string out_;  // answers not yet written, from out_start_
  std::size_t out_start_ = 0;
  std::uint64_t out_base_ = 0;  // bytes of earlier `out_`s: positions in the whole stream
  std::deque<Claimed> claimed_;  // claims in `out_`, by the end of their answer in the stream

  std::unique_ptr<TlsSession> tls_;  // null: plain HTTP
  std::size_t sealed_ = 0;  // bytes of `out_` from out_start_ on whose ciphertext waits in tls_->wire()
  std::uint64_t wire_written_ = 0;  // ciphertext written

  bool reading_ = false, write_waiting_ = false, closed_ = false;
  bool input_ended_ = false;  // the client will send no more
  bool no_more_requests_ = false;  // we take no more: the last answer is in `order_`
  bool write_blocked_ = false;  // the kernel took no more, and some of `out_` is still here
  bool lingering_ = false, draining_ = false, continue_sent_ = false, served_one_ = false;

  std::size_t accounted_ = 0;
  std::size_t held_bytes_ = 0;
  std::int64_t head_read_ns_ = 0;
  std::int64_t waiting_since_ns_ = 0;  // connected, or the last answer went out, or the first byte of a request came
  std::int64_t body_since_ns_ = 0;
  std::size_t body_bytes_then_ = 0;
  std::int64_t write_since_ns_ = 0;
  std::uint64_t written_then_ = 0;
  std::int64_t linger_since_ns_ = 0;
};

class Loop {
 public:
  Loop(const HttpOptions& options, Api& api, ConnectionCount& count, InFlight& in_flight);
  ~Loop();  // after `stop`
  void run();  // the body of the io thread
  void stop();  // any thread: cuts every connection, ends `run`
  void drain();  // any thread
  void adopt(boost::asio::ip::tcp::socket socket);  // any thread; counted already
  void mark_dirty(Connection& connection);
  void remove(Connection& connection);

  boost::asio::io_context context{1};
  const HttpOptions& options;
  Api& api;
  ConnectionCount& count;
  InFlight& in_flight;
  std::shared_ptr<Inbox> inbox;  // shared with answers that may outlive us
  std::array<char, 32U << 10U> wire;  // where ciphertext lies until it is opened, the same for every connection

 private:
  void deliver();
  void tick();

  boost::asio::steady_timer timer_{context};
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> dirty_;
  std::vector<Shared> burst_;
  bool draining_ = false, stopped_ = false;
};

}  // namespace codeq::transport::http
