// TLS that fits, and TLS that does not: what a call says, and when.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "tests/client/test_certificates.h"

namespace keel {
namespace {

using testing::Certificate;
using testing::CertificateAuthority;

// Far beyond what an answer "at once" takes on a busy machine, far below kLong.
constexpr absl::Duration kAtOnce = absl::Seconds(30);
constexpr absl::Duration kLong = absl::Minutes(2);

class EmptyKv final : public etcdserverpb::KV::Service {
  grpc::Status Range(grpc::ServerContext*, const etcdserverpb::RangeRequest*,
                     etcdserverpb::RangeResponse* response) override {
    response->mutable_header()->set_revision(7);
    return grpc::Status::OK;
  }
};

// A server of this kind that speaks TLS.
class TlsServer {
 public:
  // `client_ca`: whose certificates clients must show; empty: they need none.
  TlsServer(const Certificate& certificate, const std::string& client_ca) {
    grpc::SslServerCredentialsOptions options(client_ca.empty()
                                                  ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                  : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_key_cert_pairs.push_back({certificate.key, certificate.chain});
    options.pem_root_certs = client_ca;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.RegisterService(&kv_);
    server_ = builder.BuildAndStart();
  }
  ~TlsServer() {
    if (server_ != nullptr) server_->Shutdown();
  }

  std::string endpoint() const { return absl::StrCat("https://127.0.0.1:", port_); }

 private:
  EmptyKv kv_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    std::string path = ::testing::TempDir() + "/keel_tls_test.XXXXXX";
    dir_ = mkdtemp(path.data());
  }
  ~TlsTest() override { std::filesystem::remove_all(dir_); }

  static CertificateAuthority Authority(const std::string& name) {
    auto authority = CertificateAuthority::Create(name);
    EXPECT_TRUE(authority.ok()) << authority.status();
    return *std::move(authority);
  }
  static Certificate Signed(const CertificateAuthority& authority, const CertificateAuthority::Request& request) {
    auto certificate = authority.Sign(request);
    EXPECT_TRUE(certificate.ok()) << certificate.status();
    return *std::move(certificate);
  }

  // The path of a new file.
  std::string File(const std::string& content) {
    const std::string path = absl::StrCat(dir_, "/", ++files_, ".pem");
    std::ofstream(path) << content;
    return path;
  }

  // What a client with these options is told; it must not take long.
  static absl::Status Ask(const std::string& endpoint, const TlsOptions& tls) {
    const auto client =
        Client::Create({.endpoints = {endpoint}, .timeout = kLong, .dial_timeout = kAtOnce, .tls = tls});
    if (!client.ok()) return client.status();
    const absl::Time start = absl::Now();
    const absl::Status status = (*client)->kv().Get("k").status();
    EXPECT_LT(absl::Now() - start, kAtOnce);
    return status;
  }
  static absl::Status Unavailable(const TlsServer& server, const std::string& cause) {
    return absl::UnavailableError(absl::StrCat("endpoint ", server.endpoint(), ": ", cause));
  }

  const CertificateAuthority ours_ = Authority("ours");
  const CertificateAuthority others_ = Authority("others");
  const CertificateAuthority::Request here_ = {.common_name = "n1", .subject_alt_names = "IP:127.0.0.1,DNS:n1.test"};
  const CertificateAuthority::Request user_ = {.common_name = "user"};

 private:
  std::string dir_;
  int files_ = 0;
};

TEST_F(TlsTest, TheRightCertificatesOnBothSidesWork) {
  const TlsServer server(Signed(ours_, here_), ours_.pem());
  const Certificate user = Signed(ours_, user_);
  const TlsOptions tls = {.ca_file = File(ours_.pem()), .cert_file = File(user.chain), .key_file = File(user.key)};
  EXPECT_EQ(Ask(server.endpoint(), tls), absl::OkStatus());
}

TEST_F(TlsTest, AServerOfAnotherAuthorityIsNotTrusted) {
  const TlsServer server(Signed(others_, here_), "");
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = File(ours_.pem())}),
            Unavailable(server, "TLS: the server's certificate is not trusted (certificate verify failed)"));
  EXPECT_EQ(Ask(server.endpoint(), {.skip_verify = true}), absl::OkStatus());
}

TEST_F(TlsTest, ACertificateThatHasExpiredIsNotTrusted) {
  CertificateAuthority::Request expired = here_;
  expired.valid_from_hours = 3;
  expired.valid_to_hours = -1;
  const TlsServer server(Signed(ours_, expired), "");
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = File(ours_.pem())}),
            Unavailable(server, "TLS: the server's certificate is not trusted (certificate verify failed)"));
}

TEST_F(TlsTest, ACertificateForAnotherNameIsRefusedUntilThatNameIsGiven) {
  const TlsServer server(Signed(ours_, {.common_name = "n1", .subject_alt_names = "DNS:n1.test"}), "");
  const std::string ca = File(ours_.pem());
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = ca}),
            Unavailable(server, "TLS: the server's certificate is for another name"));
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = ca, .server_name = "n2.test"}),
            Unavailable(server, "TLS: the server's certificate is for another name"));
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = ca, .server_name = "n1.test"}), absl::OkStatus());
}

constexpr char kRefused[] =
    "TLS: the server closed the connection after the handshake (does it want a client certificate, or one of another "
    "authority?)";

TEST_F(TlsTest, AServerThatWantsACertificateRefusesAClientWithout) {
  const TlsServer server(Signed(ours_, here_), ours_.pem());
  EXPECT_EQ(Ask(server.endpoint(), {.ca_file = File(ours_.pem())}), Unavailable(server, kRefused));
  EXPECT_EQ(Ask(server.endpoint(), {.skip_verify = true}), Unavailable(server, kRefused));
}

TEST_F(TlsTest, AServerThatWantsACertificateRefusesOneOfAnotherAuthority) {
  const TlsServer server(Signed(ours_, here_), ours_.pem());
  const Certificate user = Signed(others_, user_);
  const TlsOptions tls = {.ca_file = File(ours_.pem()), .cert_file = File(user.chain), .key_file = File(user.key)};
  EXPECT_EQ(Ask(server.endpoint(), tls), Unavailable(server, kRefused));
}

TEST_F(TlsTest, APlainClientOfATlsServerIsToldOfHttps) {
  const TlsServer server(Signed(ours_, here_), "");
  const std::string plain = server.endpoint().substr(std::string("https://").size());
  EXPECT_EQ(Ask(plain, {}),
            absl::UnavailableError(absl::StrCat(
                "endpoint ", plain, ": the connection was closed at once (does the endpoint want https?)")));
}

TEST_F(TlsTest, AFileThatIsNotWhatItShouldBeIsNamedBeforeAnythingIsDialled) {
  const std::string nowhere = "https://127.0.0.1:1";
  const std::string ca = File(ours_.pem());
  const std::string missing = "/does/not/exist.pem";
  const std::string garbage = File("this is no certificate");
  const Certificate user = Signed(ours_, user_);
  const std::string certificate = File(user.chain);
  const std::string other_key = File(Signed(ours_, user_).key);

  EXPECT_EQ(Ask(nowhere, {.ca_file = missing}), absl::NotFoundError("cannot read file " + missing));
  EXPECT_EQ(Ask(nowhere, {.ca_file = garbage}),
            absl::InvalidArgumentError("file " + garbage + " holds no certificate in PEM form"));
  EXPECT_EQ(Ask(nowhere, {.ca_file = ca, .cert_file = certificate}),
            absl::InvalidArgumentError("a client certificate needs its key, and a key its certificate"));
  EXPECT_EQ(Ask(nowhere, {.ca_file = ca, .cert_file = garbage, .key_file = other_key}),
            absl::InvalidArgumentError("file " + garbage + " holds no certificate in PEM form"));
  EXPECT_EQ(Ask(nowhere, {.ca_file = ca, .cert_file = certificate, .key_file = garbage}),
            absl::InvalidArgumentError("file " + garbage + " holds no private key in PEM form without a password"));
  EXPECT_EQ(Ask(nowhere, {.ca_file = ca, .cert_file = certificate, .key_file = other_key}),
            absl::InvalidArgumentError("the private key in file " + other_key +
                                       " does not belong to the certificate in file " + certificate));
}

}  // namespace
}  // namespace keel
