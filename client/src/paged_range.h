#pragma once

// A streamed range, from servers that have no streams.

#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "client/src/core.h"
#include "keel/kv.h"
#include "keel/options.h"

namespace keel::client {

// What Kv::GetStreamAsync does, page by page, until `deadline`.
void ReadByPages(std::shared_ptr<Core> core, std::string_view key, const RangeOptions& options, AsyncRangeSink sink,
                 const CallOptions& call, absl::Time deadline, Callback<RangeResponse> done);

}  // namespace keel::client
