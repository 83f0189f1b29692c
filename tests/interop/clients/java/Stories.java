import io.etcd.jetcd.Client;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Stories of Maven Central's jetcd.
 *
 * <pre>
 * Stories stories ENDPOINTS                        tells all stories, a line each
 * Stories lock ENDPOINTS LOCK COUNTER ROUNDS       adds to a counter under a lock that others share
 * </pre>
 */
public final class Stories {
  private interface Story {
    void tell(Client client) throws Exception;
  }

  private Stories() {}

  private static Map<String, Story> stories() {
    Map<String, Story> stories = new LinkedHashMap<>();
    stories.put("kv", KvStories::tellKv);
    stories.put("range", KvStories::tellRange);
    stories.put("txn", KvStories::tellTxn);
    stories.put("compaction", KvStories::tellCompaction);
    stories.put("lease", LeaseStory::tell);
    stories.put("lock", LockStories::tellLock);
    stories.put("election", LockStories::tellElection);
    stories.put("watch", WatchStory::tell);
    return stories;
  }

  public static void main(String[] arguments) {
    if (arguments.length == 2 && arguments[0].equals("stories")) {
      stories().forEach((name, story) -> tell(name, story, arguments[1].split(",")));
    } else if (arguments.length == 5 && arguments[0].equals("lock")) {
      Story count = c -> LockStories.countUnderLock(c, arguments[2], arguments[3], Integer.parseInt(arguments[4]));
      tell("lock", count, arguments[1].split(","));
    } else {
      System.err.println("usage: Stories stories ENDPOINTS | Stories lock ENDPOINTS LOCK COUNTER ROUNDS");
      System.exit(2);
    }
    System.exit(0); // Whatever threads the client has left.
  }

  private static void tell(String name, Story story, String[] endpoints) {
    try (Client client = Telling.connect(endpoints)) {
      story.tell(client);
    } catch (Exception failure) {
      System.out.println("FAILED " + name + ": " + failure);
      failure.printStackTrace();
      System.exit(1);
    }
    System.out.println("ok " + name);
  }
}
