#include "tests/differential/comparer.h"

#include <google/protobuf/text_format.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/differential/symbols.h"

namespace keel::differential {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kShownBytes = 200;

std::string Shorten(const std::string& bytes) {
  if (bytes.size() <= kShownBytes) return bytes;
  return absl::StrCat(bytes.substr(0, 20), "... (", bytes.size(), " bytes)");
}

// An absent message is empty here: proto3 has no other difference on the wire, and neither may a client depend on one
// except for messages, whose absence is compared by the caller.
std::string Value(const Message& message, const FieldDescriptor* field, int index) {
  if (field->type() == FieldDescriptor::TYPE_BYTES || field->type() == FieldDescriptor::TYPE_STRING) {
    std::string scratch;
    const Reflection* reflection = message.GetReflection();
    const std::string& bytes = index < 0 ? reflection->GetStringReference(message, field, &scratch)
                                         : reflection->GetRepeatedStringReference(message, field, index, &scratch);
    return bytes;
  }
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, field, index, &text);
  return text;
}

void AddDifference(const std::string& path, const std::string& etcd, const std::string& keel,
                   std::vector<FieldDifference>* differences) {
  differences->push_back({path, Shorten(absl::CHexEscape(etcd)), Shorten(absl::CHexEscape(keel))});
}

std::string Join(const std::string& path, const FieldDescriptor* field) {
  return path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
}

void CompareRepeated(const std::string& path, const FieldDescriptor* field, const Message& etcd, const Message& keel,
                     std::vector<FieldDifference>* differences, uint64_t* fields) {
  const Reflection* reflection = etcd.GetReflection();
  const int etcd_size = reflection->FieldSize(etcd, field);
  const int keel_size = reflection->FieldSize(keel, field);
  if (etcd_size != keel_size) {
    differences->push_back({path + ".size", absl::StrCat(etcd_size), absl::StrCat(keel_size)});
  }
  for (int i = 0; i < std::max(etcd_size, keel_size); ++i) {
    const std::string at = absl::StrCat(path, "[", i, "]");
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (i < etcd_size && i < keel_size && is_message) {
      CompareMessages(at, reflection->GetRepeatedMessage(etcd, field, i),
                      reflection->GetRepeatedMessage(keel, field, i), differences, fields);
      continue;
    }
    ++*fields;
    const auto text = [&](const Message& message, int size) {
      if (i >= size) return std::string("(none)");
      return is_message ? PrintMessage(reflection->GetRepeatedMessage(message, field, i)) : Value(message, field, i);
    };
    const std::string a = text(etcd, etcd_size);
    const std::string b = text(keel, keel_size);
    if (a != b) AddDifference(at, a, b, differences);
  }
}

}  // namespace

void CompareMessages(const std::string& path, const Message& etcd, const Message& keel,
                     std::vector<FieldDifference>* differences, uint64_t* fields) {
  const google::protobuf::Descriptor* descriptor = etcd.GetDescriptor();
  const Reflection* reflection = etcd.GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    const std::string at = Join(path, field);
    if (field->is_repeated()) {
      CompareRepeated(at, field, etcd, keel, differences, fields);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const bool etcd_has = reflection->HasField(etcd, field);
      const bool keel_has = reflection->HasField(keel, field);
      if (etcd_has && keel_has) {
        CompareMessages(at, reflection->GetMessage(etcd, field), reflection->GetMessage(keel, field), differences,
                        fields);
      } else if (etcd_has != keel_has) {
        ++*fields;
        AddDifference(at, etcd_has ? PrintMessage(reflection->GetMessage(etcd, field)) : "(none)",
                      keel_has ? PrintMessage(reflection->GetMessage(keel, field)) : "(none)", differences);
      }
    } else if (reflection->HasField(etcd, field) || reflection->HasField(keel, field)) {
      ++*fields;
      const std::string a = Value(etcd, field, -1);
      const std::string b = Value(keel, field, -1);
      if (a != b) AddDifference(at, a, b, differences);
    }
  }
  const Reflection* other = keel.GetReflection();
  const bool unknown = reflection->GetUnknownFields(etcd).field_count() + other->GetUnknownFields(keel).field_count();
  if (unknown) AddDifference(path, "fields that the protocol does not have", "or here", differences);
}

std::vector<FieldDifference> CompareAnswers(const Answer& etcd, const Answer& keel, uint64_t* fields) {
  std::vector<FieldDifference> differences;
  *fields += 2;
  if (etcd.status.error_code() != keel.status.error_code()) {
    differences.push_back(
        {"status.code", absl::StrCat(etcd.status.error_code()), absl::StrCat(keel.status.error_code())});
  }
  if (etcd.status.error_message() != keel.status.error_message()) {
    differences.push_back({"status.message", etcd.status.error_message(), keel.status.error_message()});
  }
  for (size_t i = 0; i < std::max(etcd.messages.size(), keel.messages.size()); ++i) {
    const std::string path = etcd.messages.size() > 1 ? absl::StrCat("[", i, "]") : "";
    if (i < etcd.messages.size() && i < keel.messages.size()) {
      CompareMessages(path, *etcd.messages[i], *keel.messages[i], &differences, fields);
    } else {
      ++*fields;
      differences.push_back({absl::StrCat(path, "message"),
                             i < etcd.messages.size() ? PrintMessage(*etcd.messages[i]) : "(none)",
                             i < keel.messages.size() ? PrintMessage(*keel.messages[i]) : "(none)"});
    }
  }
  return differences;
}

std::string PrintMessage(const Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetTruncateStringFieldLongerThan(kShownBytes);
  std::string text;
  printer.PrintToString(message, &text);
  if (!text.empty() && text.back() == ' ') text.pop_back();
  return text.empty() ? "{}" : NumbersToNames(text);
}

std::string PrintAnswer(const Answer& answer) {
  std::string text;
  if (!answer.status.ok()) {
    text = absl::StrCat("error ", answer.status.error_code(), " \"", answer.status.error_message(), "\"");
  }
  for (const MessagePtr& message : answer.messages) {
    absl::StrAppend(&text, text.empty() ? "" : "\n            ", PrintMessage(*message));
  }
  return text.empty() ? "(nothing)" : text;
}

}  // namespace keel::differential
