#pragma once

// The flags that every command understands: on the command line, as KEELCTL_NAME or as ETCDCTL_NAME.

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "keel/options.h"
#include "tools/keelctl/outcome.h"

namespace keel::ctl {

enum class Format { kSimple, kJson, kFields, kProtobuf, kTable };

struct GlobalFlags {
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  Format format = Format::kSimple;
  bool hex = false;
  bool base64 = false;  // JSON carries all keys and values in base64, as etcdctl's does.
  bool debug = false;
  absl::Duration dial_timeout = absl::Seconds(2);
  absl::Duration command_timeout = absl::Seconds(5);
  bool command_timeout_given = false;  // Commands that last as long as their data ignore the default.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(6);
  std::optional<TlsOptions> tls = std::nullopt;

  // What a Client for these endpoints is made with.
  ClientOptions client_options() const;
};

// The TLS flags of one cluster as typed; make-mirror has them twice.
struct RawTlsFlags {
  std::string cert;
  std::string key;
  std::string cacert;
  bool insecure_transport = true;
  bool insecure_skip_tls_verify = false;

  // TLS is wanted: bare endpoints are taken as https.
  bool wanted() const {
    return !cert.empty() || !key.empty() || !cacert.empty() || insecure_skip_tls_verify || !insecure_transport;
  }
  std::optional<TlsOptions> options() const;
  // "host:port" with the scheme that the flags ask for; endpoints that have one keep it.
  std::string WithScheme(const std::string& endpoint) const;
};

// The global flags as text; turned into GlobalFlags once the command line is known.
class RawFlags {
 public:
  // Adds them to `app`. The environment gives the defaults, and `base64` what JSON looks like without a flag.
  void AddTo(CLI::App& app, bool base64);
  Outcome Resolve(GlobalFlags* flags) const;
  // One line per flag and its value, as variables.
  std::string Describe() const;

 private:
  std::string endpoints_ = "127.0.0.1:2379";
  std::string write_out_ = "simple";
  std::string dial_timeout_ = "2s";
  std::string command_timeout_ = "5s";
  std::string keepalive_time_ = "10s";
  std::string keepalive_timeout_ = "6s";
  bool hex_ = false;
  bool base64_ = false;
  bool debug_ = false;
  RawTlsFlags tls_;
  CLI::App* app_ = nullptr;
};

// KEELCTL_NAME, else ETCDCTL_NAME, of a flag; empty values count as not set.
std::string FromEnvironment(const std::string& flag);

}  // namespace keel::ctl
