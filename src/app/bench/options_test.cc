#include "app/bench/options.h"

#include <gtest/gtest.h>

#include <set>

namespace codeq::app {
namespace {

TEST(BenchUrl, IsAHostAndAPort) {
  BenchOptions options;
  ASSERT_TRUE(set_bench_url("http://example.test:81/", options).has_value());
  EXPECT_EQ(options.host, "example.test");
  EXPECT_EQ(options.port, 81);
  ASSERT_TRUE(set_bench_url("[::1]:8080", options).has_value());
  EXPECT_EQ(options.host, "::1");
  for (const auto* url : {"", "http://", "http://host", "https://host:1", "http://host:0", "http://host:99999",
                          "http://host:1/path", "http://u@h:1", ":80"}) {
    EXPECT_FALSE(set_bench_url(url, options).has_value()) << url;
  }
}

TEST(CheckBench, RefusesWhatDoesNotWork) {
  EXPECT_TRUE(check_bench({}, 100).has_value());
  for (auto break_it : {+[](BenchOptions& o) { o.batch = 0; }, +[](BenchOptions& o) { o.batch = 101, o.window = 200; },
                        +[](BenchOptions& o) { o.batch = 65; }, +[](BenchOptions& o) { o.workers = 0; },
                        +[](BenchOptions& o) { o.seconds = -1; }, +[](BenchOptions& o) { o.rate = -1; },
                        +[](BenchOptions& o) { o.priorities = 11; }, +[](BenchOptions& o) { o.queues = 0; },
                        +[](BenchOptions& o) { o.queues = 801; },  // by eight workers
                        +[](BenchOptions& o) { o.tenants.resize(9); }, +[](BenchOptions& o) { o.command = "a\"b"; },
                        +[](BenchOptions& o) { o.producer_token = "a\r\nb"; },
                        +[](BenchOptions& o) { o.tenants = {{"a", "b"}, {"c", "d\n"}}; }}) {
    BenchOptions options;
    break_it(options);
    EXPECT_FALSE(check_bench(options, 100).has_value());
  }
}

TEST(BenchTenants, AreLinesOfTwoTokens) {
  const auto tenants = read_bench_tenants("p1 w1\n\np2 w2");
  ASSERT_TRUE(tenants.has_value());
  ASSERT_EQ(tenants->size(), 2U);
  EXPECT_EQ((*tenants)[1].producer_token, "p2");
  EXPECT_EQ((*tenants)[1].worker_token, "w2");
  for (const auto* text : {"", "\n", "p1", "p1 ", " w1", "p1 w1 x"})
    EXPECT_FALSE(read_bench_tenants(text).has_value()) << text;
}

TEST(BenchWorkers, EveryQueueOfEveryTenantHasAWorker) {
  for (const std::uint32_t tenants : {1U, 2U, 3U}) {
    for (const std::uint32_t queues : {1U, 2U, 7U, 20U}) {
      BenchOptions options;
      options.workers = 8;
      options.queues = queues;
      options.tenants.resize(tenants);
      std::vector<std::set<std::string>> served(tenants);
      for (std::uint32_t worker = 0; worker < options.workers; ++worker) {
        const auto commands = commands_of_worker(options, worker);
        EXPECT_FALSE(commands.empty());
        served[worker % tenants].insert(commands.begin(), commands.end());
      }
      for (const auto& commands : served) EXPECT_EQ(commands.size(), queues) << tenants << " tenants";
    }
  }
}

}  // namespace
}  // namespace codeq::app
