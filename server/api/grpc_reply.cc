#include "server/api/grpc_reply.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace keel::server {
namespace {

struct Block {
  std::string bytes;
  std::shared_ptr<ReplyShare> share;
};

void Drop(void* block) { delete static_cast<Block*>(block); }

}  // namespace

grpc::ByteBuffer ToByteBuffer(WireReply reply) {
  WireReply::Bytes bytes = reply.Release();
  std::vector<grpc::Slice> slices;
  slices.reserve(bytes.blocks.size());
  for (std::string& content : bytes.blocks) {
    auto* const block = new Block{.bytes = std::move(content), .share = bytes.share};
    slices.emplace_back(block->bytes.data(), block->bytes.size(), &Drop, block);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace keel::server
