// fuzz-room: codeq_observe
// Lines of NAME=VALUE as the environment of the tracing set-up.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "observe/otlp/encode.h"
#include "observe/otlp/options.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::map<std::string, std::string> env;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (const auto equals = line.find('='); equals != std::string_view::npos)
      env.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  const auto options = codeq::observe::tracing_options({}, [&](const char* name) -> std::optional<std::string> {
    const auto found = env.find(name);
    return found == env.end() ? std::nullopt : std::optional(found->second);
  });
  if (!options) return 0;
  if (options->endpoint.find_first_of(" /@\r\n") != std::string::npos) std::abort();  // it becomes part of a URL
  for (const auto& [name, value] : options->headers) {
    if ((name + value).find_first_of("\r\n") != std::string::npos) std::abort();
  }
  if (codeq::observe::encode_resource(*options).empty()) std::abort();
  return 0;
}
