#include "benchmarks/streams/raw_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::bench {
namespace {

// RFC 9113, section 6.
enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
};
constexpr uint8_t kAck = 1;
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;
constexpr uint8_t kPadded = 8;
constexpr uint16_t kInitialWindowSize = 4;

constexpr size_t kFrameHeaderBytes = 9;
constexpr size_t kMessageHeaderBytes = 5;  // gRPC's: whether it is compressed, and its length.
constexpr size_t kFrameBytesMax = 16384;
constexpr uint32_t kStream = 1;
constexpr uint32_t kWindow = 4u << 20;

std::string BigEndian(uint64_t value, size_t bytes) {
  std::string out(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) out[bytes - 1 - i] = static_cast<char>(value >> (8 * i));
  return out;
}

uint64_t ReadBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame = BigEndian(payload.size(), 3);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  frame += BigEndian(stream, 4);
  frame += payload;
  return frame;
}

// A header field that nobody needs to remember (RFC 7541, section 6.2.2).
std::string Literal(std::string_view name, std::string_view value) {
  std::string field(1, '\0');
  field += static_cast<char>(name.size());
  field += name;
  field += static_cast<char>(value.size());
  field += value;
  return field;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RawStream>> RawStream::Open(std::string_view endpoint, std::string_view method) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  int port = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(ToAbsl(endpoint.substr(colon + 1)), &port) ||
      inet_pton(AF_INET, std::string(endpoint.substr(0, colon)).c_str(), &address.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("no IPv4 address with a port: ", ToAbsl(endpoint)));
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return absl::ErrnoToStatus(errno, "no socket");
  std::unique_ptr<RawStream> connection(new RawStream(socket));
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot connect to ", ToAbsl(endpoint)));
  }
  std::string& output = connection->output_;
  output = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  output += Frame(kSettings, 0, 0, BigEndian(kInitialWindowSize, 2) + BigEndian(kWindow, 4));
  output += Frame(kWindowUpdate, 0, 0, BigEndian(kWindow - 65535, 4));
  output += Frame(kHeaders, kEndHeaders, kStream,
                  Literal(":method", "POST") + Literal(":scheme", "http") + Literal(":path", method) +
                      Literal(":authority", endpoint) + Literal("te", "trailers") +
                      Literal("content-type", "application/grpc"));
  return connection;
}

RawStream::~RawStream() { close(socket_); }

void RawStream::Queue(std::string_view message) {
  requests_ += '\0';
  requests_ += BigEndian(message.size(), 4);
  requests_ += message;
  SendRequests();
}

void RawStream::SendRequests() {
  while (!requests_.empty()) {
    const int64_t room = std::min(
        {stream_window_, connection_window_, static_cast<int64_t>(std::min(kFrameBytesMax, requests_.size()))});
    if (room <= 0) return;
    output_ += Frame(kData, 0, kStream, std::string_view(requests_).substr(0, static_cast<size_t>(room)));
    requests_.erase(0, static_cast<size_t>(room));
    stream_window_ -= room;
    connection_window_ -= room;
  }
}

absl::Status RawStream::Exchange(Receiver receive) {
  if (absl::Status status = Read(receive); !status.ok()) return status;
  return Write();
}

absl::Status RawStream::Read(Receiver receive) {
  const ssize_t got = recv(socket_, input_.data() + kept_, input_.size() - kept_, MSG_DONTWAIT);
  if (got == 0) return absl::UnavailableError("the server closed a stream's connection");
  if (got < 0) {
    return errno == EAGAIN || errno == EINTR ? absl::OkStatus() : absl::ErrnoToStatus(errno, "reading a stream");
  }
  std::string_view rest(input_.data(), kept_ + static_cast<size_t>(got));
  while (rest.size() >= kFrameHeaderBytes) {
    const size_t size = static_cast<size_t>(ReadBigEndian(rest.substr(0, 3)));
    if (size > kFrameBytesMax) return absl::DataLossError("a frame larger than was agreed");
    if (rest.size() < kFrameHeaderBytes + size) break;
    const auto stream = static_cast<uint32_t>(ReadBigEndian(rest.substr(5, 4)) & 0x7fffffff);
    if (absl::Status status = OnFrame(static_cast<uint8_t>(rest[3]), static_cast<uint8_t>(rest[4]), stream,
                                      rest.substr(kFrameHeaderBytes, size), receive);
        !status.ok()) {
      return status;
    }
    rest.remove_prefix(kFrameHeaderBytes + size);
  }
  kept_ = rest.size();
  std::memmove(input_.data(), rest.data(), kept_);
  if (unacknowledged_ >= kWindow / 4) {
    for (uint32_t stream : {0u, kStream}) output_ += Frame(kWindowUpdate, 0, stream, BigEndian(unacknowledged_, 4));
    unacknowledged_ = 0;
  }
  return absl::OkStatus();
}

absl::Status RawStream::Write() {
  if (output_.empty()) return absl::OkStatus();
  const ssize_t sent = send(socket_, output_.data(), output_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    return errno == EAGAIN || errno == EINTR ? absl::OkStatus() : absl::ErrnoToStatus(errno, "writing to a stream");
  }
  output_.erase(0, static_cast<size_t>(sent));
  return absl::OkStatus();
}

absl::Status RawStream::OnFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload,
                                Receiver receive) {
  switch (type) {
    case kData:
      unacknowledged_ += static_cast<uint32_t>(payload.size());
      if ((flags & kPadded) != 0) return absl::UnimplementedError("a padded frame");
      return OnData(payload, receive);
    case kHeaders:
      // What they say matters only when they end the call.
      if ((flags & kEndStream) != 0) return absl::UnavailableError("the server ended a stream");
      return absl::OkStatus();
    case kSettings:
      if ((flags & kAck) != 0) return absl::OkStatus();
      OnSettings(payload);
      output_ += Frame(kSettings, kAck, 0, "");
      break;
    case kPing:
      if ((flags & kAck) == 0) output_ += Frame(kPing, kAck, 0, payload);
      return absl::OkStatus();
    case kWindowUpdate: {
      const auto more = static_cast<int64_t>(ReadBigEndian(payload) & 0x7fffffff);
      (stream == 0 ? connection_window_ : stream_window_) += more;
      break;
    }
    case kResetStream:
    case kGoAway:
      return absl::UnavailableError("the server reset a stream");
    default:
      return absl::OkStatus();
  }
  SendRequests();
  return absl::OkStatus();
}

void RawStream::OnSettings(std::string_view payload) {
  for (; payload.size() >= 6; payload.remove_prefix(6)) {
    if (ReadBigEndian(payload.substr(0, 2)) != kInitialWindowSize) continue;
    const auto size = static_cast<int64_t>(ReadBigEndian(payload.substr(2, 4)));
    stream_window_ += size - initial_window_;
    initial_window_ = size;
  }
}

absl::Status RawStream::OnData(std::string_view data, Receiver receive) {
  // Messages and frames have nothing to do with each other; only what is left of a message is copied.
  std::string_view rest = data;
  if (!messages_.empty()) {
    messages_ += data;
    rest = messages_;
  }
  while (rest.size() >= kMessageHeaderBytes) {
    const size_t size = static_cast<size_t>(ReadBigEndian(rest.substr(1, 4)));
    if (rest.size() < kMessageHeaderBytes + size) break;
    if (rest[0] != 0) return absl::UnimplementedError("a compressed message");
    if (absl::Status status = receive(rest.substr(kMessageHeaderBytes, size)); !status.ok()) return status;
    rest.remove_prefix(kMessageHeaderBytes + size);
  }
  messages_ = std::string(rest);
  return absl::OkStatus();
}

}  // namespace keel::bench
