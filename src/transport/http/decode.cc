#include "transport/http/decode.h"

#include <algorithm>
#include <array>

#include "base/base64.h"
#include "base/hex.h"
#include "core/json_cursor.h"
#include "core/rfc3339.h"

namespace codeq::transport::http {

namespace {

// 190 years. Added to any record time it still fits 64 bits of nanoseconds; more than that means "never" anyway.
constexpr std::int64_t kSecondsMax = 6'000'000'000;
constexpr std::size_t kBatchItemBytes = 64;  // of a batch's body; there are hardly any shorter ones

// A single submit says "invalid request body", everything else this.
std::unexpected<Error> invalid_body(std::string_view text = "invalid body") {
  return fail(Code::kInvalidBody, std::string(text));
}

std::int64_t saturate(std::int64_t seconds) { return std::clamp(seconds, -kSecondsMax, kSecondsMax); }

using core::JsonCursor;
using core::JsonType;

// Whether a null was there, which every reader below takes as "leave what was there"; an error shows in the cursor.
bool took_null(JsonCursor& in) { return in.next() == JsonType::kNull && in.value(); }

// Reads an object: `take(which of names)` is called before the value of every member that is meant, and reads it. False: not
// an object, or `take` refused a value. `null` is an object without members, as in the reference.
template <std::size_t N, class F>
bool read_object(JsonCursor& in, const std::array<std::string_view, N>& names, F&& take) {
  if (in.next() == JsonType::kNull) return in.value();
  if (!in.enter_object()) return false;
  std::string_view key;
  while (in.member(key)) {
    const auto name = core::json_name(key, names);
    if (!(name ? take(*name) : in.value())) return false;
  }
  return !in.failed();
}

// The same for a whole body.
template <std::size_t N, class F>
bool read_body(std::string_view body, const std::array<std::string_view, N>& names, std::size_t depth_max, F&& take) {
  JsonCursor in(body, depth_max);
  return read_object(in, names, [&](std::size_t name) { return take(name, in); }) && in.end();
}

bool read_string(JsonCursor& in, std::string& out) { return took_null(in) || in.string(out); }

bool read_int(JsonCursor& in, std::int64_t& out) {
  if (took_null(in)) return true;
  std::string_view digits;
  if (in.next() != JsonType::kNumber || !in.value(digits)) return false;
  const auto number = core::json_int(digits);
  if (number) out = *number;
  return number.has_value();
}

bool read_strings(JsonCursor& in, std::vector<std::string>& out) {
  out.clear();
  if (took_null(in)) return true;
  if (!in.enter_array()) return false;
  while (in.element()) {
    if (!read_string(in, out.emplace_back())) return false;
  }
  return !in.failed();
}

bool read_lease_token(JsonCursor& in, std::optional<std::uint64_t>& out) {
  if (took_null(in)) return true;
  std::string room;
  std::string_view text;
  if (!in.string(text, room)) return false;
  if (text.empty()) return true;
  if (text.size() != 16) return false;
  std::uint64_t token = 0;
  for (const char c : text) {
    const auto digit = hex_value_lower(c);
    if (digit == kNotHex) return false;
    token = token << 4U | digit;
  }
  out = token;
  return true;
}

// What of a create is converted when all of it is known.
struct CreateTimes {
  std::string run_at;
  std::int64_t delay_seconds = 0;
};

// False: not an object, or a field of the wrong type.
bool read_create(JsonCursor& in, services::CreateTask& task, CreateTimes& times) {
  static constexpr std::array<std::string_view, 8> kNames = {
      "command", "payload", "priority", "webhook", "maxAttempts", "idempotencyKey", "runAt", "delaySeconds"};
  return read_object(in, kNames, [&](std::size_t name) {
    switch (name) {
      case 0: return read_string(in, task.command);
      case 1: {
        const bool null = in.next() == JsonType::kNull;
        std::string_view payload;
        if (!in.value(payload)) return false;
        task.payload = null ? std::string_view{} : payload;
        return true;
      }
      case 2: return read_int(in, task.priority);
      case 3: return read_string(in, task.webhook);
      case 4: return read_int(in, task.max_attempts);
      case 5: return read_string(in, task.idempotency_key);
      case 6: return read_string(in, times.run_at);
      default: return read_int(in, times.delay_seconds);
    }
  });
}

Result<> finish_create(services::CreateTask& task, const CreateTimes& times) {
  if (!times.run_at.empty()) {
    const auto run_at = core::parse_rfc3339(times.run_at);
    if (!run_at) return fail(Code::kInvalidRunAt, "invalid 'runAt' (use RFC3339)");
    task.run_at_ns = *run_at;
  }
  if (times.delay_seconds < 0) return fail(Code::kInvalidDelay, "invalid 'delaySeconds' (must be >= 0)");
  task.delay_ms = saturate(times.delay_seconds) * 1000;
  return {};
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
  const bool fits = read_body(body, batch ? kBatch : kSingle, depth_max, [&](std::size_t name, JsonCursor& in) {
    switch (name) {
      case 0: return read_strings(in, fields.claim.commands);
      case 1: return read_int(in, fields.claim.lease_seconds);
      default: return read_int(in, batch ? fields.count : fields.wait_seconds);
    }
  });
  if (!fits) return invalid_body();
  fields.claim.lease_seconds = saturate(fields.claim.lease_seconds);
  return fields;
}

struct ArtifactFields {
  std::string name, url, content, content_type;
};

bool read_artifacts(JsonCursor& in, std::vector<ArtifactFields>& out) {
  static constexpr std::array<std::string_view, 4> kNames = {"name", "url", "contentBase64", "contentType"};
  out.clear();
  if (took_null(in)) return true;
  if (!in.enter_array()) return false;
  while (in.element()) {
    auto& artifact = out.emplace_back();
    const bool fits = read_object(in, kNames, [&](std::size_t name) {
      switch (name) {
        case 0: return read_string(in, artifact.name);
        case 1: return read_string(in, artifact.url);
        case 2: return read_string(in, artifact.content);
        default: return read_string(in, artifact.content_type);
      }
    });
    if (!fits) return false;
  }
  return !in.failed();
}

struct SubmitFields {
  services::SubmitResult submit;
  std::vector<ArtifactFields> artifacts;
};

bool read_result_object(JsonCursor& in, std::optional<std::string>& out) {
  if (in.next() == JsonType::kNull) {
    out.reset();
    return in.value();
  }
  std::string_view object;
  if (in.next() != JsonType::kObject || !in.value(object)) return false;
  out.emplace(object);
  return true;
}

bool read_submit(JsonCursor& in, bool batch, SubmitFields& out) {
  static constexpr std::array<std::string_view, 6> kNames = {"status",    "result",     "error",
                                                             "artifacts", "leaseToken", "taskId"};
  auto& submit = out.submit;
  return read_object(in, kNames, [&](std::size_t name) {
    switch (name) {
      case 0: return read_string(in, submit.status);
      case 1: return read_result_object(in, submit.result_json);
      case 2: return read_string(in, submit.error);
      case 3: return read_artifacts(in, out.artifacts);
      case 4: return read_lease_token(in, submit.lease_token);
      default: return batch ? read_string(in, submit.task_id) : in.value();
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

// The elements of a batch body's array under `name`, 1 to kBatchMax, each read by `read(cursor, item)`. The body is read
// once; but that it is no JSON, or holds too many, is told before what is wrong with one of them.
template <class Item, class F>
Result<std::vector<Item>> read_batch(std::string_view body, std::string_view name, std::size_t depth_max, F&& read) {
  std::vector<Item> items;
  // Moving what has been read is dear: room for as many as a body of this size can usefully hold.
  items.reserve(std::min(kBatchMax, 1 + body.size() / kBatchItemBytes));
  std::size_t count = 0;
  bool refused = false;
  const std::array<std::string_view, 1> names = {name};
  const bool fits = read_body(body, names, depth_max, [&](std::size_t, JsonCursor& in) {
    items.clear();
    count = 0;
    refused = false;
    if (took_null(in)) return true;
    if (!in.enter_array()) return false;
    while (in.element()) {
      const auto place = in.place();
      if (++count <= kBatchMax && !refused) {
        if (read(in, items.emplace_back())) continue;
        refused = true;
        in.back_to(place);
      }
      if (!in.value()) return false;
    }
    return !in.failed();
  });
  if (!fits || count == 0) return invalid_body();
  if (count > kBatchMax) return fail(Code::kBatchTooLarge, "batch size exceeds maximum of 100");
  if (refused) return invalid_body();
  return items;
}

}  // namespace

Result<services::CreateTask> decode_create(std::string_view body, std::size_t depth_max) {
  Result<services::CreateTask> task;
  CreateTimes times;
  JsonCursor in(body, depth_max);
  if (!read_create(in, *task, times) || !in.end() || task->command.empty() || task->payload.empty())
    return invalid_body();
  CODEQ_TRY_VOID(finish_create(*task, times));
  return task;
}

Result<std::vector<Result<services::CreateTask>>> decode_create_batch(std::string_view body, std::size_t depth_max) {
  using Item = Result<services::CreateTask>;
  return read_batch<Item>(body, "tasks", depth_max, [](JsonCursor& in, Item& item) {
    CreateTimes times;
    if (!read_create(in, *item, times)) return false;
    if (item->payload.empty()) item->payload = "null";  // accepted in a batch, as in the reference
    if (auto fits = finish_create(*item, times); !fits) item = std::unexpected(std::move(fits).error());
    return true;
  });
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
  const bool fits = read_body(body, kNames, depth_max, [&](std::size_t name, JsonCursor& in) {
    return name == 0 ? read_lease_token(in, owner.lease_token) : read_int(in, owner.seconds);
  });
  if (!fits) return invalid_body();
  owner.seconds = saturate(owner.seconds);
  return owner;
}

Result<OwnerBody> decode_nack(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 3> kNames = {"leaseToken", "delaySeconds", "reason"};
  OwnerBody owner;
  const bool fits = read_body(body, kNames, depth_max, [&](std::size_t name, JsonCursor& in) {
    switch (name) {
      case 0: return read_lease_token(in, owner.lease_token);
      case 1: return read_int(in, owner.seconds);
      default: return read_string(in, owner.reason);
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
  const auto take = [&](std::size_t, JsonCursor& in) { return token_fits = read_lease_token(in, owner.lease_token); };
  if (!read_body(body, kNames, depth_max, take) && !token_fits) return invalid_body();
  return owner;
}

Result<CleanupBody> decode_cleanup(std::string_view body, std::size_t depth_max) {
  static constexpr std::array<std::string_view, 2> kNames = {"limit", "before"};
  CleanupBody cleanup;
  const bool fits = read_body(body, kNames, depth_max, [&](std::size_t name, JsonCursor& in) {
    return name == 0 ? read_int(in, cleanup.limit) : read_string(in, cleanup.before);
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
  JsonCursor in(body, depth_max);
  if (!read_submit(in, false, fields) || !in.end() || fields.submit.status.empty())
    return invalid_body("invalid request body");
  return finish_submit(std::move(fields));
}

Result<std::vector<SubmitBody>> decode_submit_batch(std::string_view body, std::size_t depth_max) {
  return read_batch<SubmitBody>(body, "results", depth_max, [](JsonCursor& in, SubmitBody& item) {
    SubmitFields fields;
    if (!read_submit(in, true, fields)) return false;
    item = finish_submit(std::move(fields));
    return true;
  });
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
