// One client connection and the loop of the io thread that it lives on. Internal: the only header here that knows Asio and
// nghttp2.
//
// Shape    bytes in -> nghttp2 -> frames of gRPC -> calls; calls' output -> nghttp2 -> bytes out, several messages in one write
// Threads  everything on the io thread of the loop
// Cost     one read and one write per burst; no timer per stream, one tick per loop looks at every deadline
#pragma once

#include <nghttp2/nghttp2.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "transport/connection_count.h"
#include "transport/grpc/call.h"
#include "transport/grpc/frame.h"
#include "transport/grpc/server.h"
#include "transport/tls/session.h"

namespace codeq::transport::grpc {

class Connection;
class Loop;

// One stream of HTTP/2 and the call on it.
struct Slot {
  Connection* connection = nullptr;
  std::int32_t id = 0;
  std::shared_ptr<Call> call;  // null: answered without one
  FrameReader reader;
  // The request's head, as far as it matters.
  std::string method, path, content_type, encoding;
  std::vector<std::string> traceparent, tracestate, baggage;
  std::size_t header_bytes = 0;

  std::size_t owed = 0;  // received bytes whose window has not been given back
  std::uint64_t packed = 0;  // bytes of the call's output that nghttp2 has
  std::size_t accounted = 0;
  std::int64_t partial_since_ns = 0;  // an unfinished message; 0: none
  std::int64_t stalled_since_ns = 0;  // output that the client gives no window for; 0: it moves
  std::uint64_t packed_then = 0;
  std::size_t partial_then = 0;
  bool opened = false, deferred = false, input_over = false, told_input_over = false, trailers = false;
  bool touched = false;  // in the connection's list
};

class Connection : public std::enable_shared_from_this<Connection> {  // shared with its handlers in flight
 public:
  static std::shared_ptr<Connection> open(Loop& loop, boost::asio::ip::tcp::socket socket,
                                          const GrpcListener& services);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  void answered(Slot& slot);  // its call has been given an answer; `flush` comes after the burst
  void flush();  // goes on with what was touched, writes what is ready
  void tick(std::int64_t now_ns);
  void drain();
  void close();  // at once

  // There is no memory for more of this client's: all is spent, or half is and this client has an eighth.
  [[nodiscard]] bool crowded() const;

  bool dirty = false;  // the loop's: waits for a flush

 private:
  struct Given {
    std::uint64_t end;  // position in all bytes written to the socket
    std::int32_t stream;
    std::vector<services::LeaseRef> leases;
  };

  Connection(Loop& loop, boost::asio::ip::tcp::socket socket, const GrpcListener& services);
  bool make_session();
  void wait_to_read();
  void read();
  bool feed(std::string_view bytes);  // from the socket; false: no more of it
  bool take(std::string_view bytes);  // of HTTP/2
  void work();  // until no call has anything more to say
  void go_on(Slot& slot);  // gives messages, tells the end of the input, wakes the output
  void open_call(Slot& slot);
  void refuse(Slot& slot, int status, std::string_view message);
  std::shared_ptr<Call> make_call(const Slot& slot);
  void touch(Slot& slot);
  void account(std::size_t& accounted, std::size_t now);
  void account(Slot& slot);
  void account_tls();
  [[nodiscard]] bool must_wait(const Slot& slot) const;
  bool fill();  // output from nghttp2; false: the session has failed
  bool write_out();  // false: blocked or closed
  bool write_bytes(std::string_view bytes, std::size_t& written);
  void note_handed();
  void forget_acknowledged();
  void wait_to_write();
  void linger();
  void end_with(std::uint32_t error_code);  // GOAWAY, and no more
  void stream_over(Slot& slot, std::uint32_t error_code);
  [[nodiscard]] std::uint64_t acknowledged();  // bytes that the client's machine has
  void count_idle_frame();
  void new_second();
  void count_own_reset();

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void*);
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t, const std::uint8_t*,
                       std::size_t, std::uint8_t, void*);
  static int on_frame(nghttp2_session*, const nghttp2_frame*, void*);
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t*, std::size_t, void*);
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd*, void*);
  static int on_frame_sent(nghttp2_session*, const nghttp2_frame*, void*);
  static int on_stream_close(nghttp2_session*, std::int32_t, std::uint32_t, void*);
  static ssize_t on_read_output(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t, std::uint32_t*,
                                nghttp2_data_source*, void*);

  Loop& loop_;
  boost::asio::ip::tcp::socket socket_;
  const GrpcListener& services_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> touched_;
  std::vector<Slot*> handing_;  // whose handed tasks nghttp2 has
  std::string out_;  // not yet written, from out_start_
  std::size_t out_start_ = 0;
  std::uint64_t out_base_ = 0;  // bytes of earlier `out_`s: positions in the whole stream
  std::deque<Given> given_;  // tasks in `out_`, by the end of their message in the stream
  std::size_t given_leases_ = 0;
  std::unique_ptr<TlsSession> tls_;  // null: plaintext. Positions are those of the plaintext
  struct Sealed {
    std::uint64_t plain_end, cipher_end;
  };
  std::deque<Sealed> sealed_;  // what was encrypted together, until the client's machine has it
  std::uint64_t cipher_written_ = 0, plain_acknowledged_ = 0;

  bool reading_ = false, write_waiting_ = false, closed_ = false, lingering_ = false, draining_ = false;
  bool said_goodbye_ = false, served_one_ = false;
  bool cut_ = false;  // the client breaks the rules: it gets no time to read our last bytes
  std::int64_t received_ns_ = 0;  // of the burst
  std::int64_t heard_ns_ = 0;  // the last byte that came
  std::int64_t pinged_ns_ = 0;  // 0: no PING of ours is out
  std::int64_t idle_since_ns_ = 0;  // without a stream
  std::int64_t write_since_ns_ = 0, linger_since_ns_ = 0;
  std::int64_t idle_second_ns_ = 0;  // the second that idle_frames_ counts
  std::size_t idle_frames_ = 0, stray_bytes_ = 0;
  std::size_t tls_accounted_ = 0;
  std::size_t held_ = 0;  // bytes in memory: its part of the loop's `held`
  double resets_left_ = 0;  // streams that we may still end early
  std::int64_t resets_then_ns_ = 0;
};

class Loop {
 public:
  Loop(const GrpcOptions& options, const CallDeps& deps, ConnectionCount& count, std::atomic<std::ptrdiff_t>& held);
  ~Loop();  // after `stop`
  void run();  // the body of the io thread
  void stop();  // any thread: cuts every connection, ends `run`
  void drain();  // any thread
  void adopt(boost::asio::ip::tcp::socket socket, const GrpcListener& services);  // any thread; counted already
  void mark_dirty(Connection& connection);
  void remove(Connection& connection);
  [[nodiscard]] bool crowded() const { return holds_more_than(options.in_flight_bytes_max); }
  [[nodiscard]] bool holds_more_than(std::size_t bytes) const {
    return held.load(std::memory_order_relaxed) > static_cast<std::ptrdiff_t>(bytes);
  }

  boost::asio::io_context context{1};
  const GrpcOptions& options;
  const CallDeps& deps;
  ConnectionCount& count;
  std::atomic<std::ptrdiff_t>& held;  // bytes in memory, of all connections
  std::shared_ptr<Letters> mailbox;  // shared with answers that may outlive us
  std::string buffer;  // what is being read; nobody keeps a part of it

 private:
  void deliver();
  void tick();

  boost::asio::steady_timer timer_{context};
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> dirty_;
  std::vector<Letter> burst_;
  bool draining_ = false, stopped_ = false;
};

}  // namespace codeq::transport::grpc
