#pragma once

// JSON to protobuf's wire format and back, by the rules of the v3 gateway (rpc.md section 5.2).

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/type_resolver.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keel::server {

// Objects and arrays within each other, at most. A transaction inside a transaction takes three, and an answer is never
// nested deeper than its request, so whatever was let in can also be written out.
inline constexpr int kJsonDepthMax = 64;

// The mapping itself is protobuf's; what stands here is what it would let pass: text that is not JSON (it accepts
// single quotes and bare words), broken UTF-8, objects where lists are due, and enum names that do not exist.
//
// Thread-safe.
class JsonCodec {
 public:
  JsonCodec();

  // Takes the first JSON object off the front of `text` and returns it as a `type` on the wire. Nothing when only white
  // space is left. What follows the object is not looked at.
  //   kInvalidArgument  not JSON, nested too deeply, or no value of that type; says where
  absl::StatusOr<std::optional<std::string>> Next(const google::protobuf::Descriptor& type,
                                                  std::string_view* text) const;

  // Fields under their proto names in the order of their numbers, without those that have their default.
  absl::StatusOr<std::string> ToJson(const google::protobuf::Descriptor& type, const std::string& wire) const;

 private:
  const std::unique_ptr<google::protobuf::util::TypeResolver> resolver_;
};

}  // namespace keel::server
