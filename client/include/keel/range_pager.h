#pragma once

// A large range, page by page, all of one revision.
//
//   keel::RangePager pages(client, "users/", {.prefix = true});
//   while (pages.Next()) {
//     for (const keel::KeyValue& user : pages.page()) Index(user);
//   }
//   if (!pages.status().ok()) return pages.status();
//   std::cout << pages.count() << " users at revision " << pages.revision() << "\n";

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "keel/options.h"
#include "keel/types.h"

namespace keel {

class Client;
class Kv;
struct RangeResponse;

// Every page is a read of its own, of the first one's revision (or RangeOptions::revision), so nothing is held at the
// server between them and a consumer may take its time; what it must not outlive is a compaction. Kv::GetStream is
// quicker for who takes everything at once. Thread-compatible; the Client must outlive it.
class RangePager {
 public:
  // Pages come in the order of the keys: another sort is kUnimplemented. `options.limit` bounds them all together.
  // A page is `page_keys` long, or if that is 0, about 1 MiB.
  RangePager(Client& client, std::string_view key, const RangeOptions& options = {}, int64_t page_keys = 0);
  RangePager(Kv& kv, std::string_view key, const RangeOptions& options = {}, int64_t page_keys = 0);

  // Reads the next page. False at the end and on errors; status() tells which. After an error of a read it may be
  // called again, to try the same page once more.
  bool Next(const CallOptions& call = {});
  // The same without waiting: `done` hears what Next() would return, on an I/O thread. No other call until then; the
  // pager must live that long.
  void NextAsync(const CallOptions& call, std::function<void(bool)> done);

  // OK at the end. kOutOfRange: the revision has been compacted since; others as Kv::Get.
  const absl::Status& status() const { return status_; }
  // Of the last Next(); may be taken apart.
  std::vector<KeyValue>& page() { return page_; }
  // These are known after the first page: the revision of all pages; the keys in the interval, whatever the limit is;
  // and whether the limit leaves some out.
  int64_t revision() const { return options_.revision; }
  int64_t count() const { return count_; }
  bool more() const { return options_.limit > 0 && count_ > options_.limit; }
  const ResponseHeader& header() const { return header_; }

 private:
  bool Take(absl::StatusOr<RangeResponse> response);
  RangeOptions NextRange() const;

  Kv& kv_;
  const bool fixed_size_;
  RangeOptions options_;
  std::string next_key_;
  int64_t page_keys_;
  int64_t delivered_ = 0;
  int64_t count_ = 0;
  bool began_ = false;
  bool ended_ = false;
  ResponseHeader header_;
  absl::Status status_;
  std::vector<KeyValue> page_;
};

}  // namespace keel
