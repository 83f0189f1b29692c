import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.kv.DeleteResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.PutResponse;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.CompactOption;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchResponse;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

final class KvStories {
  private KvStories() {}

  static void tellKv(Client client) throws Exception {
    KV kv = client.getKVClient();
    ByteSequence key = Telling.bytes("kv/a");
    long first = Telling.get(kv.put(key, Telling.bytes("1"))).getHeader().getRevision();
    PutResponse second =
        Telling.get(kv.put(key, Telling.bytes("2"), PutOption.builder().withPrevKV().build()));
    Telling.expect("revision", second.getHeader().getRevision(), first + 1);
    Telling.expect("previous value", second.getPrevKv().getValue(), Telling.bytes("1"));
    KeyValue pair = Telling.get(kv.get(key)).getKvs().get(0);
    Telling.expect("value", pair.getValue(), Telling.bytes("2"));
    Telling.expect("metadata",
        List.of(pair.getCreateRevision(), pair.getModRevision(), pair.getVersion(), pair.getLease()),
        List.of(first, first + 1, 2L, 0L));
    GetResponse old = Telling.get(kv.get(key, GetOption.builder().withRevision(first).build()));
    Telling.expect("the past", old.getKvs().get(0).getValue(), Telling.bytes("1"));
    ByteSequence binary = ByteSequence.from(new byte[] {0, (byte) 0xff, '\n'});
    ByteSequence binaryKey = Telling.bytes("kv/").concat(binary);
    Telling.get(kv.put(binaryKey, binary));
    Telling.expect("bytes", Telling.get(kv.get(binaryKey)).getKvs().get(0).getValue(), binary);
    DeleteResponse gone = Telling.get(kv.delete(key, DeleteOption.builder().withPrevKV(true).build()));
    Telling.expect("deleted", gone.getDeleted(), 1L);
    Telling.expect("what was deleted", gone.getPrevKvs().get(0).getValue(), Telling.bytes("2"));
    Telling.expect("a deleted key", Telling.get(kv.get(key)).getCount(), 0L);
    Telling.expect("deleted twice", Telling.get(kv.delete(key)).getDeleted(), 0L);
    PutOption unknownLease = PutOption.builder().withLeaseId(12345).build();
    Telling.expectRefusal(kv.put(key, binary, unknownLease), "etcdserver: requested lease not found");
    Telling.expectRefusal(kv.put(ByteSequence.EMPTY, binary), "etcdserver: key is not provided");
  }

  static void tellRange(Client client) throws Exception {
    KV kv = client.getKVClient();
    ByteSequence prefix = Telling.bytes("range/");
    for (int i = 0; i < 10; ++i) {
      Telling.get(kv.put(Telling.bytes("range/" + i), Telling.bytes(String.valueOf(9 - i))));
    }
    GetResponse page = Telling.get(kv.get(prefix, all().withLimit(3).build()));
    Telling.expect("a page", List.of(page.getKvs().size(), page.isMore(), page.getCount()), List.of(3, true, 10L));
    GetOption onwards = GetOption.builder().withRange(Telling.bytes("range0"))
        .withRevision(page.getHeader().getRevision()).build();
    GetResponse rest = Telling.get(kv.get(Telling.bytes("range/2\0"), onwards));
    Telling.expect("the rest", List.of(rest.getKvs().size(), rest.isMore()), List.of(7, false));
    GetOption down = all().withSortField(GetOption.SortTarget.KEY).withSortOrder(GetOption.SortOrder.DESCEND)
        .withLimit(1).build();
    Telling.expect("the last key", Telling.get(kv.get(prefix, down)).getKvs().get(0).getKey(),
        Telling.bytes("range/9"));
    GetOption byValue = all().withSortField(GetOption.SortTarget.VALUE).withSortOrder(GetOption.SortOrder.ASCEND)
        .withLimit(1).build();
    Telling.expect("the smallest value's key", Telling.get(kv.get(prefix, byValue)).getKvs().get(0).getKey(),
        Telling.bytes("range/9"));
    GetOption interval = GetOption.builder().withRange(Telling.bytes("range/6")).withSerializable(true).build();
    Telling.expect("an interval", Telling.get(kv.get(Telling.bytes("range/3"), interval)).getKvs().size(), 3);
    GetResponse count = Telling.get(kv.get(prefix, all().withCountOnly(true).build()));
    Telling.expect("count", List.of(count.getCount(), count.getKvs().size()), List.of(10L, 0));
    for (KeyValue pair : Telling.get(kv.get(prefix, all().withKeysOnly(true).build())).getKvs()) {
      Telling.check(pair.getValue().isEmpty(), "a value where only keys were wanted", pair);
    }
    DeleteOption below = DeleteOption.builder().isPrefix(true).build();
    Telling.expect("deleted", Telling.get(kv.delete(prefix, below)).getDeleted(), 10L);
  }

  private static GetOption.Builder all() {
    return GetOption.builder().isPrefix(true);
  }

  static void tellTxn(Client client) throws Exception {
    KV kv = client.getKVClient();
    ByteSequence a = Telling.bytes("txn/a");
    ByteSequence none = Telling.bytes("txn/none");
    long first = Telling.get(kv.put(a, Telling.bytes("1"))).getHeader().getRevision();
    TxnResponse done = Telling.get(kv.txn()
        .If(new Cmp(a, Cmp.Op.EQUAL, CmpTarget.value(Telling.bytes("1"))),
            new Cmp(a, Cmp.Op.LESS, CmpTarget.version(2)),
            new Cmp(a, Cmp.Op.EQUAL, CmpTarget.createRevision(first)),
            new Cmp(a, Cmp.Op.GREATER, CmpTarget.modRevision(first - 1)),
            new Cmp(none, Cmp.Op.EQUAL, CmpTarget.version(0)))
        .Then(put(a, "2"), Op.get(a, GetOption.DEFAULT), Op.delete(none, DeleteOption.DEFAULT))
        .Else(put(a, "never"))
        .commit());
    Telling.check(done.isSucceeded(), "a txn whose comparisons hold fails");
    Telling.expect("what it read", done.getGetResponses().get(0).getKvs().get(0).getValue(), Telling.bytes("2"));
    Telling.expect("what it deleted", done.getDeleteResponses().get(0).getDeleted(), 0L);
    Op nested = Op.txn(new Cmp[] {new Cmp(a, Cmp.Op.EQUAL, CmpTarget.value(Telling.bytes("2")))},
        new Op[] {put(Telling.bytes("txn/b"), "inner")}, new Op[0]);
    TxnResponse other = Telling.get(kv.txn()
        .If(new Cmp(a, Cmp.Op.NOT_EQUAL, CmpTarget.value(Telling.bytes("2")))).Then(put(a, "never")).Else(nested)
        .commit());
    Telling.check(!other.isSucceeded() && other.getTxnResponses().get(0).isSucceeded(), "a nested txn", other);
    Telling.expect("what the inner put wrote",
        Telling.get(kv.get(Telling.bytes("txn/b"))).getKvs().get(0).getValue(), Telling.bytes("inner"));
    Telling.expectRefusal(kv.txn().Then(put(a, "1"), put(a, "2")).commit(),
        "etcdserver: duplicate key given in txn request");
  }

  private static Op put(ByteSequence key, String value) {
    return Op.put(key, Telling.bytes(value), PutOption.DEFAULT);
  }

  static void tellCompaction(Client client) throws Exception {
    KV kv = client.getKVClient();
    ByteSequence key = Telling.bytes("compaction");
    long first = Telling.get(kv.put(key, Telling.bytes("1"))).getHeader().getRevision();
    Telling.get(kv.put(key, Telling.bytes("2")));
    Telling.get(kv.put(key, Telling.bytes("3")));
    Telling.get(kv.compact(first + 1, CompactOption.builder().withCompactPhysical(true).build()));
    Telling.expect("the kept past", Telling.get(kv.get(key, at(first + 1))).getKvs().get(0).getValue(),
        Telling.bytes("2"));
    String compacted = "etcdserver: mvcc: required revision has been compacted";
    Telling.expectRefusal(kv.get(key, at(first)), compacted);
    Telling.expectRefusal(kv.compact(first), compacted);
    Telling.expectRefusal(kv.get(key, at(first + 1000)), "etcdserver: mvcc: required revision is a future revision");
    BlockingQueue<Object> messages = new LinkedBlockingQueue<>();
    WatchOption past = WatchOption.builder().withRevision(first).build();
    try (Watch.Watcher late =
        client.getWatchClient().watch(key, past, (WatchResponse r) -> messages.add(r), messages::add)) {
      Throwable end = Telling.next(messages, Throwable.class);
      Telling.check(end.getMessage().contains("required revision has been compacted"), "a watch of the past", end);
    }
  }

  private static GetOption at(long revision) {
    return GetOption.builder().withRevision(revision).build();
  }
}
