#pragma once

#include <memory>
#include <ostream>

#include "tools/keelctl/printer.h"

namespace keel::ctl {

// One line of JSON per response: proto field names, 64-bit integers as numbers, bytes in base64, zero values left out.
struct JsonStyle {
  bool hex = false;     // Ids of members as hexadecimal strings.
  bool base64 = false;  // Keys and values as etcdctl writes them.
};

// Keys and values that are UTF-8 are written as text; others in base64 under a name that says so: "value_base64".
std::unique_ptr<Printer> MakeJsonPrinter(const JsonStyle& style, std::ostream& out);

}  // namespace keel::ctl
