#include "server/api/grpc_services.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <climits>
#include <memory>

#include "server/api/admission.h"
#include "server/api/api_base.h"
#include "server/api/grpc_cluster_service.h"
#include "server/api/grpc_election_service.h"
#include "server/api/grpc_kv_service.h"
#include "server/api/grpc_lease_service.h"
#include "server/api/grpc_lock_service.h"
#include "server/api/grpc_maintenance_service.h"
#include "server/api/grpc_watch_service.h"
#include "server/api/stream_monitor.h"
#include "server/api/worker_pool.h"
#include "server/lock/ownership_queue.h"

namespace keel::server {
namespace {

constexpr size_t kReceiveOverhead = 512u << 10;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 1, INT_MAX));
}

class GrpcServicesImpl final : public GrpcServices {
 public:
  GrpcServicesImpl(const Member* member, const Options& options)
      : options_(options),
        admission_(member, options.election_timeout),
        readers_(std::max(1, options.read_threads)),
        senders_(1),
        snapshots_(1),
        replies_(std::make_shared<ReplyBudget>(options.replies)),
        monitor_(member, options.election_timeout,
                 [this, member] {
                   admission_.Refresh();
                   replies_->Expire(member->clock->Now());
                 }),
        queue_(OwnershipQueue::Create(member)),
        base_{.member = member,
              .admission = &admission_,
              .monitor = &monitor_,
              .readers = &readers_,
              .snapshots = &snapshots_,
              .replies = replies_.get()},
        kv_(&base_),
        watch_(&base_, &senders_),
        lease_(&base_),
        cluster_(&base_),
        keel_cluster_(&base_),
        maintenance_(&base_),
        lock_(&base_, queue_.get()),
        election_(&base_, queue_.get()) {}

  ~GrpcServicesImpl() override { Stop(); }

  void Register(grpc::ServerBuilder* builder) override {
    // Process-wide, and read by the builder when it builds.
    grpc::EnableDefaultHealthCheckService(true);

    builder->SetMaxReceiveMessageSize(
        static_cast<int>(std::min<size_t>(options_.request_bytes_max + kReceiveOverhead, INT_MAX)));
    builder->SetMaxSendMessageSize(-1);
    // What is compressed is refused: a message within the limit may be a thousand times as long when it is unpacked.
    builder->AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
    if (options_.concurrent_streams_max <= INT_MAX) {
      builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options_.concurrent_streams_max));
    }
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options_.keepalive_interval));
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options_.keepalive_timeout));
    builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
    builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                                Milliseconds(options_.keepalive_min_time));

    for (grpc::Service* service : std::initializer_list<grpc::Service*>{
             &kv_, &watch_, &lease_, &cluster_, &keel_cluster_, &maintenance_, &lock_, &election_}) {
      builder->RegisterService(service);
    }
    admission_.Refresh();
    monitor_.Start();
  }

  void Stop() override {
    admission_.Stop();
    queue_->Stop();
    replies_->Stop();
    monitor_.Stop();
  }

  ReplyBudget::Stats reply_stats() const override { return replies_->stats(); }

 private:
  const Options options_;
  Admission admission_;
  WorkerPool readers_;
  WorkerPool senders_;  // One thread: a wake-up for each batch of streams that the hub calls, not for each stream.
  WorkerPool snapshots_;
  const std::shared_ptr<ReplyBudget> replies_;  // Outlived by what gRPC has not sent yet.
  StreamMonitor monitor_;
  const std::shared_ptr<OwnershipQueue> queue_;
  const ApiBase base_;

  GrpcKvService kv_;
  GrpcWatchService watch_;
  GrpcLeaseService lease_;
  GrpcClusterService cluster_;
  GrpcKeelClusterService keel_cluster_;
  GrpcMaintenanceService maintenance_;
  GrpcLockService lock_;
  GrpcElectionService election_;
};

}  // namespace

std::unique_ptr<GrpcServices> GrpcServices::Create(const Member* member, const Options& options) {
  return std::make_unique<GrpcServicesImpl>(member, options);
}

}  // namespace keel::server
