#include "app/dev_tokens.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/rng.h"

namespace codeq::app {
namespace {

std::string random_token(const char* prefix) {
  static constexpr char kDigits[] = "0123456789abcdef";
  SystemRng rng;
  std::string token = prefix;
  for (int word = 0; word < 2; ++word) {
    auto draw = rng.next();
    for (int i = 0; i < 16; ++i, draw >>= 4) token += kDigits[draw & 15];
  }
  return token;
}

}  // namespace

void DevTokens::apply(Config& config) const {
  config.producer_auth_provider = "static";
  config.producer_auth_config =
      R"({"token":")" + producer + R"(","subject":"producer-dev","scopes":["codeq:admin"],"raw":{"tenantId":"dev"}})";
  config.worker_auth_provider = "static";
  config.worker_auth_config =
      R"({"token":")" + worker +
      R"(","subject":"worker-dev","eventTypes":["*"],"scopes":["codeq:claim","codeq:heartbeat","codeq:abandon","codeq:nack",)"
      R"("codeq:result","codeq:subscribe"],"raw":{"tenantId":"dev"}})";
}

Result<DevTokens> dev_tokens(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto path = folder / "dev-tokens";
  if (std::ifstream file(path); file) {
    DevTokens tokens;
    if (file >> tokens.producer >> tokens.worker) return tokens;
  }
  const DevTokens tokens{.producer = random_token("dev-producer-"), .worker = random_token("dev-worker-")};
  const auto text = tokens.producer + "\n" + tokens.worker + "\n";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!written) return fail(Code::kIo, "cannot write " + path.string());
  return tokens;
}

}  // namespace codeq::app
