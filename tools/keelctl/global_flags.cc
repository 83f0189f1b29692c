#include "tools/keelctl/global_flags.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace keel::ctl {
namespace {

constexpr const char* kTlsFiles[] = {"cert", "key", "cacert"};

std::string VariableName(const std::string& flag) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(flag, {{"-", "_"}}));
}

Outcome ReadDuration(const std::string& flag, const std::string& text, absl::Duration* out) {
  if (!absl::ParseDuration(text, out) || *out <= absl::ZeroDuration()) {
    return {kExitError,
            absl::StrCat("invalid argument \"", text, "\" for --", flag, ": write a duration such as 5s or 300ms")};
  }
  return Outcome::Ok();
}

CLI::Option* AddText(CLI::App& app, const std::string& names, const std::string& flag, std::string& value,
                     const std::string& help, const std::string& type = "TEXT") {
  if (std::string set = FromEnvironment(flag); !set.empty()) value = set;
  CLI::Option* option = app.add_option(names, value, help)->take_last()->type_name(type);
  if (!value.empty()) option->capture_default_str();
  return option;
}

void AddSwitch(CLI::App& app, const std::string& flag, bool& value, const std::string& help) {
  if (const std::string set = absl::AsciiStrToLower(FromEnvironment(flag)); !set.empty()) {
    value = set == "true" || set == "1" || set == "t";
  }
  app.add_flag("--" + flag, value, help);
}

}  // namespace

std::string FromEnvironment(const std::string& flag) {
  for (const char* prefix : {"KEELCTL_", "ETCDCTL_"}) {
    const char* value = std::getenv(absl::StrCat(prefix, VariableName(flag)).c_str());
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

ClientOptions GlobalFlags::client_options() const {
  return {.endpoints = endpoints,
          .timeout = command_timeout,
          .dial_timeout = dial_timeout,
          .keepalive_time = keepalive_time,
          .keepalive_timeout = keepalive_timeout,
          .tls = tls};
}

std::optional<TlsOptions> RawTlsFlags::options() const {
  TlsOptions options{.ca_file = cacert, .cert_file = cert, .key_file = key, .skip_verify = insecure_skip_tls_verify};
  if (!wanted()) return std::nullopt;
  return options;
}

std::string RawTlsFlags::WithScheme(const std::string& endpoint) const {
  if (!wanted() || absl::StrContains(endpoint, "://")) return endpoint;
  return absl::StrCat("https://", endpoint);
}

void RawFlags::AddTo(CLI::App& app, bool base64) {
  app_ = &app;
  base64_ = base64;
  AddText(app, "--endpoints", "endpoints", endpoints_, "where the members answer, comma-separated", "LIST");
  AddText(app, "-w,--write-out", "write-out", write_out_, "simple, json, fields, protobuf or table", "FORMAT");
  AddSwitch(app, "base64", base64_, "JSON with all keys and values in base64, as etcdctl prints it");
  AddSwitch(app, "hex", hex_, "print keys, values and ids in hexadecimal");
  AddText(app, "--command-timeout", "command-timeout", command_timeout_, "limit of one command", "DURATION");
  AddText(app, "--dial-timeout", "dial-timeout", dial_timeout_, "limit of one attempt to connect", "DURATION");
  AddText(app, "--keepalive-time", "keepalive-time", keepalive_time_, "ping a connection quiet for so long",
          "DURATION");
  AddText(app, "--keepalive-timeout", "keepalive-timeout", keepalive_timeout_,
          "give a connection up when the ping is not answered in this time", "DURATION");
  AddText(app, "--cacert", "cacert", tls_.cacert, "the CA bundle that servers are checked with", "FILE");
  AddText(app, "--cert", "cert", tls_.cert, "this client's certificate", "FILE");
  AddText(app, "--key", "key", tls_.key, "the key of --cert", "FILE");
  AddSwitch(app, "insecure-transport", tls_.insecure_transport, "no TLS for endpoints without a scheme (the default)");
  AddSwitch(app, "insecure-skip-tls-verify", tls_.insecure_skip_tls_verify,
            "trust any server certificate; for tests only");
  AddSwitch(app, "debug", debug_, "print the flags in force to stderr");
}

Outcome RawFlags::Resolve(GlobalFlags* flags) const {
  for (const char* name : kTlsFiles) {
    const CLI::Option* option = app_->get_option(absl::StrCat("--", name));
    if (option->count() > 0 && option->as<std::string>().empty()) {
      return Outcome::BadArguments(absl::StrCat("empty string is passed to --", name, " option"));
    }
  }
  if (tls_.cert.empty() != tls_.key.empty()) {
    return Outcome::BadArguments("--cert and --key belong together: give both or neither");
  }
  flags->endpoints.clear();
  for (const absl::string_view endpoint : absl::StrSplit(endpoints_, ',', absl::SkipWhitespace())) {
    flags->endpoints.push_back(tls_.WithScheme(std::string(absl::StripAsciiWhitespace(endpoint))));
  }
  if (flags->endpoints.empty()) return Outcome::BadArguments("--endpoints: no endpoint given");
  flags->tls = tls_.options();
  flags->hex = hex_;
  flags->base64 = base64_;
  flags->debug = debug_;
  constexpr struct {
    const char* name;
    Format format;
  } kFormats[] = {{"simple", Format::kSimple},
                  {"json", Format::kJson},
                  {"fields", Format::kFields},
                  {"protobuf", Format::kProtobuf},
                  {"table", Format::kTable}};
  bool known = false;
  for (const auto& [name, format] : kFormats) {
    if (write_out_ != name) continue;
    flags->format = format;
    known = true;
  }
  if (!known) {
    return {kExitBadFeature,
            absl::StrCat("unsupported output format '", write_out_, "'; use simple, json, fields, protobuf or table")};
  }
  for (const auto& [name, text, out] :
       {std::tuple("dial-timeout", &dial_timeout_, &flags->dial_timeout),
        std::tuple("command-timeout", &command_timeout_, &flags->command_timeout),
        std::tuple("keepalive-time", &keepalive_time_, &flags->keepalive_time),
        std::tuple("keepalive-timeout", &keepalive_timeout_, &flags->keepalive_timeout)}) {
    if (Outcome bad = ReadDuration(name, *text, out); bad.code != kExitOk) return bad;
  }
  flags->command_timeout_given =
      app_->get_option("--command-timeout")->count() > 0 || !FromEnvironment("command-timeout").empty();
  return Outcome::Ok();
}

std::string RawFlags::Describe() const {
  std::string text;
  const auto line = [&](const std::string& flag, const std::string& value) {
    absl::StrAppend(&text, "KEELCTL_", VariableName(flag), "=", value, "\n");
  };
  line("endpoints", endpoints_);
  line("write-out", write_out_);
  line("base64", base64_ ? "true" : "false");
  line("hex", hex_ ? "true" : "false");
  line("command-timeout", command_timeout_);
  line("dial-timeout", dial_timeout_);
  line("keepalive-time", keepalive_time_);
  line("keepalive-timeout", keepalive_timeout_);
  line("cacert", tls_.cacert);
  line("cert", tls_.cert);
  line("key", tls_.key);
  line("insecure-transport", tls_.insecure_transport ? "true" : "false");
  line("insecure-skip-tls-verify", tls_.insecure_skip_tls_verify ? "true" : "false");
  return text;
}

}  // namespace keel::ctl
