#include "storage/rocks/page.h"

#include <algorithm>
#include <vector>

namespace codeq::storage::rocks {
namespace {

constexpr unsigned kSequenceBits = 5;     // 32 tasks: some 20 KiB under load, as much as one block of a file
constexpr unsigned kRetireTimeBits = 24;  // 16.8 ms

unsigned bits_of(core::Table table) { return table == core::Table::kRetire ? kRetireTimeBits : kSequenceBits; }

std::uint64_t page_number(core::Table table, std::string_view row_key) {
  std::uint64_t number = 0;  // of a key that is too short: as if zeros followed, which keeps the order
  for (std::size_t i = 0; i < kPageKeyBytes; ++i)
    number = number << 8 | (i < row_key.size() ? static_cast<unsigned char>(row_key[i]) : 0U);
  return number >> bits_of(table);
}

void put_number(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<char>(number | 0x80));
  out.push_back(static_cast<char>(number));
}

bool take_number(std::string_view& from, std::uint64_t& number) {
  number = 0;
  for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// A row with the bytes that make it up.
struct Entry {
  std::string_view key, bytes;
  bool erased;
};

}  // namespace

bool is_paged(core::Table table) {
  return table == core::Table::kLive || table == core::Table::kBody || table == core::Table::kDone ||
         table == core::Table::kRetire;
}

bool may_stand_apart(core::Table table) { return table == core::Table::kBody || table == core::Table::kDone; }

std::string page_key(core::Table table, std::string_view row_key) {
  return core::key_of(page_number(table, row_key) << bits_of(table));
}

bool same_page(core::Table table, std::string_view row_key, std::string_view other) {
  return page_number(table, row_key) == page_number(table, other);
}

std::size_t rows_of_page(core::Table table) {
  return table == core::Table::kRetire ? 0 : std::size_t{1} << kSequenceBits;
}

bool PageReader::next(PageRow& row) {
  if (rest_.empty()) return false;
  std::uint64_t head = 0, key_bytes = 0;
  damaged_ = !take_number(rest_, head) || !take_number(rest_, key_bytes) || (head & 3) > 2 ||
             ((head & 3) != 0 && head > 3) || key_bytes > rest_.size() || (head >> 2) > rest_.size() - key_bytes;
  if (damaged_) {
    rest_ = {};
    return false;
  }
  row.kind = static_cast<PageRow::Kind>(head & 3);
  row.key = rest_.substr(0, key_bytes);
  row.value = rest_.substr(key_bytes, head >> 2);
  rest_.remove_prefix(key_bytes + (head >> 2));
  return true;
}

void append_to_page(std::string& page, const PageRow& row) {
  const bool here = row.kind == PageRow::Kind::kHere;
  put_number(page, (here ? static_cast<std::uint64_t>(row.value.size()) << 2 : 0) | static_cast<std::uint64_t>(row.kind));
  put_number(page, row.key.size());
  page.append(row.key);
  if (here) page.append(row.value);
}

bool find_in_page(std::string_view page, std::string_view key, PageRow& row) {
  PageReader reader(page);
  while (reader.next(row)) {
    if (row.key == key) return true;
  }
  row = {.kind = PageRow::Kind::kErased, .key = key, .value = {}};
  return !reader.damaged();
}

bool merge_pages(std::span<const std::string_view> oldest_first, bool whole, std::string& merged) {
  std::vector<Entry> entries;
  bool in_order = true;
  for (const std::string_view page : oldest_first) {
    PageReader reader(page);
    const char* from = page.data();
    for (PageRow row; reader.next(row);) {
      const char* const end = row.value.data() + row.value.size();
      in_order = in_order && (entries.empty() || entries.back().key < row.key);
      entries.push_back({row.key, {from, end}, row.kind == PageRow::Kind::kErased});
      from = end;
    }
    if (reader.damaged()) return false;
  }
  if (!in_order) std::ranges::stable_sort(entries, {}, &Entry::key);
  merged.clear();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const bool later_one = i + 1 < entries.size() && entries[i + 1].key == entries[i].key;
    if (!later_one && !(whole && entries[i].erased)) merged.append(entries[i].bytes);
  }
  return true;
}

}  // namespace codeq::storage::rocks
