#pragma once

#include <memory>
#include <ostream>

#include "tools/keelctl/printer.h"

namespace keel::ctl {

// One line of JSON per response: proto field names, 64-bit integers as numbers, bytes in base64, zero values left out.
std::unique_ptr<Printer> MakeJsonPrinter(bool hex, std::ostream& out);

}  // namespace keel::ctl
