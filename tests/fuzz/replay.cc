// Stands in for the fuzzer where there is none: feeds one fuzz target every file of the folders it is given, and every
// prefix of the small ones, since a parser meets cut-off input more often than any other kind.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kPrefixBytesMax = 256;

// From an allocation of exactly that size, so that a read past the end is seen.
void feed(const std::vector<char>& bytes, std::size_t size) {
  const auto copy = std::make_unique<std::uint8_t[]>(size);
  for (std::size_t i = 0; i < size; ++i) copy[i] = static_cast<std::uint8_t>(bytes[i]);
  LLVMFuzzerTestOneInput(copy.get(), size);
}

}  // namespace

int main(int argc, char** argv) {
  int seeds = 0;
  feed({}, 0);
  for (int i = 1; i < argc; ++i) {
    std::error_code error;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i], error)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);  // the last line names the culprit
      for (std::size_t size = 0; size < bytes.size() && size < kPrefixBytesMax; ++size) feed(bytes, size);
      feed(bytes, bytes.size());
      ++seeds;
    }
  }
  if (seeds == 0) {
    std::fprintf(stderr, "no seeds found: every fuzz target has some in tests/fuzz/corpus/\n");
    return EXIT_FAILURE;
  }
  std::printf("%d seeds\n", seeds);
}
