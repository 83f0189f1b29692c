#include "client/src/tls_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace keel::client {
namespace {

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

// What goes wrong here must not stay in OpenSSL's queue of this thread, where the next connection would find it.
struct ErrorsStayHere {
  ErrorsStayHere() { ERR_set_mark(); }
  ~ErrorsStayHere() { ERR_pop_to_mark(); }
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return absl::NotFoundError(absl::StrCat("cannot read file ", path));
  return text.str();
}

Bio Reader(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

// The first one in a file.
absl::StatusOr<Certificate> ReadCertificate(const std::string& pem, const std::string& path) {
  Certificate certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("file ", path, " holds no certificate in PEM form"));
  }
  return certificate;
}

absl::StatusOr<Key> ReadKey(const std::string& pem, const std::string& path) {
  // Nobody is asked for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, no_password, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("file ", path, " holds no private key in PEM form without a password"));
  }
  return key;
}

absl::StatusOr<grpc::SslCredentialsOptions> ReadFiles(const TlsOptions& options) {
  const ErrorsStayHere errors_stay_here;
  grpc::SslCredentialsOptions pem;
  if (!options.ca_file.empty()) {
    KEEL_ASSIGN_OR_RETURN(pem.pem_root_certs, ReadFile(options.ca_file));
    KEEL_RETURN_IF_ERROR(ReadCertificate(pem.pem_root_certs, options.ca_file).status());
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("a client certificate needs its key, and a key its certificate");
  }
  if (options.cert_file.empty()) return pem;
  KEEL_ASSIGN_OR_RETURN(pem.pem_cert_chain, ReadFile(options.cert_file));
  KEEL_ASSIGN_OR_RETURN(pem.pem_private_key, ReadFile(options.key_file));
  KEEL_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pem.pem_cert_chain, options.cert_file));
  KEEL_ASSIGN_OR_RETURN(const Key key, ReadKey(pem.pem_private_key, options.key_file));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("the private key in file ", options.key_file,
                                                   " does not belong to the certificate in file ", options.cert_file));
  }
  return pem;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& options) {
  KEEL_ASSIGN_OR_RETURN(const grpc::SslCredentialsOptions pem, ReadFiles(options));
  if (!options.skip_verify) return grpc::SslCredentials(pem);

  grpc::experimental::TlsChannelCredentialsOptions lax;
  lax.set_verify_server_certs(false);
  lax.set_check_call_host(false);
  if (!pem.pem_cert_chain.empty()) {
    std::vector<grpc::experimental::IdentityKeyCertPair> identity = {{pem.pem_private_key, pem.pem_cert_chain}};
    lax.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(std::move(identity)));
    lax.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(lax);
}

}  // namespace keel::client
