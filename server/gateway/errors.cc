#include "server/gateway/errors.h"

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <nlohmann/json.hpp>

namespace keel::server {
namespace {

// In the order they are written.
using Json = nlohmann::ordered_json;

// A status text may hold bytes of a client's key; what is not UTF-8 is replaced.
std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string TextOf(const absl::Status& status) { return {status.message().data(), status.message().size()}; }

HttpResponse Response(const absl::Status& status, std::string body) {
  HttpResponse response{.status = HttpStatusOf(status.code()),
                        .headers = {{"Content-Type", "application/json"}},
                        .body = std::move(body)};
  if (status.code() == absl::StatusCode::kUnauthenticated) {
    std::string challenge = TextOf(status);
    std::replace_if(
        challenge.begin(), challenge.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    response.headers.emplace_back("WWW-Authenticate", std::move(challenge));
  }
  return response;
}

}  // namespace

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    default:  // Unknown, Internal, DataLoss.
      return 500;
  }
}

HttpResponse ErrorResponse(const absl::Status& status) {
  const Json body = {{"error", TextOf(status)},
                     {"code", static_cast<int>(status.code())},
                     {"message", TextOf(status)},
                     {"details", Json::array()}};
  return Response(status, Dump(body));
}

std::string StreamErrorLine(const absl::Status& status) {
  const int code = static_cast<int>(status.code());
  const int http = HttpStatusOf(status.code());
  const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(http));
  const Json body = {{"error",
                      {{"grpc_code", code},
                       {"http_code", http},
                       {"message", TextOf(status)},
                       {"http_status", std::string(reason.data(), reason.size())},
                       {"code", code},
                       {"details", Json::array()}}}};
  return Dump(body) + "\n";
}

HttpResponse StreamErrorResponse(const absl::Status& status) { return Response(status, StreamErrorLine(status)); }

}  // namespace keel::server
