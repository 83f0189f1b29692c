#pragma once

#include <memory>

#include "tools/keelctl/printer.h"

namespace keel::ctl {

// The bytes of the protocol's messages, one after the other without a separator.
std::unique_ptr<Printer> MakeProtobufPrinter(std::ostream& out);

}  // namespace keel::ctl
