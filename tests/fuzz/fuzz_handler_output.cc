// fuzz-room: codeq_app_client
// What a handler wrote, and what an identity service or a broker answered: always a result, never more than was there.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "app/client/lease.h"
#include "app/client/login.h"
#include "app/client/outcome.h"
#include "base/check.h"
#include "core/json_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace client = codeq::app::client;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto result = client::result_of(text);
  CHECK(result.starts_with('{'));
  const auto call = client::owner_call({.act = client::Settlement::Act::kComplete, .result = result, .reason = {}},
                                       "00000000000000ab");
  CHECK(codeq::core::valid_json(call.body));
  const auto failed =
      client::owner_call({.act = client::Settlement::Act::kFail, .result = {}, .reason = std::string(text)}, "");
  CHECK(codeq::core::valid_json(failed.body));
  if (const auto task = client::claimed_task(text)) CHECK(!task->id.empty() && task->attempt >= 1);
  if (const auto token = client::token_in(text, "a.token")) CHECK(!token->empty());
  return 0;
}
