#include "transport/http/decode.h"

#include <algorithm>
#include <array>

#include "base/base64.h"
#include "core/json_scan.h"
#include "core/rfc3339.h"

namespace codeq::transport::http {

namespace {

// 190 years. Added to any record time it still fits 64 bits of nanoseconds; more than that means "never" anyway.
constexpr std::int64_t kSecondsMax = 6'000'000'000;

// A single submit says "invalid request body", everything else this.
std::unexpected<Error> invalid_body(std::string_view text = "invalid body") {
  return fail(Code::kInvalidBody, std::string(text));
}

std::int64_t saturate(std::int64_t seconds) { return std::clamp(seconds, -kSecondsMax, kSecondsMax); }

using core::JsonMember;
using core::JsonType;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_null(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text == "null";
}

// Calls `take(which of names, member)` for every member that is meant; false: not an object, or `take` refused one.
// A body of `null` is an object without members, as in the reference.
template <std::size_t N, class F>
bool read_object(std::string_view text, const std::array<std::string_view, N>& names, std::size_t depth_max, F&& take) {
  const auto visit = [&](const JsonMember& member) {
    const auto name = core::json_name(member.key_raw, names);
    return !name || take(*name, member);
  };
  return !core::scan_object(text, visit, depth_max) || is_null(text);
}

// Each of these leaves what was there where the value is null.
bool read_string(const JsonMember& member, std::string& out) {
  if (member.type == JsonType::kNull) return true;
  if (member.type != JsonType::kString) return false;
  auto text = core::json_unescape(member.value);
  if (!text) return false;
  out = *std::move(text);
  return true;
}

bool read_int(const JsonMember& member, std::int64_t& out) {
  if (member.type == JsonType::kNull) return true;
  const auto number = core::json_int(member.value);
  if (member.type != JsonType::kNumber || !number) return false;
  out = *number;
  return true;
}

bool read_strings(const JsonMember& member, std::vector<std::string>& out, std::size_t depth_max) {
  out.clear();
  if (member.type == JsonType::kNull) return true;
  const auto visit = [&](const JsonMember& element) { return read_string(element, out.emplace_back()); };
  return !core::scan_array(member.value, visit, depth_max);
}

bool read_lease_token(const JsonMember& member, std::optional<std::uint64_t>& out) {
  std::string text;
  if (!read_string(member, text)) return false;
  if (text.empty()) return true;
  if (text.size() != 16) return false;
  std::uint64_t token = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9')
      token = token << 4U | static_cast<std::uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      token = token << 4U | static_cast<std::uint64_t>(c - 'a' + 10);
    else
      return false;
  }
  out = token;
  return true;
}

struct CreateFields {
  services::CreateTask task;
  std::string run_at;
  std::int64_t delay_seconds = 0;
};

// False: not an object, or a field of the wrong type.
bool read_create(std::string_view object, std::size_t depth_max, CreateFields& out) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "command", "payload", "priority", "webhook", "maxAttempts", "idempotencyKey", "runAt", "delaySeconds"};
  auto& task = out.task;
  return read_object(object, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    switch (name) {
      case 0: return read_string(member, task.command);
      case 1: task.payload = member.type == JsonType::kNull ? std::string_view{} : member.value; return true;
      case 2: return read_int(member, task.priority);
      case 3: return read_string(member, task.webhook);
      case 4: return read_int(member, task.max_attempts);
      case 5: return read_string(member, task.idempotency_key);
      case 6: return read_string(member, out.run_at);
      default: return read_int(member, out.delay_seconds);
    }
  });
}

Result<services::CreateTask> finish_create(CreateFields&& fields) {
  if (!fields.run_at.empty()) {
    const auto run_at = core::parse_rfc3339(fields.run_at);
    if (!run_at) return fail(Code::kInvalidRunAt, "invalid 'runAt' (use RFC3339)");
    fields.task.run_at_ns = *run_at;
  }
  if (fields.delay_seconds < 0) return fail(Code::kInvalidDelay, "invalid 'delaySeconds' (must be >= 0)");
  fields.task.delay_ms = saturate(fields.delay_seconds) * 1000;
  return std::move(fields.task);
}

struct ClaimFields {
  services::ClaimTasks claim;
  std::int64_t wait_seconds = 0, count = 0;
};

// A batch has a count and no wait, a single claim the other way round.
Result<ClaimFields> read_claim(std::string_view body, std::size_t depth_max, bool batch) {
  static constexpr std::array<std::string_view, 3> kSingle = {"commands", "leaseSeconds", "waitSeconds"};
  static constexpr std::array<std::string_view, 3> kBatch = {"commands", "leaseSeconds", "count"};
  ClaimFields fields;
  const bool fits =
      read_object(body, batch ? kBatch : kSingle, depth_max, [&](std::size_t name, const JsonMember& member) {
        switch (name) {
          case 0: return read_strings(member, fields.claim.commands, depth_max);
          case 1: return read_int(member, fields.claim.lease_seconds);
          default: return read_int(member, batch ? fields.count : fields.wait_seconds);
        }
      });
  if (!fits) return invalid_body();
  fields.claim.lease_seconds = saturate(fields.claim.lease_seconds);
  return fields;
}

struct ArtifactFields {
  std::string name, url, content, content_type;
};

bool read_artifacts(const JsonMember& member, std::vector<ArtifactFields>& out, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 4> kNames = {"name", "url", "contentBase64", "contentType"};
  out.clear();
  if (member.type == JsonType::kNull) return true;
  const auto visit = [&](const JsonMember& element) {
    auto& artifact = out.emplace_back();
    return read_object(element.value, kNames, depth_max, [&](std::size_t name, const JsonMember& field) {
      switch (name) {
        case 0: return read_string(field, artifact.name);
        case 1: return read_string(field, artifact.url);
        case 2: return read_string(field, artifact.content);
        default: return read_string(field, artifact.content_type);
      }
    });
  };
  return !core::scan_array(member.value, visit, depth_max);
}

struct SubmitFields {
  services::SubmitResult submit;
  std::vector<ArtifactFields> artifacts;
};

bool read_result_object(const JsonMember& member, std::optional<std::string>& out) {
  if (member.type == JsonType::kNull) {
    out.reset();
    return true;
  }
  if (member.type != JsonType::kObject) return false;
  out = std::string(member.value);
  return true;
}

bool read_submit(std::string_view object, std::size_t depth_max, bool batch, SubmitFields& out) {
  static constexpr std::array<std::string_view, 6> kNames = {"status",    "result",     "error",
                                                             "artifacts", "leaseToken", "taskId"};
  auto& submit = out.submit;
  return read_object(object, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    switch (name) {
      case 0: return read_string(member, submit.status);
      case 1: return read_result_object(member, submit.result_json);
      case 2: return read_string(member, submit.error);
      case 3: return read_artifacts(member, out.artifacts, depth_max);
      case 4: return read_lease_token(member, submit.lease_token);
      default: return !batch || read_string(member, submit.task_id);
    }
  });
}

SubmitBody finish_submit(SubmitFields&& fields) {
  SubmitBody body{.submit = std::move(fields.submit), .uploads = {}, .refused = std::nullopt};
  const auto refuse = [&](const std::string& name, std::string_view why) {
    if (!body.refused)
      body.refused = Error{Code::kInvalidArtifact, "artifact " + name.substr(0, 255) + " " + std::string(why)};
  };
  for (auto& artifact : fields.artifacts) {
    if (!artifact.url.empty()) {
      body.submit.artifacts.push_back({.name = std::move(artifact.name), .url = std::move(artifact.url)});
    } else if (!artifact.content.empty()) {
      if (!valid_artifact_name(artifact.name)) {
        refuse(artifact.name, "upload: invalid name");
      } else if (auto bytes = decode_base64(artifact.content); !bytes) {
        refuse(artifact.name, "base64 decode: illegal base64 data");
      } else {
        body.uploads.push_back({.name = std::move(artifact.name), .bytes = *std::move(bytes)});
      }
    }
  }
  return body;
}

// The elements of a batch body's array under `name`: 1 to kBatchMax.
Result<std::vector<std::string_view>> batch_of(std::string_view body, std::string_view name, std::size_t depth_max) {
  std::vector<std::string_view> items;
  std::size_t count = 0;
  const std::array<std::string_view, 1> names = {name};
  const bool fits = read_object(body, names, depth_max, [&](std::size_t, const JsonMember& member) {
    items.clear();
    count = 0;
    if (member.type == JsonType::kNull) return true;
    const auto visit = [&](const JsonMember& element) {
      if (++count <= kBatchMax) items.push_back(element.value);
    };
    return !core::scan_array(member.value, visit, depth_max);
  });
  if (!fits || count == 0) return invalid_body();
  if (count > kBatchMax) return fail(Code::kBatchTooLarge, "batch size exceeds maximum of 100");
  return items;
}

}  // namespace

Result<services::CreateTask> decode_create(std::string_view body, std::size_t depth_max) {
  CreateFields fields;
  if (!read_create(body, depth_max, fields) || fields.task.command.empty() || fields.task.payload.empty())
    return invalid_body();
  return finish_create(std::move(fields));
}

Result<std::vector<Result<services::CreateTask>>> decode_create_batch(std::string_view body, std::size_t depth_max) {
  CODEQ_TRY(const auto items, batch_of(body, "tasks", depth_max));
  std::vector<Result<services::CreateTask>> tasks;
  tasks.reserve(items.size());
  for (const auto item : items) {
    CreateFields fields;
    if (!read_create(item, depth_max, fields)) return invalid_body();
    if (fields.task.payload.empty()) fields.task.payload = "null";  // accepted in a batch, as in the reference
    tasks.push_back(finish_create(std::move(fields)));
  }
  return tasks;
}

Result<services::ClaimTasks> decode_claim(std::string_view body, std::size_t depth_max) {
  CODEQ_TRY(auto fields, read_claim(body, depth_max, false));
  fields.claim.count = 1;
  fields.claim.wait_ms = std::clamp<std::int64_t>(fields.wait_seconds, 0, kClaimWaitSecondsMax) * 1000;
  return std::move(fields.claim);
}

Result<services::ClaimTasks> decode_claim_batch(std::string_view body, std::size_t depth_max) {
  CODEQ_TRY(auto fields, read_claim(body, depth_max, true));
  if (fields.count <= 0) return invalid_body();
  if (fields.count > static_cast<std::int64_t>(kBatchMax))
    return fail(Code::kBatchTooLarge, "count exceeds maximum of 100");
  fields.claim.count = static_cast<std::uint32_t>(fields.count);
  return std::move(fields.claim);
}

Result<OwnerBody> decode_heartbeat(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 2> kNames = {"leaseToken", "extendSeconds"};
  OwnerBody owner;
  const bool fits = read_object(body, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    return name == 0 ? read_lease_token(member, owner.lease_token) : read_int(member, owner.seconds);
  });
  if (!fits) return invalid_body();
  owner.seconds = saturate(owner.seconds);
  return owner;
}

Result<OwnerBody> decode_nack(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 3> kNames = {"leaseToken", "delaySeconds", "reason"};
  OwnerBody owner;
  const bool fits = read_object(body, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    switch (name) {
      case 0: return read_lease_token(member, owner.lease_token);
      case 1: return read_int(member, owner.seconds);
      default: return read_string(member, owner.reason);
    }
  });
  if (!fits) return invalid_body();
  owner.seconds = saturate(owner.seconds);
  return owner;
}

Result<OwnerBody> decode_abandon(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 1> kNames = {"leaseToken"};
  OwnerBody owner;
  if (!core::valid_json(body, depth_max)) return owner;
  bool token_fits = true;
  const auto take = [&](std::size_t, const JsonMember& member) {
    return token_fits = read_lease_token(member, owner.lease_token);
  };
  if (!read_object(body, kNames, depth_max, take) && !token_fits) return invalid_body();
  return owner;
}

Result<CleanupBody> decode_cleanup(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 2> kNames = {"limit", "before"};
  CleanupBody cleanup;
  const bool fits = read_object(body, kNames, depth_max, [&](std::size_t name, const JsonMember& member) {
    return name == 0 ? read_int(member, cleanup.limit) : read_string(member, cleanup.before);
  });
  if (!fits) return CleanupBody{};
  if (cleanup.before.empty()) return cleanup;
  cleanup.before_ns = core::parse_rfc3339(cleanup.before);
  if (!cleanup.before_ns) return fail(Code::kInvalidArgument, "invalid 'before' (use RFC3339)");
  constexpr std::size_t kSecondsEnd = std::string_view("2026-01-01T00:00:00").size();
  const auto zone = cleanup.before.find_first_of("Z+-", kSecondsEnd);
  const auto offset = cleanup.before.substr(zone);
  cleanup.before.resize(kSecondsEnd);
  cleanup.before += offset.substr(1) == "00:00" ? "Z" : offset;
  return cleanup;
}

Result<SubmitBody> decode_submit(std::string_view body, std::size_t depth_max) {
  SubmitFields fields;
  if (!read_submit(body, depth_max, false, fields) || fields.submit.status.empty())
    return invalid_body("invalid request body");
  return finish_submit(std::move(fields));
}

Result<std::vector<SubmitBody>> decode_submit_batch(std::string_view body, std::size_t depth_max) {
  CODEQ_TRY(const auto items, batch_of(body, "results", depth_max));
  std::vector<SubmitBody> results;
  results.reserve(items.size());
  for (const auto item : items) {
    SubmitFields fields;
    if (!read_submit(item, depth_max, true, fields)) return invalid_body();
    results.push_back(finish_submit(std::move(fields)));
  }
  return results;
}

Result<> check_submission(const services::SubmitResult& submit) {
  if (submit.status == "COMPLETED") {
    if (!submit.result_json) return fail(Code::kResultRequired, "result required when status=COMPLETED");
  } else if (submit.status == "FAILED") {
    if (submit.error.find_first_not_of(" \t\r\n\v\f") == std::string::npos) {
      return fail(Code::kErrorRequired, "error required when status=FAILED");
    }
  } else {
    return fail(Code::kInvalidStatus, "invalid status");
  }
  return {};
}

bool valid_artifact_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

}  // namespace codeq::transport::http
