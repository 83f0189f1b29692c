#include "server/gateway/json_codec.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr char kTypePrefix[] = "type.googleapis.com";

std::string TypeUrl(const Descriptor& type) { return absl::StrCat(kTypePrefix, "/", type.full_name()); }

// A position in the text that all its copies share, so that it is known how far the parser has read.
class SharedCursor {
 public:
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  explicit SharedCursor(const char** position) : position_(position) {}
  const char& operator*() const { return **position_; }
  SharedCursor& operator++() {
    ++*position_;
    return *this;
  }
  bool operator==(const SharedCursor& other) const { return *position_ == *other.position_; }
  bool operator!=(const SharedCursor& other) const { return !(*this == other); }

 private:
  const char** position_;
};

// Follows the parser through the text with the message type in hand. Stops it by returning false, with error() set.
class Checker final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Checker(const Descriptor& type) : root_(type) {}

  const std::string& error() const { return error_; }

  bool null() override { return !levels_.empty() || Fail("a JSON object is expected"); }  // A field left out.
  bool boolean(bool) override { return Scalar(); }
  bool number_integer(number_integer_t) override { return Scalar(); }
  bool number_unsigned(number_unsigned_t) override { return Scalar(); }
  bool number_float(number_float_t, const string_t&) override { return Scalar(); }
  bool binary(binary_t&) override { return Scalar(); }
  bool string(string_t& text) override {
    if (!Scalar()) return false;
    const FieldDescriptor* field = levels_.back().field;
    if (field == nullptr || field->type() != FieldDescriptor::TYPE_ENUM) return true;
    if (field->enum_type()->FindValueByName(text) != nullptr) return true;
    return Fail(absl::StrCat("unknown value \"", text, "\" for enum ", field->enum_type()->full_name()));
  }

  bool start_object(size_t) override {
    if (levels_.empty()) return Push({.message = &root_});
    const FieldDescriptor* field = levels_.back().field;
    // What belongs to an unknown field is of no type, and only its form matters.
    if (field == nullptr) return Push({});
    if (IsListDue() || field->message_type() == nullptr) return FailAt(*field, "an object");
    return Push({.message = field->message_type()});
  }
  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.field = nullptr;
    if (level.message == nullptr) return true;
    level.field = level.message->FindFieldByName(name);
    if (level.field == nullptr) level.field = level.message->FindFieldByCamelcaseName(name);
    return true;
  }
  bool end_object() override { return Pop(); }
  bool start_array(size_t) override {
    if (levels_.empty()) return Fail("a JSON object is expected, not an array");
    const FieldDescriptor* field = levels_.back().field;
    if (field != nullptr && !IsListDue()) return FailAt(*field, "an array");
    return Push({.field = field, .is_list = true});
  }
  bool end_array() override { return Pop(); }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    // Ours came first when it was this that stopped the parser. The text is the library's: "[json.exception...] ...".
    if (!error_.empty()) return false;
    absl::string_view what = error.what();
    if (const size_t end = what.find("] "); end != absl::string_view::npos) what.remove_prefix(end + 2);
    return Fail(absl::StrCat("invalid JSON: ", what));
  }

 private:
  struct Level {
    const Descriptor* message = nullptr;     // Of an object; null: of no known type.
    const FieldDescriptor* field = nullptr;  // Whose value comes next.
    bool is_list = false;
  };

  // REQUIRES: a known field's value comes next.
  bool IsListDue() const { return levels_.back().field->is_repeated() && !levels_.back().is_list; }

  bool Scalar() {
    if (levels_.empty()) return Fail("a JSON object is expected");
    const FieldDescriptor* field = levels_.back().field;
    if (field == nullptr || (!IsListDue() && field->message_type() == nullptr)) return true;
    return FailAt(*field, "a single value");
  }
  bool FailAt(const FieldDescriptor& field, absl::string_view got) {
    return Fail(absl::StrCat("(", field.name(), "): ", got, " where ",
                             field.is_repeated() ? "an array" : (field.message_type() ? "an object" : "a single value"),
                             " is due"));
  }
  bool Push(Level level) {
    if (levels_.size() >= kJsonDepthMax) return Fail(absl::StrCat("JSON is nested more than ", kJsonDepthMax, " deep"));
    levels_.push_back(level);
    return true;
  }
  bool Pop() {
    levels_.pop_back();
    return true;
  }
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  const Descriptor& root_;
  std::vector<Level> levels_;
  std::string error_;
};

absl::Status Refused(absl::string_view why) { return absl::InvalidArgumentError(why); }

}  // namespace

JsonCodec::JsonCodec()
    : resolver_(google::protobuf::util::NewTypeResolverForDescriptorPool(
          kTypePrefix, google::protobuf::DescriptorPool::generated_pool())) {}

absl::StatusOr<std::optional<std::string>> JsonCodec::Next(const Descriptor& type, std::string_view* text) const {
  *text = ToStd(absl::StripLeadingAsciiWhitespace(ToAbsl(*text)));
  if (text->empty()) return std::nullopt;

  Checker checker(type);
  const char* position = text->data();
  const char* const end = text->data() + text->size();
  const char* end_position = end;
  const bool valid = nlohmann::json::sax_parse(SharedCursor(&position), SharedCursor(&end_position), &checker,
                                               nlohmann::json::input_format_t::json, /*strict=*/false);
  if (!valid) return Refused(checker.error());
  const size_t length = static_cast<size_t>(position - text->data());
  const std::string_view object = text->substr(0, length);

  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  std::string wire;
  const auto status = google::protobuf::util::JsonToBinaryString(
      resolver_.get(), TypeUrl(type), google::protobuf::StringPiece(object.data(), object.size()), &wire, options);
  if (!status.ok()) return Refused({status.message().data(), status.message().size()});
  text->remove_prefix(length);
  return wire;
}

absl::StatusOr<std::string> JsonCodec::ToJson(const Descriptor& type, const std::string& wire) const {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::BinaryToJsonString(resolver_.get(), TypeUrl(type), wire, &json, options);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("the answer cannot be written as JSON: ",
                                            absl::string_view(status.message().data(), status.message().size())));
  }
  return json;
}

}  // namespace keel::server
