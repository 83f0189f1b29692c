// Requests that pretend to be small.

#include <grpcpp/create_channel.h>

#include "proto/etcdserver_kv.grpc.pb.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

// A request of a kilobyte would be a megabyte when it is unpacked.
TEST_F(Contract, NobodyUnpacksCompressedRequests) {
  const auto stub =
      etcdserverpb::KV::NewStub(grpc::CreateChannel(server().endpoint(), grpc::InsecureChannelCredentials()));
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    etcdserverpb::PutRequest put;
    put.set_key("a");
    put.set_value(std::string(1u << 20, '\0'));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_compression_algorithm(algorithm);
    etcdserverpb::PutResponse response;
    EXPECT_EQ(stub->Put(&context, put, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  Put("a");
}

}  // namespace
}  // namespace keel::contract
