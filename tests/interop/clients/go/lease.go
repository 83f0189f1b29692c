package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const ttl = 2 // Seconds; the least that every server grants as it is asked.

// awaitExpiry attaches two keys to a new lease that nobody keeps alive, and returns when both are gone.
func awaitExpiry(ctx context.Context, c *clientv3.Client, prefix string) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	granted := must(c.Grant(ctx, ttl))
	begin := time.Now()
	put := must(c.Put(ctx, prefix+"1", "x", clientv3.WithLease(granted.ID)))
	must(c.Put(ctx, prefix+"2", "x", clientv3.WithLease(granted.ID)))
	gone := nextEvents(ctx, c.Watch(watching, prefix, clientv3.WithPrefix(), clientv3.WithRev(put.Header.Revision),
		clientv3.WithFilterPut()), 2)
	check(gone[0].Type == clientv3.EventTypeDelete && gone[0].Kv.ModRevision == gone[1].Kv.ModRevision,
		"the keys of a lease go one by one: %v", gone)
	check(time.Since(begin) >= (ttl-1)*time.Second, "the lease lived for %v", time.Since(begin))
	check(must(c.TimeToLive(ctx, granted.ID)).TTL == -1, "an expired lease has time to live")
}

func tellLease(ctx context.Context, c *clientv3.Client) {
	kept := must(c.Grant(ctx, ttl))
	check(kept.TTL == ttl, "granted %d s", kept.TTL)
	must(c.Put(ctx, "lease/kept", "x", clientv3.WithLease(kept.ID)))
	keeping, stop := context.WithCancel(ctx)
	defer stop()
	alive := must(c.KeepAlive(keeping, kept.ID))
	check((<-alive).TTL == ttl, "a renewal grants another TTL")

	// Two leases expire one after the other; the kept one has then outlived its TTL for certain.
	awaitExpiry(ctx, c, "lease/first/")
	awaitExpiry(ctx, c, "lease/second/")
	left := must(c.TimeToLive(ctx, kept.ID, clientv3.WithAttachedKeys()))
	check(left.TTL >= 0 && left.GrantedTTL == ttl, "%v", left)
	check(len(left.Keys) == 1 && string(left.Keys[0]) == "lease/kept", "%v", left)
	check(must(c.Get(ctx, "lease/kept")).Kvs[0].Lease == int64(kept.ID), "the key does not name its lease")

	must(c.Revoke(ctx, kept.ID))
	check(must(c.Get(ctx, "lease/kept")).Count == 0, "a revoked lease left its key")
	_, err := c.Revoke(ctx, kept.ID)
	check(err == rpctypes.ErrLeaseNotFound, "revoked twice: %v", err)
	_, err = c.KeepAliveOnce(ctx, kept.ID)
	check(err == rpctypes.ErrLeaseNotFound, "a renewal of a revoked lease: %v", err)
	for range alive { // Closed once the lease is gone.
	}
}
