#include "app/bench/stream_connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace codeq::app {
namespace {

constexpr std::int32_t kWindowBytes = 8 << 20;       // of stream and connection: the bench never makes a server wait
constexpr std::size_t kMessageBytesMax = 64U << 20;  // of a server that we chose ourselves

}  // namespace

struct StreamConnection::Callbacks {
  static StreamConnection& of(void* user) { return *static_cast<StreamConnection*>(user); }

  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes, std::size_t size,
                     void* user) {
    of(user).reader_.feed({reinterpret_cast<const char*>(bytes), size});
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                       const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    if (std::string_view(reinterpret_cast<const char*>(name), name_size) == "grpc-message")
      of(user).status_.assign(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t, std::uint32_t, void* user) {
    of(user).ended_ = true;
    return 0;
  }
  static ssize_t on_read(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room, std::uint32_t*,
                         nghttp2_data_source*, void* user) {
    auto& self = of(user);
    const auto part = std::min(room, self.out_.size() - self.taken_);
    if (part == 0) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(to, self.out_.data() + self.taken_, part);
    self.taken_ += part;
    if (self.taken_ == self.out_.size()) self.out_.clear(), self.taken_ = 0;
    return static_cast<ssize_t>(part);
  }
};

StreamConnection::StreamConnection() = default;
StreamConnection::~StreamConnection() { close(); }

void StreamConnection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  nghttp2_session_del(session_);
  session_ = nullptr;
}

bool StreamConnection::connect(const BenchAddress& address, std::string_view path) {
  close();
  fd_ = socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return false;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};  // on Linux the send timeout bounds connect too (socket(7))
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK) != 0) {
    close();
    return false;
  }
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::on_data);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::on_header);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::on_close);
  const int made = nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) {
    close();
    return false;
  }
  const std::array<nghttp2_settings_entry, 1> settings = {{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  const auto field = [](std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {  // nghttp2 copies both
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    return nghttp2_nv{bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  };
  const std::array<nghttp2_nv, 6> head = {field(":method", "POST"),
                                          field(":scheme", "http"),
                                          field(":path", path),
                                          field(":authority", "localhost"),
                                          field("content-type", "application/grpc"),
                                          field("te", "trailers")};
  nghttp2_data_provider body{};
  body.read_callback = &Callbacks::on_read;
  stream_ = nghttp2_submit_request(session_, nullptr, head.data(), head.size(), &body, nullptr);
  return stream_ > 0 && flush();
}

void StreamConnection::send(std::string_view message) {
  transport::grpc::append_frame_prefix(out_, message.size());
  out_ += message;
}

bool StreamConnection::flush() {
  if (fd_ < 0) return false;
  if (!out_.empty()) nghttp2_session_resume_data(session_, stream_);  // an error: it was not deferred
  for (;;) {
    const std::uint8_t* bytes = nullptr;
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n < 0) return false;
    if (n == 0) break;
    wire_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
  }
  while (written_ < wire_.size()) {
    const auto n = ::send(fd_, wire_.data() + written_, wire_.size() - written_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    written_ += static_cast<std::size_t>(n);
  }
  wire_.clear();
  written_ = 0;
  return true;
}

bool StreamConnection::receive() {
  reader_.compact();
  std::array<std::uint8_t, 64 << 10> bytes;
  for (;;) {
    const auto n = recv(fd_, bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n <= 0) return false;
    return nghttp2_session_mem_recv(session_, bytes.data(), static_cast<std::size_t>(n)) == n;
  }
}

bool StreamConnection::next(std::string_view& message) {
  return reader_.next(kMessageBytesMax, message) == transport::grpc::FrameReader::State::kMessage;
}

}  // namespace codeq::app
