#pragma once

// Linked by the rooms that speak gRPC only.

#include <grpc/grpc.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

namespace keel {

// Keeps gRPC and its callback threads for the rest of this process. To be called before the first callback-style call
// or server; from then on it does not matter on which thread the last of them goes away. Without it, the threads end
// together with their last user: when that is a channel which a callback releases, gRPC 1.51 frees the queue that the
// calling thread is about to read. Thread-safe; calls after the first do nothing.
inline void KeepGrpc() {
  struct Keeper {
    Keeper() : stub(grpc::CreateChannel("nowhere", nullptr)), slice("nothing"), request(&slice, 1) {
      grpc_init();
      // Fails at once, since the channel has no credentials; the channel is a user of the threads from here on.
      stub.UnaryCall(&context, "/keel/Nowhere", grpc::StubOptions(), &request, &response, [](const grpc::Status&) {});
    }

    grpc::GenericStub stub;
    grpc::ClientContext context;
    grpc::Slice slice;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };
  [[maybe_unused]] static Keeper* const keeper = new Keeper;
}

}  // namespace keel
