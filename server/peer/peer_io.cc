#include "server/peer/peer_io.h"

#include "base/thread_name.h"

namespace keel::server {

PeerIo::PeerIo()
    : work_(boost::asio::make_work_guard(context_)), thread_([this] {
        NameThread("peer-io");
        context_.run();
      }) {}

void PeerIo::Stop() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace keel::server
