#pragma once

// SHA-256 over a stream of bytes, by OpenSSL: the digest that ends a snapshot file.

#include <memory>
#include <string>
#include <string_view>

namespace keel {

inline constexpr size_t kSha256Bytes = 32;

// Owned by one thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::string_view bytes);
  // kSha256Bytes bytes; ends it.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keel
