#include "app/otlp_receiver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "app/fd.h"
#include "base/check.h"

namespace codeq::app {
namespace {

constexpr std::size_t kConnectionsMax = 64;
constexpr std::uint32_t kStreamsMax = 8;
constexpr std::size_t kHeaderBytesMax = 32 << 10;
constexpr std::size_t kOutputBytesMax = 1 << 20;
constexpr std::int32_t kWindowBytes = 1 << 20;
constexpr std::string_view kPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr int kInvalidArgument = 3, kResourceExhausted = 8, kUnimplemented = 12, kInternal = 13;

struct Stream {
  std::string path, headers, body;
  bool gzip = false;
  bool too_large = false;
  std::string answer;  // the length-prefixed response message
  std::size_t sent = 0;
};

void append_varint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

// ExportTraceServiceResponse { partial_success = 1 { rejected_spans = 1 } } behind its gRPC prefix.
std::string response(std::uint64_t rejected) {
  std::string message;
  if (rejected > 0) {
    std::string partial(1, '\x08');
    append_varint(rejected, partial);
    message += '\x0a';
    message += static_cast<char>(partial.size());
    message += partial;
  }
  std::string framed(5, '\0');
  framed[4] = static_cast<char>(message.size());
  return framed + message;
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 copies both; its interface is just not const.
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// What all calls feed. Everything behind the mutex.
struct Store {
  mutable std::mutex mutex;
  mutable std::condition_variable came;
  std::vector<ReceivedSpan> spans;
  std::size_t received = 0, calls = 0;
  std::string last_headers;
  int status = 0;
  std::uint64_t rejected = 0;
  std::FILE* file = nullptr;
  bool discard = false;
};

struct Verdict {
  int status = 0;
  std::uint64_t rejected = 0;
  std::string message;
};

int status_of(const Error& error) {
  return error.code == Code::kBodyTooLarge      ? kResourceExhausted
         : error.code == Code::kInvalidArgument ? kInvalidArgument
                                                : kInternal;
}

Result<std::vector<ReceivedSpan>> read_call(const Stream& stream) {
  if (stream.too_large) return fail(Code::kBodyTooLarge, "the message is too large");
  CODEQ_TRY(const std::string message, unpack_grpc_body(stream.body, stream.gzip));
  return decode_export_request(message);
}

Verdict take_call(const Stream& stream, Store& store) {
  if (store.discard && stream.path == kPath && !stream.too_large) return {};
  auto spans = stream.path == kPath ? read_call(stream) : std::vector<ReceivedSpan>{};
  Verdict verdict;
  {
    const std::scoped_lock lock(store.mutex);
    ++store.calls;
    store.last_headers = stream.headers;
    if (stream.path != kPath)
      verdict = {kUnimplemented, 0, "only TraceService/Export is here"};
    else if (!spans)
      verdict = {status_of(spans.error()), 0, spans.error().message};
    else
      verdict = {store.status, store.rejected, store.status == 0 ? "" : "as told"};
    if (verdict.status == 0) {
      store.received += spans->size();
      for (ReceivedSpan& span : *spans) {
        if (store.file != nullptr) std::fputs((to_json(span) + "\n").c_str(), store.file);
        if (store.spans.size() < OtlpReceiver::kSpansKeptMax) store.spans.push_back(std::move(span));
      }
      if (store.file != nullptr) std::fflush(store.file);
    }
  }
  store.came.notify_all();
  return verdict;
}

// One HTTP/2 connection; driven by bytes in, bytes out.
class Connection {
 public:
  static std::unique_ptr<Connection> open(Fd socket, Store& store) {
    auto connection = std::unique_ptr<Connection>(new Connection(std::move(socket), store));
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) return nullptr;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_close);
    const int made = nghttp2_session_server_new(&connection->session_, callbacks, connection.get());
    nghttp2_session_callbacks_del(callbacks);
    if (made != 0) return nullptr;
    const std::array<nghttp2_settings_entry, 3> settings = {{{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreamsMax},
                                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
                                                             {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kHeaderBytesMax}}};
    nghttp2_submit_settings(connection->session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(connection->session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
    return connection;
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { nghttp2_session_del(session_); }

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] short events() const { return static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT); }

  // False: the connection is done.
  bool serve(short ready) {
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0 && !read()) return false;
    return write() &&
           (nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0 || !out_.empty());
  }

 private:
  Connection(Fd socket, Store& store) : socket_(std::move(socket)), store_(store) {}

  bool read() {
    std::array<std::uint8_t, 16 << 10> bytes;
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    return got > 0 && nghttp2_session_mem_recv(session_, bytes.data(), static_cast<std::size_t>(got)) == got;
  }

  bool write() {
    for (;;) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t made = nghttp2_session_mem_send(session_, &bytes);
      if (made < 0) return false;
      if (made == 0) break;
      out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(made));
      if (out_.size() > kOutputBytesMax) return false;  // answers are tiny: this peer does not read them
    }
    while (!out_.empty()) {
      const ssize_t sent = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      out_.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
  }

  void answer(std::int32_t id, Stream& stream) {
    const Verdict verdict = take_call(stream, store_);
    std::string().swap(stream.body);
    if (verdict.status != 0) {  // "Trailers-Only" of gRPC over HTTP/2
      const std::string status = std::to_string(verdict.status);
      const std::array headers = {header(":status", "200"), header("content-type", "application/grpc"),
                                  header("grpc-status", status), header("grpc-message", verdict.message)};
      nghttp2_submit_response(session_, id, headers.data(), headers.size(), nullptr);
      return;
    }
    stream.answer = response(verdict.rejected);
    const std::array headers = {header(":status", "200"), header("content-type", "application/grpc")};
    nghttp2_data_provider body{};
    body.source.ptr = &stream;
    body.read_callback = &on_read_answer;
    nghttp2_submit_response(session_, id, headers.data(), headers.size(), &body);
  }

  static ssize_t on_read_answer(nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t part = std::min(room, stream.answer.size() - stream.sent);
    std::memcpy(out, stream.answer.data() + stream.sent, part);
    stream.sent += part;
    if (stream.sent == stream.answer.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const nghttp2_nv trailer = header("grpc-status", "0");
      nghttp2_submit_trailer(session, id, &trailer, 1);
    }
    return static_cast<ssize_t>(part);
  }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Connection*>(user);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      self.streams_[frame->hd.stream_id];
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name_bytes,
                       std::size_t name_size, const std::uint8_t* value_bytes, std::size_t value_size, std::uint8_t,
                       void* user) {
    auto& self = *static_cast<Connection*>(user);
    const auto found = self.streams_.find(frame->hd.stream_id);
    if (found == self.streams_.end()) return 0;
    const std::string_view name(reinterpret_cast<const char*>(name_bytes), name_size);
    const std::string_view value(reinterpret_cast<const char*>(value_bytes), value_size);
    Stream& stream = found->second;
    if (stream.headers.size() + name_size + value_size > kHeaderBytesMax) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream.headers.append(name).append(": ").append(value).append("\n");
    if (name == ":path") stream.path = value;
    if (name == "grpc-encoding") stream.gzip = value == "gzip";
    return 0;
  }

  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                     void* user) {
    auto& self = *static_cast<Connection*>(user);
    const auto found = self.streams_.find(id);
    if (found == self.streams_.end()) return 0;
    Stream& stream = found->second;
    if (stream.body.size() + size > kOtlpBodyBytesMax + 5) {
      stream.too_large = true;  // the rest is read and forgotten, so that the caller gets its answer
      std::string().swap(stream.body);
    }
    if (!stream.too_large) stream.body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    auto& self = *static_cast<Connection*>(user);
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (const auto found = self.streams_.find(frame->hd.stream_id); found != self.streams_.end()) {
      self.answer(frame->hd.stream_id, found->second);
    }
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t, void* user) {
    static_cast<Connection*>(user)->streams_.erase(id);
    return 0;
  }

  Fd socket_;
  Store& store_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Stream> streams_;  // nodes stay in place: nghttp2 holds pointers to the values
  std::string out_;
};

}  // namespace

class OtlpReceiver::Server {
 public:
  Result<void> open(const Options& options) {
    store_.discard = options.discard;
    if (!options.out_file.empty()) {
      store_.file = std::fopen(options.out_file.c_str(), "ae");
      if (store_.file == nullptr) return fail(Code::kIo, "cannot write " + options.out_file);
    }
    wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(options.port);
    socklen_t size = sizeof address;
    if (wake_.get() < 0 || listener_.get() < 0 ||
        ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      return fail(Code::kIo, "cannot listen on 127.0.0.1:" + std::to_string(options.port) + ": " +
                                 std::generic_category().message(errno));
    }
    port_ = ntohs(address.sin_port);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) { return fail(Code::kIo, "no thread for the receiver"); }
    return {};
  }

  ~Server() {
    stop();
    if (store_.file != nullptr) std::fclose(store_.file);
  }

  void stop() {
    const std::scoped_lock lock(stopping_);
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one);
    thread_.join();
    listener_ = Fd();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  Store& store() { return store_; }

 private:
  void run() {
    std::list<std::unique_ptr<Connection>> connections;
    std::vector<pollfd> polled;
    for (;;) {
      polled.assign({{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
      if (connections.size() >= kConnectionsMax) polled[1].events = 0;
      for (const auto& connection : connections) polled.push_back({connection->fd(), connection->events(), 0});
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[0].revents != 0) return;
      std::size_t i = 2;
      for (auto it = connections.begin(); it != connections.end(); ++i) {
        if (polled[i].revents != 0 && !(*it)->serve(polled[i].revents))
          it = connections.erase(it);
        else
          ++it;
      }
      if (polled[1].revents != 0) accept_one(connections);
    }
  }

  void accept_one(std::list<std::unique_ptr<Connection>>& connections) {
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.get() < 0) return;
    auto connection = Connection::open(std::move(socket), store_);
    if (connection && connection->serve(0)) connections.push_back(std::move(connection));
  }

  Store store_;
  Fd wake_, listener_;
  std::uint16_t port_ = 0;
  std::mutex stopping_;
  std::thread thread_;
};

OtlpReceiver::OtlpReceiver(std::unique_ptr<Server> server) : server_(std::move(server)) {}
OtlpReceiver::~OtlpReceiver() = default;

Result<std::unique_ptr<OtlpReceiver>> OtlpReceiver::start(Options options) {
  auto server = std::make_unique<Server>();
  CODEQ_TRY_VOID(server->open(options));
  return std::unique_ptr<OtlpReceiver>(new OtlpReceiver(std::move(server)));
}

void OtlpReceiver::stop() { server_->stop(); }
std::uint16_t OtlpReceiver::port() const { return server_->port(); }
std::string OtlpReceiver::endpoint() const { return "127.0.0.1:" + std::to_string(port()); }

std::vector<ReceivedSpan> OtlpReceiver::spans() const {
  const std::scoped_lock lock(server_->store().mutex);
  return server_->store().spans;
}

std::size_t OtlpReceiver::calls() const {
  const std::scoped_lock lock(server_->store().mutex);
  return server_->store().calls;
}

bool OtlpReceiver::wait_for(std::size_t count, std::chrono::milliseconds limit) const {
  Store& store = server_->store();
  std::unique_lock lock(store.mutex);
  return store.came.wait_for(lock, limit, [&] { return store.received >= count; });
}

void OtlpReceiver::answer_with(int grpc_status, std::uint64_t rejected_spans) {
  const std::scoped_lock lock(server_->store().mutex);
  server_->store().status = grpc_status;
  server_->store().rejected = rejected_spans;
}

std::string OtlpReceiver::last_headers() const {
  const std::scoped_lock lock(server_->store().mutex);
  return server_->store().last_headers;
}

}  // namespace codeq::app
