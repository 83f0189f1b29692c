#pragma once

#include <memory>
#include <utility>

#include "storage/state/generation.h"
#include "storage/state/keyspace_query.h"
#include "storage/state/read_view.h"

namespace keel::storage {

class ReadView::Impl {
 public:
  explicit Impl(std::shared_ptr<const Generation> generation)
      : pin(std::move(generation)), query(pin.generation(), pin.current(), pin.compact()) {}

  const Pin pin;
  const KeyspaceQuery query;
};

}  // namespace keel::storage
