#pragma once

namespace codeq::app {
inline constexpr const char* kVersion = CODEQ_VERSION;  // from CMakeLists.txt
}  // namespace codeq::app
