#include "server/peer/grpc_wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "proto/raft.pb.h"

namespace keel::server {
namespace {

constexpr char kMethod[] = "/test.Service/Stream";

raftpb::PeerAck Reason(const std::string& text) {
  raftpb::PeerAck message;
  message.set_reason(text);
  return message;
}

// Both ends, and a way between them.
class GrpcWireTest : public ::testing::Test {
 protected:
  static std::string OutputOf(GrpcWire& wire) {
    std::string out;
    while (true) {
      std::string piece;
      EXPECT_TRUE(wire.TakeOutput(&piece).ok());
      if (piece.empty()) return out;
      out += piece;
    }
  }

  // Until neither has anything to say; in pieces of at most `piece` bytes.
  void Exchange(size_t piece = SIZE_MAX) {
    while (true) {
      const std::string there = OutputOf(*caller_);
      const std::string back = OutputOf(*callee_);
      if (there.empty() && back.empty()) return;
      Feed(*callee_, there, piece, &at_callee_);
      Feed(*caller_, back, piece, &at_caller_);
    }
  }

  static void Feed(GrpcWire& wire, const std::string& bytes, size_t piece, std::vector<std::string>* messages) {
    for (size_t i = 0; i < bytes.size(); i += std::min(piece, bytes.size() - i)) {
      ASSERT_TRUE(wire.Receive(std::string_view(bytes).substr(i, piece)).ok());
      std::optional<std::string_view> message;
      while (true) {
        ASSERT_TRUE(wire.NextMessage(&message).ok());
        if (!message.has_value()) break;
        raftpb::PeerAck parsed;
        ASSERT_TRUE(parsed.ParseFromArray(message->data(), static_cast<int>(message->size())));
        messages->push_back(parsed.reason());
      }
    }
  }

  static GrpcWire::Options OptionsFor(const std::string& method) {
    return {.method = method, .authority = "127.0.0.1:1", .message_bytes_max = 1 << 20};
  }

  std::unique_ptr<GrpcWire> caller_ = GrpcWire::ForCaller(OptionsFor(kMethod));
  std::unique_ptr<GrpcWire> callee_ = GrpcWire::ForCallee(OptionsFor(kMethod));
  std::vector<std::string> at_caller_, at_callee_;
};

TEST_F(GrpcWireTest, ACallerIsKnownByItsFirstBytes) {
  const std::string out = OutputOf(*caller_);
  EXPECT_EQ(out.substr(0, GrpcWire::FirstBytes().size()), GrpcWire::FirstBytes());
}

TEST_F(GrpcWireTest, MessagesComeWholeAndInOrderHoweverTheBytesAreCut) {
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, SIZE_MAX}) {
    caller_ = GrpcWire::ForCaller(OptionsFor(kMethod));
    callee_ = GrpcWire::ForCallee(OptionsFor(kMethod));
    at_caller_.clear();
    at_callee_.clear();
    const std::vector<std::string> sent = {"", "one", std::string(100'000, 'x'), "two"};
    for (const std::string& text : sent) caller_->Send(Reason(text));
    Exchange(piece);
    callee_->Send(Reason("back"));
    caller_->Send(Reason("three"));
    Exchange(piece);
    std::vector<std::string> expected = sent;
    expected.push_back("three");
    EXPECT_EQ(at_callee_, expected) << piece;
    EXPECT_EQ(at_caller_, std::vector<std::string>{"back"}) << piece;
    EXPECT_TRUE(caller_->drained());
    EXPECT_TRUE(callee_->drained());
    EXPECT_FALSE(caller_->end().has_value());
  }
}

// Before the settings of the other side are there, a window has 64 KiB; afterwards it is renewed as it is used.
TEST_F(GrpcWireTest, MoreThanAWindowPasses) {
  const std::string large(1'000'000, 'y');
  for (int i = 0; i < 8; ++i) caller_->Send(Reason(large));
  EXPECT_LT(OutputOf(*caller_).size(), 100'000u);
  EXPECT_FALSE(caller_->drained());
  caller_ = GrpcWire::ForCaller(OptionsFor(kMethod));
  for (int i = 0; i < 8; ++i) caller_->Send(Reason(large));
  Exchange();
  EXPECT_TRUE(caller_->drained());
  EXPECT_EQ(at_callee_, std::vector<std::string>(8, large));
}

TEST_F(GrpcWireTest, TheCalleesStatusArrivesWithItsTextBehindItsMessages) {
  Exchange();
  callee_->Send(Reason("last"));
  callee_->Finish(absl::FailedPreconditionError("100 % \xc3\xa9 \n refused"));
  Exchange();
  EXPECT_EQ(at_caller_, std::vector<std::string>{"last"});
  ASSERT_TRUE(caller_->end().has_value());
  EXPECT_EQ(*caller_->end(), absl::FailedPreconditionError("100 % \xc3\xa9 \n refused"));
  EXPECT_TRUE(callee_->drained());
}

TEST_F(GrpcWireTest, AnotherMethodIsUnimplemented) {
  caller_ = GrpcWire::ForCaller(OptionsFor("/test.Service/Other"));
  caller_->Send(Reason("lost"));
  Exchange();
  ASSERT_TRUE(caller_->end().has_value());
  EXPECT_TRUE(absl::IsUnimplemented(*caller_->end())) << *caller_->end();
  EXPECT_TRUE(absl::IsUnimplemented(*callee_->end())) << *callee_->end();
}

TEST_F(GrpcWireTest, APingIsAnswered) {
  Exchange();
  caller_->Ping();
  EXPECT_TRUE(caller_->awaits_pong());
  Exchange();
  EXPECT_FALSE(caller_->awaits_pong());
}

TEST_F(GrpcWireTest, AMessageThatIsTooLargeIsRefusedByItsLength) {
  caller_->Send(Reason(std::string(2 << 20, 'z')));
  const std::string out = OutputOf(*caller_);
  // The first piece names the length.
  ASSERT_TRUE(callee_->Receive(out.substr(0, 1000)).ok());
  std::optional<std::string_view> message;
  const absl::Status status = callee_->NextMessage(&message);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_FALSE(message.has_value());
}

TEST_F(GrpcWireTest, WhatIsNotHttp2IsAnError) { EXPECT_FALSE(callee_->Receive("GET /metrics HTTP/1.1\r\n\r\n").ok()); }

// Whatever arrives is an error or nothing, never a crash.
TEST_F(GrpcWireTest, DamagedBytesAreHarmless) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  caller_->Send(Reason("hello"));
  caller_->Send(Reason(std::string(3000, 'h')));
  const std::string good = OutputOf(*caller_);
  int errors = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    const int damages = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < damages; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto callee = GrpcWire::ForCallee(OptionsFor(kMethod));
    absl::Status status = callee->Receive(bytes);
    std::optional<std::string_view> message;
    while (status.ok()) {
      status = callee->NextMessage(&message);
      if (!message.has_value()) break;
    }
    if (!status.ok()) ++errors;
    std::string out;
    (void)callee->TakeOutput(&out);
  }
  EXPECT_GT(errors, 0);
}

}  // namespace
}  // namespace keel::server
