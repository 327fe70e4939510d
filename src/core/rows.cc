#include "core/rows.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/hash.h"
#include "core/codec.h"
#include "core/state.h"
#include "core/webhook_url.h"

namespace codeq::core {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kWholeFlag = 0x80;  // of a body

template <class T>
void append_big_endian(std::string& out, T v) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(std::byteswap(v));
  out.append(bytes.data(), bytes.size());
}

// A row's value, as long as it is: it is composed elsewhere, in memory that is warm.
template <class Fields>
std::string encoded(std::size_t expected_bytes, Fields&& fields) {
  constexpr std::size_t kKept = std::size_t{64} << 10;
  thread_local std::string scratch;
  scratch.clear();
  Writer io(scratch, expected_bytes);
  fields(io);
  io.end();
  std::string row(scratch);
  if (scratch.capacity() > kKept) std::string().swap(scratch);
  return row;
}

std::unexpected<Error> damaged(const char* table, std::uint64_t number) {
  return fail(Code::kCorrupt,
              std::string("a row of the store cannot be read: table ") + table + ", number " + std::to_string(number));
}

// Bits of a row's flag byte, read and written in one order.
class Flags {
 public:
  void add(bool bit) { bits_ |= static_cast<std::uint8_t>((bit ? 1U : 0U) << at_++); }
  explicit Flags(std::uint8_t bits = 0) : bits_(bits) {}
  bool next() { return ((bits_ >> at_++) & 1U) != 0; }
  [[nodiscard]] std::uint8_t bits() const { return bits_; }

 private:
  std::uint8_t bits_;
  unsigned at_ = 0;
};

void put_context(Writer& io, const SpanContext& c) {
  io(c.trace_id.bytes);
  io(c.span_id.bytes);
  io(c.flags);
}
void get_context(Reader& io, SpanContext& c) {
  io(c.trace_id.bytes);
  io(c.span_id.bytes);
  io(c.flags);
}

// The most bytes of an event without its worker: five of one byte, an attempt, three numbers, and all that may name a span.
constexpr std::size_t kEventBytesMax = 5 + 4 * kVarintRoom + 3 * 8 + 25;

template <std::size_t N>
char* put_id(const std::array<std::uint8_t, N>& id, char* at) {
  std::memcpy(at, id.data(), N);
  return at + N;
}

void put_event(Writer& io, const Event& e, std::int64_t base_ns, const std::string*& worker) {
  const auto* mine = e.worker.get();
  const bool same_worker = mine != nullptr && worker != nullptr && (mine == worker || *mine == *worker);
  Flags flags;
  flags.add(e.span.valid());
  flags.add(e.parent.valid());
  flags.add(e.request.valid());
  flags.add(e.previous_claim.valid());
  flags.add(mine != nullptr);
  flags.add(same_worker);
  flags.add(e.end_ns != 0);
  char* at = io.room(kEventBytesMax);
  *at++ = static_cast<char>(e.kind);
  *at++ = static_cast<char>(flags.bits());
  *at++ = static_cast<char>(e.detail);
  at = write_varint(e.attempt, at);
  at = write_varint(zigzag(e.start_ns - base_ns), at);
  if (e.end_ns != 0) at = write_varint(zigzag(e.end_ns - e.start_ns), at);
  at = write_varint(zigzag(e.value), at);
  if (e.span.valid()) at = put_id(e.span.bytes, at);
  if (e.parent.valid()) at = put_id(e.parent.bytes, at);
  if (e.request.valid()) {
    at = put_id(e.request.trace_id.bytes, at);
    at = put_id(e.request.span_id.bytes, at);
    *at++ = static_cast<char>(e.request.flags);
  }
  if (e.previous_claim.valid()) at = put_id(e.previous_claim.bytes, at);
  io.wrote(at);
  if (mine != nullptr && !same_worker) io(*mine);
  if (mine != nullptr) worker = mine;
}

void get_event(Reader& io, Event& e, std::int64_t base_ns, std::shared_ptr<const std::string>& worker) {
  std::uint8_t bits = 0;
  io(e.kind);
  io(bits);
  Flags flags(bits);
  const bool span = flags.next(), parent = flags.next(), request = flags.next(), previous = flags.next();
  const bool has_worker = flags.next(), same_worker = flags.next(), ended = flags.next();
  io(e.detail);
  io(e.attempt);
  io(e.start_ns);
  e.start_ns += base_ns;
  if (ended) {
    io(e.end_ns);
    e.end_ns += e.start_ns;
  }
  io(e.value);
  if (span) io(e.span.bytes);
  if (parent) io(e.parent.bytes);
  if (request) get_context(io, e.request);
  if (previous) io(e.previous_claim.bytes);
  if (has_worker && !same_worker) io(worker);
  if (has_worker) e.worker = worker;
}

// What a task has beyond its body, finished or not.
void put_mutable(Writer& io, const Task& t) {
  const auto base = t.info->created_ns;
  Flags flags;
  flags.add(t.claim_traced);
  flags.add(t.claim_span.valid());
  flags.add(static_cast<bool>(t.worker));
  flags.add(t.has_result);
  io(flags.bits());
  io(t.status);
  io(t.attempts);
  io(t.error);
  io(t.updated_ns - base);
  io(t.lease_until_ns == 0 ? std::int64_t{0} : t.lease_until_ns - base);
  io(t.lease_token);
  io(t.wait_from_ns - base);
  io(t.cause);
  io(t.run_from_ns == 0 ? std::int64_t{0} : t.run_from_ns - base);
  if (t.claim_span.valid()) io(t.claim_span.bytes);
  if (t.worker) io(*t.worker);
  io(std::uint64_t{t.timeline.kept()});
  io(t.timeline.dropped());
  const std::string* worker = t.worker.get();
  t.timeline.each([&](const Event& e) { put_event(io, e, base, worker); });
}

bool get_mutable(Reader& io, Task& t) {
  const auto base = t.info->created_ns;
  std::uint8_t bits = 0;
  io(bits);
  Flags flags(bits);
  t.claim_traced = flags.next();
  const bool claimed = flags.next(), has_worker = flags.next();
  t.has_result = flags.next();  // what follows, 16, is no longer written: that the lease counts for its topic's limit
  io(t.status);
  io(t.attempts);
  io(t.error);
  io(t.updated_ns);
  t.updated_ns += base;
  io(t.lease_until_ns);
  if (t.lease_until_ns != 0) t.lease_until_ns += base;
  io(t.lease_token);
  io(t.wait_from_ns);
  t.wait_from_ns += base;
  io(t.cause);
  io(t.run_from_ns);
  if (t.run_from_ns != 0 || claimed) t.run_from_ns += base;  // 0 and claimed: in the instant of its creation
  if (claimed) io(t.claim_span.bytes);
  if (has_worker) io(t.worker);
  std::uint64_t kept = 0;
  std::uint32_t dropped = 0;
  io(kept);
  io(dropped);
  if (!io.ok() || kept > kEventsPerTask) return false;
  std::vector<Event> events(kept);
  auto worker = t.worker;
  for (auto& event : events) get_event(io, event, base, worker);
  return io.ok() && t.timeline.restore(std::move(events), dropped);
}

void put_head(Writer& io, const Task& t) {
  io(kVersion);
  io(t.place);
  io(static_cast<std::uint8_t>(t.info->priority));
  io(t.queue->id);
  io(t.ready_position);
  io(t.place == Place::kLeased ? t.lease_until_ns : t.due_ns);
}

bool get_head(Reader& io, LiveHead& head) {
  std::uint8_t version = 0, priority = 0;
  io(version);
  io(head.place);
  io(priority);
  io(head.queue);
  io(head.ready_position);
  io(head.due_ns);
  head.priority = priority;
  return io.ok() && version == kVersion && priority < kPriorities &&
         head.place >= static_cast<std::uint8_t>(Place::kReady) && head.place <= static_cast<std::uint8_t>(Place::kLeased);
}

// As far into the live row of a leased task as its holder.
bool get_holder(Reader& io, LiveHead& head) {
  std::uint32_t writes = 0, attempts = 0;
  std::uint8_t bits = 0;
  io(writes);
  io(bits);
  Flags flags(bits);
  flags.next();
  const bool claimed = flags.next(), has_worker = flags.next();
  Status status{};
  WaitCause cause{};
  std::int64_t time = 0;
  std::uint64_t token = 0;
  SpanId span;
  io(status);
  io(attempts);
  io.bytes();  // error
  io(time);    // updated
  io(time);    // lease until
  io(token);
  io(time);  // wait from
  io(cause);
  io(time);  // run from
  if (claimed) io(span.bytes);
  if (has_worker) io(head.worker);
  return io.ok() && has_worker;
}

std::size_t done_bytes(const Task& task) { return 512 + (task.result ? task.result->result_json.size() : 0); }

void done_fields(Writer& io, const Task& task) {
  io(kVersion);
  io(task.place);
  io(task.retire_ns);
  io(task.delivery);
  io.nested(100, [&] {
    if (task.result) put_result(io, *task.result);
  });
  put_mutable(io, task);
}

bool zero(const KeyHash& hash) {
  return std::all_of(hash.begin(), hash.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

// ---------------------------------------------------------------- keys

std::string key_of(std::uint64_t number) {
  std::string key;
  append_big_endian(key, number);
  return key;
}

std::string queue_row_key(std::uint32_t id) {
  std::string key;
  append_big_endian(key, id);
  return key;
}

std::string retire_key(std::int64_t retire_ns, std::uint64_t sequence) {
  std::string key;
  key.reserve(16);
  append_big_endian(key, static_cast<std::uint64_t>(std::max<std::int64_t>(retire_ns, 0)));
  append_big_endian(key, sequence);
  return key;
}

KeyHash key_hash(std::string_view tenant, std::string_view idempotency_key) {
  auto hash = hash128(tenant, idempotency_key);
  if (zero(hash)) hash[0] = 1;
  return hash;
}

std::string idempotency_row_key(const KeyHash& hash, std::uint64_t sequence) {
  std::string key(reinterpret_cast<const char*>(hash.data()), hash.size());
  append_big_endian(key, sequence);
  return key;
}

std::uint64_t number_at(std::string_view key, std::size_t offset) {
  if (key.size() < offset + 8) return 0;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = (number << 8) | static_cast<std::uint8_t>(key[offset + i]);
  return number;
}

// ---------------------------------------------------------------- tasks

std::string encode_body(const Task& task) {
  const auto& i = *task.info;
  const auto expected = 256 + (task.payload ? task.payload->size() : 0) + (task.whole ? done_bytes(task) : 0);
  return encoded(expected, [&](Writer& io) {
    const bool own_span = i.trace.span.span_id == i.create_span;
    const bool own_trace = i.trace.span.trace_id == i.timeline_trace_id;
    Flags flags;
    flags.add(i.traced);
    flags.add(i.trace.span.valid());
    flags.add(own_span);
    flags.add(own_trace);
    flags.add(i.create_parent.valid());
    flags.add(!i.idempotency_key.empty());
    flags.add(i.from_dead_letter);
    flags.add(task.whole);
    io(kVersion);
    io(flags.bits());
    io(i.id.random);
    io(i.id.partition);
    io(i.tenant);
    io(i.command);
    io(i.webhook);
    io(static_cast<std::uint8_t>(i.priority));
    io(i.max_attempts);
    io(i.created_ns);
    if (i.trace.span.valid()) put_context(io, i.trace.span);
    if (!own_span || !i.trace.span.valid()) io(i.create_span.bytes);
    if (!own_trace || !i.trace.span.valid()) io(i.timeline_trace_id.bytes);
    if (i.create_parent.valid()) io(i.create_parent.bytes);
    io(i.trace.tracestate);
    io(i.trace.baggage);
    if (!i.idempotency_key.empty()) {
      io(i.idempotency_key);
      io(i.content_hash);
      io(i.content_hash_high);
      io(i.key_expires_ns);
    }
    io(task.payload);
    if (task.whole) done_fields(io, task);
  });
}

Result<void> decode_body(std::uint64_t sequence, std::string_view value, Task& into, bool with_payload) {
  auto info = std::make_shared<TaskInfo>();
  auto& i = *info;
  Reader io(value);
  std::uint8_t version = 0, bits = 0, priority = 0;
  io(version);
  io(bits);
  Flags flags(bits);
  i.traced = flags.next();
  const bool valid = flags.next(), own_span = flags.next(), own_trace = flags.next(), parent = flags.next(),
             key = flags.next();
  i.from_dead_letter = flags.next();
  into.whole = flags.next();
  i.id.sequence = sequence;
  io(i.id.random);
  io(i.id.partition);
  io(i.tenant);
  io(i.command);
  io(i.webhook);
  io(priority);
  io(i.max_attempts);
  io(i.created_ns);
  if (valid) get_context(io, i.trace.span);
  if (own_span && valid)
    i.create_span = i.trace.span.span_id;
  else
    io(i.create_span.bytes);
  if (own_trace && valid)
    i.timeline_trace_id = i.trace.span.trace_id;
  else
    io(i.timeline_trace_id.bytes);
  if (parent) io(i.create_parent.bytes);
  io(i.trace.tracestate);
  io(i.trace.baggage);
  if (key) {
    io(i.idempotency_key);
    io(i.content_hash);
    io(i.content_hash_high);
    io(i.key_expires_ns);
  }
  if (with_payload)
    io(into.payload);
  else
    io.bytes();
  if (!io.ok() || io.at_end() == into.whole || version != kVersion || priority >= kPriorities)
    return damaged("body", sequence);
  i.priority = priority;
  i.id_text = to_string(i.id);
  if (!i.webhook.empty()) i.webhook_host = webhook_host(i.webhook).value_or("");
  into.info = std::move(info);
  return into.whole ? decode_done(sequence, io.rest(), into) : Result<void>();
}

bool is_whole(std::string_view body) {
  return body.size() >= 2 && (static_cast<std::uint8_t>(body[1]) & kWholeFlag) != 0;
}

std::string encode_live(const Task& task) {
  return encoded(256, [&](Writer& io) {
    put_head(io, task);
    io(task.live_writes);
    put_mutable(io, task);
  });
}

Result<LiveHead> decode_live_head(std::uint64_t sequence, std::string_view value) {
  LiveHead head;
  Reader io(value);
  if (!get_head(io, head)) return damaged("live", sequence);
  if (head.place == static_cast<std::uint8_t>(Place::kLeased) && !get_holder(io, head)) return damaged("live", sequence);
  return head;
}

Result<void> decode_live(std::uint64_t sequence, std::string_view value, Task& into) {
  LiveHead head;
  Reader io(value);
  bool good = get_head(io, head);
  io(into.live_writes);
  good = good && get_mutable(io, into) && io.at_end();
  if (!good) return damaged("live", sequence);
  into.place = static_cast<Place>(head.place);
  into.ready_position = head.ready_position;
  if (into.place == Place::kDelayed) into.due_ns = head.due_ns;
  return {};
}

std::string encode_done(const Task& task) {
  return encoded(done_bytes(task), [&](Writer& io) { done_fields(io, task); });
}

Result<void> decode_done(std::uint64_t sequence, std::string_view value, Task& into) {
  Reader io(value);
  std::uint8_t version = 0;
  std::string result;
  io(version);
  io(into.place);
  io(into.retire_ns);
  io(into.delivery);
  io(result);
  if (!get_mutable(io, into) || !io.at_end() || version != kVersion || !into.finished())
    return damaged("done", sequence);
  if (result.empty()) return {};
  CODEQ_TRY(auto decoded, decode_result(result));
  into.result = std::make_shared<const TaskResult>(std::move(decoded));
  return {};
}

// ---------------------------------------------------------------- the rest

std::string encode_retire(const RetireEntry& entry) {
  std::string out;
  Writer io(out);
  io(kVersion);
  io(entry.queue);
  io(entry.dead);
  io(entry.delivery);
  const bool key = !zero(entry.key);
  io(key);
  if (key) io(entry.key);
  io.end();
  return out;
}

Result<RetireEntry> decode_retire(std::string_view key, std::string_view value) {
  RetireEntry entry;
  entry.retire_ns = static_cast<std::int64_t>(number_at(key, 0));
  entry.sequence = number_at(key, 8);
  Reader io(value);
  std::uint8_t version = 0;
  bool has_key = false;
  io(version);
  io(entry.queue);
  io(entry.dead);
  io(entry.delivery);
  io(has_key);
  if (has_key) io(entry.key);
  if (!io.ok() || !io.at_end() || version != kVersion || key.size() != 16) return damaged("retire", entry.sequence);
  return entry;
}

std::string encode_delivery(const Delivery& d) {
  std::string out;
  Writer io(out);
  io(kVersion);
  io(d.sequence);
  io(d.tenant);
  io(d.host);
  io(d.parent.bytes);
  io(d.failed);
  io(d.attempts);
  io(d.attempts_total);
  io(d.due_ns);
  io(d.last_http_status);
  io(d.last_error);
  io.end();
  return out;
}

Result<void> decode_delivery(std::uint64_t id, std::string_view value, Delivery& d) {
  Reader io(value);
  std::uint8_t version = 0;
  io(version);
  io(d.sequence);
  io(d.tenant);
  io(d.host);
  io(d.parent.bytes);
  io(d.failed);
  io(d.attempts);
  io(d.attempts_total);
  io(d.due_ns);
  io(d.last_http_status);
  io(d.last_error);
  if (!io.ok() || !io.at_end() || version != kVersion) return damaged("outbox", id);
  return {};
}

}  // namespace codeq::core
