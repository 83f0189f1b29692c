#pragma once

// The RPCs that sequences may call, by the word that stands for them in a script.

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

namespace keel::differential {

enum class Shape {
  kUnary,
  kServerStream,  // One request, all answers until the end.
  kWatch,         // A request on one of the sequence's watch streams.
  kKeepAlive,     // A request on the sequence's keep-alive stream; one answer.
  kGone,          // A Range repeated until nothing is found: what a lease's expiry looks like.
  kRaw,           // Bytes that need not be a message, sent to a unary method.
};

struct Method {
  std::string word;
  std::string path;                          // "/etcdserverpb.KV/Put"; of kRaw, that of the method it abuses.
  const google::protobuf::Message* request;  // Prototypes; live for ever.
  const google::protobuf::Message* response;
  Shape shape = Shape::kUnary;
};

// Null: there is no such word. A raw method is called "raw/" and the word of the unary method.
const Method* FindMethod(std::string_view word);

}  // namespace keel::differential
