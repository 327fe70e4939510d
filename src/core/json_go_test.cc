// Our scanner against Go's encoding/json, the parser behind the reference. CODEQ_GO_JSONVALID names the built program of
// tests/interop/go/jsonvalid; CODEQ_SEED repeats a run.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "core/json_scan.h"

namespace codeq::core {
namespace {

using namespace std::string_view_literals;

constexpr std::array kSeeds{
    R"({"command":"GENERATE_MASTER","payload":{"jobId":"j-123","n":1.50e+02},"priority":5,"runAt":null})"sv,
    R"([null,true,false,0,-0.5E-1,"",[],{},"\"\\\/\b\f\n\r\t"])"sv,
    R"(["\u00e9\ud83d\ude00\ud800",1e999,123456789012345678901234567890])"sv,
    "[\"é€😀\u2028\"]"sv,
    " \t\r\n{ \"a\" : [ { } , [ ] ] } "sv,
    R"({"a":{"b":{"c":[1,2,3]}}})"sv,
    "-12.5"sv,
    "\"x\""sv,
};
constexpr auto kPieces = "{}[],:\"\\0123456789-+.eEtruefalsn \t\n/bu'\xc3\xa9\xed\xa0\x80\xff\0\x7f"sv;

// A seed with up to four bytes changed, put in, taken out, or a stretch of another seed dropped into it.
std::string mutated(Rng& rng) {
  const auto pick = [&rng](std::size_t count) { return static_cast<std::size_t>(rng.next() % count); };
  std::string text(kSeeds[pick(kSeeds.size())]);
  for (auto changes = pick(5); changes > 0; --changes) {
    const auto at = pick(text.size() + 1);
    switch (pick(5)) {
      case 0: text.insert(at, 1, kPieces[pick(kPieces.size())]); break;
      case 1: text.erase(at, 1 + pick(3)); break;
      case 2:
        if (at < text.size()) text[at] = kPieces[pick(kPieces.size())];
        break;
      case 3: {
        const auto other = kSeeds[pick(kSeeds.size())];
        const auto from = pick(other.size());
        text.insert(at, other.substr(from, pick(12)));
        break;
      }
      default:
        if (at < text.size()) text[at] = static_cast<char>(rng.next());
    }
  }
  return text;
}

TEST(JsonScan, AgreesWithGoOnRandomDocuments) {
  const char* const program = std::getenv("CODEQ_GO_JSONVALID");
  if (program == nullptr) GTEST_SKIP() << "CODEQ_GO_JSONVALID does not name the built Go program";
  const char* const wish = std::getenv("CODEQ_SEED");
  const std::uint64_t seed = wish != nullptr ? std::strtoull(wish, nullptr, 0) : SystemRng().next();
  SCOPED_TRACE("CODEQ_SEED=" + std::to_string(seed));
  SeededRng rng(seed);

  std::vector<std::string> documents(kSeeds.begin(), kSeeds.end());
  while (documents.size() < 200'000) documents.push_back(mutated(rng));
  const auto path = std::filesystem::temp_directory_path() / ("codeq-jsonvalid-" + std::to_string(SystemRng().next()));
  {
    std::ofstream file(path, std::ios::binary);
    for (const auto& document : documents) {
      for (unsigned shift = 0; shift < 32; shift += 8) file.put(static_cast<char>((document.size() >> shift) & 0xff));
      file << document;
    }
    ASSERT_TRUE(file.flush().good());
  }
  const auto command = "'" + std::string(program) + "' < '" + path.string() + "'";
  auto* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string answers;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) answers += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0);
  std::filesystem::remove(path);

  ASSERT_EQ(answers.size(), documents.size());
  std::size_t valid = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    valid += answers[i] == '1' ? 1 : 0;
    ASSERT_EQ(valid_json(documents[i], kJsonDepthLimit), answers[i] == '1') << documents[i];
  }
  EXPECT_GT(valid, documents.size() / 20) << "hardly any of the documents was JSON, so little was compared";
}

}  // namespace
}  // namespace codeq::core
