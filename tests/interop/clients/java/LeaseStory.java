import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.lease.LeaseTimeToLiveResponse;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.support.CloseableClient;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

final class LeaseStory {
  private static final long TTL = 2; // Seconds; the least that every server grants as it is asked.
  private static final ByteSequence X = Telling.bytes("x");

  private LeaseStory() {}

  static void tell(Client client) throws Exception {
    KV kv = client.getKVClient();
    Lease leases = client.getLeaseClient();
    ByteSequence key = Telling.bytes("lease/kept");
    long kept = Telling.get(leases.grant(TTL)).getID();
    Telling.get(kv.put(key, X, PutOption.builder().withLeaseId(kept).build()));
    BlockingQueue<Object> renewals = new LinkedBlockingQueue<>();
    try (CloseableClient keeping = leases.keepAlive(kept, into(renewals))) {
      // Two leases expire one after the other; the kept one has then outlived its TTL for certain.
      awaitExpiry(client, "lease/first/");
      awaitExpiry(client, "lease/second/");
    }
    Telling.check(renewals.size() >= 3, "too few renewals", renewals.size());
    for (Object renewal : renewals) {
      Telling.expect("a renewal", ((LeaseKeepAliveResponse) renewal).getTTL(), TTL);
    }
    LeaseTimeToLiveResponse left =
        Telling.get(leases.timeToLive(kept, LeaseOption.builder().withAttachedKeys().build()));
    Telling.check(left.getTTL() >= 0 && left.getGrantedTTL() == TTL, "the kept lease", left);
    Telling.expect("its keys", left.getKeys(), List.of(key));
    Telling.get(leases.revoke(kept));
    Telling.expect("its key", Telling.get(kv.get(key)).getCount(), 0L);
    Telling.expectRefusal(leases.revoke(kept), "etcdserver: requested lease not found");
  }

  /** Attaches two keys to a new lease that nobody keeps alive, and returns when both are gone. */
  private static void awaitExpiry(Client client, String prefix) throws Exception {
    long lease = Telling.get(client.getLeaseClient().grant(TTL)).getID();
    PutOption attached = PutOption.builder().withLeaseId(lease).build();
    KV kv = client.getKVClient();
    long start = Telling.get(kv.put(Telling.bytes(prefix + "1"), X, attached)).getHeader().getRevision();
    Telling.get(kv.put(Telling.bytes(prefix + "2"), X, attached));
    WatchOption option = WatchOption.builder().isPrefix(true).withNoPut(true).withRevision(start).build();
    BlockingQueue<Object> messages = new LinkedBlockingQueue<>();
    try (Watch.Watcher watcher = client.getWatchClient()
        .watch(Telling.bytes(prefix), option, (WatchResponse r) -> messages.add(r), messages::add)) {
      List<WatchEvent> gone = Telling.next(messages, WatchResponse.class).getEvents();
      Telling.check(gone.size() == 2 && gone.get(0).getEventType() == WatchEvent.EventType.DELETE,
          "the keys of a lease go one by one", gone);
    }
    LeaseTimeToLiveResponse left = Telling.get(client.getLeaseClient().timeToLive(lease, LeaseOption.DEFAULT));
    Telling.expect("the time that an expired lease has", left.getTTL(), -1L);
  }

  private static StreamObserver<LeaseKeepAliveResponse> into(BlockingQueue<Object> messages) {
    return new StreamObserver<>() {
      @Override
      public void onNext(LeaseKeepAliveResponse response) {
        messages.add(response);
      }

      @Override
      public void onError(Throwable failure) {
        messages.add(failure);
      }

      @Override
      public void onCompleted() {}
    };
  }
}
