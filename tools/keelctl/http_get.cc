#include "tools/keelctl/http_get.h"

#include <curl/curl.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/url.h"

namespace keel::ctl {
namespace {

constexpr size_t kPageBytesMax = 64 * 1024 * 1024;

size_t AppendTo(char* data, size_t size, size_t count, void* page) {
  auto* body = static_cast<std::string*>(page);
  if (body->size() + size * count > kPageBytesMax) return 0;  // Ends the transfer with an error.
  body->append(data, size * count);
  return size * count;
}

size_t ReadDate(char* data, size_t size, size_t count, void* date) {
  absl::string_view line(data, size * count);
  if (absl::StartsWithIgnoreCase(line, "date:")) {
    line.remove_prefix(5);
    const time_t seconds = curl_getdate(std::string(absl::StripAsciiWhitespace(line)).c_str(), nullptr);
    if (seconds >= 0) *static_cast<std::optional<absl::Time>*>(date) = absl::FromTimeT(seconds);
  }
  return size * count;
}

void UseTls(CURL* curl, const TlsOptions& tls) {
  if (!tls.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, tls.ca_file.c_str());
  if (!tls.cert_file.empty()) curl_easy_setopt(curl, CURLOPT_SSLCERT, tls.cert_file.c_str());
  if (!tls.key_file.empty()) curl_easy_setopt(curl, CURLOPT_SSLKEY, tls.key_file.c_str());
  if (tls.skip_verify) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

std::vector<Certificate> CertificatesOf(CURL* curl) {
  std::vector<Certificate> certificates;
  curl_certinfo* info = nullptr;
  if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) != CURLE_OK || info == nullptr) return certificates;
  for (int i = 0; i < info->num_of_certs; ++i) {
    Certificate certificate;
    for (const curl_slist* field = info->certinfo[i]; field != nullptr; field = field->next) {
      absl::string_view text = field->data;
      if (absl::ConsumePrefix(&text, "Subject:")) certificate.subject = std::string(text);
      if (absl::ConsumePrefix(&text, "Expire date:")) {
        certificate.expires = absl::FromTimeT(curl_getdate(std::string(text).c_str(), nullptr));
      }
    }
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

}  // namespace

absl::StatusOr<HttpPage> HttpGet(const std::string& endpoint, const std::string& path,
                                 const std::optional<TlsOptions>& tls, absl::Duration timeout) {
  KEEL_ASSIGN_OR_RETURN(const Url url, ParseEndpoint(endpoint));
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (initialised != CURLE_OK || curl == nullptr) return absl::InternalError("libcurl cannot be used");
  const std::string scheme = url.is_tls() ? "https://" : "http://";
  const std::string address = scheme + (url.is_unix() ? "localhost" : url.Target()) + path;
  HttpPage page;
  curl_easy_setopt(curl.get(), CURLOPT_URL, address.c_str());
  if (url.is_unix()) curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, url.path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");  // Members are reached directly, whatever the environment says.
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout)));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, AppendTo);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &page.body);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, ReadDate);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &page.server_time);
  curl_easy_setopt(curl.get(), CURLOPT_CERTINFO, 1L);
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  UseTls(curl.get(), tls.value_or(TlsOptions{}));

  page.asked = absl::Now();
  const CURLcode code = curl_easy_perform(curl.get());
  page.answered = absl::Now();
  if (code != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat(endpoint, path, ": ", reason[0] != '\0' ? reason : curl_easy_strerror(code)));
  }
  if (url.is_tls()) page.certificates = CertificatesOf(curl.get());
  return page;
}

}  // namespace keel::ctl
