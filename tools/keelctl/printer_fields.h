#pragma once

#include <memory>
#include <ostream>

#include "tools/keelctl/printer.h"

namespace keel::ctl {

// One `"Name" : value` per line; text in Go's quotes.
std::unique_ptr<Printer> MakeFieldsPrinter(bool hex, std::ostream& out);

}  // namespace keel::ctl
