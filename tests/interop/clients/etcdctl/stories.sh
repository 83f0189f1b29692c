#!/usr/bin/env bash
# Stories that etcdctl tells of a cluster: each does what a person does and checks every answer.
#
#   stories.sh stories ENDPOINTS                     all of them, a line each
#   stories.sh lock ENDPOINTS LOCK COUNTER ROUNDS    adds to a counter under a lock that others share
set -euo pipefail

patience=60 # Seconds that anything may take.
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 143' TERM

fail() {
  echo "FAILED $story: $*"
  exit 1
}

# expect WHAT ACTUAL EXPECTED, where EXPECTED is a pattern.
expect() {
  # shellcheck disable=SC2053
  [[ $2 == $3 ]] || fail "$1: expected $(printf %q "$3"), got $(printf %q "$2")"
}

# refused TEXT ARGS...: etcdctl fails and says so.
refused() {
  local text=$1 said
  shift
  if said=$(etcdctl "$@" 2>&1); then fail "etcdctl $* succeeded: $said"; fi
  expect "etcdctl $*" "$said" "*$text*"
}

# await WHAT COMMAND...: until the command succeeds.
await() {
  local what=$1 end=$((SECONDS + patience))
  shift
  until "$@"; do
    ((SECONDS < end)) || fail "$what did not come"
    sleep 0.05
  done
}

holds() { [[ $(<"$work/$1") == *"$2"* ]]; }
counts() { [[ $(etcdctl get "$1" --prefix --keys-only | grep -c .) == "$2" ]]; }

# background NAME ARGS...: etcdctl with its output in a file of that name. It ends by itself when this script was
# killed too hard to end it.
background() {
  local name=$1
  shift
  : >"$work/$name"
  timeout $((3 * patience)) etcdctl "$@" >"$work/$name" 2>&1 &
}

# ask WHAT: has the runner do something and waits until it is done.
ask() {
  echo "ask $1"
  local answer
  read -r answer && [[ $answer == "done" ]] || fail "the runner did not $1"
}

# field NAME ARGS...: one number of the answer to a command.
field() {
  local name=$1
  shift
  etcdctl "$@" -w fields | sed -n "s/^\"$name\" : //p" | head -n 1
}

# puts FROM TO: one key each, whatever dies meanwhile. An error leaves open whether the put happened; a repeated txn on
# the key's absence settles it.
put_once() {
  local i
  for ((i = $1; i <= $2; ++i)); do
    await "put $i" put_if_absent "$(printf 'watch/%03d' "$i")" "$i"
  done
}
put_if_absent() { printf 'create("%s") = "0"\n\nput %s %s\n\n\n' "$1" "$1" "$2" | etcdctl txn >/dev/null 2>&1; }

tell_kv() {
  expect put "$(etcdctl put kv/a 1)" OK
  local first
  first=$(field Revision get kv/a)
  expect "put with the previous value" "$(etcdctl put --prev-kv kv/a 2)" $'OK\nkv/a\n1'
  expect get "$(etcdctl get kv/a)" $'kv/a\n2'
  expect "create revision" "$(field CreateRevision get kv/a)" "$first"
  expect "mod revision" "$(field ModRevision get kv/a)" $((first + 1))
  expect version "$(field Version get kv/a)" 2
  expect "get of the past" "$(etcdctl get kv/a --rev="$first" --print-value-only)" 1
  expect delete "$(etcdctl del --prev-kv kv/a)" $'1\nkv/a\n2'
  expect "get of nothing" "$(etcdctl get kv/a)" ""
  expect "delete of nothing" "$(etcdctl del kv/a)" 0
  refused "etcdserver: requested lease not found" put --lease=1234 kv/a 1
  refused "etcdserver: key is not provided" put "" 1
}

tell_range() {
  local i
  for i in {0..9}; do etcdctl put "range/$i" $((9 - i)) >/dev/null; done
  await "all keys" counts range/ 10
  expect "a page" "$(etcdctl get range/ --prefix --limit=3 --keys-only | xargs)" "range/0 range/1 range/2"
  expect "its count" "$(field Count get range/ --prefix --limit=3)" 10
  expect "it says there is more" "$(field More get range/ --prefix --limit=3)" true
  local first=(etcdctl get range/ --prefix --limit=1 --keys-only)
  expect "descending" "$("${first[@]}" --order=DESCEND --sort-by=KEY | xargs)" range/9
  expect "by value" "$("${first[@]}" --order=ASCEND --sort-by=VALUE | xargs)" range/9
  expect "an interval" "$(etcdctl get range/3 range/6 --consistency=s --print-value-only | xargs)" "6 5 4"
  expect "deleting all" "$(etcdctl del range/ --prefix)" 10
}

tell_txn() {
  etcdctl put txn/a 1 >/dev/null
  expect "what compares" "$(etcdctl txn <<'TXN'
value("txn/a") = "1"
version("txn/a") < "2"
create("txn/none") = "0"

put txn/a 2
get txn/a
del txn/none

put txn/a never

TXN
)" $'SUCCESS\n\nOK\n\ntxn/a\n2\n\n0'
  expect "what does not" "$(etcdctl txn <<'TXN'
mod("txn/a") = "1"

put txn/a never

get txn/a

TXN
)" $'FAILURE\n\ntxn/a\n2'
  refused "etcdserver: duplicate key given in txn request" txn <<'TXN'

put txn/a 1
put txn/a 2


TXN
}

tell_compaction() {
  local i first
  for i in 1 2 3; do etcdctl put compaction $i >/dev/null; done
  first=$(($(field ModRevision get compaction) - 2))
  expect compaction "$(etcdctl compaction $((first + 1)) --physical)" "compacted revision $((first + 1))"
  expect "the kept past" "$(etcdctl get compaction --rev=$((first + 1)) --print-value-only)" 2
  refused "etcdserver: mvcc: required revision has been compacted" get compaction --rev="$first"
  refused "etcdserver: mvcc: required revision is a future revision" get compaction --rev=$((first + 1000))
  refused "required revision has been compacted" watch compaction --rev="$first"
}

grant() { etcdctl lease grant 2 | cut -d' ' -f2; }

# A new lease that nobody keeps alive takes its two keys along.
expire() {
  local lease begin
  lease=$(grant)
  begin=$(field Revision get lease/none)
  etcdctl put --lease="$lease" "lease/$1/1" x >/dev/null
  etcdctl put --lease="$lease" "lease/$1/2" x >/dev/null
  background "$1" watch "lease/$1/" --prefix --rev=$((begin + 1))
  await "the expiry" holds "$1" $'DELETE\nlease/'"$1/1"
  await "the expiry" holds "$1" $'DELETE\nlease/'"$1/2"
  expect "an expired lease" "$(etcdctl lease timetolive "$lease")" "lease $lease already expired"
}

tell_lease() {
  local kept
  kept=$(grant)
  etcdctl put --lease="$kept" lease/kept x >/dev/null
  background keeping lease keep-alive "$kept"
  await "a renewal" holds keeping "lease $kept keepalived with TTL(2)"
  # Two leases expire one after the other; the kept one has then outlived its TTL for certain.
  expire first
  expire second
  expect "the kept lease" "$(etcdctl lease timetolive "$kept" --keys)" \
    "lease $kept granted with TTL(2s), remaining([012]s), attached keys(\[lease/kept\])"
  expect revoke "$(etcdctl lease revoke "$kept")" "lease $kept revoked"
  expect "its key" "$(etcdctl get lease/kept)" ""
  refused "etcdserver: requested lease not found" lease revoke "$kept"
  await "the end of its renewals" holds keeping "expired or revoked"
}

tell_lock() {
  background first lock lock
  local first=$!
  await "the first lock" holds first lock/
  background second lock lock -- echo locked
  await "the second in the queue" counts lock/ 2
  expect "the second waits" "$(<"$work/second")" ""
  kill -INT "$first"
  await "the second lock" holds second locked
  await "the end of both" counts lock/ 0
}

tell_election() {
  background one elect election one
  local first=$!
  await "the first leader" holds one one
  background two elect election two
  local second=$!
  background observer elect --listen election
  await "the second in the queue" counts election/ 2
  await "what the observer sees" holds observer one
  expect "the second waits" "$(<"$work/two")" ""
  kill -INT "$first"
  await "the second leader" holds two two
  await "what the observer sees" holds observer two
  kill -INT "$second"
}

# One watch lives through the deaths of all members, and sees each event once and in order.
tell_watch() {
  local start written=0 round i
  start=$(field Revision get watch/)
  background watch watch watch/ --prefix --rev=$((start + 1))
  for round in 1 2 3; do
    for what in kill restart nothing; do
      put_once $((written + 1)) $((written += 10))
      [[ $what == nothing ]] || ask $what
    done
  done
  expect "deleting all" "$(etcdctl del watch/ --prefix)" $written
  for ((i = 1; i <= written; ++i)); do printf 'PUT\nwatch/%03d\n%d\n' $i $i; done >"$work/expected"
  for ((i = 1; i <= written; ++i)); do printf 'DELETE\nwatch/%03d\n\n' $i; done >>"$work/expected"
  await "the last event" holds watch "$(printf 'DELETE\nwatch/%03d' $written)"
  # The last event has no second copy behind it: what is put now comes next.
  etcdctl put watch/last x >/dev/null
  printf 'PUT\nwatch/last\nx\n' >>"$work/expected"
  await "the event after the last" holds watch watch/last
  # What the client says of lost connections is no event.
  grep -v '^{' "$work/watch" | diff "$work/expected" - >"$work/diff" || fail "events: $(head -n 20 "$work/diff")"
}

# Reads the counter and writes one more, in two steps that only the lock holds together.
add_one() {
  local number
  number=$(etcdctl get --print-value-only "$1" | cut -d' ' -f1)
  etcdctl put "$1" "$((number + 1)) etcdctl"
}

export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${2:-}
case ${1:-} in
  stories)
    for story in kv range txn compaction lease lock election watch; do
      "tell_$story"
      echo "ok $story"
    done
    ;;
  lock)
    story=lock
    export -f add_one
    ask start
    for ((round = 0; round < $5; ++round)); do
      etcdctl lock "$3" -- bash -c "add_one $4" >/dev/null || fail "round $round"
    done
    ;;
  *)
    echo "usage: stories.sh stories ENDPOINTS | stories.sh lock ENDPOINTS LOCK COUNTER ROUNDS" >&2
    exit 2
    ;;
esac
