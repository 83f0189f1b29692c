#pragma once

// Certificates for the tests of TLS: an authority made on the spot, and what it signs.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace keel::testing {

// In PEM form.
struct Certificate {
  std::string chain;
  std::string key;
};

// A self-signed root with a fresh key. Owned by one thread.
class CertificateAuthority {
 public:
  static absl::StatusOr<CertificateAuthority> Create(const std::string& name);
  CertificateAuthority(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  // For the names in `subject_alt_names` ("DNS:a.test,IP:127.0.0.1"), as server or as client, from `valid_from_hours`
  // before now until `valid_to_hours` after it.
  struct Request {
    std::string common_name;
    std::string subject_alt_names;
    int valid_from_hours = 1;
    int valid_to_hours = 1;
  };
  absl::StatusOr<Certificate> Sign(const Request& request) const;

  const std::string& pem() const { return pem_; }

 private:
  struct Identity;

  explicit CertificateAuthority(std::unique_ptr<Identity> identity, std::string pem);

  std::unique_ptr<Identity> identity_;
  std::string pem_;
};

}  // namespace keel::testing
