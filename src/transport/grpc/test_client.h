// A client of one gRPC stream over nghttp2, blocking. For tests and for the load generator.
//
// Shape    send queues a message, flush writes what is queued, pump reads once and gives what came; between `hold` and `let_go`
//          what would be written is collected, to go out as one
// Threads  one
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/grpc/frame.h"

namespace codeq::transport::grpc {

// What stands between HTTP/2 and the socket, such as TLS.
struct ClientWire {
  virtual ~ClientWire() = default;
  virtual std::string seal(std::string_view plain) = 0;  // what is to be written now; also called with nothing
  virtual std::string open(std::string_view wire) = 0;
};

struct ClientOptions {
  std::vector<std::pair<std::string, std::string>> metadata = {};
  std::uint32_t window_bytes = 8U << 20U;
  bool renews_window = true;  // as it reads
  int receive_buffer_bytes = 0;  // of the socket; 0: the system's
  ClientWire* wire = nullptr;  // outlives the client; null: plaintext
};

class StreamClient {
 public:
  StreamClient(std::uint16_t port, std::string_view path, const ClientOptions& options = {})
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), wire_(options.wire), metadata_(options.metadata) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (options.receive_buffer_bytes > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer_bytes, sizeof(options.receive_buffer_bytes));
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    // The C interface of sockets.
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_option* manners = nullptr;
    nghttp2_option_new(&manners);
    nghttp2_option_set_no_auto_window_update(manners, options.renews_window ? 0 : 1);
    nghttp2_session_client_new2(&session_, callbacks, this, manners);
    nghttp2_option_del(manners);
    nghttp2_session_callbacks_del(callbacks);
    const std::array<nghttp2_settings_entry, 1> settings = {
        {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window_bytes}}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                          static_cast<std::int32_t>(options.window_bytes));
    stream_ = begin(path);
    flush();
  }
  ~StreamClient() {
    hang_up();
    nghttp2_session_del(session_);
  }
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  // One more stream on this connection, that is never written to; its number.
  std::int32_t begin(std::string_view path) {
    std::vector<nghttp2_nv> head;
    const auto add = [&head](std::string_view name, std::string_view value) {
      const auto bytes = [](std::string_view text) {  // nghttp2 copies both
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
      };
      head.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    };
    add(":method", "POST");
    add(":scheme", "http");
    add(":path", path);
    add(":authority", "localhost");
    add("content-type", "application/grpc");
    add("te", "trailers");
    for (const auto& [name, value] : metadata_) add(name, value);
    nghttp2_data_provider body{};
    body.read_callback = &on_read;
    return nghttp2_submit_request(session_, nullptr, head.data(), head.size(), &body, nullptr);
  }

  [[nodiscard]] bool connected() const { return connected_; }
  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // Until the server has taken in everything that was sent. False: the connection has ended.
  bool settle() {
    pong_ = false;
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    flush();
    while (!pong_)
      if (!pump()) return false;
    return true;
  }
  void cancel() {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_, NGHTTP2_CANCEL);
    flush();
  }
  void send(std::string_view message) {
    append_frame_prefix(out_, message.size());
    out_ += message;
  }
  void send_raw(std::string_view bytes) { out_ += bytes; }
  void half_close() { half_close_ = true; }
  void hold() { held_ = true; }
  bool let_go() {
    held_ = false;
    return flush();
  }
  bool flush() {
    if (fd_ < 0) return false;
    if (!out_.empty() || half_close_) nghttp2_session_resume_data(session_, stream_);
    for (;;) {
      const std::uint8_t* bytes = nullptr;
      const auto n = nghttp2_session_mem_send(session_, &bytes);
      if (n <= 0) break;
      unwritten_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
    }
    if (held_) return true;
    auto wire = std::exchange(unwritten_, {});
    if (wire_ != nullptr) wire = wire_->seal(wire);
    for (std::string_view left = wire; !left.empty();) {
      const auto n = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // As `pump`, if anything comes within that time.
  bool pump_within(int ms) {
    pollfd one{.fd = fd_, .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, ms) > 0 && pump();
  }
  // Reads once. False: the connection has ended or nothing came in time.
  bool pump() {
    std::array<char, 64 << 10> bytes;
    if (fd_ < 0) return false;
    const auto n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    return n > 0 && take({bytes.data(), static_cast<std::size_t>(n)}) && flush();
  }
  // How much our machine has that has not been read.
  [[nodiscard]] std::size_t unread() const {
    int bytes = 0;
    return ::ioctl(fd_, FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
  }
  // What our machine has becomes messages, and the other side does not notice. Then only `hang_up`.
  bool look() {
    std::string bytes(unread(), '\0');
    const auto n = ::recv(fd_, bytes.data(), bytes.size(), MSG_PEEK);
    return n > 0 && take(std::string_view(bytes).substr(0, static_cast<std::size_t>(n)));
  }
  // The next message; nothing: the stream is over.
  std::optional<std::string> receive() {
    flush();
    while (messages.empty() && !ended && pump()) {}
    if (messages.empty()) return std::nullopt;
    auto message = std::move(messages.front());
    messages.pop_front();
    return message;
  }
  // "status: message" of the RPC, after reading to its end; "connection" where it just broke.
  std::string end() {
    flush();
    while (!ended && pump()) messages.clear();
    return headers.contains("grpc-status") ? headers["grpc-status"] + ": " + headers["grpc-message"] : "connection";
  }

  std::deque<std::string> messages;
  std::map<std::string, std::string> headers;
  bool ended = false;
  std::uint32_t reset = 0;  // why the stream ended, as an error of HTTP/2
  std::map<std::int32_t, std::uint32_t> others_ended;  // by their numbers
  std::map<std::int32_t, std::map<std::string, std::string>> others_headers;

 private:
  bool take(std::string_view came) {
    std::string opened;
    if (wire_ != nullptr) came = opened = wire_->open(came);
    if (nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(came.data()), came.size()) < 0)
      return false;
    std::string_view message;
    while (reader_.next(std::size_t{64} << 20U, message) == FrameReader::State::kMessage)
      messages.emplace_back(message);
    reader_.compact();
    return true;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    auto& self = *static_cast<StreamClient*>(user);
    auto& headers = frame->hd.stream_id == self.stream_ ? self.headers : self.others_headers[frame->hd.stream_id];
    headers[{reinterpret_cast<const char*>(name), name_size}] = {reinterpret_cast<const char*>(value), value_size};
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                     void* user) {
    auto& self = *static_cast<StreamClient*>(user);
    if (id == self.stream_) self.reader_.feed({reinterpret_cast<const char*>(bytes), size});
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
      static_cast<StreamClient*>(user)->pong_ = true;
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error_code, void* user) {
    auto& self = *static_cast<StreamClient*>(user);
    if (id != self.stream_) {
      self.others_ended[id] = error_code;
      return 0;
    }
    self.ended = true;
    self.reset = error_code;
    return 0;
  }
  static ssize_t on_read(nghttp2_session*, std::int32_t id, std::uint8_t* to, std::size_t room, std::uint32_t* flags,
                         nghttp2_data_source*, void* user) {
    auto& self = *static_cast<StreamClient*>(user);
    if (id != self.stream_) return NGHTTP2_ERR_DEFERRED;
    const auto part = std::min(room, self.out_.size());
    std::memcpy(to, self.out_.data(), part);
    self.out_.erase(0, part);
    if (self.out_.empty() && self.half_close_)
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (part == 0)
      return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(part);
  }

  int fd_;
  ClientWire* wire_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  bool connected_ = false, half_close_ = false, pong_ = false, held_ = false;
  std::int32_t stream_ = 0;
  nghttp2_session* session_ = nullptr;
  std::string out_, unwritten_;
  FrameReader reader_;
};

}  // namespace codeq::transport::grpc
