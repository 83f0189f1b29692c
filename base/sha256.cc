#include "base/sha256.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace keel {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

// OpenSSL fails here only without memory, as new would.
Sha256::Sha256() : state_(std::make_unique<State>()) {
  KEEL_CHECK(state_->context != nullptr);
  KEEL_CHECK_EQ(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr), 1);
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view bytes) {
  KEEL_CHECK_EQ(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()), 1);
}

std::string Sha256::Finish() {
  std::string digest(kSha256Bytes, '\0');
  KEEL_CHECK_EQ(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()), nullptr), 1);
  return digest;
}

}  // namespace keel
