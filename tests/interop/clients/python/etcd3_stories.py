"""Stories of PyPI's etcd3. It knows one endpoint, and says so when a stream is lost: going on is the caller's."""

import queue
import threading
import time

import etcd3
import grpc

from telling import PATIENCE, ask, await_condition, check, expect, main, write_through_deaths

FAILURES = (etcd3.exceptions.Etcd3Exception, grpc.RpcError)
TTL = 2  # Seconds; the least that every server grants as it is asked.


def connect(endpoint):
    host, port = endpoint.split(":")
    return etcd3.client(host=host, port=int(port), timeout=5)


def error_of(call, *args):
    """What a call that must be refused is told."""
    try:
        call(*args)
    except grpc.RpcError as error:
        return error.details()
    except etcd3.exceptions.Etcd3Exception as error:
        return type(error).__name__
    return "nothing"


def tell_kv(endpoints):
    c = connect(endpoints[0])
    first = c.put("kv/a", "1").header.revision
    second = c.put("kv/a", "2", prev_kv=True)
    expect("previous value", second.prev_kv.value, b"1")
    expect("revision", second.header.revision, first + 1)
    value, meta = c.get("kv/a")
    expect("value", value, b"2")
    expect("metadata", (meta.create_revision, meta.mod_revision, meta.version, meta.lease_id), (first, first + 1, 2, 0))
    binary = bytes([0, 0xFF, 10])
    c.put(b"kv/" + binary, binary)
    expect("bytes", c.get(b"kv/" + binary)[0], binary)
    check(c.put_if_not_exists("kv/new", "1"), "a new key exists")
    check(not c.put_if_not_exists("kv/new", "2"), "an old key does not exist")
    check(c.replace("kv/new", "1", "2") and not c.replace("kv/new", "1", "3"), "replace")
    gone = c.delete("kv/a", prev_kv=True, return_response=True)
    expect("deleted", (gone.deleted, gone.prev_kvs[0].value), (1, b"2"))
    expect("a deleted key", c.get("kv/a"), (None, None))
    check(not c.delete("kv/a"), "deleted twice")
    expect("a put with an unknown lease", error_of(c.put, "kv/a", "1", 12345), "etcdserver: requested lease not found")
    expect("a put without a key", error_of(c.put, "", "1"), "etcdserver: key is not provided")


def tell_range(endpoints):
    c = connect(endpoints[0])
    for i in range(10):
        c.put(f"range/{i}", str(9 - i))
    expect("a prefix", [v for v, _ in c.get_prefix("range/")], [b"%d" % (9 - i) for i in range(10)])
    expect("an interval", [m.key for _, m in c.get_range("range/3", "range/5")], [b"range/3", b"range/4"])
    down = c.get_prefix("range/", sort_order="descend", sort_target="key")
    expect("the last key", next(down)[1].key, b"range/9")
    by_value = c.get_prefix("range/", sort_order="ascend", sort_target="value")
    expect("the smallest value's key", next(by_value)[1].key, b"range/9")
    expect("keys only", {v for v, _ in c.get_prefix("range/", keys_only=True)}, {b""})
    expect("serializable", c.get("range/3", serializable=True)[0], b"6")
    expect("deleted", c.delete_prefix("range/").deleted, 10)


def tell_txn(endpoints):
    c = connect(endpoints[0])
    t = c.transactions
    first = c.put("txn/a", "1").header.revision
    done, answers = c.transaction(
        compare=[t.value("txn/a") == "1", t.version("txn/a") < 2, t.create("txn/a") == first,
                 t.mod("txn/a") > first - 1, t.version("txn/none") == 0],
        success=[t.put("txn/a", "2"), t.get("txn/a"), t.delete("txn/none")],
        failure=[t.put("txn/a", "never")])
    check(done, "a txn whose comparisons hold fails")
    expect("what it read", answers[1][0][0], b"2")
    expect("what it deleted", answers[2].response_delete_range.deleted, 0)
    inner = t.txn(compare=[t.value("txn/a") == "2"], success=[t.put("txn/b", "inner")], failure=[])
    done, answers = c.transaction(compare=[t.value("txn/a") != "2"], success=[t.put("txn/a", "never")], failure=[inner])
    check(not done and answers[0].response_txn.succeeded, "a nested txn")
    expect("what the inner put wrote", c.get("txn/b")[0], b"inner")
    twice = [t.put("txn/a", "1"), t.put("txn/a", "2")]
    refusal = error_of(c.transaction, [], twice, [])
    expect("one key put twice", refusal, "etcdserver: duplicate key given in txn request")


def tell_compaction(endpoints):
    c = connect(endpoints[0])
    first = c.put("compaction", "1").header.revision
    c.put("compaction", "2")
    c.compact(first + 1, physical=True)
    compacted = "etcdserver: mvcc: required revision has been compacted"
    future = "etcdserver: mvcc: required revision is a future revision"
    expect("compacting twice", error_of(c.compact, first), compacted)
    expect("compacting the future", error_of(c.compact, first + 1000), future)
    events, _ = c.watch("compaction", start_revision=first)
    expect("a watch of the past", error_of(next, events), "RevisionCompactedError")
    events, cancel = c.watch("compaction", start_revision=first + 1)
    expect("a watch of the kept past", next(events).value, b"2")
    cancel()


def put_once(clients, key, value):
    """Puts a key that is not there yet, whatever dies meanwhile. An error leaves open whether the put happened; a
    repeated txn on the key's absence settles it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            clients[0].put_if_not_exists(key, value)
            return
        except FAILURES as error:
            check(time.monotonic() < deadline, "no put succeeds:", error)
            clients.append(clients.pop(0))


def watch_forever(endpoints, prefix, revision, responses):
    """Puts the responses of a watch into a queue; a lost stream is opened again at the next member, from the revision
    after the last one seen."""
    clients = [connect(e) for e in endpoints]
    while True:
        try:
            stream, _ = clients[0].watch_prefix_response(prefix, start_revision=revision, prev_kv=True)
            for response in stream:
                responses.put(response)
                revision = response.events[-1].mod_revision + 1
        except FAILURES:
            clients.append(clients.pop(0))


def tell_watch(endpoints):
    clients = [connect(e) for e in endpoints]
    start = clients[0].get_response("watch/").header.revision
    responses = queue.Queue()
    threading.Thread(target=watch_forever, args=(endpoints, "watch/", start + 1, responses), daemon=True).start()
    written = write_through_deaths(lambda i: put_once(clients, f"watch/{i:03}", str(i)))
    events = []
    while len(events) < written:
        events += responses.get(timeout=PATIENCE).events
    expect("the values", [e.value for e in events], [b"%d" % (i + 1) for i in range(written)])
    check(all(isinstance(e, etcd3.events.PutEvent) and e.version == 1 for e in events), "not only first puts")
    expect("deleted", clients[0].delete_prefix("watch/").deleted, written)
    # What comes next is the deletion of all, in one response: nothing was sent twice.
    last = responses.get(timeout=PATIENCE).events
    expect("the deletions", [e.prev_value for e in last], [e.value for e in events])
    expect("their revisions", len({e.mod_revision for e in last}), 1)


def await_expiry(c, prefix):
    """Attaches two keys to a new lease that nobody keeps alive, and returns when both are gone."""
    lease = c.lease(TTL)
    start = c.put(prefix + "1", "x", lease=lease).header.revision
    c.put(prefix + "2", "x", lease=lease)
    responses, cancel = c.watch_prefix_response(prefix, start_revision=start)
    deletions = []
    for response in responses:
        deletions += [e for e in response.events if isinstance(e, etcd3.events.DeleteEvent)]
        if len(deletions) == 2:
            break
    cancel()
    expect("the revisions of both", len({e.mod_revision for e in deletions}), 1)
    expect("the time that an expired lease has", lease.remaining_ttl, -1)


def tell_lease(endpoints):
    c = connect(endpoints[0])
    kept = c.lease(TTL)
    c.put("lease/kept", "x", lease=kept)
    stop = threading.Event()

    def keep():
        while not stop.wait(TTL / 3):
            expect("a renewal", kept.refresh()[0].TTL, TTL)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        # Two leases expire one after the other; the kept one has then outlived its TTL for certain.
        await_expiry(c, "lease/first/")
        await_expiry(c, "lease/second/")
    finally:
        stop.set()
        keeper.join()
    check(0 <= kept.remaining_ttl <= TTL and kept.granted_ttl == TTL, "remaining", kept.remaining_ttl)
    expect("its keys", list(kept.keys), [b"lease/kept"])
    expect("the key's lease", c.get("lease/kept")[1].lease_id, kept.id)
    kept.revoke()
    expect("its key", c.get("lease/kept"), (None, None))
    expect("revoked twice", error_of(kept.revoke), "etcdserver: requested lease not found")
    expect("a renewal of a revoked lease", kept.refresh()[0].TTL, 0)


def tell_lock(endpoints):
    one, two = connect(endpoints[0]), connect(endpoints[1])
    first, second = one.lock("lock", ttl=30), two.lock("lock", ttl=TTL)
    check(first.acquire(timeout=PATIENCE) and first.is_acquired(), "a free lock")
    check(not second.acquire(timeout=1), "two hold one lock")
    held = threading.Event()

    def acquire():
        # One attempt may miss the release between its look and its watch, and waits then for nothing.
        while not second.acquire(timeout=1):
            pass
        held.set()

    threading.Thread(target=acquire, daemon=True).start()
    check(not held.wait(0.2), "the second did not wait")
    first.release()
    check(held.wait(PATIENCE) and second.is_acquired(), "the second did not get the lock")
    # It does not renew its lease: the lock is free again by itself.
    await_condition("the end of the second's lease", lambda: first.acquire(timeout=1))
    check(first.release() and not second.release(), "who released the lock")


def count_under_lock(endpoints, name, counter, rounds):
    """Reads the counter and writes one more, in two steps that only the lock holds together."""
    c = connect(endpoints[0])
    # The client puts its own prefix before a lock's name; the key is what others see.
    lock = c.lock(name.removeprefix(etcd3.locks.Lock.lock_prefix), ttl=30)
    ask("start")
    for _ in range(rounds):
        await_condition("the lock", lambda: lock.acquire(timeout=1))
        value, _ = c.get(counter)
        number = int(value.split()[0]) if value else 0
        c.put(counter, f"{number + 1} python")
        check(lock.release(), "the lock was lost")


main([tell_kv, tell_range, tell_txn, tell_compaction, tell_lease, tell_lock, tell_watch], count_under_lock)
