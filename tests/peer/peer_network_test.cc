#include "server/peer/peer_network.h"

#include <arpa/inet.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "proto/raft.grpc.pb.h"
#include "raft/wire.h"
#include "server/peer/peer_probe.h"
#include "tests/peer/peer_fixture.h"

namespace keel::server {
namespace {

raft::Message HeartbeatTo(raft::MemberId from, raft::MemberId to, uint64_t round) {
  return {.from = from,
          .to = to,
          .term = raft::Term(3),
          .body = raft::Heartbeat{.commit = {raft::Term(1), raft::Index(1)}, .read_round = round}};
}

uint64_t RoundOf(const raft::Message& message) { return std::get<raft::Heartbeat>(message.body).read_round; }

TEST_F(PeerNetworkTest, ThreeMembersHearEachOther) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  auto c = StartMember(3);
  for (auto* m : {a.get(), b.get(), c.get()}) ASSERT_TRUE(AwaitConnected(*m->network, 2));

  a->network->Send({HeartbeatTo(a_, b_, 1), HeartbeatTo(a_, c_, 2)});
  b->network->Send({HeartbeatTo(b_, c_, 3)});
  c->network->Send({HeartbeatTo(c_, a_, 4)});

  const auto at_a = a->node.AwaitMessages(1);
  ASSERT_EQ(at_a.size(), 1u);
  EXPECT_EQ(at_a[0].from, c_);
  EXPECT_EQ(at_a[0].term, raft::Term(3));
  EXPECT_EQ(RoundOf(at_a[0]), 4u);
  EXPECT_EQ(b->node.AwaitMessages(1).size(), 1u);
  auto at_c = c->node.AwaitMessages(2);
  ASSERT_EQ(at_c.size(), 2u);
  EXPECT_EQ(RoundOf(at_c[0]) + RoundOf(at_c[1]), 5u);
}

TEST_F(PeerNetworkTest, MessagesToOnePeerKeepTheirOrderAndTheirBytes) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  constexpr int kMessages = 2000;
  const std::string payload(5000, 'p');
  for (int i = 1; i <= kMessages; ++i) {
    raft::AppendRequest append{.prev = {raft::Term(2), raft::Index(i - 1)},
                               .entries = {{.id = {raft::Term(2), raft::Index(i)},
                                            .type = raft::EntryType::kCommand,
                                            .payload = raft::Payload(payload)}},
                               .commit = raft::Index(i - 1),
                               .read_round = static_cast<uint64_t>(i)};
    a->network->Send({{.from = a_, .to = b_, .term = raft::Term(2), .body = std::move(append)}});
  }
  const auto received = b->node.AwaitMessages(kMessages);
  ASSERT_EQ(received.size(), static_cast<size_t>(kMessages));
  for (int i = 1; i <= kMessages; ++i) {
    const auto& append = std::get<raft::AppendRequest>(received[i - 1].body);
    ASSERT_EQ(append.read_round, static_cast<uint64_t>(i));
    ASSERT_EQ(append.entries.size(), 1u);
    ASSERT_EQ(append.entries[0].payload.view(), payload);
  }
  const auto counters = a->network->counters();
  ASSERT_EQ(counters.size(), 2u);
  EXPECT_EQ(counters[0].peer, b_);
  EXPECT_TRUE(counters[0].connected);
  EXPECT_EQ(counters[0].sent_failures, 0u);
  EXPECT_GT(b->network->counters()[0].received_bytes, kMessages * payload.size());
}

TEST_F(PeerNetworkTest, AMemberThatComesLateIsReached) {
  auto a = StartMember(1);
  EXPECT_EQ(a->network->connected(), 0);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  a->network->Send({HeartbeatTo(a_, b_, 7)});
  EXPECT_EQ(b->node.AwaitMessages(1).size(), 1u);
}

TEST_F(PeerNetworkTest, ABrokenStreamIsReportedOnceAndComesBack) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  auto c = StartMember(3);
  ASSERT_TRUE(AwaitConnected(*a->network, 2));
  const size_t before = a->node.AwaitUnreachable(0).size();

  b->network->Stop();
  const auto unreachable = a->node.AwaitUnreachable(before + 1);
  ASSERT_EQ(unreachable.size(), before + 1);
  EXPECT_EQ(unreachable.back(), b_);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  for (int i = 0; i < 50; ++i) a->network->Send({HeartbeatTo(a_, b_, i)});  // To nobody: dropped.

  b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 2));
  EXPECT_EQ(a->node.AwaitUnreachable(0).size(), before + 1);
  a->network->Send({HeartbeatTo(a_, b_, 1000)});
  auto received = b->node.AwaitMessages(1);
  ASSERT_FALSE(received.empty());
  // The last of the others may have been sent while the new stream was being opened.
  if (RoundOf(received.back()) != 1000u) received = b->node.AwaitMessages(received.size() + 1);
  EXPECT_EQ(RoundOf(received.back()), 1000u);
}

// A leader is often heard before this member's next attempt to reach it is due.
TEST_F(PeerNetworkTest, APeerThatCallsIsDialledAtOnce) {
  PeerNetworkOptions options = OptionsFor(a_);
  options.redial_min = options.redial_max = absl::Hours(1);
  auto a = StartMember(options);
  // Drops mean that the first attempt has failed; the next is far away.
  ASSERT_TRUE(AwaitTrue([&] {
    a->network->Send({HeartbeatTo(a_, b_, 1)});
    return a->network->counters()[0].sent_failures > 0;
  }));
  EXPECT_FALSE(a->network->Reaches(b_));
  auto b = StartMember(2);
  EXPECT_EQ(a->node.AwaitReachable(1), std::vector<raft::MemberId>{b_});
  EXPECT_TRUE(a->network->Reaches(b_));
  EXPECT_FALSE(a->network->Reaches(c_));
}

TEST_F(PeerNetworkTest, QueueIsBoundedInMessagesAndBytesAndKeepsTheOldest) {
  // Nobody listens at b's address, but the first attempt takes until its end: what is sent meanwhile queues.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(urls_[b_].port);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);  // Accepts, and never says a word of HTTP/2.

  auto options = OptionsFor(a_);
  options.queue_messages_max = 10;
  auto a = StartMember(options);
  for (int i = 0; i < 25; ++i) a->network->Send({HeartbeatTo(a_, b_, i)});
  EXPECT_EQ(a->network->counters()[0].sent_failures, 15u);
  const auto unreachable = a->node.AwaitUnreachable(1);
  EXPECT_EQ(std::count(unreachable.begin(), unreachable.end(), b_), 1);
  close(listener);
  a->network->Stop();

  auto small = OptionsFor(a_);
  small.queue_bytes_max = 1;
  small.listen = {FreeUrl()};
  auto a2 = StartMember(small);
  a2->network->Send({HeartbeatTo(a_, b_, 1)});
  EXPECT_EQ(a2->network->counters()[0].sent_failures, 1u);
}

TEST_F(PeerNetworkTest, AMessageAboveTheReceiversLimitIsNotSent) {
  auto options = OptionsFor(a_);
  options.message_bytes_max = 1u << 20;
  auto a = StartMember(options);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  raft::ForwardProposal huge{.payloads = {raft::Payload(std::string(2u << 20, 'x'))}};
  a->network->Send({{.from = a_, .to = b_, .term = raft::Term(1), .body = std::move(huge)}, HeartbeatTo(a_, b_, 5)});
  const auto received = b->node.AwaitMessages(1);
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(RoundOf(received[0]), 5u);
  EXPECT_EQ(a->network->counters()[0].sent_failures, 1u);
}

TEST_F(PeerNetworkTest, UnixSocketsWork) {
  TempDir dir;
  for (auto& [id, url] : urls_) {
    url = {.scheme = Url::Scheme::kUnix, .host = "", .port = 0, .path = absl::StrCat(dir.path(), "/", id.value())};
  }
  auto a = StartMember(1);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  a->network->Send({HeartbeatTo(a_, b_, 1)});
  EXPECT_EQ(b->node.AwaitMessages(1).size(), 1u);
}

TEST_F(PeerNetworkTest, TheSecondUrlOfAPeerIsTriedToo) {
  auto options = OptionsFor(a_);
  options.peers = {{.id = b_, .urls = {FreeUrl(), urls_[b_]}}};
  auto a = StartMember(options);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
}

TEST_F(PeerNetworkTest, AnAddressInUseIsSaidSo) {
  auto a = StartMember(1);
  const auto second = PeerNetwork::Start(OptionsFor(a_), nullptr);
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_EQ(second.status().message(),
            absl::StrCat("listen tcp ", urls_[a_].Target(), ": bind: address already in use"));
}

TEST_F(PeerNetworkTest, AnAddressOfAnotherMachineIsSaidSo) {
  auto options = OptionsFor(a_);
  options.listen = {*ParseUrl("http://192.0.2.1:2380")};  // TEST-NET-1: nobody's.
  const auto network = PeerNetwork::Start(options, nullptr);
  ASSERT_FALSE(network.ok());
  EXPECT_EQ(network.status().message(), "listen tcp 192.0.2.1:2380: bind: cannot assign requested address");
}

TEST_F(PeerNetworkTest, TlsUrlsAreRefusedInsteadOfSpokenPlain) {
  auto options = OptionsFor(a_);
  options.peers[0].urls = {*ParseUrl("https://127.0.0.1:1")};
  EXPECT_TRUE(absl::IsInvalidArgument(PeerNetwork::Start(options, nullptr).status()));
}

TEST_F(PeerNetworkTest, StopIsQuickEvenWithPeersThatAreNotThere) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  const absl::Time begin = absl::Now();
  a->network->Stop();
  a->network->Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  a->network->Send({HeartbeatTo(a_, b_, 1)});  // Harmless.
}

// --- Strangers, by hand.

class StrangerTest : public PeerNetworkTest {
 protected:
  StrangerTest() {
    member_ = StartMember(1);
    stub_ = raftpb::RaftTransport::NewStub(grpc::CreateChannel(urls_[a_].Target(), grpc::InsecureChannelCredentials()));
  }

  static raftpb::PeerHello Hello() {
    raftpb::PeerHello hello;
    hello.set_cluster_id(kCluster);
    hello.set_from(2);
    hello.set_to(1);
    hello.set_format(kPeerFormat);
    return hello;
  }

  // How the member ends a stream that begins so.
  grpc::Status Greet(const raftpb::PeerHello& hello) {
    grpc::ClientContext context;
    auto stream = stub_->Stream(&context);
    raftpb::PeerFrame frame;
    *frame.mutable_hello() = hello;
    raft::EncodeMessage(HeartbeatTo(b_, a_, 1), frame.add_messages());
    stream->Write(frame);
    raftpb::PeerAck ack;
    if (stream->Read(&ack) && ack.refusal() == raftpb::PeerAck::NONE) context.TryCancel();  // Accepted.
    return stream->Finish();
  }

  std::unique_ptr<TestMember> member_;
  std::unique_ptr<raftpb::RaftTransport::Stub> stub_;
};

TEST_F(StrangerTest, StrangersAreRefusedWithBothIdsAndDeliverNothing) {
  const struct {
    const char* name;
    std::function<void(raftpb::PeerHello*)> change;
    const char* text;
  } kCases[] = {
      {"cluster", [](auto* h) { h->set_cluster_id(0xbad); },
       "cluster ID mismatch: caller is of cluster bad, this member of c1"},
      {"to", [](auto* h) { h->set_to(3); }, "member ID mismatch: caller dialled member 3, this is member 1"},
      {"from", [](auto* h) { h->set_from(0x77); }, "member 77 is not a peer that member 1 of cluster c1 knows"},
      {"from itself", [](auto* h) { h->set_from(1); }, "member 1 is not a peer that member 1 of cluster c1 knows"},
      {"format", [](auto* h) { h->set_format(3); }, "peer protocol format mismatch: caller speaks 3, this member 2"},
      {"no hello", [](auto* h) { h->Clear(); }, "peer protocol format mismatch: caller speaks 0, this member 2"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    raftpb::PeerHello hello = Hello();
    c.change(&hello);
    const grpc::Status status = Greet(hello);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(status.error_message(), c.text);
  }
  EXPECT_TRUE(member_->node.AwaitMessages(0).empty());
  EXPECT_EQ(Greet(Hello()).error_code(), grpc::StatusCode::CANCELLED);  // The right one passes.
}

TEST_F(StrangerTest, MalformedAndForeignMessagesAreCountedAndTheRestPasses) {
  grpc::ClientContext context;
  auto stream = stub_->Stream(&context);
  raftpb::PeerFrame frame;
  *frame.mutable_hello() = Hello();
  frame.add_messages();                                               // No body, no sender.
  raft::EncodeMessage(HeartbeatTo(c_, a_, 1), frame.add_messages());  // Another member's.
  raft::EncodeMessage(HeartbeatTo(b_, c_, 2), frame.add_messages());  // Another's to get.
  frame.add_messages()->mutable_append_request()->add_entries();      // An entry of no type.
  raft::EncodeMessage(HeartbeatTo(b_, a_, 3), frame.add_messages());
  ASSERT_TRUE(stream->Write(frame));
  const auto received = member_->node.AwaitMessages(1);
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(RoundOf(received[0]), 3u);
  EXPECT_EQ(member_->network->refused_messages(), 4u);
  context.TryCancel();
  stream->Finish();
}

TEST_F(StrangerTest, AStrangerCannotInstallASnapshot) {
  grpc::ClientContext context;
  raftpb::SnapshotReceipt receipt;
  auto stream = stub_->InstallSnapshot(&context, &receipt);
  raftpb::SnapshotChunk chunk;
  *chunk.mutable_hello() = Hello();
  chunk.mutable_hello()->set_cluster_id(9);
  chunk.set_last(true);
  stream->Write(chunk);
  stream->WritesDone();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(member_->node.AwaitOffers(0).empty());
}

// --- Lease forwarding.

storage::MemberRecord RecordOf(raft::MemberId id, const Url& url) {
  return {.id = id.value(), .name = "", .peer_urls = {url.ToString()}};
}

TEST_F(PeerNetworkTest, MembersComeAndGoWhileItRuns) {
  auto options = OptionsFor(a_);
  options.peers.clear();
  auto a = StartMember(options);
  auto b = StartMember(2);
  EXPECT_EQ(a->network->connected_since(b_), absl::InfiniteFuture());
  a->network->Send({HeartbeatTo(a_, b_, 1)});  // To nobody, yet.

  a->network->SetBook(
      {.applied = 5, .membership_index = 5, .members = {RecordOf(a_, urls_[a_]), RecordOf(b_, urls_[b_])}});
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  EXPECT_LE(a->network->connected_since(b_), Clock::Real().Now());
  a->network->Send({HeartbeatTo(a_, b_, 2)});
  EXPECT_EQ(RoundOf(b->node.AwaitMessages(1)[0]), 2u);

  // By an entry that is not applied, whatever an older book says.
  auto c = StartMember(3);
  a->network->Expect({.id = c_, .urls = {urls_[c_]}}, 9);
  ASSERT_TRUE(AwaitConnected(*a->network, 2));
  a->network->SetBook({.applied = 8, .membership_index = 5, .members = {RecordOf(b_, urls_[b_])}});
  EXPECT_EQ(a->network->connected(), 2);
  a->network->SetBook({.applied = 9, .membership_index = 9, .members = {RecordOf(c_, urls_[c_])}, .removed = {2}});
  EXPECT_EQ(a->network->connected(), 1);
  EXPECT_EQ(a->network->connected_since(b_), absl::InfiniteFuture());
  const auto counters = a->network->counters();
  ASSERT_EQ(counters.size(), 1u);
  EXPECT_EQ(counters[0].peer, c_);
}

TEST_F(PeerNetworkTest, ANewAddressIsDialled) {
  auto options = OptionsFor(a_);
  const Url old = urls_[b_];
  auto a = StartMember(options);
  urls_[b_] = FreeUrl();
  auto b = StartMember(2);
  EXPECT_EQ(a->network->connected(), 0);
  a->network->SetBook({.applied = 5, .membership_index = 5, .members = {RecordOf(b_, urls_[b_])}});
  EXPECT_TRUE(AwaitConnected(*a->network, 1));
}

// What the peers have answered to a member that is not welcome.
class Refusals {
 public:
  void Listen(PeerNetwork* network) {
    network->SetRefusalListener([this](raftpb::PeerAck::Refusal refusal, const std::string&) {
      absl::MutexLock lock(&mu_);
      last_ = refusal;
    });
  }
  bool Await(raftpb::PeerAck::Refusal refusal) {
    absl::MutexLock lock(&mu_);
    auto is_it = [this, refusal] { return last_ == refusal; };
    return mu_.AwaitWithTimeout(absl::Condition(&is_it), kGenerous);
  }

 private:
  absl::Mutex mu_;
  raftpb::PeerAck::Refusal last_ ABSL_GUARDED_BY(mu_) = raftpb::PeerAck::NONE;
};

TEST_F(PeerNetworkTest, ARemovedMemberIsToldSoOnItsOpenStreamAndOnEveryNewOne) {
  Refusals at_b;
  auto a = StartMember(1);
  auto b = StartMember(2);
  at_b.Listen(b->network.get());
  ASSERT_TRUE(AwaitConnected(*b->network, 1));
  b->network->Send({HeartbeatTo(b_, a_, 1)});
  ASSERT_EQ(a->node.AwaitMessages(1).size(), 1u);
  a->network->SetBook({.applied = 5, .membership_index = 5, .members = {}, .removed = {2}});
  b->network->Send({HeartbeatTo(b_, a_, 2)});
  EXPECT_TRUE(at_b.Await(raftpb::PeerAck::REMOVED));
  b->network->Stop();
  EXPECT_EQ(a->node.AwaitMessages(1).size(), 1u) << "the second one was delivered";

  Refusals again;
  auto b_again = StartMember(2);
  again.Listen(b_again->network.get());
  EXPECT_TRUE(again.Await(raftpb::PeerAck::REMOVED));
  EXPECT_GE(a->network->refused_callers(), 2u);
}

TEST_F(PeerNetworkTest, AMemberOnALostDirectoryIsToldSo) {
  auto options = OptionsFor(b_);
  options.directory = {.id = 0xd1, .starts = 1};
  options.process = 1;
  auto a = StartMember(1);
  auto b = StartMember(options);
  ASSERT_TRUE(AwaitConnected(*b->network, 1));
  b->network->Stop();
  options.directory = {.id = 0xd2, .starts = 1};
  options.process = 2;
  Refusals refusals;
  b = StartMember(options);
  refusals.Listen(b->network.get());
  EXPECT_TRUE(refusals.Await(raftpb::PeerAck::FORGETFUL));
}

TEST_F(PeerNetworkTest, AnUnknownLeaderOfALaterMembershipIsHeardAndAnswered) {
  auto options = OptionsFor(a_);
  options.peers.clear();
  auto a = StartMember(options);
  a->network->SetBook({.applied = 5, .membership_index = 5, .members = {}});
  auto of_b = OptionsFor(b_);
  of_b.peer_urls = {urls_[b_].ToString()};
  auto b = StartMember(of_b);
  b->network->SetBook({.applied = 9, .membership_index = 9, .members = {RecordOf(a_, urls_[a_])}});
  ASSERT_TRUE(AwaitConnected(*b->network, 1));
  b->network->Send({HeartbeatTo(b_, a_, 1)});
  ASSERT_EQ(a->node.AwaitMessages(1).size(), 1u);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
}

TEST_F(PeerNetworkTest, AnEndedProcessIsToldFromASilentOne) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  EXPECT_EQ(ProbePeer({urls_[b_]}, absl::Seconds(1)), Liveness::kAlive);
  b->network->Stop();
  const auto died = a->node.AwaitDied(1);
  ASSERT_EQ(died.size(), 1u);
  EXPECT_EQ(died[0], b_);
  EXPECT_EQ(ProbePeer({urls_[b_]}, absl::Seconds(1)), Liveness::kEnded);
  EXPECT_EQ(ProbePeer({}, absl::Seconds(1)), Liveness::kUnknown);
  // Somebody who takes the connection and says nothing lives.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(urls_[b_].port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  EXPECT_EQ(ProbePeer({urls_[b_]}, absl::Milliseconds(50)), Liveness::kAlive);
  close(listener);
}

TEST_F(PeerNetworkTest, LeasesAreForwardedToTheLeader) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  const absl::Time deadline = Clock::Real().Now() + absl::Seconds(10);
  absl::Notification renewed;
  a->network->Renew(b_, {storage::LeaseId(3), storage::LeaseId(50), storage::LeaseId(1)}, deadline,
                    [&](absl::StatusOr<std::vector<int64_t>> ttls) {
                      EXPECT_TRUE(ttls.ok()) << ttls.status();
                      EXPECT_EQ(ttls.value_or(std::vector<int64_t>()), (std::vector<int64_t>{30, 0, 10}));
                      renewed.Notify();
                    });
  renewed.WaitForNotification();
  EXPECT_LT(absl::AbsDuration(b->leases.last_deadline - deadline), absl::Seconds(1));

  absl::Notification told;
  a->network->TimeToLive(b_, storage::LeaseId(4), deadline, [&](absl::StatusOr<LeaseTimeToLive> ttl) {
    EXPECT_TRUE(ttl.ok()) << ttl.status();
    const LeaseTimeToLive answer = ttl.value_or(LeaseTimeToLive{});
    EXPECT_EQ(answer.ttl, 39);
    EXPECT_EQ(answer.granted_ttl, 40);
    told.Notify();
  });
  told.WaitForNotification();

  b->leases.leads = false;
  absl::Notification refused;
  a->network->Renew(b_, {storage::LeaseId(3)}, deadline, [&](absl::StatusOr<std::vector<int64_t>> ttls) {
    EXPECT_EQ(ttls.status(), absl::UnavailableError("etcdserver: not leader"));
    refused.Notify();
  });
  refused.WaitForNotification();
}

TEST_F(PeerNetworkTest, AForwardToNobodyOrToADeadMemberIsUnavailable) {
  auto a = StartMember(1);
  const absl::Time deadline = Clock::Real().Now() + absl::Seconds(10);
  for (uint64_t leader : {0, 2}) {
    absl::Notification done;
    a->network->Renew(raft::MemberId(leader), {storage::LeaseId(3)}, deadline,
                      [&](absl::StatusOr<std::vector<int64_t>> ttls) {
                        EXPECT_TRUE(absl::IsUnavailable(ttls.status())) << ttls.status();
                        done.Notify();
                      });
    done.WaitForNotification();
  }
}

TEST_F(PeerNetworkTest, StopEndsForwardsThatAreNeverAnswered) {
  auto a = StartMember(1);
  auto b = StartMember(2);
  ASSERT_TRUE(AwaitConnected(*a->network, 1));
  absl::Notification done;
  a->network->Renew(b_, {storage::LeaseId(99)}, Clock::Real().Now() + absl::Seconds(60),
                    [&](absl::StatusOr<std::vector<int64_t>> ttls) {
                      EXPECT_FALSE(ttls.ok());
                      done.Notify();
                    });
  const absl::Time begin = absl::Now();
  b->network->Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  done.WaitForNotification();
}

}  // namespace
}  // namespace keel::server
