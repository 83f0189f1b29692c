#pragma once

// What a Client, and a single call, can be told. All are aggregates for designated initialisers:
//
//   auto client = keel::Client::Create({
//       .endpoints = {"10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"},
//       .timeout = absl::Seconds(3),
//   });
//   auto got = (*client)->kv().Get("a/", {.prefix = true, .limit = 10}, {.timeout = absl::Milliseconds(200)});
//   auto put = (*client)->kv().Put("a/1", "x", {.lease = lease, .prev_kv = true});

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "keel/types.h"

namespace keel {

// Files in PEM form; used by https and unixs endpoints.
struct TlsOptions {
  std::string ca_file = {};    // Empty: the system's roots.
  std::string cert_file = {};  // Client certificate and key: both or neither.
  std::string key_file = {};
  std::string server_name = {};  // Expected in the server's certificate; empty: the host of the endpoint.
  bool skip_verify = false;      // Trust any certificate. For tests only.
};

// How calls choose among several healthy endpoints.
enum class Balance {
  kSticky,      // Stay with one, chosen at random, until it fails: serializable reads do not jump between members.
  kRoundRobin,  // Spread calls over all.
  kLeader,      // As kSticky, but go to the leader where it is known and healthy, which saves writes a hop.
};

struct ClientOptions {
  // "host:port", "http://host:port", "https://host:port", "unix:///path" or "unixs:///path". At least one.
  std::vector<std::string> endpoints = {};
  // How long a call may take when its CallOptions do not say.
  absl::Duration timeout = absl::Seconds(5);
  // How long one attempt to connect to an endpoint may take.
  absl::Duration dial_timeout = absl::Seconds(2);
  // When no endpoint can be connected to (nobody listens, no such host, TLS that does not fit), a call fails at once
  // and says why for each. But once the client has been connected, a call keeps trying for so long, because members
  // restart. CallOptions::fail_fast and wait_for_ready overrule it.
  absl::Duration reconnect_patience = absl::Seconds(3);
  // Ping a connection with open calls that has been quiet for so long, and give it up when the answer does not come.
  // Servers refuse pings more often than every 5 s.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
  Balance balance = Balance::kSticky;
  // How often Balance::kLeader asks the members who leads. It also asks whenever an endpoint has failed.
  absl::Duration leader_refresh = absl::Seconds(5);
  // How often the endpoints are replaced by what the members advertise (see Client::Sync). Infinite: never.
  absl::Duration sync_interval = absl::InfiniteDuration();
  // Put before every key and range end that is sent, and taken off every key that comes back, so that the application
  // lives in a part of the keyspace as if it were the whole. Of a lease's keys it sees those within. Locks and
  // elections live within it as well. Empty: the whole keyspace.
  std::string key_prefix = {};
  // Connections per endpoint. One is enough for thousands of calls in flight; a load generator wants more.
  int connections_per_endpoint = 1;
  // Threads that move bytes and run completions. Two more (timers, user callbacks) serve the whole client.
  int io_threads = 1;
  // Largest message that may be sent; what servers refuse beyond anyway. Received messages are not limited.
  size_t send_bytes_max = 2 * 1024 * 1024;
  // Calls that may be under way at once. Each holds its request in memory, so this is the bound of what asynchronous
  // calls can pile up; one more is refused with kResourceExhausted, unsent. Renewals of sessions do not count.
  int64_t in_flight_max = 65536;
  std::optional<TlsOptions> tls = std::nullopt;
  // Whom to log in as. This release has no authentication: Create() refuses a user with kUnimplemented rather than run
  // without one. Certificates (`tls`) work.
  std::string user = {};
  std::string password = {};
};

// When a call whose outcome is unknown may be sent again by the client.
enum class Repeat {
  kWhenSafe,  // Reads and other repeatable calls: yes. Writes: only when the server surely has not seen them.
  kAlways,    // The caller knows that executing it twice is harmless (a txn that guards itself, for example).
};

struct CallOptions {
  std::optional<absl::Duration> timeout = std::nullopt;  // Over all attempts; default ClientOptions::timeout.
  // Have a member that knows no leader refuse at once (and the client try the next one), not wait for a leader.
  bool require_leader = false;
  // Send to this endpoint only, wherever it is listed or not; one attempt. Written as in ClientOptions.
  std::string endpoint = {};
  Repeat repeat = Repeat::kWhenSafe;
  // Give up when every endpoint has been tried once without success, instead of trying until the timeout.
  bool fail_fast = false;
  // Keep trying until the timeout even while no endpoint can be connected to: for a client that is up before its
  // servers are.
  bool wait_for_ready = false;
  // Ends the call with kCancelled soon after a stop is requested; for a write, the text says whether it was sent. The
  // blocking forms return then as well.
  std::stop_token cancel = {};
};

enum class SortOrder { kNone, kAscend, kDescend };
enum class SortTarget { kKey, kVersion, kCreateRevision, kModRevision, kValue };

// The keys: just `key` by default, else [key, range_end), or all with the prefix `key`, or all >= `key`. Setting more
// than one of range_end, prefix, from_key is kInvalidArgument. An empty key with prefix or from_key is every key.
struct RangeOptions {
  std::string range_end = {};
  bool prefix = false;
  bool from_key = false;
  int64_t limit = 0;     // At most this many pairs; 0: all.
  int64_t revision = 0;  // Read as of this revision; 0: the newest.
  SortOrder sort_order = SortOrder::kNone;
  SortTarget sort_target = SortTarget::kKey;
  bool serializable = false;     // Answered by the member at once, possibly stale.
  bool keys_only = false;        // Leave the values out.
  bool count_only = false;       // Leave the pairs out.
  int64_t min_mod_revision = 0;  // Inclusive filters; 0: off.
  int64_t max_mod_revision = 0;
  int64_t min_create_revision = 0;
  int64_t max_create_revision = 0;
};

struct PutOptions {
  LeaseId lease = 0;          // The key goes when the lease does; 0: stays.
  bool prev_kv = false;       // Answer with the pair before the write.
  bool ignore_value = false;  // Keep the stored value; the given one must be empty.
  bool ignore_lease = false;  // Keep the stored lease; `lease` must be 0.
};

// Keys as in RangeOptions.
struct DeleteOptions {
  std::string range_end = {};
  bool prefix = false;
  bool from_key = false;
  bool prev_kv = false;  // Answer with the deleted pairs.
};

struct CompactOptions {
  bool physical = false;  // Return only when the old versions are gone from the member's disk.
};

}  // namespace keel
