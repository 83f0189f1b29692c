package main

import (
	"context"
	"fmt"
	"strconv"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const registry = "/registry/pods/"

// The requests that a Kubernetes API server makes of its store.
func tellKubernetes(ctx context.Context, c *clientv3.Client) {
	createAndUpdate(ctx, c)
	listInPages(ctx, c)
	watchWithProgress(ctx, c)
	compactInTurns(ctx, c)
}

// Every write is guarded by the revision that the writer knows; a refusal tells it what is there now.
func createAndUpdate(ctx context.Context, c *clientv3.Client) {
	key := registry + "default/a"
	create := func() *clientv3.TxnResponse {
		return must(c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, "created")).Commit())
	}
	created := create()
	check(created.Succeeded, "an object cannot be created")
	check(!create().Succeeded, "an object was created twice")
	update := func(revision int64, value string) *clientv3.TxnResponse {
		return must(c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, value)).Else(clientv3.OpGet(key)).Commit())
	}
	updated := update(created.Header.Revision, "updated")
	check(updated.Succeeded, "an update from the newest revision is refused")
	refused := update(created.Header.Revision, "stale")
	current := refused.Responses[0].GetResponseRange().Kvs[0]
	check(!refused.Succeeded && string(current.Value) == "updated" && current.ModRevision == updated.Header.Revision,
		"a stale update: %v", refused)
	deleted := must(c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", current.ModRevision)).
		Then(clientv3.OpDelete(key)).Else(clientv3.OpGet(key)).Commit())
	check(deleted.Succeeded && deleted.Responses[0].GetResponseDeleteRange().Deleted == 1, "%v", deleted)
}

// A list of many pages shows one revision, whatever is written meanwhile, and says how much is left.
func listInPages(ctx context.Context, c *clientv3.Client) {
	const objects, limit = 25, 10
	for i := range objects {
		must(c.Put(ctx, fmt.Sprintf("%slist/%02d", registry, i), "before"))
	}
	end := clientv3.GetPrefixRangeEnd(registry)
	key, revision, seen := registry, int64(0), 0
	for more := true; more; {
		page := must(c.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(limit), clientv3.WithRev(revision)))
		if revision == 0 {
			revision = page.Header.Revision
		}
		check(page.Count == int64(objects-seen), "%d left, the page says %d", objects-seen, page.Count)
		for _, kv := range page.Kvs {
			check(string(kv.Value) == "before" && kv.ModRevision <= revision, "a later write is listed: %v", kv)
		}
		seen += len(page.Kvs)
		key, more = string(page.Kvs[len(page.Kvs)-1].Key)+"\x00", page.More
		must(c.Put(ctx, registry+"list/24", "after"))
		must(c.Put(ctx, registry+"list/99", "after"))
	}
	check(seen == objects, "%d of %d objects listed", seen, objects)
}

// A watch that must have a leader starts at the list's revision, and says on request how far it has come.
func watchWithProgress(ctx context.Context, c *clientv3.Client) {
	watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	list := must(c.Get(ctx, registry, clientv3.WithPrefix()))
	watch := c.Watch(watching, registry, clientv3.WithPrefix(), clientv3.WithRev(list.Header.Revision+1),
		clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	must(c.Delete(ctx, registry+"list/00"))
	event := nextEvents(ctx, watch, 1)[0]
	check(event.Type == clientv3.EventTypeDelete && string(event.PrevKv.Value) == "before", "%v", event)

	elsewhere := must(c.Put(ctx, "/registry/other", "x")).Header.Revision
	must(0, c.RequestProgress(watching))
	for {
		response := <-watch
		check(response.Err() == nil && response.IsProgressNotify(), "%v", response)
		if response.Header.Revision >= elsewhere {
			return
		}
		must(0, c.RequestProgress(watching)) // The watcher's member may not have applied the put yet.
	}
}

// Several API servers take turns to compact: who updates the marker first does it.
func compactInTurns(ctx context.Context, c *clientv3.Client) {
	const marker = "compact_rev_key"
	turn := func(version, revision int64) (bool, int64, int64) {
		response := must(c.Txn(ctx).If(clientv3.Compare(clientv3.Version(marker), "=", version)).
			Then(clientv3.OpPut(marker, strconv.FormatInt(revision, 10))).Else(clientv3.OpGet(marker)).Commit())
		if response.Succeeded {
			return true, version + 1, response.Header.Revision
		}
		return false, response.Responses[0].GetResponseRange().Kvs[0].Version, response.Header.Revision
	}
	won, version, now := turn(0, 0)
	check(won && version == 1, "the first turn")
	lost, known, _ := turn(0, 0)
	check(!lost && known == 1, "both win one turn")
	won, _, _ = turn(known, now)
	check(won, "who lost cannot take the next turn")
	must(c.Compact(ctx, now))
	_, err := c.Get(ctx, registry, clientv3.WithPrefix(), clientv3.WithRev(now-1))
	check(err == rpctypes.ErrCompacted, "a list continued after the compaction: %v", err)
	status := must(c.Status(ctx, c.Endpoints()[0]))
	check(status.Version != "" && status.DbSize > 0 && status.Leader != 0, "%v", status)
}
