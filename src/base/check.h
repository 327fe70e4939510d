// CHECK(cond): what must be true of our own code, also in production. Input from outside is never CHECKed.
#pragma once

namespace codeq {
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace codeq

#define CHECK(cond)                                     \
  do {                                                  \
    if (!(cond)) [[unlikely]]                           \
      ::codeq::check_failed(#cond, __FILE__, __LINE__); \
  } while (false)
