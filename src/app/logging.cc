#include "app/logging.h"

#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>

#include "core/json_scan.h"
#include "core/rfc3339.h"

namespace codeq::app {
namespace {

class JsonFormatter final : public spdlog::formatter {
 public:
  explicit JsonFormatter(std::string env) : env_(std::move(env)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    line_.clear();
    line_ += R"({"time":")";
    core::append_rfc3339_nanos(
        line_, std::chrono::duration_cast<std::chrono::nanoseconds>(message.time.time_since_epoch()).count(), 0);
    line_ += R"(","level":")";
    const auto level = spdlog::level::to_string_view(message.level);
    line_.append(level.data(), level.size());
    line_ += R"(","service":"codeq","env":)";
    core::append_json_string(line_, env_);
    line_ += R"(,"msg":)";
    core::append_json_string(line_, std::string_view(message.payload.data(), message.payload.size()));
    line_ += "}\n";
    out.append(line_.data(), line_.data() + line_.size());
  }
  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>(env_);
  }

 private:
  std::string env_;
  std::string line_;
};

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void set_up_logging(const Config& config) {
  auto logger = std::make_shared<spdlog::logger>("codeq", std::make_shared<spdlog::sinks::stdout_sink_mt>());
  if (config.log_format == LogFormat::kJson)
    logger->set_formatter(std::make_unique<JsonFormatter>(config.env));
  else
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  logger->set_level(level_of(config.log_level));
  logger->flush_on(spdlog::level::debug);  // start, stop and trouble: few lines, none of them late
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace codeq::app
