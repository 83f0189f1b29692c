#include "client/src/connection.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace keel::client {
namespace {

grpc::ChannelArguments ArgumentsFor(const Url& url, const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  // Every channel has a TCP connection of its own, also when two have the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Retries are decided in retry_policy; a second layer below would blur what is known about an attempt.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Also how long gRPC waits for one attempt to connect.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.dial_timeout)));
  if (options.keepalive_time < absl::InfiniteDuration()) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_time)));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                     static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_timeout)));
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  arguments.SetMaxSendMessageSize(static_cast<int>(options.send_bytes_max));
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // Members are reached directly, whatever the environment says.
  if (url.is_tls() && options.tls && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return arguments;
}

// How the status of a call begins that found no connection (client_channel and pick_first of gRPC).
constexpr absl::string_view kNoConnectionTexts[] = {"failed to connect to all addresses", "DNS resolution failed",
                                                    "empty address list"};

}  // namespace

bool Connection::FailedToConnect(const grpc::ClientContext& context, const grpc::Status& status) const {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  const std::string text = status.error_message();
  const bool is_local = std::any_of(std::begin(kNoConnectionTexts), std::end(kNoConnectionTexts),
                                    [&](absl::string_view known) { return absl::StartsWith(text, known); });
  return is_local && context.peer() == target;
}

std::shared_ptr<Connection> MakeConnection(const std::string& endpoint, const Url& url, const ClientOptions& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& tls,
                                           grpc::CompletionQueue* queue) {
  auto connection = std::make_shared<Connection>();
  connection->endpoint = endpoint;
  // For a socket file gRPC shows "unix:/path" as the peer of an answered call; the target must not look like that.
  connection->target = url.is_unix() ? absl::StrCat("unix://", url.path[0] == '/' ? "" : "/", url.path) : url.Target();
  connection->channel = grpc::CreateCustomChannel(
      connection->target, url.is_tls() ? tls : grpc::InsecureChannelCredentials(), ArgumentsFor(url, options));
  connection->queue = queue;
  connection->kv = etcdserverpb::KV::NewStub(connection->channel);
  connection->lease = etcdserverpb::Lease::NewStub(connection->channel);
  connection->watch = etcdserverpb::Watch::NewStub(connection->channel);
  connection->cluster = etcdserverpb::Cluster::NewStub(connection->channel);
  connection->keel_cluster = api::Cluster::NewStub(connection->channel);
  connection->maintenance = etcdserverpb::Maintenance::NewStub(connection->channel);
  return connection;
}

}  // namespace keel::client
