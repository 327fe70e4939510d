#include "app/bench/payload.h"

#include <algorithm>
#include <charconv>

#include "base/rng.h"

namespace codeq::app {
namespace {

constexpr std::size_t kDigits = 19;
constexpr std::string_view kHead = R"({"t":")";
constexpr std::string_view kRun = R"(","run":")";
constexpr std::string_view kFill = R"(","fill":")";

}  // namespace

PayloadMaker::PayloadMaker(std::string run, std::size_t bytes) : run_(std::move(run)) {
  const auto needed = kHead.size() + kDigits + kRun.size() + run_.size() + kFill.size() + 2;
  if (bytes > needed) fill_.assign(bytes - needed, 'x');
}

void PayloadMaker::append(std::string& out, std::int64_t counts_from_ns) const {
  const auto digits = std::to_string(std::max<std::int64_t>(0, counts_from_ns));
  out.append(kHead).append(kDigits - std::min(kDigits, digits.size()), '0').append(digits);
  out.append(kRun).append(run_).append(kFill).append(fill_).append("\"}");
}

std::string random_run() {
  SystemRng rng;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz012345";
  std::string run;
  for (auto bits = rng.next(); run.size() < 12; bits >>= 5) run.push_back(kLetters[bits & 31]);
  return run;
}

PayloadMark read_payload(std::string_view payload) {
  const auto run_at = kHead.size() + kDigits;
  if (!payload.starts_with(kHead) || payload.size() < run_at || !payload.substr(run_at).starts_with(kRun)) return {};
  PayloadMark mark;
  const auto digits = payload.substr(kHead.size(), kDigits);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), mark.counts_from_ns);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  const auto rest = payload.substr(run_at + kRun.size());
  const auto quote = rest.find('"');
  if (quote == std::string_view::npos) return {};
  mark.run = rest.substr(0, quote);
  return mark;
}

}  // namespace codeq::app
