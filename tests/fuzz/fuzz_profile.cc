// fuzz-room: codeq_app_client
// A profile file: what can be read is written so that it reads the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "app/client/profile.h"
#include "app/client/template.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace client = codeq::app::client;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto file = client::ProfileFile::parse(text, "fuzz.yaml");
  if (!file) {
    CHECK(!file.error().message.empty());
    return 0;
  }
  for (const auto& name : file->names()) {
    const auto before = file->find(name);
    if (!before) continue;
    const auto again = client::ProfileFile::parse(file->to_yaml(), "again.yaml");
    CHECK(again.has_value());
    CHECK(again->current() == file->current());
    const auto after = again->find(name);
    CHECK(after.has_value() && after->has_value() == before->has_value());
    if (!*after) continue;
    CHECK((*after)->token == (*before)->token);
    CHECK((*after)->base_url == (*before)->base_url);
    CHECK((*after)->login.headers == (*before)->login.headers);
    const auto& url = (*before)->login.url_template;
    client::Values values;
    values.texts["email"] = "a\"b";
    for (const auto place : {client::Place::kUrl, client::Place::kJson, client::Place::kHeader})
      if (url) (void)client::fill(*url, values, place);
  }
  file->set("fuzz", "token", "t");
  const auto set = client::ProfileFile::parse(file->to_yaml(), "set.yaml");
  CHECK(set.has_value());
  const auto found = set->find("fuzz");
  if (found) CHECK(*found && (*found)->token == "t");
  return 0;
}
