#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/string_view.h"

namespace keel {
namespace {

constexpr const char* kLevelNames[] = {"debug", "info", "warn", "error", "fatal"};

// spdlog's logger, replaced as a whole when the configuration changes.
struct Sink {
  LogFormat format = LogFormat::kJson;
  std::shared_ptr<spdlog::logger> logger;
};

std::shared_ptr<spdlog::logger> MakeLogger(std::vector<spdlog::sink_ptr> sinks) {
  auto logger = std::make_shared<spdlog::logger>("keel", sinks.begin(), sinks.end());
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  return logger;
}

std::atomic<LogLevel> g_level{LogLevel::kInfo};

absl::Mutex& SinkMutex() {
  static absl::Mutex* const mu = new absl::Mutex;
  return *mu;
}

Sink& GlobalSink() {
  static Sink* const sink = new Sink{.logger = MakeLogger({std::make_shared<spdlog::sinks::stderr_sink_mt>()})};
  return *sink;
}

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\t':
        out->append("\\t");
        break;
      case '\r':
        out->append("\\r");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(out, "\\u%04x", static_cast<unsigned char>(c));
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

std::string Timestamp() { return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone()); }

std::string FormatLine(LogFormat format, LogLevel level, std::string_view caller, std::string_view message,
                       std::initializer_list<LogField> fields) {
  std::string line;
  const char* const level_name = kLevelNames[static_cast<int>(level)];
  if (format == LogFormat::kJson) {
    absl::StrAppend(&line, "{\"level\":\"", level_name, "\",\"ts\":\"", Timestamp(), "\",\"caller\":");
    AppendJsonString(caller, &line);
    line.append(",\"msg\":");
    AppendJsonString(message, &line);
    for (const LogField& field : fields) {
      line.push_back(',');
      AppendJsonString(field.key(), &line);
      line.push_back(':');
      if (field.quoted()) {
        AppendJsonString(field.value(), &line);
      } else {
        line.append(field.value());
      }
    }
    line.push_back('}');
  } else {
    absl::StrAppend(&line, Timestamp(), " ", level_name, " ", ToAbsl(caller), " ", ToAbsl(message));
    for (const LogField& field : fields) {
      absl::StrAppend(&line, " ", ToAbsl(field.key()), "=");
      if (field.quoted() && field.value().find_first_of(" \"\n\t\\") != std::string_view::npos) {
        AppendJsonString(field.value(), &line);
      } else {
        line.append(field.value());
      }
    }
  }
  return line;
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "panic") return LogLevel::kFatal;
  for (int i = 0; i < 5; ++i) {
    if (text == kLevelNames[i]) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("log level '", ToAbsl(text), "' is unknown; use debug, info, warn, error or fatal"));
}

absl::Status ConfigureLog(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks;
  for (const std::string& output : options.outputs) {
    if (output == "stderr" || output == "default") {
      sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    } else if (output == "stdout") {
      sinks.push_back(std::make_shared<spdlog::sinks::stdout_sink_mt>());
    } else {
      try {  // spdlog reports an unwritable file by throwing; the exception stops here.
        sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(output));
      } catch (const spdlog::spdlog_ex& e) {
        return absl::NotFoundError(absl::StrCat("cannot write the log to '", output, "': ", e.what()));
      }
    }
  }
  auto logger = MakeLogger(std::move(sinks));
  absl::MutexLock lock(&SinkMutex());
  GlobalSink() = Sink{.format = options.format, .logger = std::move(logger)};
  g_level = options.level;
  return absl::OkStatus();
}

bool LogEnabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void Log(LogLevel level, const char* file, int line, std::string_view message, std::initializer_list<LogField> fields) {
  const char* const slash = std::strrchr(file, '/');
  const std::string caller = absl::StrCat(slash != nullptr ? slash + 1 : file, ":", line);
  std::shared_ptr<spdlog::logger> logger;
  LogFormat format;
  {
    absl::MutexLock lock(&SinkMutex());
    logger = GlobalSink().logger;
    format = GlobalSink().format;
  }
  logger->log(spdlog::level::info, FormatLine(format, level, caller, message, fields));
}

void FlushLog() {
  absl::MutexLock lock(&SinkMutex());
  GlobalSink().logger->flush();
}

}  // namespace keel
