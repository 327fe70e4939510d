// fuzz-room: codeq_app_config
// A settings file, or one of the variables that are parsed. The first byte chooses which; a file begins with anything else.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "app/config/load.h"
#include "app/config/print.h"
#include "app/config/tree.h"
#include "base/check.h"

namespace {

const char* variable_for(char choice) {
  switch (choice) {
    case '1': return "PERSISTENCE_CONFIG";
    case '2': return "PRODUCER_AUTH_CONFIG";
    case '3': return "WEBHOOK_ALLOWED_NETWORKS";
    case '4': return "TRACING_SAMPLE_RATIO";
    case '5': return "PORT";
    default: return nullptr;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  const char* variable = text.empty() ? nullptr : variable_for(text[0]);
  const std::string value = variable == nullptr ? "" : text.substr(1);
  const auto loaded = codeq::app::load_config_text(
      variable == nullptr ? text : std::string_view("producerAuthProvider: static"), "fuzz.yaml",
      [&](const char* name) {
        return variable != nullptr && std::string_view(name) == variable ? value.c_str() : nullptr;
      });
  if (loaded) {
    CHECK(!loaded->config.data_path.empty());
    CHECK(loaded->config.port >= 1 && loaded->config.port <= 65'535);
    CHECK(!codeq::app::check_text(*loaded).empty());
  } else {
    CHECK(!loaded.error().message.empty());
  }
  // What becomes of YAML is JSON that comes back as it was.
  if (const auto tree = codeq::app::parse_yaml(text)) {
    const std::string json = codeq::app::to_json(*tree);
    if (const auto again = codeq::app::parse_json(json, 0)) CHECK(!codeq::app::to_json(*again).empty());
  }
  return 0;
}
