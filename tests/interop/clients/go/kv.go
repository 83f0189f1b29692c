package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func tellKV(ctx context.Context, c *clientv3.Client) {
	first := must(c.Put(ctx, "kv/a", "1")).Header.Revision
	second := must(c.Put(ctx, "kv/a", "2", clientv3.WithPrevKV()))
	check(second.Header.Revision == first+1, "a put moved the revision from %d to %d", first, second.Header.Revision)
	check(string(second.PrevKv.Value) == "1", "previous value %q", second.PrevKv.Value)

	got := must(c.Get(ctx, "kv/a"))
	check(got.Count == 1 && len(got.Kvs) == 1, "%d keys", got.Count)
	kv := got.Kvs[0]
	check(string(kv.Value) == "2" && kv.CreateRevision == first && kv.ModRevision == first+1 && kv.Version == 2 &&
		kv.Lease == 0, "%v", kv)
	old := must(c.Get(ctx, "kv/a", clientv3.WithRev(first)))
	check(string(old.Kvs[0].Value) == "1" && old.Header.Revision == first+1, "the past is %v", old)

	// Neither keys nor values need be text.
	binary := string([]byte{0, 0xff, '\n'})
	must(c.Put(ctx, "kv/"+binary, binary))
	check(string(must(c.Get(ctx, "kv/"+binary)).Kvs[0].Value) == binary, "bytes come back changed")

	deleted := must(c.Delete(ctx, "kv/a", clientv3.WithPrevKV()))
	check(deleted.Deleted == 1 && string(deleted.PrevKvs[0].Value) == "2", "%v", deleted)
	check(must(c.Get(ctx, "kv/a")).Count == 0, "deleted and still there")
	check(must(c.Delete(ctx, "kv/a")).Deleted == 0, "deleted twice")
	_, err := c.Put(ctx, "kv/a", "1", clientv3.WithLease(12345))
	check(err == rpctypes.ErrLeaseNotFound, "a put with an unknown lease: %v", err)
	_, err = c.Put(ctx, "", "1")
	check(err == rpctypes.ErrEmptyKey, "a put without a key: %v", err)
}

func tellRange(ctx context.Context, c *clientv3.Client) {
	for i := range 10 {
		must(c.Put(ctx, fmt.Sprintf("range/%d", i), fmt.Sprint(9-i)))
	}
	check(len(must(c.Get(ctx, "range/", clientv3.WithPrefix())).Kvs) == 10, "not all keys of a prefix")
	page := must(c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithLimit(3)))
	check(len(page.Kvs) == 3 && page.More && page.Count == 10, "a page of %d, count %d", len(page.Kvs), page.Count)
	rest := must(c.Get(ctx, string(page.Kvs[2].Key)+"\x00", clientv3.WithRange(clientv3.GetPrefixRangeEnd("range/")),
		clientv3.WithRev(page.Header.Revision)))
	check(len(rest.Kvs) == 7 && !rest.More && string(rest.Kvs[0].Key) == "range/3", "the rest is %v", rest.Kvs)
	down := must(c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend),
		clientv3.WithLimit(1)))
	check(string(down.Kvs[0].Key) == "range/9", "the last key is %s", down.Kvs[0].Key)
	byValue := must(c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByValue,
		clientv3.SortAscend), clientv3.WithLimit(1)))
	check(string(byValue.Kvs[0].Key) == "range/9", "the smallest value is at %s", byValue.Kvs[0].Key)
	some := must(c.Get(ctx, "range/3", clientv3.WithRange("range/6"), clientv3.WithSerializable()))
	check(len(some.Kvs) == 3, "%d keys from 3 to 6", len(some.Kvs))
	count := must(c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithCountOnly()))
	check(count.Count == 10 && len(count.Kvs) == 0, "%v", count)
	keys := must(c.Get(ctx, "range/", clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	check(len(keys.Kvs) == 10 && len(keys.Kvs[0].Value) == 0, "values where only keys were wanted")
	newest := must(c.Get(ctx, "range/", append(clientv3.WithLastRev(), clientv3.WithPrefix())...))
	check(string(newest.Kvs[0].Key) == "range/9", "the newest is %s", newest.Kvs[0].Key)
	check(must(c.Delete(ctx, "range/", clientv3.WithPrefix())).Deleted == 10, "not all deleted")
}

func tellTxn(ctx context.Context, c *clientv3.Client) {
	first := must(c.Put(ctx, "txn/a", "1")).Header.Revision
	done := must(c.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("txn/a"), "=", "1"), clientv3.Compare(clientv3.Version("txn/a"), "<", 2),
			clientv3.Compare(clientv3.CreateRevision("txn/a"), "=", first),
			clientv3.Compare(clientv3.ModRevision("txn/a"), ">", first-1),
			clientv3.Compare(clientv3.LeaseValue("txn/a"), "=", 0), clientv3.Compare(clientv3.Version("txn/none"), "=", 0)).
		Then(clientv3.OpPut("txn/a", "2"), clientv3.OpGet("txn/a"), clientv3.OpPut("txn/b", "x"),
			clientv3.OpDelete("txn/none")).
		Else(clientv3.OpPut("txn/a", "never")).Commit())
	check(done.Succeeded && len(done.Responses) == 4, "%v", done)
	check(done.Header.Revision == first+1, "one txn moved the revision to %d", done.Header.Revision)
	check(string(done.Responses[1].GetResponseRange().Kvs[0].Value) == "2", "a txn does not see its own put")
	check(done.Responses[3].GetResponseDeleteRange().Deleted == 0, "%v", done.Responses[3])

	other := must(c.Txn(ctx).If(clientv3.Compare(clientv3.Value("txn/a"), "!=", "2")).
		Then(clientv3.OpPut("txn/a", "never")).Else(clientv3.OpGet("txn/", clientv3.WithPrefix())).Commit())
	check(!other.Succeeded && other.Responses[0].GetResponseRange().Count == 2, "%v", other)

	all := clientv3.Compare(clientv3.CreateRevision("txn/"), ">", 0).WithPrefix()
	nested := must(c.Txn(ctx).If(all).Then(
		clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value("txn/b"), "=", "y")}, nil,
			[]clientv3.Op{clientv3.OpPut("txn/c", "inner"), clientv3.OpGet("txn/c")})).Commit())
	inner := nested.Responses[0].GetResponseTxn()
	check(nested.Succeeded && !inner.Succeeded && len(inner.Responses) == 2 &&
		string(inner.Responses[1].GetResponseRange().Kvs[0].Value) == "inner", "%v", nested)

	_, err := c.Txn(ctx).Then(clientv3.OpPut("txn/a", "1"), clientv3.OpPut("txn/a", "2")).Commit()
	check(err == rpctypes.ErrDuplicateKey, "one key put twice: %v", err)
}

func tellCompaction(ctx context.Context, c *clientv3.Client) {
	first := must(c.Put(ctx, "compaction", "1")).Header.Revision
	must(c.Put(ctx, "compaction", "2"))
	must(c.Put(ctx, "compaction", "3"))
	must(c.Compact(ctx, first+1, clientv3.WithCompactPhysical()))
	check(string(must(c.Get(ctx, "compaction", clientv3.WithRev(first+1))).Kvs[0].Value) == "2", "the kept past")
	_, err := c.Get(ctx, "compaction", clientv3.WithRev(first))
	check(err == rpctypes.ErrCompacted, "a read of the compacted past: %v", err)
	_, err = c.Get(ctx, "compaction", clientv3.WithRev(first+1000))
	check(err == rpctypes.ErrFutureRev, "a read of the future: %v", err)
	_, err = c.Compact(ctx, first)
	check(err == rpctypes.ErrCompacted, "compacting twice: %v", err)
	late := <-c.Watch(ctx, "compaction", clientv3.WithRev(first))
	check(late.Err() == rpctypes.ErrCompacted && late.CompactRevision == first+1, "a watch of the past: %v", late)
}
