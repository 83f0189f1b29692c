#pragma once

#include "server/metrics/registry.h"

namespace keel::server {

// The metrics that dashboards ask for and nothing here ever moves, at 0, each with the reason in its help text: a query
// that finds its series says zero, one that finds none breaks the panel.
void AddUnmoved(MetricRegistry* registry);

}  // namespace keel::server
