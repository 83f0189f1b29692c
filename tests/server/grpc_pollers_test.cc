#include "server/grpc_pollers.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace keel::server {
namespace {

// Whether a callback of gRPC's still finds a thread to run on.
bool CallbacksRun() {
  grpc::GenericStub stub(grpc::CreateChannel("nowhere", nullptr));
  grpc::ClientContext context;
  const grpc::Slice slice("x");
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  absl::Notification done;
  stub.UnaryCall(&context, "/test/Test", grpc::StubOptions(), &request, &response, [&](const grpc::Status& status) {
    EXPECT_FALSE(status.ok());
    done.Notify();
  });
  return done.WaitForNotificationWithTimeout(absl::Seconds(30));
}

TEST(GrpcPollersTest, LeavesAThreadForCallbacksAndReleasesTheOthersAtItsEnd) {
  for (int i = 0; i < 3; ++i) {
    const GrpcPollers pollers;
    EXPECT_TRUE(CallbacksRun());
    EXPECT_TRUE(CallbacksRun());
  }
  EXPECT_TRUE(CallbacksRun());
}

}  // namespace
}  // namespace keel::server
