#include "app/doctor.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "app/backup/look.h"
#include "app/commands.h"
#include "app/config_command.h"
#include "app/exit_codes.h"
#include "app/fd.h"
#include "app/version.h"
#include "core/json_scan.h"
#include "observe/otlp/options.h"
#include "transport/webhook/address.h"

namespace codeq::app {
namespace {

namespace fs = std::filesystem;

constexpr long kPatienceMs = 2000;
constexpr rlim_t kDescriptorsOfOurOwn = 512;
constexpr std::time_t kFirstRelease = 1'767'225'600;  // 2026-01-01: no clock of today is behind it

class Examination {
 public:
  explicit Examination(const GetEnv& getenv) : getenv_(getenv) {}

  void all(const std::optional<std::string>& path) {
    if (!settings(path)) return;
    data_folder();
    free_space();
    port();
    stream("worker streams", config_.worker_stream_addr);
    stream("producer streams", config_.producer_stream_addr);
    clock();
    descriptors();
    tracing();
    webhooks();
  }
  std::vector<Finding> findings;

 private:
  void add(const char* name, Verdict verdict, std::string what, std::string advice = "") {
    findings.push_back({.name = name, .verdict = verdict, .what = std::move(what), .advice = std::move(advice)});
  }
  bool settings(const std::optional<std::string>& path);
  void data_folder();
  void free_space();
  void port();
  void running(const std::string& host);
  void stream(const char* name, const std::string& address);
  void clock();
  void descriptors();
  void tracing();
  void webhooks();

  const GetEnv& getenv_;
  Config config_;
  bool in_use_ = false;  // the data folder
};

bool Examination::settings(const std::optional<std::string>& path) {
  const auto loaded = load_config(path, getenv_);
  if (!loaded) {
    add("settings", Verdict::kFail, loaded.error().message, "`codeq config explain KEY` says what a key takes");
    return false;
  }
  config_ = loaded->config;
  const auto where = loaded->file.empty() ? std::string("no file, environment and defaults") : loaded->file;
  for (const auto& warning : loaded->warnings) add("settings", Verdict::kWarn, warning);
  if (const auto ready = check_ready_to_serve(config_); !ready)
    add("settings", Verdict::kFail, ready.error().message);
  else if (const auto auth = services::make_authenticator(auth_options(config_)); !auth)
    add("settings", Verdict::kFail, auth.error().message,
        "see producerAuthConfig and workerAuthConfig in docs/configuration.md");
  else
    add("settings", Verdict::kOk, where);
  return true;
}

void Examination::data_folder() {
  const auto& path = config_.data_path;
  std::error_code error;
  if (!fs::exists(path, error)) {
    auto parent = fs::absolute(path, error).parent_path();
    while (!parent.empty() && parent != parent.root_path() && !fs::exists(parent, error)) parent = parent.parent_path();
    if (access(parent.c_str(), W_OK | X_OK) != 0)
      return add("data folder", Verdict::kFail, path + " is not there and " + parent.string() + " cannot be written to",
                 "make it for this user, or set `path` elsewhere");
    return add("data folder", Verdict::kOk, path + " will be made");
  }
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    return add("data folder", Verdict::kFail, path + ": " + std::strerror(errno),
               "give it to the user that runs the broker");
  if (!fs::exists(fs::path(path) / "log", error)) {
    if (fs::is_empty(path, error)) return add("data folder", Verdict::kOk, path + " is empty");
    return add("data folder", Verdict::kFail, path + " holds something that is not CodeQ's",
               "set `path` to a folder of its own");
  }
  const auto look = look_into_data(path);
  if (look) return add("data folder", Verdict::kOk, path + ": log and store fit together; no process uses it");
  in_use_ = look.error().code == Code::kUnavailable;
  if (in_use_) return add("data folder", Verdict::kOk, path + " is in use by a running broker");
  add("data folder", Verdict::kFail, look.error().message,
      look.error().code == Code::kCorrupt
          ? "`codeq store check --data " + path + "` says more; docs/backup.md has the way back"
          : "");
}

void Examination::free_space() {
  std::error_code error;
  auto path = fs::absolute(config_.data_path, error);
  while (path != path.root_path() && !fs::exists(path, error)) path = path.parent_path();
  struct statvfs disk{};
  if (statvfs(path.c_str(), &disk) != 0)
    return add("free space", Verdict::kWarn, path.string() + ": " + std::strerror(errno));
  const auto free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  const auto reserve = static_cast<std::uint64_t>(config_.disk_reserve_bytes);
  const auto what = fmt::format("{} MiB free, creates stop below {} MiB", free_bytes >> 20U, reserve >> 20U);
  if (free_bytes < reserve)
    return add("free space", Verdict::kFail, what, "make room on that disk, or set diskReserveBytes lower");
  if (free_bytes < 4 * reserve) return add("free space", Verdict::kWarn, what, "that is not much");
  add("free space", Verdict::kOk, what);
}

size_t drop(char*, std::size_t size, std::size_t count, void* into) {
  auto& left = *static_cast<std::size_t*>(into);
  const auto bytes = size * count;
  if (bytes > left) return 0;
  left -= bytes;
  return bytes;
}

// The status of a GET, 0 where there was none; or only whether a connection can be made.
long http_get(const std::string& url, bool connect_only, std::string& error) {
  static const auto global = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* curl = global == CURLE_OK ? curl_easy_init() : nullptr;
  if (curl == nullptr) {
    error = "libcurl cannot start";
    return 0;
  }
  std::size_t left = 1U << 20U;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER,
                   0L);  // our own certificate, which need not name this address; nothing is told
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kPatienceMs);
  curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, connect_only ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &drop);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &left);
  const auto outcome = curl_easy_perform(curl);
  long status = connect_only && outcome == CURLE_OK ? 200 : 0;
  if (outcome != CURLE_OK)
    error = curl_easy_strerror(outcome);
  else if (!connect_only)
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(curl);
  return status;
}

// 0: it can be listened on; else why not.
int listen_error(const std::string& host, int port) {
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  const sockaddr* address = nullptr;
  socklen_t length = 0;
  if (!host.empty() && inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(port));
    address = reinterpret_cast<const sockaddr*>(&v4);  // the C interface of sockets
    length = sizeof(v4);
  } else {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (!host.empty() && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return EINVAL;
    address = reinterpret_cast<const sockaddr*>(&v6);
    length = sizeof(v6);
  }
  const Fd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  return ::bind(fd.get(), address, length) == 0 && ::listen(fd.get(), 1) == 0 ? 0 : errno;
}

void Examination::port() {
  const auto port = static_cast<int>(config_.port);
  const auto where = (config_.listen_host.empty() ? std::string("all addresses") : config_.listen_host) + ", port " +
                     std::to_string(port);
  auto host =
      config_.listen_host.empty() || config_.listen_host == "0.0.0.0" ? std::string("127.0.0.1") : config_.listen_host;
  if (host == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  const auto why = listen_error(config_.listen_host, port);
  if (why == EADDRINUSE) {
    if (in_use_) add("port", Verdict::kOk, where + " is in use, as the data folder is");
    return running(host);
  }
  if (why != 0)
    return add("port", Verdict::kFail, where + ": " + std::strerror(why),
               why == EACCES ? "ports below 1024 need CAP_NET_BIND_SERVICE" : "see listenHost and port");
  if (in_use_)
    return add("port", Verdict::kFail, where + " is free, but a broker uses the data folder",
               "it has other settings than these, or has just started");
  add("port", Verdict::kOk, where + " can be listened on");
}

void Examination::running(const std::string& host) {
  const auto base =
      (config_.tls_cert_file.empty() ? "http://" : "https://") + host + ":" + std::to_string(config_.port);
  if (config_.tls_client_auth == TlsAuth::kRequire)
    return add("running broker", Verdict::kOk, base + " asks for certificates of its clients, and was not asked");
  std::string error;
  const auto version = http_get(base + "/version", false, error);
  if (version != 200) {
    if (!in_use_)
      add("port", Verdict::kFail, base + " is in use, and not by a broker of ours",
          "stop that program, or set another port");
    else
      add("running broker", Verdict::kFail, base + "/version does not answer" + (error.empty() ? "" : ": " + error));
    return;
  }
  if (!in_use_)
    add("port", Verdict::kFail, "a broker with another data folder listens at " + base, "stop it, or set another port");
  const auto ready = http_get(base + "/readyz", false, error);
  if (ready == 200)
    add("running broker", Verdict::kOk, base + " is ready");
  else
    add("running broker", Verdict::kFail, base + "/readyz answers " + std::to_string(ready),
        "`curl " + base + "/readyz?verbose` says why");
}

// "host:port", ":port" or, where they are off, nothing.
void Examination::stream(const char* name, const std::string& address) {
  if (address.empty()) return;
  const auto colon = address.rfind(':');
  auto host = address.substr(0, colon == std::string::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  const auto port = colon == std::string::npos ? 0 : std::atoi(address.c_str() + colon + 1);
  const auto why = listen_error(host, port);
  if (why == EADDRINUSE && in_use_) return add(name, Verdict::kOk, address + " is in use, as the data folder is");
  if (why != 0)
    return add(name, Verdict::kFail, address + ": " + std::strerror(why),
               "see workerStreamAddr and producerStreamAddr");
  add(name, Verdict::kOk,
      address + (in_use_ ? " is free, though a broker runs: it has other settings" : " can be listened on"));
}

void Examination::clock() {
  const auto now = std::time(nullptr);
  if (now < kFirstRelease)
    return add("clock", Verdict::kFail, "the wall clock is before this program was made",
               "set it: times of tasks come from it");
  timex state{};
  if (adjtimex(&state) == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
    return add("clock", Verdict::kWarn, "the kernel says that nothing keeps the clock in step",
               "run chrony, systemd-timesyncd or another NTP client; in a container the host's is meant");
  add("clock", Verdict::kOk, "kept in step");
}

void Examination::descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return add("open files", Verdict::kWarn, std::strerror(errno));
  const auto wanted = static_cast<rlim_t>(config_.http_connections_max) + kDescriptorsOfOurOwn;
  const auto what = fmt::format("the hard limit is {}, httpConnectionsMax wants {}", limit.rlim_max, wanted);
  if (limit.rlim_max < wanted)
    return add("open files", Verdict::kWarn, what,
               "raise it (LimitNOFILE=, ulimit -Hn), else fewer connections are taken");
  add("open files", Verdict::kOk, what);
}

void Examination::tracing() {
  const auto& file = config_.tracing_file;
  const auto env = [this](const char* name) -> std::optional<std::string> {
    const char* value = getenv_(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const auto options = observe::tracing_options({.enabled = file.enabled,
                                                 .service_name = file.service_name,
                                                 .otlp_endpoint = file.otlp_endpoint,
                                                 .otlp_insecure = file.otlp_insecure,
                                                 .sample_ratio = file.sample_ratio},
                                                env);
  if (!options) return add("tracing", Verdict::kFail, options.error().message);
  for (const auto& warning : options->warnings) add("tracing", Verdict::kWarn, warning);
  if (!options->enabled)
    return add("tracing", Verdict::kOk, "off; contexts that come in are handed on, timelines are kept");
  std::string error;
  if (http_get("http://" + options->endpoint, true, error) != 0)
    return add("tracing", Verdict::kOk, options->endpoint + " takes connections");
  add("tracing", Verdict::kWarn, options->endpoint + ": " + error,
      "start the collector or set tracingOtlpEndpoint; tasks do not wait for it, but spans are lost");
}

void Examination::webhooks() {
  const auto allowed = transport::AllowedNetworks::parse(config_.webhook_allowed_networks);
  if (!allowed) return add("webhooks", Verdict::kFail, allowed.error().message);
  sockaddr_in loopback{}, metadata{};
  loopback.sin_family = metadata.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &loopback.sin_addr);
  inet_pton(AF_INET, "169.254.169.254", &metadata.sin_addr);
  const auto reaches = [&](const sockaddr_in& address) {
    return allowed->contains(reinterpret_cast<const sockaddr&>(address));
  };
  if (!config_.is_dev() && (reaches(loopback) || reaches(metadata)))
    return add("webhooks", Verdict::kWarn,
               "webhookAllowedNetworks lets callers reach this host or its cloud's metadata service",
               "allow the networks of the receivers alone");
  if (!config_.is_dev() && config_.webhook_hmac_secret.empty())
    return add("webhooks", Verdict::kWarn, "webhooks are not signed",
               "set webhookHmacSecret, so that receivers can tell yours from others'");
  add("webhooks", Verdict::kOk,
      config_.webhook_allowed_networks.empty()
          ? "public addresses only"
          : fmt::format("public addresses and {} networks of your own", config_.webhook_allowed_networks.size()));
}

const char* text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk: return "ok";
    case Verdict::kWarn: return "warn";
    case Verdict::kFail: return "fail";
  }
  return "";
}

}  // namespace

std::vector<Finding> examine(const std::optional<std::string>& config_path, const GetEnv& getenv) {
  Examination examination(getenv);
  examination.all(config_path);
  return std::move(examination.findings);
}

bool all_well(const std::vector<Finding>& findings) {
  return std::none_of(findings.begin(), findings.end(), [](const auto& f) { return f.verdict == Verdict::kFail; });
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const auto& finding : findings) {
    out += fmt::format("{:<5} {:<16} {}\n", text_of(finding.verdict), finding.name, finding.what);
    if (!finding.advice.empty()) out += fmt::format("{:22} -> {}\n", "", finding.advice);
  }
  return out;
}

std::string findings_json(const std::vector<Finding>& findings) {
  std::string out = fmt::format(R"({{"version":"{}","ok":{},"checks":[)", kVersion, all_well(findings));
  for (const auto& finding : findings) {
    if (out.back() != '[') out += ',';
    out += R"({"name":)";
    core::append_json_string(out, finding.name);
    out += fmt::format(R"(,"status":"{}","what":)", text_of(finding.verdict));
    core::append_json_string(out, finding.what);
    if (!finding.advice.empty()) {
      out += R"(,"advice":)";
      core::append_json_string(out, finding.advice);
    }
    out += '}';
  }
  return out + "]}\n";
}

int doctor(const Cli& cli) {
  const auto findings = examine(cli.config_path, [](const char* name) -> const char* { return std::getenv(name); });
  const auto text = cli.data.json ? findings_json(findings) : findings_text(findings);
  std::fputs(text.c_str(), stdout);
  return all_well(findings) ? kExitOk : kExitConfig;
}

}  // namespace codeq::app
