#include "observe/otlp/options.h"

#include <gtest/gtest.h>

#include <map>

namespace codeq::observe {
namespace {

using Env = std::map<std::string, std::string>;

Result<TracingOptions> with(const Env& env, const TracingFile& file = {}) {
  return tracing_options(file, [&](const char* name) -> std::optional<std::string> {
    const auto found = env.find(name);
    return found == env.end() ? std::nullopt : std::optional(found->second);
  });
}

TracingOptions good(const Env& env, const TracingFile& file = {}) {
  auto options = with(env, file);
  EXPECT_TRUE(options.has_value()) << (options ? "" : options.error().message);
  return options.value_or(TracingOptions{});
}

TEST(TracingOptions, WithNothingSetTracingIsOffAndTheDefaultsAreTheDocumentedOnes) {
  const auto options = good({});
  EXPECT_FALSE(options.enabled);
  EXPECT_EQ(options.service_name, "codeq");
  EXPECT_EQ(options.endpoint, "localhost:4317");
  EXPECT_FALSE(options.insecure);
  EXPECT_FALSE(options.gzip);
  EXPECT_EQ(options.timeout.count(), 10'000);
  EXPECT_EQ(options.schedule_delay.count(), 5'000);
  EXPECT_EQ(options.queue_spans, 65'536U);
  EXPECT_EQ(options.batch_spans, 512U);
  EXPECT_EQ(options.sampler.kind(), Sampler::Kind::kParentBasedTraceIdRatio);
  EXPECT_EQ(options.sampler.ratio(), 1.0);
  EXPECT_TRUE(options.warnings.empty());
}

TEST(TracingOptions, TheReferencesVariablesWinOverOpenTelemetrysAndBothOverTheFile) {
  const TracingFile file{
      .enabled = true, .service_name = "file", .otlp_endpoint = "file:1", .otlp_insecure = true, .sample_ratio = 0.1};
  const auto from_file = good({}, file);
  EXPECT_TRUE(from_file.enabled);
  EXPECT_EQ(from_file.service_name, "file");
  EXPECT_EQ(from_file.endpoint, "file:1");
  EXPECT_TRUE(from_file.insecure);
  EXPECT_EQ(from_file.sampler.ratio(), 0.1);

  Env env{{"OTEL_SERVICE_NAME", "otel"},
          {"OTEL_EXPORTER_OTLP_ENDPOINT", "otel:2"},
          {"OTEL_EXPORTER_OTLP_INSECURE", "false"},
          {"OTEL_TRACES_SAMPLER", "traceidratio"},
          {"OTEL_TRACES_SAMPLER_ARG", "0.2"}};
  const auto from_otel = good(env, file);
  EXPECT_EQ(from_otel.service_name, "otel");
  EXPECT_EQ(from_otel.endpoint, "otel:2");
  EXPECT_FALSE(from_otel.insecure);
  EXPECT_EQ(from_otel.sampler.kind(), Sampler::Kind::kTraceIdRatio);
  EXPECT_EQ(from_otel.sampler.ratio(), 0.2);

  env.merge(Env{{"TRACING_ENABLED", "no"},
                {"TRACING_SERVICE_NAME", "ours"},
                {"TRACING_OTLP_ENDPOINT", "ours:3"},
                {"TRACING_OTLP_INSECURE", "yes"},
                {"TRACING_SAMPLE_RATIO", "0.3"}});
  const auto from_reference = good(env, file);
  EXPECT_FALSE(from_reference.enabled);
  EXPECT_EQ(from_reference.service_name, "ours");
  EXPECT_EQ(from_reference.endpoint, "ours:3");
  EXPECT_TRUE(from_reference.insecure);
  EXPECT_EQ(from_reference.sampler.kind(), Sampler::Kind::kParentBasedTraceIdRatio);
  EXPECT_EQ(from_reference.sampler.ratio(), 0.3);
}

TEST(TracingOptions, TheTraceSpecificEndpointWinsOverTheGeneralOne) {
  EXPECT_EQ(good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "a:1"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "b:2"}}).endpoint,
            "b:2");
}

TEST(TracingOptions, AnEmptyVariableCountsAsUnset) {
  EXPECT_EQ(good({{"OTEL_SERVICE_NAME", ""}}, {.service_name = "file"}).service_name, "file");
}

TEST(TracingOptions, TheSdkCanBeSwitchedOffForAFleet) {
  EXPECT_FALSE(good({{"OTEL_SDK_DISABLED", "true"}}, {.enabled = true}).enabled);
  EXPECT_TRUE(good({{"OTEL_SDK_DISABLED", "false"}}, {.enabled = true}).enabled);
  EXPECT_FALSE(good({{"OTEL_SDK_DISABLED", "true"}, {"TRACING_ENABLED", "1"}}).enabled);
  EXPECT_FALSE(good({{"OTEL_TRACES_EXPORTER", "none"}}, {.enabled = true}).enabled);
}

TEST(TracingOptions, TheSchemeDecidesTlsUnlessToldOtherwise) {
  EXPECT_TRUE(good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"}}).insecure);
  EXPECT_FALSE(good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317"}}).insecure);
  EXPECT_FALSE(
      good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"}, {"OTEL_EXPORTER_OTLP_INSECURE", "false"}}).insecure);
  EXPECT_TRUE(good({}, {.otlp_endpoint = "http://c:4317"}).insecure);
  EXPECT_FALSE(good({}, {.otlp_endpoint = "http://c:4317", .otlp_insecure = false}).insecure);
  // The environment's scheme is closer than the file's word; with no scheme there, the file's word stands.
  EXPECT_TRUE(good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"}}, {.otlp_insecure = false}).insecure);
  EXPECT_TRUE(good({{"OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"}}, {.otlp_insecure = true}).insecure);
}

TEST(TracingOptions, ARatioOutsideZeroToOneIsRefusedAndZeroIsLegal) {
  EXPECT_EQ(good({{"TRACING_SAMPLE_RATIO", "0"}}).sampler.ratio(), 0.0);
  EXPECT_EQ(good({}, {.sample_ratio = 0.0}).sampler.ratio(), 0.0);
  for (const char* text : {"1.01", "-0.1", "nan", "inf", "half", "1e999"}) {
    const auto refused = with({{"TRACING_SAMPLE_RATIO", text}});
    ASSERT_FALSE(refused.has_value()) << text;
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_EQ(refused.error().message, "TRACING_SAMPLE_RATIO: a ratio from 0 to 1 is needed");
  }
  EXPECT_FALSE(with({}, {.sample_ratio = 1.5}).has_value());
  EXPECT_FALSE(with({{"OTEL_TRACES_SAMPLER", "traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", "2"}}).has_value());
}

TEST(TracingOptions, EverySamplerNameIsKnownAndAnUnknownOneIsIgnoredWithAWarning) {
  EXPECT_EQ(good({{"OTEL_TRACES_SAMPLER", "always_on"}}).sampler.kind(), Sampler::Kind::kAlwaysOn);
  EXPECT_EQ(good({{"OTEL_TRACES_SAMPLER", "always_off"}}).sampler.kind(), Sampler::Kind::kAlwaysOff);
  EXPECT_EQ(good({{"OTEL_TRACES_SAMPLER", "parentbased_always_on"}}).sampler.kind(),
            Sampler::Kind::kParentBasedAlwaysOn);
  EXPECT_EQ(good({{"OTEL_TRACES_SAMPLER", "parentbased_always_off"}}).sampler.kind(),
            Sampler::Kind::kParentBasedAlwaysOff);
  EXPECT_EQ(good({{"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"}}).sampler.kind(),
            Sampler::Kind::kParentBasedTraceIdRatio);
  const auto unknown = good({{"OTEL_TRACES_SAMPLER", "jaeger_remote"}});
  EXPECT_EQ(unknown.sampler.kind(), Sampler::Kind::kParentBasedTraceIdRatio);
  EXPECT_EQ(unknown.warnings.size(), 1U);
}

TEST(TracingOptions, HeadersAreDecodedAndThoseOfTheProtocolLeftAlone) {
  const auto options =
      good({{"OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20c2VjcmV0, x-team = a%2Cb ,te=gzip,bad%0a=1"}});
  const Pairs expected{{"authorization", "Basic c2VjcmV0"}, {"x-team", "a,b"}};
  EXPECT_EQ(options.headers, expected);
  ASSERT_EQ(options.warnings.size(), 2U);
  for (const auto& warning : options.warnings) EXPECT_EQ(warning.find("c2VjcmV0"), std::string::npos);
}

TEST(TracingOptions, ResourceAttributesMayNameTheServiceAndABrokenListIsLeftOut) {
  const auto options = good({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=billing,deployment.environment=pr%C3%B6d"}},
                            {.service_name = "file"});
  EXPECT_EQ(options.service_name, "billing");
  const Pairs expected{{"deployment.environment", "pröd"}};
  EXPECT_EQ(options.resource_attributes, expected);
  EXPECT_EQ(good({{"OTEL_RESOURCE_ATTRIBUTES", "a=1,b%zz=2"}}).warnings.size(), 1U);
}

TEST(TracingOptions, NumbersOfTheBatchProcessorAreReadAndWrongOnesIgnored) {
  const auto options = good({{"OTEL_BSP_SCHEDULE_DELAY", "250"},
                             {"OTEL_BSP_MAX_QUEUE_SIZE", "100"},
                             {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "400"},
                             {"OTEL_BSP_EXPORT_TIMEOUT", "2000"},
                             {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                             {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"}});
  EXPECT_EQ(options.schedule_delay.count(), 250);
  EXPECT_EQ(options.queue_spans, 100U);
  EXPECT_EQ(options.batch_spans, 100U);
  EXPECT_EQ(options.timeout.count(), 2000);
  EXPECT_EQ(options.connect_timeout.count(), 2000);
  EXPECT_TRUE(options.gzip);
  EXPECT_EQ(options.certificate, "/etc/ca.pem");
  const auto wrong = good({{"OTEL_BSP_SCHEDULE_DELAY", "-1"},
                           {"OTEL_BSP_MAX_QUEUE_SIZE", "many"},
                           {"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"}});
  EXPECT_EQ(wrong.schedule_delay.count(), 5'000);
  EXPECT_EQ(wrong.queue_spans, 65'536U);
  EXPECT_EQ(wrong.warnings.size(), 3U);
}

TEST(Endpoint, AUrlIsReducedToHostAndPort) {
  const auto parsed = [](std::string_view text) {
    return parse_endpoint(text).value_or(Endpoint{"refused", std::nullopt}).authority;
  };
  EXPECT_EQ(parsed("localhost:4317"), "localhost:4317");
  EXPECT_EQ(parsed("collector"), "collector:4317");
  EXPECT_EQ(parsed("http://collector"), "collector:4317");
  EXPECT_EQ(parsed("https://api.example.com"), "api.example.com:443");
  EXPECT_EQ(parsed("HTTPS://user:secret@api.example.com:4317/v1/traces?x=1"), "api.example.com:4317");
  EXPECT_EQ(parsed("http://[::1]:4317/"), "[::1]:4317");
  EXPECT_EQ(parsed(" 127.0.0.1:1 "), "127.0.0.1:1");
  for (const auto* bad : {"", ":4317", "http://", "ftp://x", "unix:///run/s", "a b:1", "host:0", "host:65536", "host:x",
                          "[::1", "[]:1", "[::1]x", "h\nx:1"}) {
    EXPECT_EQ(parsed(bad), "refused") << bad;
  }
}

}  // namespace
}  // namespace codeq::observe
