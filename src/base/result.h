// Errors as values: Result<T>, the stable codes, and the two helpers that pass an error on.
//
// Shape    Result<T> is std::expected<T, Error>, but ignoring one is a warning
// Errors   expected outcomes are values; a broken invariant of ours stops the process (see check.h)
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace codeq {

// Every public error code has one value here and one page in docs/errors/.
enum class Code : std::uint8_t {
  // Bad input
  kInvalidBody,            // not JSON, wrong types, a required field missing
  kInvalidRunAt,
  kInvalidDelay,
  kInvalidCommand,
  kInvalidWebhookUrl,
  kInvalidArgument,        // anything else that a rule of the API refuses
  kInvalidStatus,
  kResultRequired,
  kErrorRequired,
  kInvalidArtifact,
  kInvalidTopic,
  kBatchTooLarge,
  kBodyTooLarge,
  kHeaderTooLarge,
  kBadRequest,             // the bytes are not an HTTP request that we accept
  kRequestTimeout,         // the request did not arrive in time
  // Who may
  kUnauthenticated,
  kForbidden,
  kNotOwner,
  // State
  kNotFound,
  kTaskNotFound,
  kResultNotFound,
  kNotInProgress,
  kLeaseLost,
  kIdempotencyMismatch,
  // Us
  kRateLimited,
  kOverloaded,
  kDiskFull,
  kUnavailable,
  kCorrupt,
  kIo,
  kInternal,
};

struct Error {
  Code code;
  std::string message;  // the reference's text where it has one; never payloads or secrets
};

template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace codeq

#define CODEQ_CONCAT_(a, b) a##b
#define CODEQ_CONCAT(a, b) CODEQ_CONCAT_(a, b)
// CODEQ_TRY(const auto& x, f()): binds the value, or returns the error.
#define CODEQ_TRY(declaration, expression) CODEQ_TRY_(declaration, expression, CODEQ_CONCAT(result_, __LINE__))
#define CODEQ_TRY_(declaration, expression, name)                  \
  auto name = (expression);                                        \
  if (!name) return std::unexpected<::codeq::Error>(name.error()); \
  declaration = *std::move(name)
#define CODEQ_TRY_VOID(expression)                                             \
  do {                                                                         \
    if (auto codeq_result = (expression); !codeq_result)                       \
      return std::unexpected<::codeq::Error>(std::move(codeq_result).error()); \
  } while (false)
