#include "server/gateway/gateway.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/gateway/call_headers.h"
#include "server/gateway/errors.h"
#include "server/gateway/gateway_call.h"
#include "server/gateway/routes.h"
#include "server/gateway/stream_call.h"
#include "server/gateway/unary_call.h"

namespace keel::server {
namespace {

using Done = absl::AnyInvocable<void(HttpResponse)>;

class GatewayImpl final : public Gateway {
 public:
  explicit GatewayImpl(Options options) : parts_(options.json_threads) {
    parts_.stub = std::make_unique<grpc::GenericStub>(std::move(options.channel));
  }

  ~GatewayImpl() override { Stop(); }

  void Handle(HttpRequest request, Done done) override {
    if (stopped_.load(std::memory_order_acquire)) return done(ErrorResponse(GatewayStopped()));
    const Route* route = routes_.Find(request.path);
    if (route == nullptr) return done(ErrorResponse(absl::NotFoundError("Not Found")));
    if (request.method != "POST") return done(ErrorResponse(absl::UnimplementedError("Method Not Allowed")));
    if (route->descriptor == nullptr) {
      return done(ErrorResponse(absl::UnimplementedError(absl::StrCat("unknown service ", route->service))));
    }
    absl::StatusOr<CallHeaders> headers = ReadCallHeaders(request, absl::Now());
    if (!headers.ok()) return done(ErrorResponse(headers.status()));
    if (route->streams()) {
      auto call = std::make_shared<StreamCall>(&parts_, route, std::move(request.body), std::move(request.input),
                                               std::move(done));
      CancelWith(request.caller.get(), call);
      boost::asio::post(parts_.workers, [call, headers = *std::move(headers)] { call->Start(headers); });
    } else {
      auto call = std::make_shared<UnaryCall>(&parts_, route, std::move(done));
      CancelWith(request.caller.get(), call);
      boost::asio::post(parts_.workers, [call, headers = *std::move(headers), body = std::move(request.body)] {
        call->Start(headers, body);
      });
    }
  }

  void Stop() override {
    if (stopped_.exchange(true)) return;
    parts_.open.Stop();
    parts_.workers.join();
    parts_.stub.reset();
  }

 private:
  static void CancelWith(HttpCaller* caller, std::weak_ptr<GatewayCall> weak) {
    if (caller == nullptr) return;
    caller->OnGone([weak = std::move(weak)] {
      if (auto call = weak.lock()) call->Cancel();
    });
  }

  const Routes routes_;
  GatewayParts parts_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

std::unique_ptr<Gateway> Gateway::Create(Options options) { return std::make_unique<GatewayImpl>(std::move(options)); }

}  // namespace keel::server
