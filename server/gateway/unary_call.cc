#include "server/gateway/unary_call.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "server/gateway/errors.h"

namespace keel::server {

void UnaryCall::Start(const CallHeaders& headers, std::string_view json) {
  absl::StatusOr<std::optional<std::string>> wire = parts_.codec.Next(*route_.descriptor->input_type(), &json);
  if (!wire.ok()) return done_(ErrorResponse(wire.status()));
  request_ = ToBuffer(wire->value_or(""));  // No body is an empty request.
  if (absl::Status late = SetHeaders(headers, &context_); !late.ok()) return done_(ErrorResponse(late));
  if (!parts_.open.Add(this, weak_from_this())) return done_(ErrorResponse(GatewayStopped()));
  parts_.stub->UnaryCall(&context_, route_.method, grpc::StubOptions(), &request_, &response_,
                         [self = shared_from_this()](const grpc::Status& status) {
                           // Before the call counts as ended: whoever waits for that ends the workers next.
                           boost::asio::post(self->parts_.workers, [self, status] { self->Answer(status); });
                           self->parts_.open.Remove(self.get());
                         });
}

void UnaryCall::Answer(const grpc::Status& status) {
  if (!status.ok()) return done_(ErrorResponse(StatusOf(status)));
  absl::StatusOr<std::string> wire = FromBuffer(response_);
  response_.Clear();
  if (!wire.ok()) return done_(ErrorResponse(wire.status()));
  absl::StatusOr<std::string> json = parts_.codec.ToJson(*route_.descriptor->output_type(), *wire);
  if (!json.ok()) return done_(ErrorResponse(json.status()));
  done_({.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = *std::move(json)});
}

}  // namespace keel::server
