// Pages: neighbouring rows of a table in one value of RocksDB, so that many rows cost one entry in its memory and files.
//
// Shape    rows in the order of their keys, each key once: head varint (bytes of the value << 2 | kind), key length varint,
//          key, value. A page that is not whole (a merge operand) may also say that rows were erased
// Errors   the bytes come from disk: whatever is not a page is told, and nothing is read past the end
// Threads  pure functions
// Cost     one pass over the pages, no allocation per row
// Source   docs/formats/store.md, "Pages"
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/rows.h"

namespace codeq::storage::rocks {

inline constexpr std::size_t kPageKeyBytes = 8;
// A larger value stands apart, so that whoever wants a small row never reads its large neighbours.
inline constexpr std::size_t kApartBytes = 2048;

struct PageRow {
  enum class Kind : std::uint8_t { kHere, kErased, kApart };  // kApart: the value stands in the family of large rows
  Kind kind = Kind::kHere;
  std::string_view key, value;  // no value unless kHere
};

// Tables whose rows are written next to each other.
bool is_paged(core::Table table);
// Whether a large value of it stands apart. Those of `live` and `retire` are never large: no payload, error or result is in them.
bool may_stand_apart(core::Table table);
// The page that a row belongs to; in the same order as the keys.
std::string page_key(core::Table table, std::string_view row_key);
bool same_page(core::Table table, std::string_view row_key, std::string_view other);
// How many rows a page has at most, where its numbers are sequences; 0: nobody knows.
std::size_t rows_of_page(core::Table table);

class PageReader {
 public:
  explicit PageReader(std::string_view page) : rest_(page) {}
  bool next(PageRow& row);                                // false: the end, or damage
  [[nodiscard]] bool damaged() const { return damaged_; }

 private:
  std::string_view rest_;
  bool damaged_ = false;
};

void append_to_page(std::string& page, const PageRow& row);
// The row of that key. Nothing: `row.kind` is kErased. False: damage.
bool find_in_page(std::string_view page, std::string_view key, PageRow& row);
// Of the same key in two pages the later one's counts. `whole`: nothing is below them, so what is erased leaves no mark.
// False: one of them is damaged.
bool merge_pages(std::span<const std::string_view> oldest_first, bool whole, std::string& merged);

}  // namespace codeq::storage::rocks
