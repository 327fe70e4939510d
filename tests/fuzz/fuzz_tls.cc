// fuzz-room: codeq_transport_tls codeq_base
// A TLS session of ours. Odd first byte: the bytes are the client's, in pieces. Even: a client of OpenSSL's connects and
// speaks, and the bytes say how its wire is cut and where a bit of it is turned; then nothing wrong may come out.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "transport/tls/context.h"
#include "transport/tls/session.h"
#include "transport/tls/test_tls.h"

namespace {

using namespace codeq::transport;

const std::shared_ptr<TlsContext>& context() {
  static const auto opened = [] {
    const TlsFolder folder;
    const auto issued = issue("fuzz", nullptr);
    auto made = TlsContext::open({.certificate_file = folder.write("cert.pem", issued.certificate_pem()),
                                  .key_file = folder.write("key.pem", issued.key_pem()),
                                  .client_ca_file = folder.path("cert.pem"),
                                  .client_auth = TlsClientAuth::kOptional,
                                  .alpn = {"h2", "http/1.1"}});
    CHECK(made.has_value());
    return *made;
  }();
  return opened;
}

void raw(std::string_view bytes, std::size_t piece) {
  TlsSession session(context());
  std::string plain;
  while (!bytes.empty()) {
    const auto part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    const bool taken = session.receive(part, plain).has_value();
    CHECK(taken != session.failed());
    CHECK(!session.established());  // nobody guesses a Finished
    CHECK(plain.empty());
    CHECK(session.memory() < 128U << 10U);
    if (!taken) return;
  }
}

void tampered(std::string_view script) {
  constexpr std::string_view kSaid = "what the client says, more than once";
  TlsPeer client(TlsClientOptions{});
  TlsSession session(context());
  std::string plain;
  std::size_t at = 0, said = 0;
  const auto next = [&]() -> std::uint8_t { return at < script.size() ? static_cast<std::uint8_t>(script[at++]) : 0; };
  bool turned = false;
  for (int round = 0; round < 8; ++round) {
    client.turn();
    if (client.finished() && said < 3) {
      client.send(kSaid);
      ++said;
    }
    auto wire = client.take();
    if (const auto where = next(); where != 0 && !wire.empty()) {
      auto& byte = wire[where * wire.size() / 256];
      byte = static_cast<char>(byte ^ (1 << (next() % 8U)));
      turned = true;
    }
    for (std::string_view rest = wire; !rest.empty();) {
      const auto part = rest.substr(0, 1 + next());
      rest.remove_prefix(part.size());
      if (!session.receive(part, plain)) {
        CHECK(turned);
        return;
      }
    }
    client.feed(session.wire());
    session.written(session.wire().size());
  }
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(plain[i] == kSaid[i % kSaid.size()]);
  if (!turned) CHECK(session.established() && plain.size() == 3 * kSaid.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2U == 1)
    raw(text, 1 + data[0] / 2U);
  else
    tampered(text);
  return 0;
}
