#include "tests/sim_full/oracle.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"
#include "proto/kv.pb.h"

namespace keel::sim {
namespace {

const std::string kEverything(1, '\0');

std::string Text(const Model::Event& event) {
  return absl::StrCat(event.pair.has_value() ? "put " : "delete ", event.key, "=",
                      event.pair.has_value() ? event.pair->value : "");
}

}  // namespace

Oracle::Oracle(World* world, Ledger* ledger)
    : world_(*world),
      log_(2),
      state_machine_safety_(ledger, "state-machine-safety"),
      position_equal_(ledger, "position-equal"),
      changes_equal_(ledger, "changes-equal"),
      state_equal_(ledger, "state-equal"),
      hash_equal_(ledger, "hash-equal"),
      executed_once_(ledger, "command-executed-once"),
      fencing_(ledger, "fencing-token-grows"),
      lease_lives_(ledger, "lease-lives-as-promised"),
      lease_expired_(ledger, "lease-expired"),
      former_leader_(ledger, "former-leaders-expiry-refused") {
  log_[1].entry.id = {raft::Term(1), raft::Index(1)};  // Where the founding of a cluster stands.
}

void Oracle::OnPropose(std::string_view payload) {
  command::Command command;
  if (!command.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return;
  last_proposed_ = command.request_id();
  if (command.has_lease_expire()) expiry_proposed_[command.request_id()] = world_.now();
}

void Oracle::OnApply(int node, const raft::Entry& entry) {
  const uint64_t index = entry.id.index.value();
  if (index == log_.size()) Execute(entry);
  state_machine_safety_.Require(index < log_.size() && log_[index].entry == entry, [&] {
    return absl::StrCat("member ", node, " executes ", index, "@", entry.id.term.value(),
                        index < log_.size() ? absl::StrCat(" where others executed an entry of term ",
                                                           log_[index].entry.id.term.value())
                                            : absl::StrCat(" after ", log_.size() - 1));
  });
}

void Oracle::Execute(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kCommand) {
    command::Command command;
    const std::string_view bytes = entry.payload.view();
    state_machine_safety_.Require(command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
                                  [] { return std::string("an entry does not parse"); });
    std::set<int64_t> before;
    for (const auto& [id, lease] : model_.leases()) before.insert(id);
    Model::Outcome outcome = model_.Apply(entry.id.index.value(), entry.id.term.value(), command);
    for (const int64_t id : before) {
      if (!model_.leases().contains(id)) gone_.emplace(id, world_.now());
    }
    if (outcome.wrote) CheckFences();
    if (command.has_lease_expire()) {
      former_leader_.Reached(!outcome.status.ok());
      if (outcome.status.ok()) {
        for (const auto& item : command.lease_expire().leases()) {
          if (before.contains(item.id()) && !model_.leases().contains(item.id())) {
            lease_expired_.Reached();
            const SimTime decided = expiry_proposed_[command.request_id()];
            expired_[item.id()] = decided;
            lease_lives_.Require(held_until_[item.id()] <= decided, [&] {
              return absl::StrCat("lease ", item.id(), " was promised until ", FormatTime(held_until_[item.id()]),
                                  " but ended by a decision of ", FormatTime(decided));
            });
          }
        }
      }
    }
    executed_once_.Require(outcomes_.emplace(command.request_id(), std::move(outcome)).second, [&] {
      return absl::StrCat("entry ", entry.id.index.value(), " repeats a command that was executed before");
    });
  }
  log_.push_back({.entry = entry, .revision = model_.revision(), .compact = model_.compact()});
  world_.Note(entry.id.term.value() ^ static_cast<uint64_t>(model_.revision()));
}

void Oracle::CheckFences() {
  for (const Model::Event& event : model_.EventsOf(model_.revision())) {
    if (!event.key.starts_with("fence/") || !event.pair.has_value()) continue;
    int64_t token = 0;
    if (!absl::SimpleAtoi(event.pair->value, &token)) continue;
    int64_t& newest = fences_[event.key];
    fencing_.Require(token >= newest, [&] {
      return absl::StrCat("a write guarded by the lock of revision ", token, " was accepted after one of ", newest);
    });
    newest = token;
  }
}

void Oracle::OnLeaseHeld(int64_t id, int64_t ttl, SimTime sent, double rate) {
  const SimTime until = sent + static_cast<SimTime>(static_cast<double>(ttl * kSecond) / rate);
  SimTime& held = held_until_[id];
  held = std::max(held, until);
  const auto ended = expired_.find(id);
  lease_lives_.Require(ended == expired_.end() || ended->second >= until, [&] {
    return absl::StrCat("lease ", id, " was promised until ", FormatTime(until), " after it ended by a decision of ",
                        FormatTime(ended->second));
  });
}

SimTime Oracle::LeaseGoneSince(int64_t id) const {
  const auto gone = gone_.find(id);
  return gone == gone_.end() ? 0 : gone->second;
}

void Oracle::OnApplied(int node, const storage::StateStore& store) {
  const uint64_t index = store.applied().index;
  position_equal_.Require(
      index < log_.size() && log_[index].revision == store.current_revision().value() &&
          log_[index].compact == store.compact_revision().value() &&
          (index == 0 || log_[index].entry.id.term.value() == store.applied().term),
      [&] {
        return absl::StrCat(
            "member ", node, " at ", index, ": revision ", store.current_revision().value(), " compacted ",
            store.compact_revision().value(), ", not ",
            index < log_.size() ? absl::StrCat(log_[index].revision, " and ", log_[index].compact) : "known");
      });
}

void Oracle::OnPublish(int node, const std::vector<storage::RevisionEventsPtr>& revisions) {
  for (const storage::RevisionEventsPtr& revision : revisions) {
    const int64_t at = revision->revision.value();
    const auto differ = [&] { return absl::StrCat("member ", node, " changed other things in revision ", at); };
    changes_equal_.Require(at <= model_.revision(), differ);
    const std::vector<Model::Event>& expected = model_.EventsOf(at);
    changes_equal_.Require(revision->events.size() == expected.size(), differ);
    for (size_t i = 0; i < expected.size(); ++i) {
      const storage::Event& event = revision->events[i];
      mvccpb::KeyValue kv;
      mvccpb::KeyValue wanted;
      if (expected[i].pair.has_value()) {
        Model::Fill(expected[i].key, *expected[i].pair, &wanted);
      } else {
        wanted.set_key(expected[i].key);
        wanted.set_mod_revision(at);
      }
      const int64_t previous = expected[i].previous.has_value() ? expected[i].previous->mod : 0;
      changes_equal_.Require(
          event.key == expected[i].key && kv.ParseFromString(*event.kv) &&
              kv.SerializeAsString() == wanted.SerializeAsString() && event.previous.revision.value() == previous,
          [&] { return absl::StrCat(differ(), ": ", kv.ShortDebugString(), " for ", Text(expected[i])); });
    }
  }
}

void Oracle::CheckState(int node, const storage::StateStore& store) {
  const uint64_t index = store.applied().index;
  OnApplied(node, store);
  const int64_t at = log_[index].revision;
  etcdserverpb::RangeRequest all;
  all.set_key(kEverything);
  all.set_range_end(kEverything);
  etcdserverpb::RangeResponse response;
  const storage::ReadView view = store.View();
  const absl::Status status = view.Range(all, &response);
  const absl::StatusOr<etcdserverpb::RangeResponse> expected = model_.Range(all, at, -1);
  state_equal_.Require(status.ok() && response.SerializeAsString() == expected->SerializeAsString(), [&] {
    return absl::StrCat("member ", node, " at ", index, " holds ", response.ShortDebugString(), ", not ",
                        expected->ShortDebugString());
  });
  // Leases have no history in the model, so only whoever stands at its end can be asked.
  if (index == last()) {
    const std::vector<storage::LeaseRecord> leases = store.Leases();
    const auto differ = [&] { return absl::StrCat("member ", node, " at ", index, " holds other leases"); };
    state_equal_.Require(leases.size() == model_.leases().size(), differ);
    for (const storage::LeaseRecord& lease : leases) {
      const auto found = model_.leases().find(lease.id.value());
      state_equal_.Require(found != model_.leases().end() && found->second.ttl == lease.granted_ttl &&
                               found->second.remaining == lease.remaining_ttl &&
                               found->second.grant_index == lease.grant_index,
                           differ);
      std::vector<std::string> keys;
      for (const auto& [key, pair] : model_.current()) {
        if (pair.lease == lease.id.value()) keys.push_back(key);
      }
      state_equal_.Require(store.LeaseKeys(lease.id) == keys, differ);
    }
  }
  const absl::StatusOr<storage::HashResult> hash = store.HashKv(storage::Revision(0));
  hash_equal_.Require(hash.ok(),
                      [&] { return absl::StrCat("member ", node, ": ", std::string(hash.status().message())); });
  const uint32_t known =
      hashes_.emplace(std::pair(hash->hash_revision.value(), hash->compact_revision.value()), hash->hash).first->second;
  hash_equal_.Require(known == hash->hash, [&] {
    return absl::StrCat("member ", node, " at revision ", at, " has another hash than a member before");
  });
}

const Model::Outcome* Oracle::OutcomeOf(uint64_t request_id) const {
  const auto found = outcomes_.find(request_id);
  return found == outcomes_.end() ? nullptr : &found->second;
}

}  // namespace keel::sim
