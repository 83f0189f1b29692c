#include "server/peer/peer_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "base/check.h"

namespace keel::server {

std::shared_ptr<grpc::Channel> DialPeer(const Url& url, size_t message_bytes_max) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Streams and bulk data must not share a connection, nor two networks in one process.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);  // Despite its name: how long one attempt to connect may take.
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetMaxSendMessageSize(static_cast<int>(message_bytes_max));
  args.SetMaxReceiveMessageSize(static_cast<int>(message_bytes_max));
  return grpc::CreateCustomChannel(url.Target(), grpc::InsecureChannelCredentials(), args);
}

PeerChannels::PeerChannels(const std::vector<Url>& urls, size_t message_bytes_max) {
  KEEL_CHECK(!urls.empty());
  for (const Url& url : urls) channels_.push_back(DialPeer(url, message_bytes_max));
}

}  // namespace keel::server
