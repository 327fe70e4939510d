// The one table of settings. Loading, messages, `codeq config`, and docs/configuration.md are made from it.
//
// A new setting is a member in config.h and a line in keys.cc; everything else follows.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/config/config.h"

namespace codeq::app {

enum class KeyStatus : std::uint8_t {
  kUsed,
  kLater,    // read and checked; does nothing in this version, one log line says so
  kIgnored,  // a key of the reference without meaning here; one log line
  kRefused,  // a switch that cannot be turned on here
};

enum class KeyType : std::uint8_t { kBool, kInt, kFloat, kString, kChoice, kList, kJson, kAny };

struct RateMember {
  RateLimit Config::* bucket;
  std::int64_t RateLimit::* number;
};
struct JsonMember {
  std::string Config::* text;
};

// Where a key's value goes; its type follows. Nowhere: the key's `type` says what is accepted.
using Member = std::variant<std::monostate, bool Config::*, std::optional<bool> Config::*, std::int64_t Config::*,
                            std::string Config::*, std::vector<std::string> Config::*, JsonMember, RateMember,
                            Durability Config::*, AttemptCounting Config::*, Backoff Config::*, LogLevel Config::*,
                            LogFormat Config::*, TlsAuth Config::*, std::optional<bool> TracingValues::*,
                            std::optional<std::string> TracingValues::*, std::optional<double> TracingValues::*>;

struct Key {
  std::string_view name;                   // as in YAML; a dot is one level of mapping
  Member member = {};
  KeyStatus status = KeyStatus::kUsed;
  KeyType type = KeyType::kString;         // counts only without a member
  std::string_view help = {};              // one paragraph, Markdown
  std::string_view advice = {};            // for the log line or the refusal
  std::string_view unit = {};
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  bool low_is_default = false;             // below `min` means the default, as in the reference
  std::string_view default_note = {};      // where the member's own default does not tell
  std::string_view other_env = {};         // read where the first variable is not set
  bool secret = false;
};

struct KeyGroup {
  std::string_view title;
  std::span<const Key> keys;
};

std::span<const KeyGroup> key_groups();
const Key* find_key(std::string_view name);
bool is_key_group(std::string_view name);          // a proper prefix of a key, at a dot
std::span<const std::string_view> key_names();

KeyType type_of(const Key& key);
std::string_view type_name(const Key& key);
std::span<const std::string_view> choices_of(const Key& key);  // empty unless kChoice
std::string env_name(std::string_view key);        // "raft.peerHTTPAddrs" -> "RAFT_PEER_HTTP_ADDRS"
std::string value_text(const Key& key, const Config& config);  // as one would write it; secrets as they are
std::string default_text(const Key& key);

}  // namespace codeq::app
