use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp,
    TxnOpResponse, WatchOptions,
};

use crate::{check, connect, expect, refusal, Result};

pub async fn tell_kv(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    let first = c.put("kv/a", "1", None).await?.header().unwrap().revision();
    let second = c.put("kv/a", "2", Some(PutOptions::new().with_prev_key())).await?;
    expect!("revision", second.header().unwrap().revision(), first + 1);
    expect!("previous value", second.prev_key().unwrap().value(), b"1");
    let got = c.get("kv/a", None).await?;
    let kv = &got.kvs()[0];
    expect!("value", kv.value(), b"2");
    expect!("metadata", (kv.create_revision(), kv.mod_revision(), kv.version(), kv.lease()), (first, first + 1, 2, 0));
    let old = c.get("kv/a", Some(GetOptions::new().with_revision(first))).await?;
    expect!("the past", old.kvs()[0].value(), b"1");
    let binary = [0u8, 0xff, b'\n'];
    let key = [b"kv/".as_slice(), &binary].concat();
    c.put(key.clone(), binary, None).await?;
    expect!("bytes", c.get(key, None).await?.kvs()[0].value(), binary);
    let gone = c.delete("kv/a", Some(DeleteOptions::new().with_prev_key())).await?;
    expect!("deleted", (gone.deleted(), gone.prev_kvs()[0].value()), (1, b"2".as_slice()));
    expect!("a deleted key", c.get("kv/a", None).await?.count(), 0);
    expect!("deleted twice", c.delete("kv/a", None).await?.deleted(), 0);
    let unknown_lease = refusal(c.put("kv/a", "1", Some(PutOptions::new().with_lease(12345)))).await;
    expect!("a put with an unknown lease", unknown_lease, "etcdserver: requested lease not found");
    expect!("a put without a key", refusal(c.put("", "1", None)).await, "etcdserver: key is not provided");
    Ok(())
}

pub async fn tell_range(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    for i in 0..10 {
        c.put(format!("range/{i}"), (9 - i).to_string(), None).await?;
    }
    let all = || GetOptions::new().with_prefix();
    let page = c.get("range/", Some(all().with_limit(3))).await?;
    expect!("a page", (page.kvs().len(), page.more(), page.count()), (3, true, 10));
    let revision = page.header().unwrap().revision();
    let rest = GetOptions::new().with_range("range0").with_revision(revision);
    let rest = c.get("range/2\0", Some(rest)).await?;
    expect!("the rest", (rest.kvs().len(), rest.more(), rest.kvs()[0].key()), (7, false, b"range/3".as_slice()));
    let down = c.get("range/", Some(all().with_sort(SortTarget::Key, SortOrder::Descend).with_limit(1))).await?;
    expect!("the last key", down.kvs()[0].key(), b"range/9");
    let by_value = c.get("range/", Some(all().with_sort(SortTarget::Value, SortOrder::Ascend).with_limit(1))).await?;
    expect!("the smallest value's key", by_value.kvs()[0].key(), b"range/9");
    let some = c.get("range/3", Some(GetOptions::new().with_range("range/6").with_serializable())).await?;
    expect!("an interval", some.kvs().len(), 3);
    let count = c.get("range/", Some(all().with_count_only())).await?;
    expect!("count", (count.count(), count.kvs().len()), (10, 0));
    let keys = c.get("range/", Some(all().with_keys_only())).await?;
    check!(keys.kvs().len() == 10 && keys.kvs().iter().all(|kv| kv.value().is_empty()), "keys only: {keys:?}");
    expect!("deleted", c.delete("range/", Some(DeleteOptions::new().with_prefix())).await?.deleted(), 10);
    Ok(())
}

pub async fn tell_txn(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    let first = c.put("txn/a", "1", None).await?.header().unwrap().revision();
    let done = c
        .txn(
            Txn::new()
                .when([
                    Compare::value("txn/a", CompareOp::Equal, "1"),
                    Compare::version("txn/a", CompareOp::Less, 2),
                    Compare::create_revision("txn/a", CompareOp::Equal, first),
                    Compare::mod_revision("txn/a", CompareOp::Greater, first - 1),
                    Compare::lease("txn/a", CompareOp::Equal, 0),
                    Compare::version("txn/none", CompareOp::Equal, 0),
                ])
                .and_then([TxnOp::put("txn/a", "2", None), TxnOp::get("txn/a", None), TxnOp::delete("txn/none", None)])
                .or_else([TxnOp::put("txn/a", "never", None)]),
        )
        .await?;
    check!(done.succeeded(), "a txn whose comparisons hold fails");
    match &done.op_responses()[..] {
        [TxnOpResponse::Put(_), TxnOpResponse::Get(got), TxnOpResponse::Delete(deleted)] => {
            expect!("what it read", got.kvs()[0].value(), b"2");
            expect!("what it deleted", deleted.deleted(), 0);
        }
        other => check!(false, "the answers are {other:?}"),
    }
    let inner = Txn::new()
        .when([Compare::value("txn/", CompareOp::Equal, "2").with_prefix()])
        .and_then([TxnOp::put("txn/b", "inner", None)]);
    let other = c
        .txn(
            Txn::new()
                .when([Compare::value("txn/a", CompareOp::NotEqual, "2")])
                .and_then([TxnOp::put("txn/a", "never", None)])
                .or_else([TxnOp::txn(inner)]),
        )
        .await?;
    let nested = matches!(&other.op_responses()[..], [TxnOpResponse::Txn(inner)] if inner.succeeded());
    check!(!other.succeeded() && nested, "a nested txn: {other:?}");
    expect!("what the inner put wrote", c.get("txn/b", None).await?.kvs()[0].value(), b"inner");
    let twice = Txn::new().and_then([TxnOp::put("txn/a", "1", None), TxnOp::put("txn/a", "2", None)]);
    expect!("one key put twice", refusal(c.txn(twice)).await, "etcdserver: duplicate key given in txn request");
    Ok(())
}

pub async fn tell_compaction(endpoints: &[&str]) -> Result {
    let mut c = connect(endpoints).await?;
    let first = c.put("compaction", "1", None).await?.header().unwrap().revision();
    c.put("compaction", "2", None).await?;
    c.put("compaction", "3", None).await?;
    c.compact(first + 1, Some(CompactionOptions::new().with_physical())).await?;
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    expect!("the kept past", c.get("compaction", at(first + 1)).await?.kvs()[0].value(), b"2");
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    expect!("the compacted past", refusal(c.get("compaction", at(first))).await, compacted);
    let future = "etcdserver: mvcc: required revision is a future revision";
    expect!("the future", refusal(c.get("compaction", at(first + 1000))).await, future);
    expect!("compacting twice", refusal(c.compact(first, None)).await, compacted);
    let mut late = c.watch("compaction", Some(WatchOptions::new().with_start_revision(first))).await?;
    check!(late.message().await?.is_some_and(|r| r.created()), "a watch is not created");
    let end = late.message().await?.ok_or("the stream of a watch of the past ends without a word")?;
    check!(end.canceled() && end.compact_revision() == first + 1, "a watch of the past: {end:?}");
    Ok(())
}
