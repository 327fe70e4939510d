#include "app/config/tree.h"

#include <sstream>

#include <simdjson.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <fmt/format.h>

namespace codeq::app {
namespace {

// Thrown through yaml-cpp to stop it at the first thing that we do not take; caught in parse_yaml.
struct Refused {
  int line;
  std::string why;
};

// Builds the tree while yaml-cpp reads. It recurses once per level, so refusing the level here bounds its stack too.
class Builder final : public YAML::EventHandler {
 public:
  Tree take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Refused{mark.line + 1, "a second document; one is read"};
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    throw Refused{mark.line + 1, "anchors are not accepted"};
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{mark.line + 1, "aliases are not accepted"};
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    no_anchor(mark, anchor);
    add(Tree{.line = mark.line + 1});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    no_anchor(mark, anchor);
    const bool quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!quoted && tag != "?" && !tag.empty()) throw Refused{mark.line + 1, "tags other than !!str are not accepted"};
    const bool null =
        !quoted && (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL");
    if (null && !at_key()) return add(Tree{.line = mark.line + 1});
    add(Tree{.kind = Tree::Kind::kScalar, .quoted = quoted, .line = mark.line + 1, .text = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Tree::Kind::kSequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Tree::Kind::kMapping);
  }
  void OnMapEnd() override { close(); }

 private:
  static void no_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) throw Refused{mark.line + 1, "anchors are not accepted"};
  }
  bool at_key() const {
    return !open_.empty() && open_.back().kind == Tree::Kind::kMapping &&
           open_.back().keys.size() == open_.back().items.size();
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Tree::Kind kind) {
    no_anchor(mark, anchor);
    if (!tag.empty() && tag != "?") throw Refused{mark.line + 1, "tags other than !!str are not accepted"};
    if (at_key()) throw Refused{mark.line + 1, "a key must be a plain word"};
    if (open_.size() >= static_cast<std::size_t>(kConfigDepthMax)) {
      throw Refused{mark.line + 1, fmt::format("nested deeper than {} levels", kConfigDepthMax)};
    }
    open_.push_back(Tree{.kind = kind, .line = mark.line + 1});
  }
  void close() {
    Tree done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done));
  }
  void add(Tree node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Tree& parent = open_.back();
    if (at_key()) {
      if (node.kind != Tree::Kind::kScalar) throw Refused{node.line, "a key must be a plain word"};
      parent.keys.push_back(std::move(node.text));
      parent.key_lines.push_back(node.line);
    } else {
      parent.items.push_back(std::move(node));
    }
  }

  Tree root_;
  std::vector<Tree> open_;
  int documents_ = 0;
};

std::unexpected<Error> at(int line, std::string_view why) {
  return fail(Code::kInvalidArgument, fmt::format("line {}: {}", line, why));
}

bool is_json_number(std::string_view s) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < s.size() && s[i] >= '0' && s[i] <= '9') ++i;
    return i - from;
  };
  if (i < s.size() && s[i] == '-') ++i;
  const std::size_t first = i;
  const std::size_t whole = digits();
  if (whole == 0 || (whole > 1 && s[first] == '0')) return false;
  if (i < s.size() && s[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    ++i;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == s.size();
}

void write_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void write(std::string& out, const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::kNull: out += "null"; return;
    case Tree::Kind::kScalar:
      if (!tree.quoted && (tree.text == "true" || tree.text == "false" || is_json_number(tree.text))) {
        out += tree.text;
      } else {
        write_string(out, tree.text);
      }
      return;
    case Tree::Kind::kSequence:
      out += '[';
      for (std::size_t i = 0; i < tree.items.size(); ++i) {
        if (i > 0) out += ',';
        write(out, tree.items[i]);
      }
      out += ']';
      return;
    case Tree::Kind::kMapping:
      out += '{';
      for (std::size_t i = 0; i < tree.items.size(); ++i) {
        if (i > 0) out += ',';
        write_string(out, tree.keys[i]);
        out += ':';
        write(out, tree.items[i]);
      }
      out += '}';
      return;
  }
}

Tree from_json(const simdjson::dom::element& element, int line) {
  using simdjson::dom::element_type;
  Tree tree{.kind = Tree::Kind::kScalar, .line = line};
  switch (element.type()) {
    case element_type::NULL_VALUE: tree.kind = Tree::Kind::kNull; break;
    case element_type::STRING:
      tree.quoted = true;
      tree.text = std::string(std::string_view(element.get_string().value_unsafe()));
      break;
    case element_type::ARRAY:
      tree.kind = Tree::Kind::kSequence;
      for (const auto item : simdjson::dom::array(element.get_array().value_unsafe()))
        tree.items.push_back(from_json(item, line));
      break;
    case element_type::OBJECT:
      tree.kind = Tree::Kind::kMapping;
      for (const auto field : simdjson::dom::object(element.get_object().value_unsafe())) {
        tree.keys.emplace_back(field.key);
        tree.key_lines.push_back(line);
        tree.items.push_back(from_json(field.value, line));
      }
      break;
    case element_type::BOOL:
    case element_type::INT64:
    case element_type::UINT64:
    case element_type::DOUBLE: tree.text = simdjson::minify(element); break;
  }
  return tree;
}

}  // namespace

Result<Tree> parse_yaml(std::string_view text) {
  if (text.size() > kConfigBytesMax) return fail(Code::kInvalidArgument, "the file is larger than 1 MiB");
  if (!simdjson::validate_utf8(text.data(), text.size()))
    return fail(Code::kInvalidArgument, "the file is not UTF-8 text");
  if (text.find('\0') != std::string_view::npos) return fail(Code::kInvalidArgument, "the file contains a NUL byte");
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder;
    while (parser.HandleNextDocument(builder)) {}
    return builder.take();
  } catch (const Refused& refused) { return at(refused.line, refused.why); } catch (const YAML::Exception& e) {
    return at(e.mark.line + 1, e.msg.empty() ? "not YAML" : e.msg);
  } catch (const std::exception&) { return fail(Code::kInvalidArgument, "not YAML"); }
}

Result<Tree> parse_json(std::string_view text, int line) {
  if (text.size() > kConfigBytesMax) return fail(Code::kInvalidArgument, "JSON text larger than 1 MiB");
  simdjson::dom::parser parser;
  if (parser.allocate(text.size() + 1, kConfigDepthMax)) return fail(Code::kInternal, "no memory for the JSON parser");
  simdjson::dom::element element;
  if (const auto error = parser.parse(simdjson::padded_string(text)).get(element)) {
    return fail(Code::kInvalidArgument, fmt::format("not valid JSON ({})", simdjson::error_message(error)));
  }
  return from_json(element, line);
}

std::string to_json(const Tree& tree) {
  std::string out;
  write(out, tree);
  return out;
}

}  // namespace codeq::app
