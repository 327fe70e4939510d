// The profile file of the client commands: which broker, with which tokens, and how to log in.
//
// Shape    config.yaml in $CODEQ_CONFIG_DIR, else in ~/.codeq; `currentProfile` and `profiles.<name>`, as docs/cli.md shows.
//          What we do not know in it is kept as it is when the file is written again.
// Bounds   those of app/config/tree.h: 1 MiB, 32 levels, no anchors
// Errors   kInvalidArgument with the file and the line, never a value; kIo
// Files    the folder is made with mode 0700; the file is replaced by a rename, with mode 0600
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/config/load.h"
#include "app/config/tree.h"
#include "base/result.h"

namespace codeq::app::client {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct LoginProfile {
  std::optional<std::string> url_template, method, body_template, content_type, token_path;
  Headers headers;
};
struct ExchangeProfile {
  std::optional<std::string> url_template, method, content_type, token_path, audience, tenant_id;
  Headers headers;
  std::vector<std::string> scopes;
};
struct Profile {
  std::optional<std::string> base_url, iam_base_url, iam_api_key, token, producer_token, worker_token;
  std::optional<std::string> ca_file, client_cert, client_key;
  std::optional<bool> admin;
  LoginProfile login;
  ExchangeProfile exchange;
};

class ProfileFile {
 public:
  // A file that is not there is an empty one.
  static Result<ProfileFile> load(const std::filesystem::path& path);
  static Result<ProfileFile> parse(std::string_view text, std::string_view name);

  [[nodiscard]] std::string current() const;  // empty: none is named
  [[nodiscard]] std::vector<std::string> names() const;
  // Nothing where there is no such profile. Errors: kInvalidArgument, a value of the wrong kind
  [[nodiscard]] Result<std::optional<Profile>> find(std::string_view name) const;

  void set_current(std::string_view name);
  void set(std::string_view profile, std::string_view key, std::string_view value);
  void set_flag(std::string_view profile, std::string_view key, bool value);
  void erase(std::string_view profile, std::string_view key);

  [[nodiscard]] std::string to_yaml() const;
  [[nodiscard]] Result<> save(const std::filesystem::path& path) const;

 private:
  Tree& profile_tree(std::string_view name);

  Tree root_;
  std::string name_;  // of the file, for messages
};

// Errors: kInvalidArgument, neither CODEQ_CONFIG_DIR nor HOME is set
Result<std::filesystem::path> profile_path(const GetEnv& getenv);

}  // namespace codeq::app::client
