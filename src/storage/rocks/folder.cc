#include "storage/rocks/folder.h"

#include <fmt/format.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "storage/rocks/format_file.h"
#include "storage/rocks/status.h"

namespace codeq::storage::rocks {
namespace {

std::string in(const std::string& folder, std::string_view name) { return fmt::format("{}/{}", folder, name); }

std::string parent_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

Result<std::vector<std::string>> names_in(rocksdb::Env& env, const std::string& folder) {
  std::vector<std::string> names;
  const auto status = env.GetChildren(folder, &names);
  if (status.IsNotFound() || status.IsPathNotFound()) return names;
  if (!status.ok()) return error_of(status, "cannot list " + folder);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  return names;
}

Result<void> sync_folder(rocksdb::Env& env, const std::string& folder) {
  std::unique_ptr<rocksdb::Directory> directory;
  auto status = env.NewDirectory(folder, &directory);
  if (status.ok()) status = directory->Fsync();
  if (!status.ok()) return error_of(status, "cannot sync " + folder);
  return {};
}

// What a creation that a crash cut short can leave behind.
bool is_ours(const std::string& name) {
  if (name == kFormatName || name == "CURRENT" || name == "IDENTITY" || name == "LOCK") return true;
  if (name.starts_with("LOG") || name.starts_with("MANIFEST-") || name.starts_with("OPTIONS-")) return true;
  return name.ends_with(".sst") || name.ends_with(".log") || name.ends_with(".dbtmp");
}

Result<void> remove_unfinished(rocksdb::Env& env, const std::string& folder) {
  CODEQ_TRY(const auto names, names_in(env, folder));
  if (!std::all_of(names.begin(), names.end(), is_ours)) {
    return fail(Code::kInvalidArgument, fmt::format("{} is in the way and is not ours: it was left untouched", folder));
  }
  for (const std::string& name : names) {
    if (const auto status = env.DeleteFile(in(folder, name)); !status.ok()) {
      return error_of(status, "cannot remove " + in(folder, name));
    }
  }
  if (const auto status = env.DeleteDir(folder); !status.ok()) return error_of(status, "cannot remove " + folder);
  return {};
}

Result<bool> is_there(rocksdb::Env& env, const std::string& path) {
  const auto status = env.FileExists(path);
  if (status.ok()) return true;
  if (status.IsNotFound() || status.IsPathNotFound()) return false;
  return error_of(status, "cannot look for " + path);
}

}  // namespace

Result<std::optional<StoreId>> look_into(rocksdb::Env& env, const std::string& folder) {
  CODEQ_TRY(const bool there, is_there(env, folder));
  if (!there) return std::nullopt;
  CODEQ_TRY(const auto names, names_in(env, folder));
  if (names.empty()) return std::nullopt;
  const auto has = [&](std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const std::string path = in(folder, kFormatName);
  if (!has(kFormatName)) {
    if (has("CURRENT")) {
      return fail(Code::kCorrupt,
                  fmt::format("{} is missing, but the folder has a store: it was left untouched", path));
    }
    return fail(Code::kInvalidArgument,
                fmt::format("the folder {} is not empty and holds no store of ours: it was left untouched", folder));
  }
  std::string bytes;
  if (const auto status = rocksdb::ReadFileToString(&env, path, &bytes); !status.ok()) {
    return error_of(status, "cannot read " + path);
  }
  CODEQ_TRY(const StoreId id, read_format(bytes, path));
  return id;
}

Result<void> write_format(rocksdb::Env& env, const std::string& folder, const StoreId& id) {
  const std::string path = in(folder, kFormatName);
  const auto status = rocksdb::WriteStringToFile(&env, format_bytes(id), path, true);
  if (!status.ok()) return error_of(status, "cannot write " + path);
  return sync_folder(env, folder);
}

Result<void> create_folder(rocksdb::Env& env, const std::string& folder, const StoreId& id,
                           const std::function<Result<void>(const std::string& path)>& build) {
  const std::string unfinished = folder + ".new";
  CODEQ_TRY(const bool left_over, is_there(env, unfinished));
  if (left_over) CODEQ_TRY_VOID(remove_unfinished(env, unfinished));
  CODEQ_TRY(const bool in_the_way, is_there(env, folder));
  if (in_the_way) {
    CODEQ_TRY(const auto names, names_in(env, folder));
    if (!names.empty()) return fail(Code::kInvalidArgument, fmt::format("the folder {} is not empty", folder));
    if (const auto status = env.DeleteDir(folder); !status.ok()) return error_of(status, "cannot replace " + folder);
  }
  CODEQ_TRY_VOID(build(unfinished));
  CODEQ_TRY_VOID(write_format(env, unfinished, id));
  if (const auto status = env.RenameFile(unfinished, folder); !status.ok()) {
    return error_of(status, fmt::format("cannot rename {} to {}", unfinished, folder));
  }
  return sync_folder(env, parent_of(folder));
}

}  // namespace codeq::storage::rocks
