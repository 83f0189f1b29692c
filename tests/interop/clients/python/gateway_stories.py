"""Stories of the protocol as JSON over HTTP, with the standard library alone."""

import base64
import http.client
import json
import queue
import threading
import time

from telling import PATIENCE, ask, await_condition, check, expect, main, write_through_deaths

FAILURES = (OSError, http.client.HTTPException)
TTL = 2  # Seconds; the least that every server grants as it is asked.


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def text_of(encoded):
    return base64.b64decode(encoded).decode()


def prefix_of(key):
    """Key and range end of all keys with a prefix."""
    return {"key": b64(key), "range_end": b64(key[:-1] + chr(ord(key[-1]) + 1))}


class Refused(Exception):
    """What the server says with another status than 200: the HTTP status, the code of the RPC and the text."""


def request(endpoint, path, body, timeout=5):
    connection = http.client.HTTPConnection(endpoint, timeout=timeout)
    connection.request("POST", "/v3/" + path, json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


def call(endpoint, path, body, timeout=5):
    response = request(endpoint, path, body, timeout)
    answer = json.loads(response.read())
    if response.status != 200:
        raise Refused(response.status, answer["code"], answer["message"])
    return answer


def stream(endpoint, path, body):
    """The results of a streaming call, one after the other."""
    for line in request(endpoint, path, body, timeout=PATIENCE):
        yield json.loads(line)["result"]


def refusal(endpoint, path, body):
    try:
        return call(endpoint, path, body)
    except Refused as refused:
        return refused.args


def get(endpoint, key, **options):
    return call(endpoint, "kv/range", {"key": b64(key), **options})


def put(endpoint, key, value, **options):
    return call(endpoint, "kv/put", {"key": b64(key), "value": b64(value), **options})


def count(endpoint, prefix):
    return int(call(endpoint, "kv/range", {**prefix_of(prefix), "count_only": True}).get("count", 0))


def tell_kv(endpoints):
    e = endpoints[0]
    first = int(put(e, "kv/a", "1")["header"]["revision"])
    second = put(e, "kv/a", "2", prev_kv=True)
    expect("revision", second["header"]["revision"], str(first + 1))
    expect("previous value", text_of(second["prev_kv"]["value"]), "1")
    expect("the pair", get(e, "kv/a")["kvs"], [{"key": b64("kv/a"), "create_revision": str(first),
                                               "mod_revision": str(first + 1), "version": "2", "value": b64("2")}])
    expect("the past", get(e, "kv/a", revision=str(first))["kvs"][0]["value"], b64("1"))
    binary = bytes([0, 0xFF, 10])
    put(e, b"kv/" + binary, binary)
    expect("bytes", base64.b64decode(get(e, b"kv/" + binary)["kvs"][0]["value"]), binary)
    gone = call(e, "kv/deleterange", {"key": b64("kv/a"), "prev_kv": True})
    expect("deleted", (gone["deleted"], gone["prev_kvs"][0]["value"]), ("1", b64("2")))
    # What is zero or empty is left out.
    expect("a deleted key", set(get(e, "kv/a")), {"header"})
    expect("deleted twice", set(call(e, "kv/deleterange", {"key": b64("kv/a")})), {"header"})
    expect("a put with an unknown lease", refusal(e, "kv/put", {"key": b64("kv/a"), "lease": "12345"}),
           (404, 5, "etcdserver: requested lease not found"))
    expect("a put without a key", refusal(e, "kv/put", {"value": b64("1")}),
           (400, 3, "etcdserver: key is not provided"))


def tell_range(endpoints):
    e = endpoints[0]
    for i in range(10):
        put(e, f"range/{i}", str(9 - i))
    everything = prefix_of("range/")
    page = call(e, "kv/range", {**everything, "limit": "3"})
    expect("a page", ([text_of(kv["key"]) for kv in page["kvs"]], page["more"], page["count"]),
           (["range/0", "range/1", "range/2"], True, "10"))
    rest = call(e, "kv/range", {**everything, "key": b64("range/2\0"), "revision": page["header"]["revision"]})
    expect("the rest", (len(rest["kvs"]), "more" in rest), (7, False))
    down = call(e, "kv/range", {**everything, "limit": 1, "sort_order": "DESCEND", "sort_target": "KEY"})
    expect("the last key", text_of(down["kvs"][0]["key"]), "range/9")
    by_value = call(e, "kv/range", {**everything, "limit": 1, "sort_order": "ASCEND", "sort_target": "VALUE"})
    expect("the smallest value's key", text_of(by_value["kvs"][0]["key"]), "range/9")
    only_keys = call(e, "kv/range", {**everything, "keys_only": True, "serializable": True})
    check(len(only_keys["kvs"]) == 10 and not any("value" in kv for kv in only_keys["kvs"]), only_keys)
    expect("count", count(e, "range/"), 10)
    expect("deleted", call(e, "kv/deleterange", everything)["deleted"], "10")


def tell_txn(endpoints):
    e = endpoints[0]
    key, none = b64("txn/a"), b64("txn/none")
    first = int(put(e, "txn/a", "1")["header"]["revision"])
    done = call(e, "kv/txn", {
        "compare": [{"key": key, "target": "VALUE", "value": b64("1")},  # EQUAL is what is left out.
                    {"key": key, "target": "VERSION", "result": "LESS", "version": "2"},
                    {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": str(first)},
                    {"key": key, "target": "MOD", "result": "GREATER", "mod_revision": str(first - 1)},
                    {"key": none, "target": "VERSION", "version": "0"}],
        "success": [{"request_put": {"key": key, "value": b64("2")}}, {"requestRange": {"key": key}},
                    {"request_delete_range": {"key": none}}],
        "failure": [{"request_put": {"key": key, "value": b64("never")}}]})
    check(done["succeeded"], "a txn whose comparisons hold fails")
    expect("what it read", done["responses"][1]["response_range"]["kvs"][0]["value"], b64("2"))
    inner = {"compare": [{"key": key, "target": "VALUE", "value": b64("2")}],
             "success": [{"request_put": {"key": b64("txn/b"), "value": b64("inner")}}]}
    other = call(e, "kv/txn", {"compare": [{"key": key, "target": "VALUE", "result": "NOT_EQUAL", "value": b64("2")}],
                               "failure": [{"request_txn": inner}]})
    check("succeeded" not in other and other["responses"][0]["response_txn"]["succeeded"], "a nested txn:", other)
    expect("what the inner put wrote", get(e, "txn/b")["kvs"][0]["value"], b64("inner"))
    twice = {"success": [{"request_put": {"key": key}}, {"request_put": {"key": key}}]}
    expect("one key put twice", refusal(e, "kv/txn", twice), (400, 3, "etcdserver: duplicate key given in txn request"))


def tell_compaction(endpoints):
    e = endpoints[0]
    first = int(put(e, "compaction", "1")["header"]["revision"])
    put(e, "compaction", "2")
    put(e, "compaction", "3")
    call(e, "kv/compaction", {"revision": str(first + 1), "physical": True})
    expect("the kept past", get(e, "compaction", revision=str(first + 1))["kvs"][0]["value"], b64("2"))
    key = b64("compaction")
    expect("the compacted past", refusal(e, "kv/range", {"key": key, "revision": str(first)}),
           (400, 11, "etcdserver: mvcc: required revision has been compacted"))
    expect("the future", refusal(e, "kv/range", {"key": key, "revision": str(first + 1000)}),
           (400, 11, "etcdserver: mvcc: required revision is a future revision"))
    watch = stream(e, "watch", {"create_request": {"key": key, "start_revision": str(first)}})
    check(next(watch)["created"], "a watch is not created")
    late = next(watch)
    check(late["canceled"] and late["compact_revision"] == str(first + 1), "a watch of the past:", late)


def put_once(endpoints, key, value):
    """Puts a key that is not there yet, whatever dies meanwhile. An error leaves open whether the put happened; a
    repeated txn on the key's absence settles it."""
    body = {"compare": [{"key": b64(key), "target": "VERSION", "version": "0"}],
            "success": [{"request_put": {"key": b64(key), "value": b64(value)}}]}
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call(endpoints[0], "kv/txn", body)
            return
        except (*FAILURES, Refused) as error:
            check(time.monotonic() < deadline, "no put succeeds:", error)
            endpoints.append(endpoints.pop(0))


def watch_forever(endpoints, prefix, revision, results):
    """Puts the results of a watch into a queue; a lost stream is opened again at the next member, from the revision
    after the last one seen."""
    while True:
        create = {**prefix_of(prefix), "start_revision": str(revision), "prev_kv": True}
        try:
            for result in stream(endpoints[0], "watch", {"create_request": create}):
                if result.get("events"):
                    results.put(result)
                    revision = int(result["events"][-1]["kv"]["mod_revision"]) + 1
        except (*FAILURES, KeyError, ValueError):  # Refused, or cut off in the middle of a line.
            pass
        endpoints.append(endpoints.pop(0))


def tell_watch(endpoints):
    start = int(get(endpoints[0], "watch/")["header"]["revision"])
    results = queue.Queue()
    threading.Thread(target=watch_forever, args=(list(endpoints), "watch/", start + 1, results), daemon=True).start()
    alive = list(endpoints)
    written = write_through_deaths(lambda i: put_once(alive, f"watch/{i:03}", str(i)))
    events = []
    while len(events) < written:
        events += results.get(timeout=PATIENCE)["events"]
    expect("the values", [text_of(e["kv"]["value"]) for e in events], [str(i + 1) for i in range(written)])
    check(all("type" not in e and e["kv"]["version"] == "1" for e in events), "not only first puts")
    expect("deleted", call(alive[0], "kv/deleterange", prefix_of("watch/"))["deleted"], str(written))
    # What comes next is the deletion of all, in one result: nothing was sent twice.
    last = results.get(timeout=PATIENCE)["events"]
    expect("the deletions", [e["prev_kv"]["value"] for e in last], [e["kv"]["value"] for e in events])
    expect("their types and revisions", {(e["type"], len(e["kv"])) for e in last}, {("DELETE", 2)})


def grant(endpoint, ttl=TTL):
    return call(endpoint, "lease/grant", {"TTL": str(ttl)})["ID"]


def renew(endpoint, lease):
    """The TTL after a renewal; None: there is no such lease."""
    (result,) = stream(endpoint, "lease/keepalive", {"ID": lease})
    return result.get("TTL")


def await_expiry(e, prefix):
    """Attaches two keys to a new lease that nobody keeps alive, and returns when both are gone."""
    lease = grant(e)
    start = put(e, prefix + "1", "x", lease=lease)["header"]["revision"]
    put(e, prefix + "2", "x", lease=lease)
    create = {**prefix_of(prefix), "start_revision": start, "filters": ["NOPUT"]}
    for result in stream(e, "watch", {"create_request": create}):
        if result.get("events"):
            expect("what expires in one revision", [event["type"] for event in result["events"]], ["DELETE"] * 2)
            break
    expect("the time that an expired lease has", call(e, "lease/timetolive", {"ID": lease})["TTL"], "-1")


def tell_lease(endpoints):
    e = endpoints[0]
    kept = grant(e)
    put(e, "lease/kept", "x", lease=kept)
    stop = threading.Event()
    renewals = []

    def keep():
        while not stop.wait(TTL / 3):
            renewals.append(renew(e, kept))

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        # Two leases expire one after the other; the kept one has then outlived its TTL for certain.
        await_expiry(e, "lease/first/")
        await_expiry(e, "lease/second/")
    finally:
        stop.set()
        keeper.join()
    expect("the renewals", set(renewals), {str(TTL)})
    left = call(e, "lease/timetolive", {"ID": kept, "keys": True})
    expect("the kept lease", (left["grantedTTL"], left["keys"]), (str(TTL), [b64("lease/kept")]))
    check({"ID": kept} in call(e, "lease/leases", {})["leases"], "the list of leases lacks one")
    call(e, "lease/revoke", {"ID": kept})
    expect("its key", count(e, "lease/kept"), 0)
    expect("revoked twice", refusal(e, "lease/revoke", {"ID": kept}),
           (404, 5, "etcdserver: requested lease not found"))
    expect("a renewal of a revoked lease", renew(e, kept), None)


def lock(endpoint, name, lease):
    return call(endpoint, "lock/lock", {"name": b64(name), "lease": lease}, timeout=PATIENCE)["key"]


def tell_lock(endpoints):
    one, two = endpoints[:2]
    first = lock(one, "lock", grant(one, 30))
    held = queue.Queue()
    second_lease = grant(two, 30)
    threading.Thread(target=lambda: held.put(lock(two, "lock", second_lease)), daemon=True).start()
    await_condition("the second in line", lambda: count(one, "lock/") == 2)
    check(held.empty(), "two hold one lock")
    call(one, "lock/unlock", {"key": first})
    second = held.get(timeout=PATIENCE)
    check(text_of(second) == f"lock/{int(second_lease):x}", "the key of a lock is", text_of(second))
    # The end of a lease lets go of its lock.
    call(two, "lease/revoke", {"ID": second_lease})
    call(one, "lock/unlock", {"key": lock(one, "lock", grant(one, 30))})


def tell_election(endpoints):
    one, two = endpoints[:2]
    name = b64("election")
    expect("a leader before the election", refusal(one, "election/leader", {"name": name}),
           (500, 2, "election: no leader"))

    def campaign(e, value):
        body = {"name": name, "lease": grant(e, 30), "value": b64(value)}
        return call(e, "election/campaign", body, timeout=PATIENCE)["leader"]

    first = campaign(one, "one")
    observed = stream(two, "election/observe", {"name": name})
    expect("the first leader", text_of(next(observed)["kv"]["value"]), "one")
    elected = queue.Queue()
    threading.Thread(target=lambda: elected.put(campaign(two, "two")), daemon=True).start()
    await_condition("the second in line", lambda: count(one, "election/") == 2)
    call(one, "election/proclaim", {"leader": first, "value": b64("one again")})
    expect("the proclamation", text_of(next(observed)["kv"]["value"]), "one again")
    expect("the leader", text_of(call(two, "election/leader", {"name": name})["kv"]["value"]), "one again")
    check(elected.empty(), "two lead")
    call(one, "election/resign", {"leader": first})
    second = elected.get(timeout=PATIENCE)
    expect("the second leader", text_of(next(observed)["kv"]["value"]), "two")
    call(two, "election/resign", {"leader": second})


def count_under_lock(endpoints, name, counter, rounds):
    """Reads the counter and writes one more, in two steps that only the lock holds together."""
    e = endpoints[0]
    lease = grant(e, 30)
    ask("start")
    for _ in range(rounds):
        key = lock(e, name, lease)
        kvs = get(e, counter).get("kvs")
        number = int(text_of(kvs[0]["value"]).split()[0]) if kvs else 0
        put(e, counter, f"{number + 1} gateway")
        call(e, "lock/unlock", {"key": key})
    call(e, "lease/revoke", {"ID": lease})


main([tell_kv, tell_range, tell_txn, tell_compaction, tell_lease, tell_lock, tell_election, tell_watch],
     count_under_lock)
