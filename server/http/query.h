#pragma once

// The part of a URL after '?'.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keel::server {

struct Query {
  std::vector<std::pair<std::string, std::string>> pairs;  // As written, decoded.

  bool Has(std::string_view key) const;
  std::string First(std::string_view key) const;  // Empty when absent.
  std::vector<std::string> All(std::string_view key) const;
};

// "a=1&b&a=2%20c". A malformed escape drops its pair.
Query ParseQuery(std::string_view text);

}  // namespace keel::server
