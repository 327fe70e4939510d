// The known name that a mistyped one probably means.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace codeq::app {

// The nearest of `known` by edit distance (insert, delete, replace, swap of neighbours; letter case costs nothing),
// or nothing where even the nearest differs in more than a third of its letters.
// Cost     O(number of known names * their length * the word's length); words over 64 letters have no suggestion
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace codeq::app
