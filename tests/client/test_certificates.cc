#include "tests/client/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace keel::testing {
namespace {

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;

absl::StatusOr<std::string> ToPem(const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, Freer<BIO_free_all>> out(BIO_new(BIO_s_mem()));
  if (out == nullptr || write(out.get()) != 1) return absl::InternalError("cannot write PEM");
  char* data = nullptr;
  const auto bytes = static_cast<size_t>(BIO_get_mem_data(out.get(), &data));
  return std::string(data, bytes);
}

absl::Status Extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return absl::InternalError(absl::StrCat("cannot make the extension ", value));
  }
  return absl::OkStatus();
}

// Everything but the issuer, the extensions and the signature.
absl::StatusOr<X509Ptr> Blank(EVP_PKEY* key, const std::string& common_name, int from_hours, int to_hours) {
  X509Ptr certificate(X509_new());
  uint64_t serial = 0;
  if (certificate == nullptr || RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1) {
    return absl::InternalError("cannot make a certificate");
  }
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  constexpr int kHour = 3600;
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -from_hours * kHour);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_hours * kHour);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

struct CertificateAuthority::Identity {
  Key key;
  X509Ptr certificate;
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Identity> identity, std::string pem)
    : identity_(std::move(identity)), pem_(std::move(pem)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(const std::string& name) {
  auto identity = std::make_unique<Identity>();
  identity->key.reset(EVP_EC_gen("P-256"));
  if (identity->key == nullptr) return absl::InternalError("cannot make a key");
  KEEL_ASSIGN_OR_RETURN(identity->certificate, Blank(identity->key.get(), name, 1, 1));
  X509* const root = identity->certificate.get();
  X509_set_issuer_name(root, X509_get_subject_name(root));
  KEEL_RETURN_IF_ERROR(Extend(root, root, NID_basic_constraints, "critical,CA:TRUE"));
  if (X509_sign(root, identity->key.get(), EVP_sha256()) == 0) return absl::InternalError("cannot sign");
  KEEL_ASSIGN_OR_RETURN(std::string pem, ToPem([root](BIO* out) { return PEM_write_bio_X509(out, root); }));
  return CertificateAuthority(std::move(identity), std::move(pem));
}

absl::StatusOr<Certificate> CertificateAuthority::Sign(const Request& request) const {
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return absl::InternalError("cannot make a key");
  KEEL_ASSIGN_OR_RETURN(const X509Ptr leaf,
                        Blank(key.get(), request.common_name, request.valid_from_hours, request.valid_to_hours));
  X509* const root = identity_->certificate.get();
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(root));
  if (!request.subject_alt_names.empty()) {
    KEEL_RETURN_IF_ERROR(Extend(leaf.get(), root, NID_subject_alt_name, request.subject_alt_names));
  }
  if (X509_sign(leaf.get(), identity_->key.get(), EVP_sha256()) == 0) return absl::InternalError("cannot sign");
  Certificate signed_one;
  KEEL_ASSIGN_OR_RETURN(signed_one.chain, ToPem([&leaf](BIO* out) { return PEM_write_bio_X509(out, leaf.get()); }));
  KEEL_ASSIGN_OR_RETURN(signed_one.key, ToPem([&key](BIO* out) {
                          return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                        }));
  return signed_one;
}

}  // namespace keel::testing
