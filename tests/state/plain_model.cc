#include "plain_model.h"

#include <algorithm>

namespace keel::storage {
namespace {

std::string RandomKey(Random* random) {
  static const std::vector<std::string> kKeys = {"a",  "aa", "ab",   std::string("a\0", 2), "b", "b\xff", "ba", "c",
                                                 "ca", "d",  "\xff", std::string("\0", 1),  "e", "f",     "g",  "h"};
  return kKeys[random->Below(kKeys.size())];
}

std::string RandomEnd(Random* random) {
  uint64_t kind = random->Below(6);
  if (kind < 2) return "";
  if (kind == 2) return std::string("\0", 1);
  return RandomKey(random);
}

}  // namespace

PlainModel::PlainModel() : by_revision_(2), events_(2) {}

bool PlainModel::Inside(const std::string& key, const std::string& first, const std::string& end) {
  if (end.empty()) return key == first;
  if (end == std::string("\0", 1)) return key >= first;
  return key >= first && key < end;
}

void PlainModel::DeleteKey(const std::string& key, Keys* keys, std::vector<ModelEvent>* events) {
  events->push_back({.key = key, .pair = std::nullopt, .previous = keys->at(key).mod});
  keys->erase(key);
}

void PlainModel::Apply(const ModelEntry& entry) {
  Keys keys = by_revision_.back();
  std::vector<ModelEvent> events;
  int64_t next = revision() + 1;
  for (const ModelOp& op : entry) {
    switch (op.kind) {
      case ModelOp::Kind::kPut: {
        if (op.lease != 0 && !leases_.contains(op.lease)) break;
        auto it = keys.find(op.key);
        ModelPair pair{.create = next, .mod = next, .version = 1, .value = op.value, .lease = op.lease};
        int64_t previous = 0;
        if (it != keys.end()) {
          pair.create = it->second.create;
          pair.version = it->second.version + 1;
          previous = it->second.mod;
        }
        keys[op.key] = pair;
        events.push_back({.key = op.key, .pair = pair, .previous = previous});
        break;
      }
      case ModelOp::Kind::kDelete: {
        std::vector<std::string> gone;
        for (const auto& [key, pair] : keys) {
          if (Inside(key, op.key, op.end)) gone.push_back(key);
        }
        for (const std::string& key : gone) DeleteKey(key, &keys, &events);
        break;
      }
      case ModelOp::Kind::kGrant:
        leases_.insert(op.lease);
        break;
      case ModelOp::Kind::kRevoke: {
        if (leases_.erase(op.lease) == 0) break;
        std::vector<std::string> gone;
        for (const auto& [key, pair] : keys) {
          if (pair.lease == op.lease) gone.push_back(key);
        }
        for (const std::string& key : gone) DeleteKey(key, &keys, &events);
        break;
      }
      case ModelOp::Kind::kCompact:
        if (op.revision > compact_ && op.revision <= revision()) compact_ = op.revision;
        break;
    }
  }
  if (events.empty()) return;
  by_revision_.push_back(std::move(keys));
  events_.push_back(std::move(events));
}

etcdserverpb::RangeResponse PlainModel::Range(const etcdserverpb::RangeRequest& request, int64_t at) const {
  using Request = etcdserverpb::RangeRequest;
  etcdserverpb::RangeResponse response;
  std::vector<mvccpb::KeyValue> found;
  for (const auto& [key, pair] : KeysAt(at)) {
    if (!Inside(key, request.key(), request.range_end())) continue;
    mvccpb::KeyValue kv;
    kv.set_key(key);
    kv.set_value(pair.value);
    kv.set_create_revision(pair.create);
    kv.set_mod_revision(pair.mod);
    kv.set_version(pair.version);
    kv.set_lease(pair.lease);
    found.push_back(kv);
  }
  response.set_count(static_cast<int64_t>(found.size()));
  if (request.count_only()) return response;

  bool filters = request.min_mod_revision() != 0 || request.max_mod_revision() != 0 ||
                 request.min_create_revision() != 0 || request.max_create_revision() != 0;
  size_t limit = request.limit() > 0 ? static_cast<size_t>(request.limit()) : found.size();
  if (request.sort_order() == Request::NONE && !filters && request.limit() > 0 && found.size() > limit + 1) {
    found.resize(limit + 1);
  }
  std::erase_if(found, [&](const mvccpb::KeyValue& kv) {
    return (request.min_mod_revision() != 0 && kv.mod_revision() < request.min_mod_revision()) ||
           (request.max_mod_revision() != 0 && kv.mod_revision() > request.max_mod_revision()) ||
           (request.min_create_revision() != 0 && kv.create_revision() < request.min_create_revision()) ||
           (request.max_create_revision() != 0 && kv.create_revision() > request.max_create_revision());
  });
  auto less = [&](const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
    switch (request.sort_target()) {
      case Request::VERSION:
        return a.version() < b.version();
      case Request::CREATE:
        return a.create_revision() < b.create_revision();
      case Request::MOD:
        return a.mod_revision() < b.mod_revision();
      case Request::VALUE:
        return a.value() < b.value();
      default:
        return a.key() < b.key();
    }
  };
  if (request.sort_order() == Request::DESCEND) {
    std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) { return less(b, a); });
  } else {
    std::stable_sort(found.begin(), found.end(), less);
  }
  if (request.limit() > 0 && found.size() > limit) {
    found.resize(limit);
    response.set_more(true);
  }
  for (mvccpb::KeyValue& kv : found) {
    if (request.keys_only()) kv.clear_value();
    *response.add_kvs() = kv;
  }
  return response;
}

ModelEntry RandomEntry(const PlainModel& model, Random* random) {
  ModelEntry entry;
  uint64_t size = random->Chance(0.7) ? 1 : random->Between(2, 4);
  for (uint64_t i = 0; i < size; ++i) {
    ModelOp op;
    uint64_t kind = random->Below(100);
    if (kind < 60) {
      op.kind = ModelOp::Kind::kPut;
      op.key = RandomKey(random);
      op.value = std::string(random->Below(40), static_cast<char>('a' + random->Below(26)));
      if (random->Chance(0.3)) op.lease = random->Between(1, 4);
    } else if (kind < 85) {
      op.kind = ModelOp::Kind::kDelete;
      op.key = RandomKey(random);
      op.end = RandomEnd(random);
    } else if (kind < 93) {
      op.kind = ModelOp::Kind::kGrant;
      op.lease = random->Between(1, 4);
    } else if (kind < 96) {
      op.kind = ModelOp::Kind::kRevoke;
      op.lease = random->Between(1, 4);
    } else if (model.revision() > 1) {
      op.kind = ModelOp::Kind::kCompact;
      op.revision = random->Between(std::max<int64_t>(model.compact_revision(), model.revision() - 60),
                                    model.revision() + (random->Chance(0.05) ? 1 : 0));
    } else {
      continue;
    }
    entry.push_back(op);
  }
  // A compaction stands alone, as in the log: what it may name depends on the revision before it.
  for (const ModelOp& op : entry) {
    if (op.kind == ModelOp::Kind::kCompact) return {op};
  }
  return entry;
}

void Execute(const ModelEntry& entry, uint64_t index, ApplyBatch* batch) {
  batch->BeginEntry({.index = index, .term = 1});
  for (const ModelOp& op : entry) {
    switch (op.kind) {
      case ModelOp::Kind::kPut: {
        etcdserverpb::PutRequest request;
        request.set_key(op.key);
        request.set_value(op.value);
        request.set_lease(op.lease);
        batch->Put(request, nullptr).IgnoreError();
        break;
      }
      case ModelOp::Kind::kDelete: {
        etcdserverpb::DeleteRangeRequest request;
        request.set_key(op.key);
        request.set_range_end(op.end);
        batch->DeleteRange(request, nullptr).IgnoreError();
        break;
      }
      case ModelOp::Kind::kGrant:
        batch->LeaseGrant(LeaseId(op.lease), 60).IgnoreError();
        break;
      case ModelOp::Kind::kRevoke:
        batch->LeaseRevoke(LeaseId(op.lease)).IgnoreError();
        break;
      case ModelOp::Kind::kCompact:
        batch->Compact(Revision(op.revision)).IgnoreError();
        break;
    }
  }
  batch->EndEntry();
}

etcdserverpb::RangeRequest RandomRange(int64_t compact, int64_t at, Random* random) {
  etcdserverpb::RangeRequest request;
  request.set_key(random->Chance(0.4) ? std::string("\0", 1) : RandomKey(random));
  request.set_range_end(random->Chance(0.4) ? std::string("\0", 1) : RandomEnd(random));
  if (random->Chance(0.6)) request.set_revision(random->Between(std::max<int64_t>(compact, 1), at));
  if (random->Chance(0.5)) request.set_limit(random->Between(-1, 6));
  request.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(random->Below(3)));
  request.set_sort_target(static_cast<etcdserverpb::RangeRequest::SortTarget>(random->Below(5)));
  request.set_keys_only(random->Chance(0.2));
  request.set_count_only(random->Chance(0.1));
  if (random->Chance(0.1)) request.set_min_mod_revision(random->Between(1, at));
  if (random->Chance(0.1)) request.set_max_mod_revision(random->Between(1, at));
  if (random->Chance(0.1)) request.set_min_create_revision(random->Between(1, at));
  if (random->Chance(0.1)) request.set_max_create_revision(random->Between(1, at));
  return request;
}

}  // namespace keel::storage
