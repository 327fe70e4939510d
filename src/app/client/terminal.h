// What the commands print, and what they ask.
//
// Colours  only where the stream is a terminal and NO_COLOR is not set
// Threads  any; one line is one write
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace codeq::app::client {

void say_ok(std::string_view text);       // stdout, "[OK] "
void say_warning(std::string_view text);  // stderr, "[WARN] "
void say_error(std::string_view text);    // stderr, "[ERROR] "
void print(std::string_view text);        // stdout, as it is; a line feed is added where it has none

[[nodiscard]] bool is_interactive();      // stdin is a terminal
// The answer, or `preset` where it is empty. `secret`: nothing of it is shown, the preset only as "****".
std::string ask(std::string_view question, const std::string& preset, bool secret);

[[nodiscard]] std::size_t terminal_width();

}  // namespace codeq::app::client
