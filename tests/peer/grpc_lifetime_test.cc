#include "base/grpc_lifetime.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/synchronization/notification.h"

namespace keel {
namespace {

// A call on a channel of its own, both released by the call's end.
void CallThatReleasesItsChannel(absl::Notification* done) {
  struct Call {
    grpc::GenericStub stub{grpc::CreateChannel("nowhere", nullptr)};
    grpc::ClientContext context;
    grpc::ByteBuffer request, response;
  };
  auto call = std::make_shared<Call>();
  const grpc::Slice slice("nothing");
  call->request = grpc::ByteBuffer(&slice, 1);
  Call* const raw = call.get();
  raw->stub.UnaryCall(&raw->context, "/test/Test", grpc::StubOptions(), &raw->request, &raw->response,
                      [call = std::move(call), done](const grpc::Status&) mutable {
                        call.reset();
                        done->Notify();
                      });
}

// Without KeepGrpc() this ends the process within the first rounds.
TEST(GrpcLifetimeTest, TheLastChannelMayBeReleasedByACallback) {
  KeepGrpc();
  KeepGrpc();
  for (int round = 0; round < 200; ++round) {
    absl::Notification done;
    CallThatReleasesItsChannel(&done);
    done.WaitForNotification();
  }
}

}  // namespace
}  // namespace keel
