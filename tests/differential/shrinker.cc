#include "tests/differential/shrinker.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace keel::differential {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Shrinking {
 public:
  Shrinking(Sequence sequence, const Shows& shows, size_t tries_max)
      : best_(std::move(sequence)), shows_(shows), tries_left_(tries_max) {}

  Sequence Run() {
    bool changed = true;
    while (changed && tries_left_ > 0) {
      changed = RemoveSteps();
      changed |= RemoveParts();
    }
    return best_;
  }

 private:
  // Takes the candidate if it still shows the difference.
  bool Try(Sequence candidate) {
    if (tries_left_ == 0) return false;
    --tries_left_;
    if (!shows_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  bool RemoveSteps() {
    bool changed = false;
    for (size_t size = std::max<size_t>(1, best_.steps.size() / 2);; size /= 2) {
      // From the end: what comes after the difference goes at once.
      for (size_t end = best_.steps.size(); end > 0 && best_.steps.size() > 1;) {
        const size_t begin = end > size ? end - size : 0;
        Sequence candidate = best_;
        candidate.steps.erase(candidate.steps.begin() + static_cast<ptrdiff_t>(begin),
                              candidate.steps.begin() + static_cast<ptrdiff_t>(end));
        if (!candidate.steps.empty()) changed |= Try(std::move(candidate));
        end = begin;
      }
      if (size == 1) return changed;
    }
  }

  bool RemoveParts() {
    bool changed = false;
    for (size_t i = 0; i < best_.steps.size(); ++i) {
      if (best_.steps[i].request == nullptr) continue;
      // The parts are numbered in a fixed walk; removing one renumbers those behind it.
      for (int part = 0;;) {
        std::shared_ptr<Message> message(best_.steps[i].request->New());
        message->CopyFrom(*best_.steps[i].request);
        int number = part;
        if (!RemovePart(message.get(), &number)) break;
        Sequence candidate = best_;
        candidate.steps[i].request = message;
        if (Try(std::move(candidate))) {
          changed = true;
        } else {
          ++part;
        }
        if (tries_left_ == 0) return changed;
      }
    }
    return changed;
  }

  // Removes part `*number` of the message; false if it has fewer, and `*number` is less by as many.
  static bool RemovePart(Message* message, int* number) {
    const Reflection* reflection = message->GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection->ListFields(*message, &fields);
    for (const FieldDescriptor* field : fields) {
      const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (!field->is_repeated()) {
        if ((*number)-- == 0) {
          reflection->ClearField(message, field);
          return true;
        }
        if (is_message && RemovePart(reflection->MutableMessage(message, field), number)) return true;
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        if ((*number)-- == 0) {
          const int last = reflection->FieldSize(*message, field) - 1;
          for (int j = i; j < last; ++j) reflection->SwapElements(message, field, j, j + 1);
          reflection->RemoveLast(message, field);
          return true;
        }
        if (is_message && RemovePart(reflection->MutableRepeatedMessage(message, field, i), number)) return true;
      }
    }
    return false;
  }

  Sequence best_;
  const Shows& shows_;
  size_t tries_left_;
};

}  // namespace

Sequence Shrink(Sequence sequence, const Shows& shows, size_t tries_max) {
  return Shrinking(std::move(sequence), shows, tries_max).Run();
}

}  // namespace keel::differential
