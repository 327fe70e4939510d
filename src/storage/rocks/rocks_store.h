// The store on disk: RocksDB without its write-ahead log, since the log is the truth and this is its image.
//
// Shape    one column family per table, the largest in pages (paged_tables.h); all reach the disk together (atomic flush),
//          with the position
// Errors   kInvalidArgument  another log's store, a newer format, a folder that is not ours: nothing was touched
//          kCorrupt          damage, with the file that RocksDB names; kDiskFull, kIo from the disk
//          after the first failure nothing is changed any more, and every later call fails like it
// Threads  write, flush, checkpoint: one thread (the image's). Everything else: any
// Cost     write: one memtable insert per row or page; it waits while flushes or compactions are far behind
// Source   folder and bytes: docs/formats/store.md
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/store.h"

namespace codeq::disk {
class Disk;
}

namespace codeq::storage::rocks {

using StoreId = std::array<std::uint8_t, 16>;

struct Options {
  std::string folder;  // made if it is not there; its parent must be
  StoreId id{};        // of the log that this is the image of
  std::uint64_t write_buffer_bytes = std::uint64_t{64} << 20;  // of all tables together; memory is at most half more
  std::uint64_t cache_bytes = std::uint64_t{64} << 20;         // of blocks, indexes and filters
  bool read_only = false;                                      // changes nothing, not even RocksDB's own small files
  bool any_id = false;  // for a look from outside: whose it is does not matter
  disk::Disk* disk = nullptr;  // borrowed; nothing: the system's, by RocksDB's own calls, which reserve and read ahead

  // Whether the log still has every group after the position's: asked when the newest record of the MANIFEST is torn,
  // as a power cut leaves it; yes: the store opens as of the record before. Nothing: such a store is refused.
  std::function<Result<bool>(const Position&)> can_replay_after;

  // What follows is called from any thread, also from inside write, flush and the destructor, never by two at a time.
  // It must not call write, flush or checkpoint.
  std::function<void(Position)> on_durable;  // durable() has moved on
  // The first failure, told once, before any call answers with it; the store is done for. It must not call the store.
  std::function<void(const Error&)> on_error;
};

class RocksStore final : public Store {
 public:
  static Result<std::unique_ptr<RocksStore>> open(Options options);
  ~RocksStore() override;  // what was not flushed is forgotten

  Result<void> write(const Position& position, const std::vector<core::Row>& rows) override;
  Result<void> flush() override;
  Result<std::optional<std::string>> get(core::Table table, std::string_view key) const override;
  Result<std::vector<std::optional<std::string>>> get_all(core::Table table,
                                                          const std::vector<std::string>& keys) const override;
  Result<void> scan(core::Table table, std::string_view from, std::string_view until,
                    const Visit& visit) const override;
  [[nodiscard]] Position position() const override;
  [[nodiscard]] Position durable() const override;
  [[nodiscard]] StoreStats stats() const override;

  [[nodiscard]] const StoreId& id() const;

  // A second store in `path`, which must not be there yet, as of now; files are shared by hard links where they can be.
  // Returns the position that it has.
  Result<Position> checkpoint(const std::string& path);

  struct Progress {
    std::uint64_t bytes_done = 0, bytes_total = 0;
  };
  // Reads every block of every table file against its checksum. Errors: kCorrupt with the first bad file.
  Result<void> verify(const std::function<void(const Progress&)>& progress) const;

 private:
  struct Impl;
  explicit RocksStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace codeq::storage::rocks
