#pragma once

// The one logging front. A line says a change of state, with its facts as fields:
//
//   KEEL_LOG_INFO("became leader at term", {{"member", "n1"}, {"term", term}});
//
// Wording is stable (operators grep for it). Never values, tokens or passwords; keys only at debug level. ERROR means
// that a person should look. Whoever handles an error logs it; code that returns it does not.

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/strong_int.h"

namespace keel {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kFatal };
enum class LogFormat { kJson, kConsole };

// One `key=value` fact; values keep whether they are numbers or text.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(value), quoted_(true) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value ? "true" : "false"), quoted_(false) {}
  LogField(std::string_view key, const absl::Status& status) : key_(key), value_(status.ToString()), quoted_(true) {}
  template <typename T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) LogField(std::string_view key, T value)
      : key_(key), value_(std::to_string(value)), quoted_(false) {}
  template <typename Tag, typename Rep>
  LogField(std::string_view key, StrongInt<Tag, Rep> value) : LogField(key, value.value()) {}

  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }
  bool quoted() const { return quoted_; }

 private:
  std::string_view key_;
  std::string value_;
  bool quoted_;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kJson;
  // "stderr" (also "default"), "stdout", or file paths; every line goes to each of them.
  std::vector<std::string> outputs = {"stderr"};
};

// Replaces where and how lines are written. Before the first call, lines of info and above go to stderr as JSON.
// Thread-safe with respect to Log(). kInvalidArgument or kNotFound when a file cannot be opened.
absl::Status ConfigureLog(const LogOptions& options);

// "debug", "info", "warn", "error", "fatal" (also "panic", as fatal). kInvalidArgument otherwise.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);

// Thread-safe. One write per line.
void Log(LogLevel level, const char* file, int line, std::string_view message,
         std::initializer_list<LogField> fields = {});
bool LogEnabled(LogLevel level);
// Returns when every line given to Log() so far has reached its output.
void FlushLog();

}  // namespace keel

#define KEEL_LOG_AT(level, ...)                                                         \
  do {                                                                                  \
    if (::keel::LogEnabled(level)) ::keel::Log(level, __FILE__, __LINE__, __VA_ARGS__); \
  } while (false)
#define KEEL_LOG_DEBUG(...) KEEL_LOG_AT(::keel::LogLevel::kDebug, __VA_ARGS__)
#define KEEL_LOG_INFO(...) KEEL_LOG_AT(::keel::LogLevel::kInfo, __VA_ARGS__)
#define KEEL_LOG_WARN(...) KEEL_LOG_AT(::keel::LogLevel::kWarn, __VA_ARGS__)
#define KEEL_LOG_ERROR(...) KEEL_LOG_AT(::keel::LogLevel::kError, __VA_ARGS__)
