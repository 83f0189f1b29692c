import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.Lock;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.election.LeaderKey;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.lock.LockResponse;
import io.etcd.jetcd.options.GetOption;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;

final class LockStories {
  private static final long TTL = 60; // Seconds; longer than any story.

  private LockStories() {}

  private static long grant(Client client) throws Exception {
    return Telling.get(client.getLeaseClient().grant(TTL)).getID();
  }

  private static void awaitQueue(Client client, String prefix, long keys) throws Exception {
    GetOption count = GetOption.builder().isPrefix(true).withCountOnly(true).build();
    KV kv = client.getKVClient();
    Telling.until("the queue", () -> Telling.get(kv.get(Telling.bytes(prefix), count)).getCount() == keys);
  }

  static void tellLock(Client client) throws Exception {
    Lock lock = client.getLockClient();
    ByteSequence name = Telling.bytes("lock");
    long firstLease = grant(client);
    ByteSequence first = Telling.get(lock.lock(name, firstLease)).getKey();
    long secondLease = grant(client);
    CompletableFuture<LockResponse> second = lock.lock(name, secondLease);
    awaitQueue(client, "lock/", 2);
    Telling.check(!second.isDone(), "two hold one lock");
    Telling.get(lock.unlock(first));
    Telling.expect("the key of a lock", Telling.get(second).getKey(),
        Telling.bytes("lock/" + Long.toHexString(secondLease)));
    // The end of a lease lets go of its lock.
    Telling.get(client.getLeaseClient().revoke(secondLease));
    Telling.get(lock.unlock(Telling.get(lock.lock(name, firstLease)).getKey()));
  }

  static void tellElection(Client client) throws Exception {
    Election election = client.getElectionClient();
    ByteSequence name = Telling.bytes("election");
    Telling.expectRefusal(election.leader(name), "NoLeaderException"); // By the server's text.
    LeaderKey first = Telling.get(election.campaign(name, grant(client), Telling.bytes("one"))).getLeader();
    BlockingQueue<Object> observed = new LinkedBlockingQueue<>();
    election.observe(name, into(observed));
    expectNext(observed, "one");
    CompletableFuture<CampaignResponse> second = election.campaign(name, grant(client), Telling.bytes("two"));
    awaitQueue(client, "election/", 2);
    Telling.get(election.proclaim(first, Telling.bytes("one again")));
    expectNext(observed, "one again");
    Telling.expect("the leader", Telling.get(election.leader(name)).getKv().getValue(), Telling.bytes("one again"));
    Telling.check(!second.isDone(), "two lead");
    Telling.get(election.resign(first));
    LeaderKey secondKey = Telling.get(second).getLeader();
    expectNext(observed, "two");
    Telling.get(election.resign(secondKey));
  }

  private static void expectNext(BlockingQueue<Object> observed, String value) throws Exception {
    LeaderResponse leader = Telling.next(observed, LeaderResponse.class);
    Telling.expect("what the observer sees", leader.getKv().getValue(), Telling.bytes(value));
  }

  private static Election.Listener into(BlockingQueue<Object> messages) {
    return new Election.Listener() {
      @Override
      public void onNext(LeaderResponse response) {
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

  /** Reads the counter and writes one more, in two steps that only the lock holds together. */
  static void countUnderLock(Client client, String name, String counter, int rounds) throws Exception {
    KV kv = client.getKVClient();
    Lock lock = client.getLockClient();
    ByteSequence key = Telling.bytes(counter);
    long lease = grant(client);
    Telling.ask("start");
    for (int round = 0; round < rounds; ++round) {
      ByteSequence held = Telling.get(lock.lock(Telling.bytes(name), lease)).getKey();
      GetResponse got = Telling.get(kv.get(key));
      String text = got.getCount() == 0 ? "0" : got.getKvs().get(0).getValue().toString(UTF_8);
      int number = Integer.parseInt(text.split(" ")[0]);
      Telling.get(kv.put(key, Telling.bytes((number + 1) + " java")));
      Telling.get(lock.unlock(held));
    }
    Telling.get(client.getLeaseClient().revoke(lease));
  }
}
