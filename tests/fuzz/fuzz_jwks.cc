// fuzz-room: codeq_services
// A key set as an identity service sends it: keys that are of use come out of it or none, and each can be asked.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "services/auth/jwk.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace codeq::services::auth;
  const auto keys = Jwks::read(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!keys) return 0;
  CHECK(size <= kJwksBytesMax && keys->size() <= kJwksKeysMax);
  for (const auto& key : keys->keys()) {
    CHECK(key.key != nullptr && key.algorithms != 0 && !key.kid.empty() && key.kid.size() <= kKidBytesMax);
    CHECK(keys->knows(key.kid) && keys->holds(key.fingerprint));
    for (unsigned i = 0; i < kAlgorithms; ++i) {
      const auto algorithm = static_cast<Algorithm>(i);
      for (const std::string_view signature :
           {std::string_view(), std::string_view("x"),
            std::string_view("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")})
        CHECK(!signature_is_good(key, algorithm, "text", signature));
    }
  }
  return 0;
}
