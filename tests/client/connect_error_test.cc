#include "client/src/connect_error.h"

#include <gtest/gtest.h>

#include "client/src/tour.h"

namespace keel::client {
namespace {

TEST(ConnectErrorTest, SaysWhyInAPersonsWords) {
  struct Case {
    const char* text;
    const char* cause;
  };
  const std::string last = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: ";
  const Case kCases[] = {
      {"Failed to connect to remote host: Connection refused", "connection refused"},
      {"Failed to connect to remote host: Timeout occurred: FD Shutdown", "no connection within the dial timeout"},
      {"tcp handshaker shutdown", "no connection within the dial timeout"},
      {"Failed to connect to remote host: No route to host", "no route to host"},
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed",
       "TLS: the server's certificate is not trusted (certificate verify failed)"},
      {"Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::wrong version number",
       "TLS: the endpoint does not speak TLS"},
      {"Peer name 127.0.0.1 is not in peer certificate", "TLS: the server's certificate is for another name"},
      {"Failed parsing HTTP/2", "the endpoint does not speak HTTP/2 (does it want https?)"},
      {"Endpoint read failed", "the connection was closed at once (does the endpoint want https?)"},
      {"something new", "UNKNOWN: ipv4:127.0.0.1:1: something new"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(ConnectCause("127.0.0.1:1", last + c.text), c.cause);
  }
  EXPECT_EQ(ConnectCause("a:1",
                         "DNS resolution failed for a:1: C-ares status is not ARES_SUCCESS qtype=A name=a "
                         "is_balancer=0: Domain name not found"),
            "no such host");
  EXPECT_EQ(
      ConnectCause("a:1", "DNS resolution failed for a:1: C-ares status is not ARES_SUCCESS: Misformatted domain name"),
      "its host name cannot be resolved: Misformatted domain name");
  EXPECT_EQ(ConnectCause("a:1", "empty address list: "), "no address to connect to");
  EXPECT_EQ(ConnectCause("a:1", "DNS resolution failed"), "its host name cannot be resolved");
  EXPECT_EQ(ConnectCause("a:1", "no connection in time"), "no connection in time");
}

TEST(ConnectErrorTest, AServerThatHangsUpAfterTlsMayWantACertificate) {
  const std::string text = "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: ";
  for (const char* cause : {"Socket closed", "Endpoint read failed", "recvmsg:Connection reset by peer"}) {
    SCOPED_TRACE(cause);
    for (const char* endpoint : {"https://127.0.0.1:1", "unixs:///run/keel.sock"}) {
      EXPECT_EQ(ConnectCause(endpoint, text + cause),
                "TLS: the server closed the connection after the handshake (does it want a client certificate, or one "
                "of another authority?)");
    }
    EXPECT_EQ(ConnectCause("http://127.0.0.1:1", text + cause),
              "the connection was closed at once (does the endpoint want https?)");
  }
}

TEST(ConnectErrorTest, NamesAnEndpointThatIsNoServerOfThisKind) {
  EXPECT_EQ(NameStranger("10.0.0.9:80", "Received http2 header with status: 404"),
            "endpoint 10.0.0.9:80: this is no Keel or etcd server: it answers with HTTP status 404");
  EXPECT_EQ(NameStranger("10.0.0.9:80", "etcdserver: no leader"), "etcdserver: no leader");
}

TEST(TourTest, NobodyIsReachableOnlyOnceEveryEndpointHasRefused) {
  const absl::Time now = absl::UnixEpoch();
  Tour tour;
  tour.Refused("a:1", "Connection refused", now);
  tour.Refused("a:1", "Connection refused", now);
  EXPECT_EQ(tour.UnreachableFor(2, now), std::nullopt);
  tour.Refused("b:1", "No route to host", now + absl::Seconds(1));
  EXPECT_EQ(tour.UnreachableFor(2, now + absl::Seconds(3)), absl::Seconds(2));
  EXPECT_EQ(tour.Explanation(2),
            "no endpoint can be reached: endpoint a:1: connection refused; endpoint b:1: no route to host");
  tour.Reached();
  EXPECT_EQ(tour.UnreachableFor(2, now), std::nullopt);
  EXPECT_EQ(tour.Explanation(2), "");
}

}  // namespace
}  // namespace keel::client
