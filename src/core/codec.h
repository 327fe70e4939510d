// The byte codec of log records: little-endian, varints, length-prefixed bytes.
//
// Shape    one `fields(io, record)` function per record serves both directions: Writer appends, Reader consumes
// Errors   Reader never throws and never reads past its end; after the first bad field `ok()` is false and every
//          further field is zero or empty
// Source   varint: base-128, least significant group first, at most 10 bytes (as Protocol Buffers, "Base 128 Varints");
//          signed integers are zigzag coded ("Signed Integers", same page)
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"

namespace codeq::core {

template <class T>
concept Enum = std::is_enum_v<T>;

inline constexpr std::size_t kVarintRoom = 16;  // how many bytes `write_varint` may touch, of which a varint is at most 10

constexpr std::size_t varint_bytes(std::uint64_t v) { return v == 0 ? 1 : static_cast<std::size_t>(std::bit_width(v) + 6) / 7; }

// Times and random numbers are 8 to 10 bytes, and for those a loop over the bytes costs more than spreading the groups of
// seven bits all at once.
[[gnu::noinline]] inline char* long_varint(std::uint64_t v, char* to) {
  auto x = v & 0x00ff'ffff'ffff'ffff;  // eight groups
  x = (x & 0x0000'0000'0fff'ffff) | ((x & 0x00ff'ffff'f000'0000) << 4);
  x = (x & 0x0000'3fff'0000'3fff) | ((x & 0x0fff'c000'0fff'c000) << 2);
  x = (x & 0x007f'007f'007f'007f) | ((x & 0x3f80'3f80'3f80'3f80) << 1);
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kMore = 0x8080'8080'8080'8080;
  const auto rest = v >> 56;
  if (rest == 0) {
    const auto length = varint_bytes(v);
    x |= kMore & ((std::uint64_t{1} << (8 * (length - 1))) - 1);
    std::memcpy(to, &x, sizeof x);
    return to + length;
  }
  x |= kMore;
  std::memcpy(to, &x, sizeof x);
  to[8] = static_cast<char>(rest < 0x80 ? rest : rest | 0x80);
  to[9] = static_cast<char>(rest >> 7);
  return to + (rest < 0x80 ? 9 : 10);
}

// Writes a varint and returns where it ends. Most are one byte: only that case is worth its place in the caller.
inline char* write_varint(std::uint64_t v, char* to) {
  if (v >= 0x80) return long_varint(v, to);
  *to = static_cast<char>(v);
  return to + 1;
}

// The same; returns its length.
inline std::size_t put_varint(std::uint64_t v, char* to) { return static_cast<std::size_t>(write_varint(v, to) - to); }

constexpr std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ (v < 0 ? ~std::uint64_t{0} : 0);
}

// Appends to a string through a stretch that it keeps ahead of what is written: nothing is filled in only to be written
// over. The string is whole after `end()`, which must be called; until then its tail is undefined.
class Writer {
 public:
  static constexpr bool kReading = false;
  explicit Writer(std::string& out, std::size_t expected_bytes = 128) : out_(out) { stretch(out.size(), expected_bytes); }
  ~Writer() { CHECK(ended_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  void end() {
    out_.resize(used());
    ended_ = true;
  }

  void operator()(std::uint64_t v) { at_ = write_varint(v, room(kVarintRoom)); }
  void operator()(std::uint32_t v) { (*this)(std::uint64_t{v}); }
  void operator()(std::uint16_t v) { (*this)(std::uint64_t{v}); }
  void operator()(std::uint8_t v) {
    *room(1) = static_cast<char>(v);
    ++at_;
  }
  void operator()(bool v) { (*this)(static_cast<std::uint8_t>(v ? 1 : 0)); }
  void operator()(std::int64_t v) { (*this)(zigzag(v)); }
  void operator()(int v) { (*this)(std::int64_t{v}); }
  void operator()(const std::string& v) { bytes(v); }
  void operator()(const std::shared_ptr<const std::string>& v) { bytes(v ? std::string_view(*v) : std::string_view()); }
  template <std::size_t N>
  void operator()(const std::array<std::uint8_t, N>& v) {
    std::memcpy(room(N), v.data(), N);
    at_ += N;
  }
  template <Enum E>
  void operator()(E v) {
    (*this)(static_cast<std::uint8_t>(v));
  }
  // What `fields` writes, behind its length as a string has it. That is known last: `expected_bytes` says how much room to
  // leave for it, and the fields move where that was wrong.
  template <class Fields>
  void nested(std::size_t expected_bytes, Fields&& fields) {
    const auto left = varint_bytes(expected_bytes);
    const auto start = used();
    at_ = room(kVarintRoom) + left;
    fields();
    const auto length = used() - start - left;
    const auto head = varint_bytes(length);
    if (head != left) {
      room(kVarintRoom);
      char* const from = out_.data() + start + left;
      std::memmove(from - left + head, from, length);
      at_ = from - left + head + length;
    }
    std::array<char, kVarintRoom> size;
    write_varint(length, size.data());
    std::memcpy(out_.data() + start, size.data(), head);
  }
  // Room for what is written without a look at the bounds for every field: `wrote` says where that ended.
  char* room(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - at_) < bytes) [[unlikely]] stretch(used(), out_.size() + bytes);
    return at_;
  }
  void wrote(char* end) { at_ = end; }

 private:
  [[nodiscard]] std::size_t used() const { return static_cast<std::size_t>(at_ - out_.data()); }
  [[gnu::noinline]] void stretch(std::size_t used, std::size_t more) {
    out_.resize_and_overwrite(out_.size() + more, [](char*, std::size_t size) { return size; });
    at_ = out_.data() + used;
    end_ = out_.data() + out_.size();
  }
  void bytes(std::string_view v) {
    at_ = write_varint(v.size(), room(kVarintRoom));
    if (v.empty()) return;
    std::memcpy(room(v.size()), v.data(), v.size());
    at_ += v.size();
  }
  std::string& out_;
  char* at_ = nullptr;
  char* end_ = nullptr;
  bool ended_ = false;
};

class Reader {
 public:
  static constexpr bool kReading = true;
  explicit Reader(std::string_view in) : in_(in) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return in_.empty(); }
  [[nodiscard]] std::size_t left() const { return in_.size(); }
  [[nodiscard]] std::string_view rest() const { return in_; }
  void fail() {
    ok_ = false;
    in_ = {};
  }

  void operator()(std::uint64_t& v) {
    v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) return fail();
      const auto byte = static_cast<std::uint8_t>(in_.front());
      in_.remove_prefix(1);
      if (shift == 63 && byte > 1) {
        v = 0;
        return fail();
      }
      v |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return;
    }
    v = 0;
    fail();
  }
  void operator()(std::uint32_t& v) { narrow(v); }
  void operator()(std::uint16_t& v) { narrow(v); }
  void operator()(std::uint8_t& v) {
    v = 0;
    if (in_.empty()) return fail();
    v = static_cast<std::uint8_t>(in_.front());
    in_.remove_prefix(1);
  }
  void operator()(bool& v) {
    std::uint8_t byte = 0;
    (*this)(byte);
    if (byte > 1) fail();
    v = byte == 1;
  }
  void operator()(std::int64_t& v) {
    std::uint64_t u = 0;
    (*this)(u);
    v = static_cast<std::int64_t>((u >> 1) ^ (~(u & 1) + 1));
  }
  void operator()(int& v) {
    std::int64_t wide = 0;
    (*this)(wide);
    v = static_cast<int>(wide);
    if (v != wide) {
      v = 0;
      fail();
    }
  }
  void operator()(std::string& v) { v.assign(bytes()); }
  void operator()(std::shared_ptr<const std::string>& v) { v = std::make_shared<const std::string>(bytes()); }
  template <std::size_t N>
  void operator()(std::array<std::uint8_t, N>& v) {
    if (in_.size() < N) {
      v = {};
      return fail();
    }
    std::memcpy(v.data(), in_.data(), N);
    in_.remove_prefix(N);
  }
  template <Enum E>
  void operator()(E& v) {
    std::uint8_t byte = 0;
    (*this)(byte);
    v = static_cast<E>(byte);
  }
  std::string_view bytes() {
    std::uint64_t size = 0;
    (*this)(size);
    if (!ok_ || size > in_.size()) {
      fail();
      return {};
    }
    const auto taken = in_.substr(0, size);
    in_.remove_prefix(size);
    return taken;
  }

 private:
  template <class T>
  void narrow(T& v) {
    std::uint64_t wide = 0;
    (*this)(wide);
    v = static_cast<T>(wide);
    if (v != wide) {
      v = 0;
      fail();
    }
  }
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace codeq::core
