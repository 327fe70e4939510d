// fuzz-room: codeq_storage_rocks
// Pages of the store: whatever the bytes, reading stays within them, and what folds is a page with each key once, in order.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "storage/rocks/page.h"

using namespace codeq::storage::rocks;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto half = all.size() * data[0] / 256;
  const std::vector<std::string_view> pages{all.substr(0, half), all.substr(half)};
  PageRow row;
  (void)find_in_page(all, "12345678", row);
  std::string merged;
  if (!merge_pages(pages, true, merged)) return 0;
  PageReader reader(merged);
  std::string last;
  for (bool first = true; reader.next(row); first = false) {
    if (row.kind == PageRow::Kind::kErased || (!first && row.key <= last)) std::abort();
    last = row.key;
  }
  if (reader.damaged()) std::abort();
  return 0;
}
