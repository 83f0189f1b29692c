#include "server/peer/grpc_wire.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

constexpr size_t kPrefixBytes = 5;  // Compressed or not, and the length.
// Messages are taken as they come, so a window is only there to be wide.
constexpr int32_t kWindowBytes = 1 << 30;
// What has been sent and taken is cut off once it is worth it.
constexpr size_t kKeptBytes = 1u << 20;

// Output is taken in pieces, so that a large message is not there twice.
constexpr size_t kOutputBytes = 256u << 10;

// Of the settings that HTTP/2 leaves free; receivers ignore those they do not know (RFC 9113, section 6.5.2).
constexpr int32_t kOwnSetting = 0x4b4c;

nghttp2_nv Field(std::string_view name, std::string_view value) {
  return {const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data())),
          const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

std::string_view Text(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

// As the value of grpc-message: printable ASCII without the percent sign stays.
std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      decoded.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

absl::Status Broken(const char* what, int error) {
  return absl::UnavailableError(absl::StrCat("HTTP/2: ", what, ": ", nghttp2_strerror(error)));
}

}  // namespace

// What nghttp2 calls, on its own terms.
struct GrpcWire::Callbacks {
  static GrpcWire& Of(void* user) { return *static_cast<GrpcWire*>(user); }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    GrpcWire& wire = Of(user);
    if (wire.is_caller_ || frame->hd.stream_id == wire.stream_) return 0;
    if (wire.stream_ < 0) {
      wire.stream_ = frame->hd.stream_id;
      return 0;
    }
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
    GrpcWire& wire = Of(user);
    if (frame->hd.stream_id == wire.stream_) wire.OnHeader(Text(name, name_size), Text(value, value_size));
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size, void* user) {
    GrpcWire& wire = Of(user);
    if (stream == wire.stream_) wire.received_.append(Text(data, size));
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    GrpcWire& wire = Of(user);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) wire.awaits_pong_ = false;
    if (frame->hd.stream_id != wire.stream_ || wire.stream_ < 0) return 0;
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !wire.is_caller_ && !wire.answered_) {
      wire.answered_ = true;
      return wire.Answer(session);
    }
    if (last && wire.is_caller_) {
      wire.OnTrailers();
    } else if (last && !wire.end_.has_value()) {
      wire.end_ = absl::OkStatus();
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t stream, uint32_t error, void* user) {
    GrpcWire& wire = Of(user);
    if (stream == wire.stream_ && !wire.end_.has_value()) {
      wire.end_ = absl::UnavailableError(absl::StrCat("the stream was reset: ", nghttp2_http2_strerror(error)));
    }
    return 0;
  }

  static ssize_t ReadSending(nghttp2_session* session, int32_t stream, uint8_t* out, size_t size, uint32_t* flags,
                             nghttp2_data_source*, void* user) {
    GrpcWire& wire = Of(user);
    const size_t count = std::min(size, wire.sending_.size() - wire.sent_);
    std::memcpy(out, wire.sending_.data() + wire.sent_, count);
    wire.sent_ += count;
    if (wire.sent_ < wire.sending_.size()) return static_cast<ssize_t>(count);
    wire.sending_.clear();
    if (wire.sending_.capacity() > kKeptBytes) wire.sending_.shrink_to_fit();
    wire.sent_ = 0;
    if (!wire.finish_.has_value()) return count == 0 ? ssize_t{NGHTTP2_ERR_DEFERRED} : static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const std::string code = absl::StrCat(static_cast<int>(wire.finish_->code()));
    const std::string message = PercentEncode(ToStd(wire.finish_->message()));
    const nghttp2_nv trailers[] = {Field("grpc-status", code), Field("grpc-message", message)};
    if (nghttp2_submit_trailer(session, stream, trailers, std::size(trailers)) != 0) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    wire.finished_ = true;
    return static_cast<ssize_t>(count);
  }
};

std::unique_ptr<GrpcWire> GrpcWire::ForCaller(const Options& options) {
  std::unique_ptr<GrpcWire> wire(new GrpcWire(options, /*is_caller=*/true));
  const nghttp2_nv request[] = {Field(":method", "POST"),
                                Field(":scheme", "http"),
                                Field(":path", wire->options_.method),
                                Field(":authority", wire->options_.authority),
                                Field("content-type", "application/grpc"),
                                Field("te", "trailers")};
  nghttp2_data_provider sending{};
  sending.read_callback = &Callbacks::ReadSending;
  wire->stream_ = nghttp2_submit_request(wire->session_, nullptr, request, std::size(request), &sending, nullptr);
  KEEL_CHECK(wire->stream_ > 0) << nghttp2_strerror(wire->stream_);
  return wire;
}

std::unique_ptr<GrpcWire> GrpcWire::ForCallee(const Options& options) {
  return std::unique_ptr<GrpcWire>(new GrpcWire(options, /*is_caller=*/false));
}

GrpcWire::GrpcWire(Options options, bool is_caller) : options_(std::move(options)), is_caller_(is_caller) {
  nghttp2_session_callbacks* callbacks = nullptr;
  KEEL_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::OnStreamClose);
  const int made = is_caller ? nghttp2_session_client_new(&session_, callbacks, this)
                             : nghttp2_session_server_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  KEEL_CHECK_EQ(made, 0);
  const nghttp2_settings_entry settings[] = {
      {kOwnSetting, 1},  // First: see FirstBytes().
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(kWindowBytes)},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  // A server has no push to forbid.
  const size_t count = std::size(settings) - (is_caller ? 0 : 1);
  KEEL_CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, count), 0);
  KEEL_CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes), 0);
}

GrpcWire::~GrpcWire() { nghttp2_session_del(session_); }

std::string_view GrpcWire::FirstBytes() {
  // The preface; the header of a SETTINGS frame, whose first three bytes are its length; its first entry.
  static const std::string* const bytes = new std::string(std::string(NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) +
                                                          std::string("\x00\x00\x18\x04\x00\x00\x00\x00\x00", 9) +
                                                          std::string("\x4b\x4c\x00\x00\x00\x01", 6));
  return *bytes;
}

int GrpcWire::Answer(nghttp2_session* session) {
  if (path_ != options_.method) {
    const nghttp2_nv unknown[] = {Field(":status", "200"), Field("content-type", "application/grpc"),
                                  Field("grpc-status", "12"), Field("grpc-message", "unknown method")};
    end_ = absl::UnimplementedError(absl::StrCat("asked for ", path_));
    return nghttp2_submit_response(session, stream_, unknown, std::size(unknown), nullptr);
  }
  const nghttp2_nv response[] = {Field(":status", "200"), Field("content-type", "application/grpc")};
  nghttp2_data_provider sending{};
  sending.read_callback = &Callbacks::ReadSending;
  return nghttp2_submit_response(session, stream_, response, std::size(response), &sending);
}

void GrpcWire::OnHeader(std::string_view name, std::string_view value) {
  if (name == ":path") {
    path_ = value;
  } else if (name == ":status") {
    http_status_ = value;
  } else if (name == "grpc-status") {
    grpc_status_ = value;
  } else if (name == "grpc-message") {
    grpc_message_ = value;
  }
}

void GrpcWire::OnTrailers() {
  int code = 0;
  if (http_status_ != "200") {
    end_ = absl::UnavailableError(absl::StrCat("HTTP status ", http_status_));
  } else if (!absl::SimpleAtoi(ToAbsl(grpc_status_), &code)) {
    end_ = absl::UnavailableError("the stream ended without a gRPC status");
  } else {
    end_ = absl::Status(static_cast<absl::StatusCode>(code), PercentDecode(grpc_message_));
  }
}

absl::Status GrpcWire::Receive(std::string_view bytes) {
  if (taken_ == received_.size()) {
    received_.clear();
    if (received_.capacity() > kKeptBytes) received_.shrink_to_fit();
    taken_ = 0;
  } else if (taken_ >= kKeptBytes) {
    received_.erase(0, taken_);
    taken_ = 0;
  }
  const ssize_t read = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (read < 0) return Broken("what was received", static_cast<int>(read));
  return absl::OkStatus();
}

absl::Status GrpcWire::NextMessage(std::optional<std::string_view>* message) {
  message->reset();
  if (received_.size() - taken_ < kPrefixBytes) return absl::OkStatus();
  const auto* const prefix = reinterpret_cast<const uint8_t*>(received_.data() + taken_);
  const size_t size = size_t{prefix[1]} << 24 | size_t{prefix[2]} << 16 | size_t{prefix[3]} << 8 | prefix[4];
  if (prefix[0] != 0) return absl::UnimplementedError("a compressed message");
  if (size > options_.message_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("received message larger than max (", size, " vs. ", options_.message_bytes_max, ")"));
  }
  if (received_.size() - taken_ - kPrefixBytes < size) return absl::OkStatus();
  *message = std::string_view(received_).substr(taken_ + kPrefixBytes, size);
  taken_ += kPrefixBytes + size;
  return absl::OkStatus();
}

void GrpcWire::Send(const google::protobuf::MessageLite& message) {
  KEEL_CHECK(!finish_.has_value());
  const size_t size = message.ByteSizeLong();
  const size_t begin = sending_.size();
  sending_.resize(begin + kPrefixBytes + size);
  auto* const at = reinterpret_cast<uint8_t*>(sending_.data() + begin);
  at[0] = 0;
  for (int i = 0; i < 4; ++i) at[1 + i] = static_cast<uint8_t>(size >> (8 * (3 - i)));
  message.SerializeWithCachedSizesToArray(at + kPrefixBytes);
  Resume();
}

void GrpcWire::Finish(const absl::Status& status) {
  if (finish_.has_value()) return;
  finish_ = status;
  Resume();
}

// Fails while the stream is not waiting for data, which is well.
void GrpcWire::Resume() { nghttp2_session_resume_data(session_, stream_); }

void GrpcWire::Ping() {
  awaits_pong_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
}

absl::Status GrpcWire::TakeOutput(std::string* out) {
  while (out->size() < kOutputBytes) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return Broken("what is sent", static_cast<int>(size));
    if (size == 0) return absl::OkStatus();
    out->append(Text(bytes, static_cast<size_t>(size)));
  }
  return absl::OkStatus();
}

}  // namespace keel::server
