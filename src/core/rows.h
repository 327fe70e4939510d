// The rows of the store: what a partition keeps outside its memory, as ordered keys and values.
//
// Shape    eight tables; keys start with big-endian numbers, so that byte order is numeric order
//            meta    name                               the partition's scalars, its topics and subscriptions
//            queue   queue id u32                       tenant, command and counts of a queue
//            live    sequence u64                       mutable part of a task that is not finished; gone when it ends
//            body    sequence u64                       what never changes: task info and payload; and all of a task that
//                                                       had finished when its first row was written
//            done    sequence u64                       mutable part and result of any other finished task
//            key     XXH3-128 of (tenant, key), sequence u64     idempotency keys
//            retire  retire time i64, sequence u64      when a finished task goes
//            outbox  delivery id u64                    webhook deliveries, due or failed
// Source   bytes in docs/formats/rows.md
// Errors   decoding takes foreign bytes: kCorrupt with the table and the key's number, nothing read past the end
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace codeq::core {

enum class Table : std::uint8_t { kMeta, kQueue, kLive, kBody, kDone, kKey, kRetire, kOutbox };
inline constexpr std::size_t kTables = 8;
inline constexpr const char* kStateKey = "state";  // of the scalars in table meta
// Topics and subscriptions stand in meta too, behind these: few and small, they need no family of their own.
inline constexpr std::string_view kTopicRows = "topic/", kTopicRowsEnd = "topic0";
inline constexpr std::string_view kSubscriptionRows = "subscription/", kSubscriptionRowsEnd = "subscription0";

struct Row {
  enum class Op : std::uint8_t {
    kPut,
    kErase,
    kEraseOnce,  // the row was put exactly once since it last was not there (a store may make use of it)
  };
  Table table{};
  Op op = Op::kPut;
  std::string key;
  std::string value;  // empty for the erasing ones
};

// --- keys ---
std::string key_of(std::uint64_t number);    // 8 bytes: live, body, done, outbox
std::string queue_row_key(std::uint32_t id); // 4 bytes
std::string retire_key(std::int64_t retire_ns, std::uint64_t sequence);
using KeyHash = std::array<std::uint8_t, 16>;  // all zeros: no key
KeyHash key_hash(std::string_view tenant, std::string_view idempotency_key);
std::string idempotency_row_key(const KeyHash& hash, std::uint64_t sequence);
std::uint64_t number_at(std::string_view key, std::size_t offset);  // big-endian u64; 0 where the key is too short

// --- values ---
// What a start needs of every task that is not finished: where it stands in line.
struct LiveHead {
  std::uint8_t place = 0;  // core::Place
  int priority = 0;
  std::uint32_t queue = 0;
  std::uint64_t ready_position = 0;  // number of the record that made it ready
  std::int64_t due_ns = 0;           // while delayed; while leased, the end of the lease
  std::string worker = {};           // while leased: the holder
};
Result<LiveHead> decode_live_head(std::uint64_t sequence, std::string_view value);

// When a finished task goes, and what goes with it.
struct RetireEntry {
  std::int64_t retire_ns = 0;
  std::uint64_t sequence = 0;
  std::uint32_t queue = 0;
  bool dead = false;
  std::uint64_t delivery = 0;  // 0: none
  KeyHash key{};
};
std::string encode_retire(const RetireEntry& entry);
Result<RetireEntry> decode_retire(std::string_view key, std::string_view value);

struct Task;
std::string encode_body(const Task& task);  // of a task that is `whole`: with what encode_done says
bool is_whole(std::string_view body);       // nothing else of that task is in live or done
std::string encode_live(const Task& task);
std::string encode_done(const Task& task);
// `with_payload`: false leaves it null, for who only looks through many.
// Sets `whole`, and then everything.
Result<void> decode_body(std::uint64_t sequence, std::string_view value, Task& into, bool with_payload = true);
Result<void> decode_live(std::uint64_t sequence, std::string_view value, Task& into);  // after decode_body
Result<void> decode_done(std::uint64_t sequence, std::string_view value, Task& into);  // after decode_body

struct Topic;
struct Subscription;
Result<Topic> decode_topic(std::string_view value);
Result<Subscription> decode_subscription(std::string_view value);

struct Delivery;
std::string encode_delivery(const Delivery& delivery);
Result<void> decode_delivery(std::uint64_t id, std::string_view value, Delivery& into);

}  // namespace codeq::core
