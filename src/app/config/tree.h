// YAML or JSON text as a small tree, with line numbers, within bounds.
//
// Shape    a scalar keeps its text and whether it was quoted; mapping keys keep their order
// Bounds   1 MiB, 32 levels, valid UTF-8, one document; aliases, anchors' uses and tags other than !!str are refused
// Errors   kInvalidArgument, "line N: what is wrong"; never text of a value
// Cost     linear in the text
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace codeq::app {

inline constexpr std::size_t kConfigBytesMax = std::size_t{1} << 20;
inline constexpr int kConfigDepthMax = 32;

struct Tree {
  enum class Kind : std::uint8_t { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  bool quoted = false;             // a scalar that is a string whatever it looks like
  int line = 0;                    // 1 is the first; 0: not from a file
  std::string text = {};           // of a scalar
  std::vector<std::string> keys = {};  // of a mapping, as many as items
  std::vector<int> key_lines = {};
  std::vector<Tree> items = {};
};

// An empty text gives kNull.
Result<Tree> parse_yaml(std::string_view text);

// RFC 8259. `line` is given to every node. An error names no position: the text may be a secret.
Result<Tree> parse_json(std::string_view text, int line);

// JSON text of the tree: a quoted scalar is a string; a plain one is null, true, false or a number where it looks like
// one in JSON, else a string.
std::string to_json(const Tree& tree);

}  // namespace codeq::app
