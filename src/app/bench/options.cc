#include "app/bench/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace codeq::app {
namespace {

constexpr std::size_t kCommandsOfOneClaimMax = 100;  // the broker's own bound

std::unexpected<Error> refuse(std::string why) { return fail(Code::kInvalidArgument, std::move(why)); }

bool fits_header(std::string_view token) {
  return std::ranges::all_of(token, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Result<void> set_bench_url(std::string_view url, BenchOptions& options) {
  const auto not_one = [] { return refuse("the url of a bench is http://HOST:PORT"); };
  if (url.starts_with("http://")) url.remove_prefix(7);
  if (url.ends_with('/')) url.remove_suffix(1);
  const auto colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return not_one();
  auto host = url.substr(0, colon);
  const auto digits = url.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return not_one();
  if (host.size() > 2 && host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!std::ranges::all_of(
          host, [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':' || c == '_'; }))
    return not_one();
  options.host = host;
  options.port = port;
  return {};
}

Result<void> check_bench(const BenchOptions& o, std::uint32_t batch_max) {
  if (o.producers == 0 || o.workers == 0 || o.producers > 10'000 || o.workers > 10'000)
    return refuse("1 to 10000 producers and workers");
  if (o.batch == 0 || o.batch > batch_max) return refuse("a batch is 1 to " + std::to_string(batch_max) + " tasks");
  if (o.window < o.batch) return refuse("the window is at least a batch");
  if (!(o.seconds > 0 && o.seconds <= 1e6) || !(o.warmup_seconds >= 0 && o.warmup_seconds <= 1e6))
    return refuse("the duration is out of range");
  if (!(o.rate == 0 || (o.rate >= 0.001 && o.rate <= 1e9))) return refuse("the rate is out of range");
  if (o.payload_bytes > (1U << 20)) return refuse("a payload is at most 1 MiB");
  if (o.priorities == 0 || o.priorities > 10) return refuse("1 to 10 priorities");
  if (o.queues == 0) return refuse("at least one queue");
  if (o.command.empty() || !std::ranges::all_of(o.command, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
      })) {
    return refuse("a command of letters, digits, '_', '-' and '.'");
  }
  const auto tenants = tenant_count(o);
  for (std::uint32_t tenant = 0; tenant < tenants; ++tenant) {
    if (!fits_header(producer_token_of(o, tenant)) || !fits_header(worker_token_of(o, tenant)))
      return refuse("a token holds characters that no header may");
  }
  if (o.workers < tenants) return refuse("as many workers as tenants at least");
  // The first worker of the last tenant has the largest share.
  if (commands_of_worker(o, tenants - 1).size() > kCommandsOfOneClaimMax)
    return refuse("one worker, of each tenant, for every 100 queues at least");
  return {};
}

Result<std::vector<BenchTenant>> read_bench_tenants(std::string_view text) {
  std::vector<BenchTenant> tenants;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) continue;
    const auto space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      return refuse("a line of tokens is \"PRODUCER_TOKEN WORKER_TOKEN\"");
    }
    tenants.push_back({std::string(line.substr(0, space)), std::string(line.substr(space + 1))});
  }
  if (tenants.empty()) return refuse("no tokens");
  return tenants;
}

std::uint32_t tenant_count(const BenchOptions& o) {
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(o.tenants.size()));
}

const std::string& producer_token_of(const BenchOptions& o, std::uint32_t tenant) {
  return o.tenants.empty() ? o.producer_token : o.tenants[tenant].producer_token;
}

const std::string& worker_token_of(const BenchOptions& o, std::uint32_t tenant) {
  return o.tenants.empty() ? o.worker_token : o.tenants[tenant].worker_token;
}

std::string command_of(const BenchOptions& o, std::uint32_t queue) {
  return o.queues == 1 ? o.command : o.command + "-" + std::to_string(queue);
}

std::vector<std::string> commands_of_worker(const BenchOptions& o, std::uint32_t worker) {
  const auto tenants = tenant_count(o);
  const auto place = worker / tenants;                                  // among its tenant's workers
  const auto share = (o.workers - worker % tenants - 1) / tenants + 1;  // how many those are
  std::vector<std::string> commands;
  for (auto queue = place % o.queues; queue < o.queues; queue += share) commands.push_back(command_of(o, queue));
  return commands;
}

}  // namespace codeq::app
