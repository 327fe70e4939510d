#include "app/config/load.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "app/config/assign.h"

namespace codeq::app {
namespace {

using Env = std::map<std::string, std::string>;

Result<LoadedConfig> load(std::string_view yaml, Env env = {}) {
  return load_config_text(yaml, "c.yaml", [&env](const char* name) {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  });
}

Config good(std::string_view yaml, const Env& env = {}) {
  auto loaded = load(yaml, env);
  EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
  return loaded ? loaded->config : Config{};
}

std::string why(std::string_view yaml, const Env& env = {}) {
  const auto loaded = load(yaml, env);
  return loaded ? "accepted" : loaded.error().message;
}

std::string warnings(std::string_view yaml, const Env& env = {}) {
  const auto loaded = load(yaml, env);
  std::string all;
  if (!loaded) return "refused: " + loaded.error().message;
  for (const auto& warning : loaded->warnings) all += warning + "\n";
  return all;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
#define EXPECT_SAYS(text, part) EXPECT_PRED2(contains, text, part)

TEST(Config, NothingAtAllGivesTheDefaultsWithoutAWarning) {
  const auto loaded = load("");
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->warnings.empty());
  EXPECT_TRUE(loaded->origins.empty());
  const Config& config = loaded->config;
  EXPECT_EQ(config.port, 8080);
  EXPECT_EQ(config.env, "dev");
  EXPECT_EQ(config.timezone, "UTC");
  EXPECT_EQ(config.data_path, "./codeq-data");
  EXPECT_EQ(config.durability, Durability::kSync);
  EXPECT_EQ(config.backoff_policy, Backoff::kExpFullJitter);
  EXPECT_EQ(config.max_attempts_default, 5);
}

TEST(Config, TheEnvironmentWinsOverTheFileAndTheFileOverTheDefault) {
  EXPECT_EQ(good("port: 9000").port, 9000);
  EXPECT_EQ(good("port: 9000", {{"PORT", "9100"}}).port, 9100);
  EXPECT_EQ(good("port: 9000", {{"PORT", ""}}).port, 9000);
  const auto loaded = load("port: 9000\nlogLevel: debug", {{"PORT", "9100"}});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->origins.at("port").where, "env PORT");
  EXPECT_EQ(loaded->origins.at("logLevel").where, "c.yaml:2");
  EXPECT_EQ(loaded->config.log_level, LogLevel::kDebug);
}

TEST(Config, AnEmptyValueIsNotSet) { EXPECT_EQ(good("port:\nenv: ~\n").port, 8080); }

TEST(Config, EveryKeyHasAVariableOfItsOwn) {
  std::vector<std::string> names;
  for (const auto name : key_names()) names.push_back(env_name(name));
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  EXPECT_EQ(env_name("durability"), "DURABILITY");
  EXPECT_EQ(env_name("tracingOtlpEndpoint"), "TRACING_OTLP_ENDPOINT");
  EXPECT_EQ(env_name("raft.peerHTTPAddrs"), "RAFT_PEER_HTTP_ADDRS");
  EXPECT_EQ(env_name("raft.heartbeatMS"), "RAFT_HEARTBEAT_MS");
  EXPECT_EQ(env_name("cluster.grpcAddr"), "CLUSTER_GRPC_ADDR");
}

TEST(Config, NoKeyIsInTheTableTwice) {
  std::vector<std::string_view> names(key_names().begin(), key_names().end());
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(Config, Q5VariablesThatTheReferenceForgotAreRead) {
  const Config config = good("", {{"ENV", "prod"},
                                  {"LOG_LEVEL", "WARN"},
                                  {"LOG_FORMAT", "text"},
                                  {"TIMEZONE", "Europe/Lisbon"},
                                  {"DEFAULT_LEASE_SECONDS", "60"},
                                  {"REQUEUE_INSPECT_LIMIT", "10"}});
  EXPECT_FALSE(config.is_dev());
  EXPECT_EQ(config.log_level, LogLevel::kWarn);
  EXPECT_EQ(config.log_format, LogFormat::kText);
  EXPECT_EQ(config.timezone, "Europe/Lisbon");
  EXPECT_EQ(config.default_lease_seconds, 60);
}

TEST(Config, DevIsRecognisedInAnyCase) {
  EXPECT_TRUE(good("env: ' DEV '").is_dev());
  EXPECT_FALSE(good("env: development").is_dev());
}

TEST(Config, ABooleanVariableIsTrueForTrueYesAndOneAndFalseForAnythingElse) {
  for (const char* yes : {"true", "TRUE", "Yes", "1"})
    EXPECT_TRUE(good("", {{"ALLOW_PRODUCER_AS_WORKER", yes}}).allow_producer_as_worker);
  for (const char* no : {"false", "on", "2", "tru"}) {
    EXPECT_FALSE(good("allowProducerAsWorker: true", {{"ALLOW_PRODUCER_AS_WORKER", no}}).allow_producer_as_worker);
  }
}

TEST(Config, ABooleanInYamlIsARealOne) {
  EXPECT_TRUE(good("allowProducerAsWorker: yes").allow_producer_as_worker);
  EXPECT_SAYS(why("allowProducerAsWorker: 2"), "c.yaml:1: `allowProducerAsWorker`: `2` is neither true nor false");
}

TEST(Config, AnIntegerThatIsNoneIsRefusedAndSaysWhere) {
  EXPECT_SAYS(why("", {{"PORT", "80a"}}),
              "invalid config: config validation failed: env PORT: `port`: `80a` is not an integer");
  EXPECT_SAYS(why("\nport: 1e3"), "c.yaml:2: `port`: `1e3` is not an integer");
  EXPECT_SAYS(why("port: [80]"), "a single value is expected");
  EXPECT_SAYS(why("port: 70000"), "70000 is outside 1..65535");
  EXPECT_SAYS(why("port: 99999999999999999999"), "is not an integer");
}

TEST(Config, ZeroMeansTheDefaultWhereTheReferenceSaysSo) {
  EXPECT_EQ(good("port: 0").port, 8080);
  EXPECT_EQ(good("maxAttemptsDefault: -3").max_attempts_default, 5);
  EXPECT_SAYS(warnings("maxAttemptsDefault: -3"),
              "c.yaml:1: `maxAttemptsDefault`: -3 is below 1, so the default 5 is used");
  EXPECT_SAYS(why("retentionSeconds: 0"), "outside 1..");
}

TEST(Config, TenThousandAttemptsAreAccepted) {
  EXPECT_EQ(good("maxAttemptsDefault: 10000").max_attempts_default, 10'000);
}

TEST(Config, AnUnknownKeyIsRefusedWithTheNearestNameAndItsLine) {
  EXPECT_SAYS(why("port: 1\n\nbackofPolicy: fixed"),
              "c.yaml:3: unknown key `backofPolicy`; did you mean `backoffPolicy`?");
  EXPECT_SAYS(why("raft:\n  peerHttpAddr: {}"),
              "c.yaml:2: unknown key `raft.peerHttpAddr`; did you mean `raft.peerHTTPAddrs`?");
  EXPECT_SAYS(why("fsyncOnCommit: true"), "did you mean `persistenceConfig.fsyncOnCommit`?");
  EXPECT_SAYS(why("zzzzzz: 1"), "unknown key `zzzzzz`");
  EXPECT_FALSE(contains(why("zzzzzz: 1"), "did you mean"));
}

TEST(Config, AllThatIsWrongIsSaidAtOnce) {
  const std::string all = why("port: x\nprot: 1\ndurability: snyc", {{"HTTP_IO_THREADS", "0"}});
  EXPECT_SAYS(all, "c.yaml:1: `port`");
  EXPECT_SAYS(all, "; ");
  EXPECT_SAYS(all, "unknown key `prot`");
  EXPECT_SAYS(all, "`snyc` is not one of sync, interval, none; did you mean `sync`?");
  EXPECT_SAYS(all, "env HTTP_IO_THREADS: `httpIoThreads`: 0 is outside 1..256");
}

TEST(Config, AFileOfNonsenseGetsAShortAnswer) {
  std::string file;
  for (int i = 0; i < 50'000; ++i) file += "key" + std::to_string(i) + ": 1\n";
  const std::string answer = why(file);
  EXPECT_SAYS(answer, "; and 49980 more");
  EXPECT_LT(answer.size(), 4000U);
  EXPECT_LT(why(std::string(100'000, 'k') + ": 1").size(), 1000U);
}

TEST(Config, AKeyGivenTwiceIsRefused) {
  EXPECT_SAYS(why("port: 1\nenv: a\nport: 2"), "c.yaml:3: `port` is given twice, first at c.yaml:1");
}

TEST(Config, PersistenceConfigIsAMappingOrJsonTextInFileAndVariable) {
  const std::string mapping = "persistenceConfig:\n  path: /var/lib/codeq\n  numShards: 1\n";
  EXPECT_EQ(good(mapping).data_path, "/var/lib/codeq");
  EXPECT_EQ(good(R"(persistenceConfig: '{"path":"/a"}')").data_path, "/a");
  EXPECT_EQ(good(R"(persistenceConfig: {"path":"/a"})").data_path, "/a");
  EXPECT_EQ(good("", {{"PERSISTENCE_CONFIG", R"({"path":"/b"})"}}).data_path, "/b");
  EXPECT_EQ(good("", {{"PERSISTENCE_CONFIG", R"({"path":"/b"})"}, {"PERSISTENCE_CONFIG_PATH", "/c"}}).data_path, "/c");
}

TEST(Config, ThePersistenceVariableReplacesTheFilesMapping) {
  const Config config =
      good("persistenceConfig: {path: /a, fsyncOnCommit: false}", {{"PERSISTENCE_CONFIG", R"({"numShards":1})"}});
  EXPECT_EQ(config.data_path, "./codeq-data");
  EXPECT_EQ(config.durability, Durability::kSync);
}

TEST(Config, PersistenceConfigIsCheckedToo) {
  EXPECT_SAYS(why("", {{"PERSISTENCE_CONFIG", R"({"paht":"/b"})"}}),
              "env PERSISTENCE_CONFIG: unknown key `persistenceConfig.paht`; did you mean `persistenceConfig.path`?");
  EXPECT_SAYS(why("", {{"PERSISTENCE_CONFIG", "{"}}), "env PERSISTENCE_CONFIG: `persistenceConfig`: not valid JSON");
  EXPECT_SAYS(why("persistenceConfig: 7"), "a mapping is expected");
  EXPECT_SAYS(why("persistenceConfig: [1]"), "a mapping is expected");
}

TEST(Config, PebbleMeansEmbeddedWithTheReferencesPath) {
  EXPECT_EQ(good("persistenceProvider: Pebble").data_path, "./codeq-pebble");
  EXPECT_EQ(good("persistenceProvider: embedded").data_path, "./codeq-data");
}

TEST(Config, AnotherProviderIsRefusedWithWhatToDo) {
  EXPECT_SAYS(why("", {{"PERSISTENCE_PROVIDER", "redis"}}),
              "env PERSISTENCE_PROVIDER: `persistenceProvider`: this broker keeps tasks in "
              "its own folder");
  EXPECT_SAYS(why("persistenceProvider: memory"), "there is no memory store");
}

TEST(Config, RedisKeysAreIgnoredInOneLogLine) {
  const std::string text = warnings("redisAddr: localhost:6379", {{"KVROCKS_PASSWORD", "s3cret"}});
  EXPECT_EQ(
      text,
      "redisAddr (c.yaml:1), redisPassword (env KVROCKS_PASSWORD): without meaning here, ignored: the store is embedded\n");
}

TEST(Config, DurabilityWinsOverFsyncOnCommit) {
  EXPECT_EQ(good("persistenceConfig: {fsyncOnCommit: false}").durability, Durability::kInterval);
  EXPECT_EQ(good("persistenceConfig: {fsyncOnCommit: true}").durability, Durability::kSync);
  EXPECT_EQ(good("durability: none\npersistenceConfig: {fsyncOnCommit: true}").durability, Durability::kNone);
  EXPECT_EQ(good("persistenceConfig: {fsyncOnCommit: false}", {{"DURABILITY", "sync"}}).durability, Durability::kSync);
}

TEST(Config, SeveralNodesAreRefusedWithAdviceOnlyWhenTurnedOn) {
  for (const char* group : {"raft", "cluster", "sharding"}) {
    EXPECT_SAYS(why(std::string(group) + ": {enabled: true}"), "this version runs as one node");
    EXPECT_EQ(why(std::string(group) + ": {enabled: false}"), "accepted");
  }
  EXPECT_SAYS(why("", {{"RAFT_ENABLED", "1"}}), "env RAFT_ENABLED: `raft.enabled`: this version runs as one node");
  EXPECT_SAYS(why("raft: {enabled: maybe}"), "neither true nor false");
  EXPECT_EQ(warnings("raft:\n  enabled: false\n  peers: {a: 'b:1'}\nsharding: {backends: {x: {password: p}}}"),
            "raft.peers (c.yaml:3), sharding.backends (c.yaml:4): without meaning here, ignored\n");
}

TEST(Config, SeveralPartitionsAreAcceptedWithAWarning) {
  EXPECT_SAYS(warnings("persistenceConfig: {numShards: 4}"), "4 partitions asked for; this version runs one");
}

TEST(Config, StreamAddressesAreCheckedAndNeedAValidator) {
  EXPECT_SAYS(why("workerStreamAddr: ':9091'"), "workerStreamAddr set but no worker validator configured");
  EXPECT_SAYS(why("producerStreamAddr: '9092'"), "`host:port` is expected");
  for (const char* bad : {"'x:1'", "':'", "':99999'", "'1.2.3:5'", "':1x'"})
    EXPECT_SAYS(why(std::string("producerAuthProvider: static\nproducerAuthConfig: t\nproducerStreamAddr: ") + bad),
                "`host:port` is expected");
  for (const char* good : {"':9092'", "'127.0.0.1:0'", "'[::1]:9092'", "'localhost:9092'", "''"})
    EXPECT_EQ(why(std::string("producerAuthProvider: static\nproducerAuthConfig: t\nproducerStreamAddr: ") + good),
              "accepted")
        << good;
}

TEST(Config, TlsNeedsCertificateAndKeyAndForClientsTheirAuthority) {
  EXPECT_EQ(good("").tls_cert_file, "");
  const auto plain = good("tlsCertFile: c.pem\ntlsKeyFile: k.pem");
  EXPECT_EQ(plain.tls_client_auth, TlsAuth::kNone);
  EXPECT_EQ(plain.stream_tls_cert_file, "c.pem");
  EXPECT_EQ(plain.stream_tls_key_file, "k.pem");
  EXPECT_SAYS(why("tlsCertFile: c.pem"), "c.yaml:1: `tlsCertFile`: tlsKeyFile is not set; TLS needs both");
  EXPECT_SAYS(why("", {{"TLS_KEY_FILE", "k.pem"}}),
              "env TLS_KEY_FILE: `tlsKeyFile`: tlsCertFile is not set; TLS needs both");
  EXPECT_SAYS(why("tlsClientAuth: require"), "clients show certificates only where tlsCertFile and tlsKeyFile are set");
  EXPECT_SAYS(why("tlsCertFile: c\ntlsKeyFile: k\ntlsClientAuth: optional"),
              "c.yaml:3: `tlsClientAuth`: tlsClientCaFile is not set");
  EXPECT_SAYS(why("tlsClientAuth: required"), "did you mean `require`?");
}

TEST(Config, AnAuthorityMeansThatClientsMustShowACertificate) {
  const auto mutual = good("tlsCertFile: c\ntlsKeyFile: k\ntlsClientCaFile: ca");
  EXPECT_EQ(mutual.tls_client_auth, TlsAuth::kRequire);
  EXPECT_EQ(mutual.stream_tls_client_auth, TlsAuth::kRequire);
  EXPECT_EQ(mutual.stream_tls_client_ca_file, "ca");
  EXPECT_EQ(good("tlsCertFile: c\ntlsKeyFile: k\ntlsClientCaFile: ca\ntlsClientAuth: optional").tls_client_auth,
            TlsAuth::kOptional);
  EXPECT_EQ(warnings("tlsCertFile: c\ntlsKeyFile: k\ntlsClientCaFile: ca\ntlsClientAuth: none"),
            "c.yaml:3: `tlsClientCaFile`: not used, since tlsClientAuth is none\n");
}

TEST(Config, StreamsMayHaveTheirOwnTlsOrNone) {
  const std::string http = "tlsCertFile: c\ntlsKeyFile: k\ntlsClientCaFile: ca\n";
  const auto off = good(http + "streamTlsCertFile: none");
  EXPECT_EQ(off.tls_cert_file, "c");
  EXPECT_EQ(off.stream_tls_cert_file, "");
  EXPECT_EQ(off.stream_tls_client_auth, TlsAuth::kNone);
  const auto own = good(http + "streamTlsCertFile: c2\nstreamTlsKeyFile: k2\nstreamTlsClientAuth: none");
  EXPECT_EQ(own.stream_tls_cert_file, "c2");
  EXPECT_EQ(own.stream_tls_key_file, "k2");
  EXPECT_EQ(own.tls_client_auth, TlsAuth::kRequire);
  EXPECT_EQ(own.stream_tls_client_auth, TlsAuth::kNone);
  const auto only = good("streamTlsCertFile: c2\nstreamTlsKeyFile: k2\nstreamTlsClientCaFile: ca2");
  EXPECT_EQ(only.tls_cert_file, "");
  EXPECT_EQ(only.stream_tls_client_auth, TlsAuth::kRequire);
  EXPECT_SAYS(why(http + "streamTlsCertFile: c2"), "`streamTlsCertFile`: streamTlsKeyFile is not set; TLS needs both");
  EXPECT_SAYS(why("streamTlsClientAuth: require"), "only where streamTlsCertFile and streamTlsKeyFile are set");
}

TEST(Config, RateLimitsWarnOnlyWhenSet) {
  EXPECT_EQ(warnings("rateLimit: {producer: {requestsPerMinute: 0, burstSize: -1}}"),
            "c.yaml:1: `rateLimit.producer.burstSize`: -1 is "
            "below 0, so the default 0 is used, as the "
            "reference does\n");
  EXPECT_EQ(warnings("rateLimit: {worker: {requestsPerMinute: 60}}"),
            "rateLimit.worker: requestsPerMinute is 60 and burstSize is 0; a limit is off unless both are above 0\n");
  const Config config = good("rateLimit: {worker: {requestsPerMinute: 60, burstSize: 5}}");
  EXPECT_EQ(config.rate_worker.requests_per_minute, 60);
  EXPECT_EQ(config.rate_worker.burst, 5);
}

TEST(Config, AuthConfigFromYamlBecomesJsonAndKeepsStringsStrings) {
  const Config config = good(
      "producerAuthProvider: static\n"
      "producerAuthConfig:\n  token: '123'\n  scopes: [codeq:admin]\n  raw: {tenantId: acme, level: 7, vip: true, none: ~, v: '1.0'}\n");
  EXPECT_EQ(
      config.producer_auth_config,
      R"({"token":"123","scopes":["codeq:admin"],"raw":{"tenantId":"acme","level":7,"vip":true,"none":null,"v":"1.0"}})");
}

TEST(Config, AuthConfigAsJsonTextIsKeptAsItIs) {
  const std::string json = R"({ "token": "t", "raw": {"tid":"acme"} })";
  EXPECT_EQ(good("producerAuthProvider: static\nproducerAuthConfig: '" + json + "'").producer_auth_config, json);
  EXPECT_EQ(good("", {{"WORKER_AUTH_PROVIDER", "static"}, {"WORKER_AUTH_CONFIG", json}}).worker_auth_config, json);
  EXPECT_EQ(good("producerAuthProvider: static\nproducerAuthConfig: just-a-token").producer_auth_config,
            "\"just-a-token\"");
}

TEST(Config, ABrokenSecretIsNotShown) {
  const std::string text =
      why("", {{"PRODUCER_AUTH_PROVIDER", "static"}, {"PRODUCER_AUTH_CONFIG", R"({"token":"canary)"}});
  EXPECT_SAYS(text, "env PRODUCER_AUTH_CONFIG: `producerAuthConfig`: not valid JSON");
  EXPECT_FALSE(contains(text, "canary"));
  const auto loaded = load("webhookHmacSecret: canary");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->origins.at("webhookHmacSecret").text, "***");
}

TEST(Config, AnIdentityServiceMakesAProviderOfProducers) {
  const Config config = good("identityServiceUrl: https://id.test/\nidentityAudience: codeq\n");
  EXPECT_EQ(config.producer_auth_provider, "jwks");
  EXPECT_EQ(config.producer_auth_config,
            R"({"jwksUrl":"https://id.test/v1/.well-known/jwks.json","issuer":"https://id.test","audience":"codeq",)"
            R"("clockSkew":60000000000,"httpTimeout":5000000000})");
  const Config told = good("", {{"IDENTITY_JWKS_URL", "http://keys.test/k"},
                                {"IDENTITY_ISSUER", "me \"quoted\""},
                                {"IDENTITY_AUDIENCE", "a"},
                                {"ALLOWED_CLOCK_SKEW_SECONDS", "5"}});
  EXPECT_EQ(told.producer_auth_config,
            R"({"jwksUrl":"http://keys.test/k","issuer":"me \"quoted\"","audience":"a","clockSkew":5000000000,"httpTimeout":5000000000})");
  const auto loaded = load("identityServiceUrl: https://id.test/\nidentityAudience: codeq\n");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->origins.at("producerAuthProvider").where, "c.yaml:1");
}

TEST(Config, TheWorkersKeySetMakesAProviderOfWorkers) {
  const Config config = good("workerJwksUrl: http://w.test/k\nworkerIssuer: w\n");
  EXPECT_EQ(config.worker_auth_provider, "jwks");
  EXPECT_SAYS(config.worker_auth_config, R"("issuer":"w","audience":"codeq-worker")");
  EXPECT_EQ(config.producer_auth_provider, "");
  // A provider that was chosen stays what it is.
  EXPECT_EQ(good("workerJwksUrl: http://w.test/k\nworkerAuthProvider: static\nworkerAuthConfig: t").worker_auth_config, "\"t\"");
}

TEST(Config, Q25NothingStandsForAnIdentityServiceThatWasNotNamed) {
  EXPECT_EQ(good("").producer_auth_provider, "");
  EXPECT_SAYS(why("identityServiceUrl: https://id.test"), "identityAudience is required");
  EXPECT_SAYS(why("identityJwksUrl: https://id.test/k\nidentityAudience: a"), "identityIssuer is required");
  EXPECT_SAYS(why("workerJwksUrl: https://id.test/k"), "workerIssuer is required");
  // An explicit `jwks` without a configuration takes the same keys, or says which are missing.
  EXPECT_SAYS(good("producerAuthProvider: jwks\nidentityServiceUrl: https://id.test\nidentityAudience: a").producer_auth_config,
              R"("issuer":"https://id.test")");
  EXPECT_SAYS(why("producerAuthProvider: jwks"), "identityJwksUrl is required");
  EXPECT_SAYS(why("workerAuthProvider: jwks"), "workerJwksUrl is required");
}

TEST(Config, OutsideDevTheReferencesWordsAreKeptForWhatIsInUse) {
  const std::string prod = "env: prod\nwebhookHmacSecret: s\n";
  EXPECT_SAYS(why(prod + "workerAuthProvider: jwks"), "workerJwksUrl is required in non-dev; workerIssuer is required in non-dev");
  EXPECT_SAYS(why(prod + "workerJwksUrl: https://id.test/k"), "workerIssuer is required in non-dev");
  EXPECT_SAYS(why(prod + "producerAuthProvider: jwks\nidentityAudience: a\nidentityIssuer: i"), "identityJwksUrl is required in non-dev");
  for (const char* bad : {"ftp://h/k", "https://", "id.test/k", "http:///k"})
    EXPECT_SAYS(why(std::string("workerIssuer: i\nworkerJwksUrl: '") + bad + "'"), "workerJwksUrl must be a valid http(s) URL");
  // The reference asks for them even where workers have static tokens.
  EXPECT_EQ(why(prod + "workerAuthProvider: static\nworkerAuthConfig: t"), "accepted");
}

TEST(Config, ARoleFromAHeaderIsForDevAndSaysSo) {
  EXPECT_FALSE(good("").dev_role_header);
  EXPECT_SAYS(warnings("devRoleHeader: true"), "devRoleHeader is on");
  EXPECT_SAYS(why("devRoleHeader: true\nenv: prod"), "`devRoleHeader`: a role from a request header is for `env: dev` only");
}

TEST(Config, AnUnknownAuthProviderIsRefused) {
  EXPECT_SAYS(why("workerAuthProvider: statc"),
              "`workerAuthProvider`: unknown auth provider type: statc; did you mean `static`?");
  EXPECT_SAYS(why("workerAuthConfig: t"), "`workerAuthConfig`: workerAuthProvider is not set");
}

TEST(Config, ServeNeedsSomeoneWhoCanAuthenticate) {
  const auto nobody = check_ready_to_serve(good(""));
  ASSERT_FALSE(nobody);
  EXPECT_SAYS(nobody.error().message, "PRODUCER_AUTH_PROVIDER=static");
  EXPECT_SAYS(nobody.error().message, "codeq dev");
  EXPECT_TRUE(check_ready_to_serve(good("producerAuthProvider: static\nproducerAuthConfig: t")));
  EXPECT_SAYS(warnings("producerAuthProvider: static\nproducerAuthConfig: t"), "worker routes answer 500");
}

TEST(Config, WebhookNetworksAreCheckedAsCidrs) {
  const Config config = good("webhookAllowedNetworks: [10.0.0.0/8, 'fc00::/7']");
  EXPECT_EQ(config.webhook_allowed_networks, (std::vector<std::string>{"10.0.0.0/8", "fc00::/7"}));
  EXPECT_EQ(good("", {{"WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8, 127.0.0.1/32,"}}).webhook_allowed_networks.size(), 2U);
  EXPECT_SAYS(why("webhookAllowedNetworks: [10.0.0.0/33]"), "`10.0.0.0/33` is not a network");
  EXPECT_SAYS(why("webhookAllowedNetworks: {a: b}"), "a list is expected");
  for (const char* bad :
       {"10.0.0.0", "10.0.0/8", "/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "host/8"}) {
    EXPECT_FALSE(is_cidr(bad)) << bad;
  }
}

TEST(Config, RequiredSigningNeedsASecret) {
  EXPECT_SAYS(why("webhookSigningRequired: true"), "webhookHmacSecret is required");
  EXPECT_EQ(why("webhookSigningRequired: true\nwebhookHmacSecret: s"), "accepted");
  EXPECT_SAYS(warnings("env: prod"), "webhooks go out unsigned");
}

TEST(Config, TracingValuesOfFileAndVariableAreKeptApart) {
  const Config config = good("tracingEnabled: true\ntracingSampleRatio: 0", {{"TRACING_SAMPLE_RATIO", "0.25"}});
  EXPECT_EQ(config.tracing_file.enabled, true);
  EXPECT_EQ(config.tracing_file.sample_ratio, std::nullopt);  // the variable took its place
  EXPECT_EQ(config.tracing_env.sample_ratio, 0.25);
  EXPECT_EQ(config.tracing_env.enabled, std::nullopt);
  EXPECT_SAYS(why("tracingSampleRatio: 1.5"), "1.5 is outside 0..1");
  EXPECT_SAYS(why("tracingSampleRatio: nan"), "is not a number");
}

TEST(Config, ListenHostIsAnAddress) {
  EXPECT_EQ(good("listenHost: localhost").listen_host, "127.0.0.1");
  EXPECT_EQ(good("listenHost: '::1'").listen_host, "::1");
  EXPECT_SAYS(why("listenHost: example.org"), "an IP address is expected");
}

TEST(Config, AFileThatIsNoYamlSaysWhere) {
  EXPECT_SAYS(why("port: [1\n"), "load config: c.yaml: line ");
  EXPECT_SAYS(why("- port\n"), "load config: c.yaml: a mapping of keys is expected");
  EXPECT_SAYS(why("port"), "a mapping of keys is expected");
}

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "codeq-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = name + "/codeq.yaml";
    std::ofstream(path_) << "port: 9000\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_, path_;
};

TEST_F(ConfigFile, IsReadFromTheOptionOrFromTheVariable) {
  const GetEnv named = [this](const char* name) {
    return std::string_view(name) == "CODEQ_CONFIG_PATH" ? path_.c_str() : nullptr;
  };
  const GetEnv none = [](const char*) { return nullptr; };
  const auto by_option = load_config(path_, none);
  ASSERT_TRUE(by_option);
  EXPECT_EQ(by_option->config.port, 9000);
  EXPECT_EQ(by_option->file, path_);
  const auto by_variable = load_config(std::nullopt, named);
  ASSERT_TRUE(by_variable);
  EXPECT_EQ(by_variable->config.port, 9000);
}

TEST_F(ConfigFile, ThatIsMissingIsAnErrorAsAnOptionAndAWarningAsAVariable) {
  const GetEnv missing = [](const char* name) {
    return std::string_view(name) == "CODEQ_CONFIG_PATH" ? "/nonexistent/c.yaml" : nullptr;
  };
  const auto by_option = load_config("/nonexistent/c.yaml", missing);
  ASSERT_FALSE(by_option);
  EXPECT_SAYS(by_option.error().message, "load config: /nonexistent/c.yaml: No such file");
  const auto by_variable = load_config(std::nullopt, missing);
  ASSERT_TRUE(by_variable);
  ASSERT_EQ(by_variable->warnings.size(), 1U);
  EXPECT_SAYS(by_variable->warnings[0], "does not exist");
}

TEST_F(ConfigFile, ThatIsAFolderOrTooLargeIsRefused) {
  const GetEnv none = [](const char*) { return nullptr; };
  EXPECT_SAYS(load_config(folder_, none).error().message, "is a folder");
  std::ofstream(path_) << std::string(kConfigBytesMax + 10, '#');
  EXPECT_SAYS(load_config(path_, none).error().message, "larger than 1 MiB");
}

}  // namespace
}  // namespace codeq::app
