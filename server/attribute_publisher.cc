#include "server/attribute_publisher.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/log.h"

namespace keel::server {
namespace {

class AttributePublisherImpl final : public AttributePublisher {
 public:
  AttributePublisherImpl(const Options& options, Proposer* proposer, const Clock* clock,
                         std::function<void()> published, std::function<void(absl::Status)> refused)
      : options_(options),
        proposer_(*proposer),
        clock_(*clock),
        published_(std::move(published)),
        refused_(std::move(refused)),
        thread_([this] { Run(); }) {}

  ~AttributePublisherImpl() override { Stop(); }

  void Stop() override {
    {
      absl::MutexLock lock(&attempt_->mu);
      attempt_->stopping = true;
    }
    absl::MutexLock lock(&join_mu_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  // Shared with the answer, which may come after the end.
  struct Attempt {
    bool Decided() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return stopping || result.has_value(); }

    absl::Mutex mu;
    bool stopping ABSL_GUARDED_BY(mu) = false;
    std::optional<absl::StatusOr<ApplyResult>> result ABSL_GUARDED_BY(mu);
  };

  void Run() {
    while (true) {
      command::Command command;
      *command.mutable_member_attributes() = options_.attributes;
      proposer_.Submit(std::move(command), clock_.Now() + options_.attempt_timeout,
                       [attempt = attempt_](absl::StatusOr<ApplyResult> result) {
                         absl::MutexLock lock(&attempt->mu);
                         attempt->result = std::move(result);
                       });
      absl::StatusOr<ApplyResult> result;
      {
        absl::MutexLock lock(&attempt_->mu);
        attempt_->mu.Await(absl::Condition(attempt_.get(), &Attempt::Decided));
        if (attempt_->stopping) return;
        result = *std::exchange(attempt_->result, std::nullopt);
      }
      if (result.ok()) {
        if (!result->status.ok()) return refused_(result->status);
        return published_();
      }
      KEEL_LOG_WARN("failed to publish local member to cluster through raft", {{"error", result.status()}});
      absl::MutexLock lock(&attempt_->mu);
      if (attempt_->mu.AwaitWithTimeout(absl::Condition(&attempt_->stopping), options_.retry_after)) return;
    }
  }

  const Options options_;
  Proposer& proposer_;
  const Clock& clock_;
  const std::function<void()> published_;
  const std::function<void(absl::Status)> refused_;
  const std::shared_ptr<Attempt> attempt_ = std::make_shared<Attempt>();
  absl::Mutex join_mu_;  // Never held by the thread.
  std::thread thread_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace

std::unique_ptr<AttributePublisher> AttributePublisher::Start(const Options& options, Proposer* proposer,
                                                              const Clock* clock, std::function<void()> published,
                                                              std::function<void(absl::Status)> refused) {
  return std::make_unique<AttributePublisherImpl>(options, proposer, clock, std::move(published), std::move(refused));
}

}  // namespace keel::server
