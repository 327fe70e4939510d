#include "storage/rocks/manifest.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <utility>

#include "storage/rocks/status.h"

namespace codeq::storage::rocks {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr std::uint64_t kBlockBytes = 32768, kHeaderBytes = 7;
enum class Piece : std::uint8_t { kFull = 1, kFirst, kMiddle, kLast };

std::uint32_t crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

// RocksDB keeps them so, as the checksum of bytes that end with their own checksum says little.
std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8U; }

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) value = (value << 8) | static_cast<unsigned char>(bytes[i - 1]);
  return value;
}

class CutFile final : public rocksdb::FSSequentialFile {
 public:
  CutFile(std::unique_ptr<FSSequentialFile> below, std::uint64_t bytes) : below_(std::move(below)), left_(bytes) {}
  IOStatus Read(std::size_t bytes, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* context) override {
    IOStatus status = below_->Read(std::min<std::uint64_t>(bytes, left_), options, result, scratch, context);
    if (status.ok()) left_ -= result->size();
    return status;
  }
  IOStatus Skip(std::uint64_t bytes) override {
    bytes = std::min(bytes, left_);
    left_ -= bytes;
    return below_->Skip(bytes);
  }

 private:
  const std::unique_ptr<FSSequentialFile> below_;
  std::uint64_t left_;
};

class CutWhenRead final : public rocksdb::FileSystemWrapper {
 public:
  CutWhenRead(std::shared_ptr<FileSystem> below, std::string path, std::uint64_t bytes)
      : FileSystemWrapper(std::move(below)), path_(std::move(path)), bytes_(bytes) {}
  const char* Name() const override { return "codeq.CutWhenRead"; }
  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options,
                             std::unique_ptr<rocksdb::FSSequentialFile>* file, IODebugContext* context) override {
    IOStatus status = target()->NewSequentialFile(path, options, file, context);
    if (status.ok() && path == path_) *file = std::make_unique<CutFile>(std::move(*file), bytes_);
    return status;
  }

 private:
  const std::string path_;
  const std::uint64_t bytes_;
};

}  // namespace

std::uint64_t whole_records(std::string_view manifest) {
  std::uint64_t whole = 0, at = 0;
  bool inside = false;  // a record that goes on over several blocks
  while (at < manifest.size()) {
    const std::uint64_t left = kBlockBytes - at % kBlockBytes;
    if (left < kHeaderBytes) {  // the rest of a block, too small for a header
      at += left;
      continue;
    }
    if (manifest.size() - at < kHeaderBytes) break;
    const auto bytes = little_endian(manifest.substr(at + 4, 2));
    if (bytes > left - kHeaderBytes || bytes > manifest.size() - at - kHeaderBytes) break;
    const auto checked = manifest.substr(at + kHeaderBytes - 1, 1 + bytes);  // the kind and the bytes
    if (masked(crc32c(checked)) != little_endian(manifest.substr(at, 4))) break;
    const auto piece = static_cast<Piece>(checked.front());
    if (piece < Piece::kFull || piece > Piece::kLast) break;
    if (inside != (piece == Piece::kMiddle || piece == Piece::kLast)) break;
    at += kHeaderBytes + bytes;
    inside = piece == Piece::kFirst || piece == Piece::kMiddle;
    if (!inside) whole = at;
  }
  return whole;
}

Result<Manifest> look_at_manifest(rocksdb::Env& env, const std::string& folder) {
  const std::string current = fmt::format("{}/CURRENT", folder);
  Manifest manifest;
  if (const auto status = rocksdb::ReadFileToString(&env, current, &manifest.name); !status.ok()) {
    return error_of(status, "cannot read " + current);
  }
  if (manifest.name.ends_with('\n')) manifest.name.pop_back();
  if (!manifest.name.starts_with("MANIFEST-") || manifest.name.find('/') != std::string::npos) {
    return fail(Code::kCorrupt, fmt::format("{}, byte 0: it does not name a MANIFEST", current));
  }
  std::string bytes;
  const std::string path = fmt::format("{}/{}", folder, manifest.name);
  if (const auto status = rocksdb::ReadFileToString(&env, path, &bytes); !status.ok()) {
    return error_of(status, "cannot read " + path);
  }
  manifest.bytes = bytes.size();
  manifest.whole_bytes = whole_records(bytes);
  return manifest;
}

std::shared_ptr<rocksdb::FileSystem> cut_when_read(std::shared_ptr<rocksdb::FileSystem> below, std::string path,
                                                   std::uint64_t bytes) {
  return std::make_shared<CutWhenRead>(std::move(below), std::move(path), bytes);
}

}  // namespace codeq::storage::rocks
