import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.kv.DeleteResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A watch lives through the deaths of all members, and sees each event once and in order. */
final class WatchStory {
  private static final int KILLS = 3; // Every member dies once, the leader first.
  private static final int PUTS_PER_PHASE = 10; // Before a kill, while the member is down, and after.

  private WatchStory() {}

  /**
   * A watch that goes on whatever happens. The client resumes a lost stream by itself, but for one case: when a new
   * stream meets a connection that is just going down, it ends the watch, and the caller opens another one.
   */
  private static final class Follower implements AutoCloseable {
    private final Watch watch;
    private final ByteSequence prefix;
    private final BlockingQueue<Object> responses = new LinkedBlockingQueue<>();
    private volatile long next; // The revision to go on with.
    private volatile boolean closed;
    private volatile Watch.Watcher watcher;

    Follower(Watch watch, ByteSequence prefix, long revision) {
      this.watch = watch;
      this.prefix = prefix;
      next = revision;
      open();
    }

    WatchResponse next() throws Exception {
      return Telling.next(responses, WatchResponse.class);
    }

    private void open() {
      WatchOption option = WatchOption.builder().isPrefix(true).withPrevKV(true).withRevision(next).build();
      watcher = watch.watch(prefix, option, this::receive, lost -> System.out.println("lost: " + lost), this::ended);
    }

    private void receive(WatchResponse response) {
      List<WatchEvent> events = response.getEvents();
      if (events.isEmpty()) return;
      next = events.get(events.size() - 1).getKeyValue().getModRevision() + 1;
      responses.add(response);
    }

    private void ended() {
      if (!closed) CompletableFuture.runAsync(this::open);
    }

    @Override
    public void close() {
      closed = true;
      watcher.close();
    }
  }

  static void tell(Client client) throws Exception {
    KV kv = client.getKVClient();
    ByteSequence prefix = Telling.bytes("watch/");
    long start = Telling.get(kv.get(prefix)).getHeader().getRevision();
    try (Follower follower = new Follower(client.getWatchClient(), prefix, start + 1)) {
      int written = writeThroughDeaths(kv);
      for (int seen = 0; seen < written; ) {
        for (WatchEvent event : follower.next().getEvents()) {
          ++seen;
          Telling.expect("the type", event.getEventType(), WatchEvent.EventType.PUT);
          Telling.expect("the value", event.getKeyValue().getValue(), Telling.bytes(String.valueOf(seen)));
          Telling.expect("the version", event.getKeyValue().getVersion(), 1L);
        }
      }
      DeleteResponse deletion = Telling.get(kv.delete(prefix, DeleteOption.builder().isPrefix(true).build()));
      Telling.expect("deleted", deletion.getDeleted(), (long) written);
      // What comes next is the deletion of all, in one response: nothing was sent twice.
      List<WatchEvent> last = follower.next().getEvents();
      Telling.expect("deletions", last.size(), written);
      for (int i = 0; i < written; ++i) {
        Telling.expect("the type", last.get(i).getEventType(), WatchEvent.EventType.DELETE);
        Telling.expect("what was deleted", last.get(i).getPrevKV().getValue(), Telling.bytes(String.valueOf(i + 1)));
        Telling.expect("the revision", last.get(i).getKeyValue().getModRevision(), deletion.getHeader().getRevision());
      }
    }
  }

  private static int writeThroughDeaths(KV kv) throws Exception {
    int written = 0;
    for (int kill = 0; kill < KILLS; ++kill) {
      for (String what : List.of("kill", "restart", "")) {
        for (int i = 0; i < PUTS_PER_PHASE; ++i) {
          ++written;
          ByteSequence key = Telling.bytes(String.format("watch/%03d", written));
          ByteSequence value = Telling.bytes(String.valueOf(written));
          Telling.until("a put", () -> putIfAbsent(kv, key, value));
        }
        if (!what.isEmpty()) Telling.ask(what);
      }
    }
    return written;
  }

  /** False leaves open whether the put happened; a repeated txn on the key's absence settles it. */
  private static boolean putIfAbsent(KV kv, ByteSequence key, ByteSequence value) throws InterruptedException {
    try {
      kv.txn().If(new Cmp(key, Cmp.Op.EQUAL, CmpTarget.createRevision(0))).Then(Op.put(key, value, PutOption.DEFAULT))
          .commit().get(3, TimeUnit.SECONDS);
      return true;
    } catch (ExecutionException | TimeoutException failure) {
      return false;
    }
  }
}
