#include "client/src/service_instances.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace keel::client {
namespace {

using Json = nlohmann::json;

std::string HealthName(InstanceHealth health) {
  switch (health) {
    case InstanceHealth::kPassing:
      return "passing";
    case InstanceHealth::kFailing:
      return "failing";
    case InstanceHealth::kLeaving:
      return "leaving";
  }
  return "passing";
}

InstanceHealth HealthOf(const std::string& name) {
  if (name == "failing") return InstanceHealth::kFailing;
  return name == "leaving" ? InstanceHealth::kLeaving : InstanceHealth::kPassing;
}

std::string StringAt(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

double NumberAt(const Json& object, const char* key, double otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : otherwise;
}

}  // namespace

std::string InstanceToJson(const ServiceInstance& instance) {
  const Json metadata = {{"weight", instance.weight},
                         {"health", HealthName(instance.report.health)},
                         {"load", instance.report.load},
                         {"metadata", instance.metadata}};
  const Json value = {{"Op", 0}, {"Addr", instance.address}, {"Metadata", metadata}};
  // Bytes that are no UTF-8 are the application's mistake; a replaced one is better than none.
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<ServiceInstance> InstanceFromJson(std::string_view name, std::string_view json) {
  const Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return std::nullopt;
  if (NumberAt(value, "Op", 0) != 0) return std::nullopt;  // A resolver's word for "delete".
  ServiceInstance instance{.address = StringAt(value, "Addr")};
  if (instance.address.empty()) instance.address = std::string(name);
  const auto metadata = value.find("Metadata");
  if (metadata == value.end() || !metadata->is_object()) return instance;
  const double weight = NumberAt(*metadata, "weight", 1);
  if (weight > 0) instance.weight = weight;
  instance.report.load = NumberAt(*metadata, "load", 0);
  instance.report.health = HealthOf(StringAt(*metadata, "health"));
  const auto own = metadata->find("metadata");
  if (own == metadata->end() || !own->is_object()) return instance;
  for (const auto& [key, text] : own->items()) {
    if (text.is_string()) instance.metadata[key] = text.get<std::string>();
  }
  return instance;
}

InstanceSet::InstanceSet(double vanish_part_max, absl::Duration vanish_window, absl::Duration retain_max)
    : vanish_part_max_(vanish_part_max), vanish_window_(vanish_window), retain_max_(retain_max) {}

void InstanceSet::Put(const std::string& name, ServiceInstance instance, absl::Time now) {
  vanished_.erase(name);
  listed_[name] = std::move(instance);
  Look(now);
}

void InstanceSet::Remove(const std::string& name, absl::Time now) {
  const auto it = listed_.find(name);
  if (it == listed_.end()) return;
  if (it->second.report.health != InstanceHealth::kLeaving) {
    vanished_[name] = {.instance = std::move(it->second), .at = now};
  } else if (protecting_since_ && expected_ > 0) {
    --expected_;  // Nobody waits for one that has taken its leave.
  }
  listed_.erase(it);
  Look(now);
}

void InstanceSet::Look(absl::Time now) {
  if (protecting_since_) {
    const auto allowed = vanish_part_max_ * static_cast<double>(expected_);
    const double missing = static_cast<double>(expected_) - static_cast<double>(listed_.size());
    if (missing > allowed && now < *protecting_since_ + retain_max_) return;
    protecting_since_.reset();  // Enough are back, or those that are not will not come.
    vanished_.clear();
    return;
  }
  std::erase_if(vanished_, [&](const auto& entry) { return entry.second.at + vanish_window_ < now; });
  const size_t all = listed_.size() + vanished_.size();
  if (static_cast<double>(vanished_.size()) <= vanish_part_max_ * static_cast<double>(all)) return;
  protecting_since_ = now;
  expected_ = all;
}

bool InstanceSet::is_protecting(absl::Time now) {
  Look(now);
  return protecting_since_.has_value();
}

std::vector<ServiceInstance> InstanceSet::List(absl::Time now) {
  const bool protecting = is_protecting(now);
  std::vector<ServiceInstance> instances;
  for (const auto& [name, instance] : listed_) {
    if (instance.report.health != InstanceHealth::kLeaving) instances.push_back(instance);
  }
  if (protecting) {
    for (const auto& [name, vanished] : vanished_) {
      instances.push_back(vanished.instance);
      instances.back().is_retained = true;
    }
    std::sort(instances.begin(), instances.end(),
              [](const ServiceInstance& a, const ServiceInstance& b) { return a.address < b.address; });
  }
  return instances;
}

std::optional<ServiceInstance> InstancePicker::Pick(const std::vector<ServiceInstance>& instances, PickPolicy policy) {
  std::vector<const ServiceInstance*> candidates;
  for (const InstanceHealth wanted : {InstanceHealth::kPassing, InstanceHealth::kFailing}) {
    if (!candidates.empty()) break;
    for (const ServiceInstance& instance : instances) {
      if (instance.report.health == wanted) candidates.push_back(&instance);
    }
  }
  if (candidates.empty()) return std::nullopt;
  const ServiceInstance* chosen = nullptr;
  // Among equals it goes round, so each policy begins one further every time.
  std::rotate(candidates.begin(), candidates.begin() + static_cast<int64_t>(turn_++ % candidates.size()),
              candidates.end());
  switch (policy) {
    case PickPolicy::kRoundRobin:
      chosen = candidates.front();
      break;
    case PickPolicy::kLeastLoaded: {
      const auto load = [this](const ServiceInstance* i) {
        const auto picks = picks_.find(i->address);
        return (i->report.load + (picks == picks_.end() ? 0 : static_cast<double>(picks->second))) / i->weight;
      };
      chosen = *std::min_element(candidates.begin(), candidates.end(),
                                 [&](const auto* a, const auto* b) { return load(a) < load(b); });
      break;
    }
    case PickPolicy::kWeighted: {
      // Everybody earns their weight; the richest is chosen and pays for all.
      double total = 0;
      for (const ServiceInstance* i : candidates) {
        total += i->weight;
        credit_[i->address] += i->weight;
      }
      chosen = *std::max_element(candidates.begin(), candidates.end(), [this](const auto* a, const auto* b) {
        return credit_[a->address] < credit_[b->address];
      });
      credit_[chosen->address] -= total;
      // Nobody is remembered who is not there any more.
      std::erase_if(credit_, [&](const auto& entry) {
        return std::none_of(candidates.begin(), candidates.end(),
                            [&](const auto* i) { return i->address == entry.first; });
      });
      break;
    }
  }
  ++picks_[chosen->address];
  return *chosen;
}

}  // namespace keel::client
