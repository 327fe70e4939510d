// Which broker, which tokens: the flags over the environment over the profile over the defaults.
#pragma once

#include <filesystem>
#include <string>

#include "app/client/arguments.h"
#include "app/client/profile.h"
#include "app/config/load.h"
#include "base/result.h"

namespace codeq::app::client {

inline constexpr const char* kDefaultBaseUrl = "http://localhost:8080";
inline constexpr const char* kDefaultIamBaseUrl = "https://api.storifly.ai/v1/accounts";

struct Settings {
  std::string profile_name;
  std::string base_url, iam_base_url;  // without a slash at the end
  std::string iam_api_key, producer_token, worker_token;  // empty: none
  std::string ca_file, client_cert, client_key;
  bool admin = false;  // X-Role: ADMIN goes along
  Profile profile;     // as stored, empty where there is none

  // The one asked for, else the other: one token may serve both sides.
  [[nodiscard]] const std::string& producer_or_worker() const {
    return producer_token.empty() ? worker_token : producer_token;
  }
  [[nodiscard]] const std::string& worker_or_producer() const {
    return worker_token.empty() ? producer_token : worker_token;
  }
};

// Which profile is meant, and whether somebody named it.
struct ProfileChoice {
  std::string name;
  bool named = false;
};
ProfileChoice choose_profile(const ClientGlobals& globals, const ProfileFile& file, const GetEnv& getenv);

// `must_exist`: a profile that somebody named and that is not there is an error, not an empty one.
// Errors: kInvalidArgument
Result<Settings> resolve(const ClientGlobals& globals, const ProfileFile& file, const GetEnv& getenv, bool must_exist);

// "abcd...wxyz"; a secret of fewer than twelve characters shows nothing of itself; empty: "(not set)".
std::string masked(std::string_view secret);

// The profile that a login makes where none is named: the address with `@` and `.` as `_`.
std::string profile_of_email(std::string_view email);

}  // namespace codeq::app::client
