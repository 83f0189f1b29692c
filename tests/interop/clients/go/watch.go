package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	kills       = 3  // Every member dies once, the leader first.
	putsPerKill = 30 // A third before it, a third while the member is down, a third after.
)

// putOnce puts a key that is not there yet, whatever dies meanwhile. An error leaves open whether the put happened; a
// repeated txn on the key's absence settles it.
func putOnce(ctx context.Context, c *clientv3.Client, key, value string) {
	for {
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := c.Txn(attempt).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, value)).Commit()
		cancel()
		if err == nil {
			return
		}
		check(ctx.Err() == nil, "no put succeeds: %v", err)
	}
}

// nextEvents collects events until there are n.
func nextEvents(ctx context.Context, watch clientv3.WatchChan, n int) (events []*clientv3.Event) {
	for len(events) < n {
		response, open := <-watch
		check(open && ctx.Err() == nil, "the watch ended after %d of %d events", len(events), n)
		check(response.Err() == nil, "the watch failed after %d of %d events: %v", len(events), n, response.Err())
		events = append(events, response.Events...)
	}
	return events
}

// One watch lives through the deaths of all members, and sees each event once and in order.
func tellWatch(ctx context.Context, c *clientv3.Client) {
	start := must(c.Get(ctx, "watch/")).Header.Revision
	// One that must have a leader: the time between two leaders is too short to be told that there is none.
	watch := c.Watch(clientv3.WithRequireLeader(ctx), "watch/", clientv3.WithPrefix(), clientv3.WithRev(start+1),
		clientv3.WithPrevKV())
	written := 0
	put := func(n int) {
		for range n {
			written++
			putOnce(ctx, c, fmt.Sprintf("watch/%03d", written), fmt.Sprint(written))
		}
	}
	for range kills {
		put(putsPerKill / 3)
		ask("kill")
		put(putsPerKill / 3)
		ask("restart")
		put(putsPerKill / 3)
	}
	last := int64(0)
	for i, event := range nextEvents(ctx, watch, written) {
		check(event.IsCreate() && string(event.Kv.Value) == fmt.Sprint(i+1), "event %d is %v", i+1, event)
		check(event.Kv.ModRevision > last, "revision %d after %d", event.Kv.ModRevision, last)
		last = event.Kv.ModRevision
	}

	// What comes next is the deletion of all, in one response: nothing was sent twice.
	deletion := must(c.Delete(ctx, "watch/", clientv3.WithPrefix()))
	check(deletion.Deleted == int64(written), "%d of %d deleted", deletion.Deleted, written)
	response := <-watch
	check(len(response.Events) == written, "%d events of %d deletions", len(response.Events), written)
	for i, event := range response.Events {
		check(event.Type == clientv3.EventTypeDelete && string(event.PrevKv.Value) == fmt.Sprint(i+1) &&
			event.Kv.ModRevision == deletion.Header.Revision, "deletion %d is %v", i+1, event)
	}
}
