import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** What all stories use: checks, answers waited for, and questions to the runner. */
final class Telling {
  static final int PATIENCE_SECONDS = 60;
  private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in, UTF_8));

  /** A story that does not hold. */
  static final class Mismatch extends RuntimeException {
    private static final long serialVersionUID = 1;

    Mismatch(String what) {
      super(what);
    }
  }

  interface Condition {
    boolean holds() throws Exception;
  }

  private Telling() {}

  static void check(boolean held, String what, Object... values) {
    if (!held) throw new Mismatch(what + " " + Arrays.toString(values));
  }

  static void expect(String what, Object actual, Object expected) {
    check(Objects.equals(actual, expected), what + ": expected " + expected + ", got " + actual);
  }

  static void until(String what, Condition condition) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (!condition.holds()) {
      check(System.nanoTime() < end, what + " did not come");
      Thread.sleep(20);
    }
  }

  static <T> T get(CompletableFuture<T> answer) throws Exception {
    return answer.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  /** The next of a stream's messages; a stream that failed has put its error there. */
  static <T> T next(BlockingQueue<Object> messages, Class<T> type) throws Exception {
    Object message = messages.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
    check(type.isInstance(message), "the next message is", message);
    return type.cast(message);
  }

  /** What a call that must be refused is told. */
  static String refusal(CompletableFuture<?> answer) throws InterruptedException, TimeoutException {
    try {
      answer.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
      return "nothing";
    } catch (ExecutionException failure) {
      return failure.getCause().toString();
    }
  }

  static void expectRefusal(CompletableFuture<?> answer, String text) throws Exception {
    String refusal = refusal(answer);
    check(refusal.contains(text), "expected '" + text + "', got '" + refusal + "'");
  }

  /** Has the runner do something and waits until it is done. */
  static void ask(String what) throws IOException {
    System.out.println("ask " + what);
    check("done".equals(ANSWERS.readLine()), "the runner did not " + what);
  }

  /**
   * A client whose first call has been answered. On a busy machine that takes jetcd ten seconds and more, nearly all of
   * them before it connects: the virtual machine loads and compiles what the client consists of.
   */
  static Client connect(String[] endpoints) throws Exception {
    String[] urls = Arrays.stream(endpoints).map(e -> "http://" + e).toArray(String[]::new);
    Client client = Client.builder().endpoints(urls).build();
    get(client.getKVClient().get(bytes("first call")));
    return client;
  }

  static ByteSequence bytes(String text) {
    return ByteSequence.from(text, UTF_8);
  }
}
