#include "transport/wire_status.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace codeq::transport {
namespace {

TEST(WireStatus, EveryCodeHasAPageThatNamesItsStatus) {
  std::set<std::string> slugs;
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    const auto wire = wire_status(static_cast<Code>(code));
    EXPECT_TRUE(slugs.insert(std::string(wire.slug)).second) << wire.slug;
    std::ifstream page(std::string(CODEQ_SOURCE_DIR) + "/docs/errors/" + std::string(wire.slug) + ".md");
    std::stringstream text;
    text << page.rdbuf();
    EXPECT_TRUE(text.str().starts_with("# `" + std::string(wire.slug) + "` (HTTP " + std::to_string(wire.http) + ")"))
        << wire.slug;
    EXPECT_NE(reason_phrase(wire.http), "Status");
  }
}

}  // namespace
}  // namespace codeq::transport
