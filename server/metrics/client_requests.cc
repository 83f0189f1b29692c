#include "server/metrics/client_requests.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

namespace keel::server {
namespace {

constexpr size_t kVersionBytesMax = 32;

bool IsLabel(std::string_view name) {
  return name.size() <= kVersionBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isgraph(static_cast<unsigned char>(c));
         });
}

}  // namespace

ClientRequests::ClientRequests(MetricRegistry* registry)
    : family_(registry->Counters("etcd_server_client_requests_total", "RPCs, by the version of their client.")),
      unknown_(Make("unknown")) {}

std::unique_ptr<ClientRequests::Version> ClientRequests::Make(std::string name) {
  auto version = std::make_unique<Version>();
  version->unary = &family_.Add({{"type", "unary"}, {"client_api_version", name}});
  version->stream = &family_.Add({{"type", "stream"}, {"client_api_version", name}});
  version->name = std::move(name);
  return version;
}

void ClientRequests::Count(bool unary, std::string_view version) {
  const Version* counted = Find(version);
  if (counted == nullptr) counted = Add(version);
  if (counted == nullptr) counted = unknown_.get();
  (unary ? counted->unary : counted->stream)->Increment();
}

const ClientRequests::Version* ClientRequests::Find(std::string_view name) const {
  if (name.empty() || name == unknown_->name) return unknown_.get();
  const size_t count = count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    if (versions_[i]->name == name) return versions_[i].get();
  }
  return nullptr;
}

const ClientRequests::Version* ClientRequests::Add(std::string_view name) {
  if (!IsLabel(name) || count_.load(std::memory_order_acquire) == kVersionsMax) return nullptr;
  absl::MutexLock lock(&adding_);
  if (const Version* added = Find(name)) return added;
  const size_t count = count_.load(std::memory_order_relaxed);
  if (count == kVersionsMax) return nullptr;
  versions_[count] = Make(std::string(name));
  count_.store(count + 1, std::memory_order_release);
  return versions_[count].get();
}

}  // namespace keel::server
