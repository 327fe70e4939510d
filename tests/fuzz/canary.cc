// fuzz-room: codeq_base
// The canary: a parser with a planted bug. `make fuzz` fails if the fuzzer does not find it, because then the alarm
// that guards the real parsers would not ring either.
#include <cstddef>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);
  // A length byte is believed without a look at how much there is.
  if (bytes.size() >= 4 && bytes[0] == 'L' && bytes[1] == 'E' && bytes[2] == 'N') {
    volatile std::uint8_t last = *(bytes.data() + 4 + bytes[3]);
    static_cast<void>(last);
  }
  return 0;
}
