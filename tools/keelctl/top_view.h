#pragma once

// What `top` shows, as text. Pure.

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tools/keelctl/member_sample.h"
#include "tools/keelctl/prefix_counter.h"

namespace keel::ctl {

struct TopView {
  absl::Duration interval;
  std::vector<MemberRates> members;
  std::vector<PrefixCounter::Row> prefixes;
  bool prefixes_known = false;
};

// Lines that end in "\n".
std::string TopText(const TopView& view);
// One JSON object with numbers in seconds, bytes and per second.
std::string TopJson(const TopView& view);

}  // namespace keel::ctl
