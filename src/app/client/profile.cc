#include "app/client/profile.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml-cpp/emitter.h>
#include <yaml-cpp/emittermanip.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "app/fd.h"

namespace codeq::app::client {
namespace {

const Tree* child(const Tree* tree, std::string_view key) {
  if (tree == nullptr || tree->kind != Tree::Kind::kMapping) return nullptr;
  for (std::size_t i = 0; i < tree->keys.size(); ++i)
    if (tree->keys[i] == key) return &tree->items[i];
  return nullptr;
}

// The child, made where it is not there. What is no mapping becomes one: only an empty value can stand there, for
// `check_shape` has seen the rest.
Tree& ensure(Tree& tree, std::string_view key) {
  if (tree.kind != Tree::Kind::kMapping) tree = Tree{.kind = Tree::Kind::kMapping};
  for (std::size_t i = 0; i < tree.keys.size(); ++i)
    if (tree.keys[i] == key) return tree.items[i];
  tree.keys.emplace_back(key);
  tree.key_lines.push_back(0);
  return tree.items.emplace_back();
}

struct Reader {
  std::string_view file;
  std::optional<Error> error;

  void wrong(const Tree& at, std::string_view key, std::string_view want) {
    if (!error)
      error = Error{Code::kInvalidArgument, fmt::format("{}: line {}: `{}` must be {}", file, at.line, key, want)};
  }
  const Tree* mapping(const Tree* tree, std::string_view key) {
    const Tree* found = child(tree, key);
    if (found == nullptr || found->kind == Tree::Kind::kNull) return nullptr;
    if (found->kind != Tree::Kind::kMapping) wrong(*found, key, "a mapping");
    return found->kind == Tree::Kind::kMapping ? found : nullptr;
  }
  void text(const Tree* tree, std::string_view key, std::optional<std::string>& out) {
    const Tree* found = child(tree, key);
    if (found == nullptr || found->kind == Tree::Kind::kNull) return;
    if (found->kind != Tree::Kind::kScalar) return wrong(*found, key, "a text");
    if (!found->text.empty()) out = found->text;
  }
  void flag(const Tree* tree, std::string_view key, std::optional<bool>& out) {
    const Tree* found = child(tree, key);
    if (found == nullptr || found->kind == Tree::Kind::kNull) return;
    if (found->kind != Tree::Kind::kScalar || (found->text != "true" && found->text != "false"))
      return wrong(*found, key, "true or false");
    out = found->text == "true";
  }
  void headers(const Tree* tree, std::string_view key, Headers& out) {
    const Tree* found = mapping(tree, key);
    if (found == nullptr) return;
    for (std::size_t i = 0; i < found->keys.size(); ++i) {
      std::optional<std::string> value;
      text(found, found->keys[i], value);
      out.emplace_back(found->keys[i], value.value_or(""));
    }
  }
  void texts(const Tree* tree, std::string_view key, std::vector<std::string>& out) {
    const Tree* found = child(tree, key);
    if (found == nullptr || found->kind == Tree::Kind::kNull) return;
    if (found->kind != Tree::Kind::kSequence) return wrong(*found, key, "a list");
    for (const auto& item : found->items) {
      if (item.kind != Tree::Kind::kScalar) return wrong(item, key, "a list of texts");
      out.push_back(item.text);
    }
  }
};

void emit(YAML::Emitter& out, const Tree& tree) {
  switch (tree.kind) {
    case Tree::Kind::kNull: out << YAML::Null; return;
    case Tree::Kind::kScalar:
      // A plain text that YAML would read as something else gets its quotes from the emitter.
      if (tree.quoted || tree.text.find_first_of("\r\n") != std::string::npos) out << YAML::DoubleQuoted;
      out << tree.text;
      return;
    case Tree::Kind::kSequence:
      out << YAML::BeginSeq;
      for (const auto& item : tree.items) emit(out, item);
      out << YAML::EndSeq;
      return;
    case Tree::Kind::kMapping:
      out << YAML::BeginMap;
      for (std::size_t i = 0; i < tree.keys.size(); ++i) {
        out << YAML::Key;
        if (tree.keys[i].find_first_of("\r\n") != std::string::npos) out << YAML::DoubleQuoted;
        out << tree.keys[i] << YAML::Value;
        emit(out, tree.items[i]);
      }
      out << YAML::EndMap;
      return;
  }
}

std::unexpected<Error> cannot(std::string_view act, const std::filesystem::path& path) {
  return fail(Code::kIo, fmt::format("cannot {} {}: {}", act, path.string(), std::strerror(errno)));
}

}  // namespace

Result<std::filesystem::path> profile_path(const GetEnv& getenv) {
  const auto set = [&](const char* name) {
    const char* value = getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const auto folder = set("CODEQ_CONFIG_DIR"); !folder.empty())
    return std::filesystem::path(folder) / "config.yaml";
  if (const auto home = set("HOME"); !home.empty()) return std::filesystem::path(home) / ".codeq" / "config.yaml";
  return fail(Code::kInvalidArgument, "neither CODEQ_CONFIG_DIR nor HOME is set, so there is no place for profiles");
}

Result<ProfileFile> ProfileFile::load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return parse("", path.string());
    return cannot("read", path);
  }
  std::string text;
  for (char buffer[4096]; file.read(buffer, sizeof buffer) || file.gcount() > 0;) {
    text.append(buffer, static_cast<std::size_t>(file.gcount()));
    if (text.size() > kConfigBytesMax) break;  // which parse_yaml says
  }
  return parse(text, path.string());
}

Result<ProfileFile> ProfileFile::parse(std::string_view text, std::string_view name) {
  ProfileFile out;
  out.name_ = name;
  auto tree = parse_yaml(text);
  if (!tree) return fail(tree.error().code, fmt::format("{}: {}", name, tree.error().message));
  out.root_ = *std::move(tree);
  Reader reader{.file = out.name_, .error = {}};
  if (out.root_.kind == Tree::Kind::kNull) return out;
  if (out.root_.kind != Tree::Kind::kMapping)
    return fail(Code::kInvalidArgument, fmt::format("{}: is not a mapping with `currentProfile` and `profiles`", name));
  std::optional<std::string> current;
  reader.text(&out.root_, "currentProfile", current);
  if (const Tree* profiles = reader.mapping(&out.root_, "profiles"))
    for (const auto& one : profiles->keys) reader.mapping(profiles, one);
  if (reader.error) return std::unexpected<Error>(*reader.error);
  return out;
}

std::string ProfileFile::current() const {
  const Tree* found = child(&root_, "currentProfile");
  return found == nullptr ? "" : found->text;
}

std::vector<std::string> ProfileFile::names() const {
  const Tree* profiles = child(&root_, "profiles");
  return profiles == nullptr ? std::vector<std::string>{} : profiles->keys;
}

Result<std::optional<Profile>> ProfileFile::find(std::string_view name) const {
  const Tree* tree = child(child(&root_, "profiles"), name);
  if (tree == nullptr) return std::nullopt;
  Reader reader{.file = name_, .error = {}};
  Profile out;
  reader.text(tree, "baseUrl", out.base_url);
  reader.text(tree, "iamBaseUrl", out.iam_base_url);
  reader.text(tree, "iamApiKey", out.iam_api_key);
  reader.text(tree, "token", out.token);
  reader.text(tree, "producerToken", out.producer_token);
  reader.text(tree, "workerToken", out.worker_token);
  reader.text(tree, "caFile", out.ca_file);
  reader.text(tree, "clientCert", out.client_cert);
  reader.text(tree, "clientKey", out.client_key);
  reader.flag(tree, "admin", out.admin);
  const Tree* auth = reader.mapping(tree, "auth");
  if (const Tree* login = reader.mapping(auth, "login")) {
    reader.text(login, "urlTemplate", out.login.url_template);
    reader.text(login, "method", out.login.method);
    reader.text(login, "bodyTemplate", out.login.body_template);
    reader.text(login, "contentType", out.login.content_type);
    reader.text(login, "tokenPath", out.login.token_path);
    reader.headers(login, "headers", out.login.headers);
  }
  if (const Tree* exchange = reader.mapping(auth, "exchange")) {
    reader.text(exchange, "urlTemplate", out.exchange.url_template);
    reader.text(exchange, "method", out.exchange.method);
    reader.text(exchange, "contentType", out.exchange.content_type);
    reader.text(exchange, "tokenPath", out.exchange.token_path);
    reader.text(exchange, "audience", out.exchange.audience);
    reader.text(exchange, "tenantId", out.exchange.tenant_id);
    reader.headers(exchange, "headers", out.exchange.headers);
    reader.texts(exchange, "scopes", out.exchange.scopes);
  }
  if (reader.error) return std::unexpected<Error>(*reader.error);
  return out;
}

Tree& ProfileFile::profile_tree(std::string_view name) {
  Tree& profile = ensure(ensure(root_, "profiles"), name);
  if (profile.kind != Tree::Kind::kMapping) profile = Tree{.kind = Tree::Kind::kMapping};
  return profile;
}

void ProfileFile::set_current(std::string_view name) {
  ensure(root_, "currentProfile") = Tree{.kind = Tree::Kind::kScalar, .quoted = true, .text = std::string(name)};
}

void ProfileFile::set(std::string_view profile, std::string_view key, std::string_view value) {
  ensure(profile_tree(profile), key) = Tree{.kind = Tree::Kind::kScalar, .quoted = true, .text = std::string(value)};
}

void ProfileFile::set_flag(std::string_view profile, std::string_view key, bool value) {
  ensure(profile_tree(profile), key) = Tree{.kind = Tree::Kind::kScalar, .text = value ? "true" : "false"};
}

void ProfileFile::erase(std::string_view profile, std::string_view key) {
  Tree& tree = profile_tree(profile);
  for (std::size_t i = tree.keys.size(); i-- > 0;) {
    if (tree.keys[i] != key) continue;
    const auto at = static_cast<std::ptrdiff_t>(i);
    tree.keys.erase(tree.keys.begin() + at);
    tree.key_lines.erase(tree.key_lines.begin() + at);
    tree.items.erase(tree.items.begin() + at);
  }
}

std::string ProfileFile::to_yaml() const {
  YAML::Emitter out;
  emit(out, root_);
  return std::string(out.c_str(), out.size()) + "\n";
}

Result<> ProfileFile::save(const std::filesystem::path& path) const {
  const auto folder = path.parent_path();
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) {
    if (folder.has_parent_path()) std::filesystem::create_directories(folder.parent_path(), error);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return cannot("make", folder);
  }
  // Beside the file and renamed over it: a crash leaves the old one or the new one.
  auto name = path.string() + ".XXXXXX";
  {
    const Fd file(::mkostemp(name.data(), O_CLOEXEC));  // mode 0600
    if (!file) return cannot("write", name);
    const auto text = to_yaml();
    const bool written =
        ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file.get()) == 0;
    if (!written) {
      const auto failed = cannot("write", name);
      ::unlink(name.c_str());
      return failed;
    }
  }
  if (::rename(name.c_str(), path.c_str()) != 0) {
    const auto failed = cannot("write", path);
    ::unlink(name.c_str());
    return failed;
  }
  return {};
}

}  // namespace codeq::app::client
