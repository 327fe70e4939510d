// At build time: api/openapi.yaml as one line of JSON in a C++ source. Plain scalars have the types of YAML 1.2's core schema,
// quoted ones are strings.
#include <yaml-cpp/yaml.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

namespace {

void put_string(std::string& out, const std::string& text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  out += '"';
}

bool is_number(const std::string& text) {
  const auto first = text.find_first_not_of('-');
  return first != std::string::npos && first <= 1 && text.find_first_not_of("0123456789", first) == std::string::npos &&
         (text[first] != '0' || text.size() == first + 1);
}

void put(std::string& out, const YAML::Node& node) {
  if (node.IsMap()) {
    out += '{';
    for (const auto& member : node) {
      if (out.back() != '{') out += ',';
      put_string(out, member.first.Scalar());
      out += ':';
      put(out, member.second);
    }
    out += '}';
  } else if (node.IsSequence()) {
    out += '[';
    for (const auto& element : node) {
      if (out.back() != '[') out += ',';
      put(out, element);
    }
    out += ']';
  } else if (node.IsNull()) {
    out += "null";
  } else if (const auto& text = node.Scalar();
             node.Tag() == "?" && (text == "true" || text == "false" || text == "null" || is_number(text))) {
    out += text;
  } else {
    put_string(out, text);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string json;
  try {
    put(json, YAML::LoadFile(argv[1]));
  } catch (const YAML::Exception& error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
  std::ofstream out(argv[2]);
  // In pieces: string literals have a length that every compiler must take, and no more.
  out << "// Made from api/openapi.yaml.\n#include \"transport/http/openapi.h\"\n\nnamespace codeq::transport::http {\n\n"
         "std::string_view openapi_json() {\n  return ";
  constexpr std::size_t kPiece = 8000;
  for (std::size_t at = 0; at < json.size(); at += kPiece)
    out << "\n      R\"openapi(" << json.substr(at, kPiece) << ")openapi\"";
  out << ";\n}\n\n}  // namespace codeq::transport::http\n";
  return out.flush() ? 0 : 1;
}
