// The file that makes a folder ours: read before RocksDB sees the folder, so that a refused one stays as it was.
//
// Source   docs/formats/store.md
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/rocks/rocks_store.h"

namespace codeq::storage::rocks {

inline constexpr std::uint32_t kFormatVersion = 3;  // 1: every row an entry of its own; 2: those of live
inline constexpr std::size_t kFormatBytes = 40;
inline constexpr std::string_view kFormatName = "format";

std::string format_bytes(const StoreId& id, std::uint32_t version = kFormatVersion);

// Errors: kCorrupt          not the bytes that we write
//         kInvalidArgument  of a version that is not ours
// `path` is for the error's text.
Result<StoreId> read_format(std::string_view bytes, std::string_view path);

}  // namespace codeq::storage::rocks
