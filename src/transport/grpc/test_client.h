// A client of one gRPC stream over nghttp2, blocking. For tests and for the load generator.
//
// Shape    send queues a message, flush writes what is queued, pump reads once and gives what came
// Threads  one
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
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

class StreamClient {
 public:
  StreamClient(std::uint16_t port, std::string_view path,
               std::vector<std::pair<std::string, std::string>> metadata = {})
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    constexpr std::uint32_t kWindow = 8U << 20U;
    const std::array<nghttp2_settings_entry, 1> settings = {{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindow);
    const auto head = head_of(path, metadata);
    nghttp2_data_provider body{};
    body.read_callback = &on_read;
    stream_ = nghttp2_submit_request(session_, nullptr, head.data(), head.size(), &body, nullptr);
    flush();
  }
  ~StreamClient() {
    hang_up();
    nghttp2_session_del(session_);
  }
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void hang_up() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // Another stream of the same connection, which sends nothing. What comes of it goes where that of the first one goes.
  void open_another(std::string_view path) {
    const auto head = head_of(path, {});
    nghttp2_data_provider body{};
    body.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t, std::uint32_t*,
                            nghttp2_data_source*, void*) -> ssize_t { return NGHTTP2_ERR_DEFERRED; };
    nghttp2_submit_request(session_, nullptr, head.data(), head.size(), &body, nullptr);
    flush();
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
  bool flush() {
    if (fd_ < 0) return false;
    if (!out_.empty() || half_close_) nghttp2_session_resume_data(session_, stream_);
    std::string wire;
    for (;;) {
      const std::uint8_t* bytes = nullptr;
      const auto n = nghttp2_session_mem_send(session_, &bytes);
      if (n <= 0) break;
      wire.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
    }
    for (std::string_view left = wire; !left.empty();) {
      const auto n = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // Reads once. False: the connection has ended or nothing came in time.
  bool pump() {
    std::array<char, 64 << 10> bytes;
    if (fd_ < 0) return false;
    const auto n = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (n <= 0) return false;
    if (nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                 static_cast<std::size_t>(n)) < 0)
      return false;
    std::string_view message;
    while (reader_.next(std::size_t{64} << 20U, message) == FrameReader::State::kMessage)
      messages.emplace_back(message);
    reader_.compact();
    return flush();
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

 private:
  // Borrows from both.
  static std::vector<nghttp2_nv> head_of(std::string_view path,
                                         const std::vector<std::pair<std::string, std::string>>& metadata) {
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
    for (const auto& [name, value] : metadata) add(name, value);
    return head;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    auto& self = *static_cast<StreamClient*>(user);
    self.headers[{reinterpret_cast<const char*>(name), name_size}] = {reinterpret_cast<const char*>(value), value_size};
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes, std::size_t size,
                     void* user) {
    static_cast<StreamClient*>(user)->reader_.feed({reinterpret_cast<const char*>(bytes), size});
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
      static_cast<StreamClient*>(user)->pong_ = true;
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t, std::uint32_t, void* user) {
    static_cast<StreamClient*>(user)->ended = true;
    return 0;
  }
  static ssize_t on_read(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room, std::uint32_t* flags,
                         nghttp2_data_source*, void* user) {
    auto& self = *static_cast<StreamClient*>(user);
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
  bool connected_ = false, half_close_ = false, pong_ = false;
  std::int32_t stream_ = 0;
  nghttp2_session* session_ = nullptr;
  std::string out_;
  FrameReader reader_;
};

}  // namespace codeq::transport::grpc
