package org.labelstream.operator;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Lane;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;

/**
 * Texts that come again, to one model: one that is at work already is waited for, and what was said
 * of the last ones may be kept. Neither is tokenized, nor waits for a batch. What is sampled is
 * never shared.
 *
 * <p>Texts are known again by their SHA-256 and the settings, so that long ones are not held.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
final class Repeats {

  /** Hands a text to its model. */
  interface Submission {
    void to(Lane.Answer answer) throws RejectedRecordException;
  }

  private final Task task;
  private final Caching caching;
  private final Runnable onHit;
  private final Map<Key, Flight> flights = new ConcurrentHashMap<>();
  private final Cache<Key, Prediction> results;

  private record Key(ByteBuffer sha256, Parameters parameters) {}

  /**
   * @param onHit told of each text that did not go to the model
   */
  Repeats(Task task, Caching caching, Runnable onHit) {
    this.task = task;
    this.caching = caching;
    this.onHit = onHit;
    // On the caller's thread: one of the common pool would keep the job's classes.
    this.results =
        caching.entries() == 0
            ? null
            : Caffeine.newBuilder().maximumSize(caching.entries()).executor(Runnable::run).build();
  }

  /**
   * Has a text answered: by what is known of it, with an equal one, or by its model.
   *
   * @throws RejectedRecordException when it is handed to its model, and that cannot be
   */
  void submit(TextEvent event, Parameters parameters, Lane.Answer answer, Submission submission)
      throws RejectedRecordException {
    boolean shares = results != null || caching.inFlight();
    if (!shares || !task.isRepeatable(parameters)) {
      submission.to(answer);
      return;
    }
    Key key = new Key(sha256(event), parameters);
    Flight own = new Flight(key, answer);
    while (true) {
      Prediction known = results == null ? null : results.getIfPresent(key);
      if (known != null) {
        onHit.run();
        answer.predicted(known);
        return;
      }
      Flight other = caching.inFlight() ? flights.putIfAbsent(key, own) : null;
      if (other == null) {
        own.begin(submission);
        return;
      }
      if (other.join(answer)) {
        onHit.run();
        return;
      }
      flights.remove(key, other); // it has been answered this moment
    }
  }

  private static ByteBuffer sha256(TextEvent event) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (String text :
          new String[] {event.text(), event.textPair(), event.question(), event.context()}) {
        // By its chars: UTF-8 has no form of a lone surrogate.
        int length = text == null ? -1 : text.length();
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES + 2 * Math.max(0, length));
        bytes.putInt(length);
        if (text != null) {
          bytes.asCharBuffer().put(text);
        }
        digest.update(bytes.array());
      }
      return ByteBuffer.wrap(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }

  private static DeadLetter unanswered(Stage stage, Throwable e) {
    return new DeadLetter(
        ErrorCode.INFERENCE_FAILED,
        stage,
        "the record has the text of another one, and could not be answered with it ("
            + e.getMessage()
            + "): see the TaskManager's log");
  }

  /** A text at work, and those that wait for what is said of it. */
  private final class Flight implements Lane.Answer {
    private final Key key;
    private final Lane.Answer first;
    private List<Lane.Answer> others = new ArrayList<>();

    Flight(Key key, Lane.Answer first) {
      this.key = key;
      this.first = first;
    }

    void begin(Submission submission) throws RejectedRecordException {
      try {
        submission.to(this);
      } catch (RejectedRecordException e) {
        end(answer -> answer.rejected(e.letter()));
        throw e;
      } catch (RuntimeException | Error e) {
        Faults.rethrowFatal(e);
        end(answer -> answer.rejected(unanswered(Stage.ENCODE, e)));
        throw e;
      }
    }

    synchronized boolean join(Lane.Answer answer) {
      return others != null && others.add(answer);
    }

    private synchronized List<Lane.Answer> closed() {
      List<Lane.Answer> waiting = others == null ? List.of() : others;
      others = null;
      return waiting;
    }

    @Override
    public void predicted(Prediction prediction) {
      if (results != null) {
        results.put(key, prediction);
      }
      answered(answer -> answer.predicted(prediction));
    }

    @Override
    public void rejected(DeadLetter letter) {
      answered(answer -> answer.rejected(letter));
    }

    private void answered(Consumer<Lane.Answer> how) {
      try {
        how.accept(first);
      } finally {
        end(how);
      }
    }

    /** Answers those that wait, each whatever becomes of the others. */
    private void end(Consumer<Lane.Answer> how) {
      flights.remove(key, this);
      RuntimeException failure = null;
      for (Lane.Answer other : closed()) {
        try {
          how.accept(other);
        } catch (RuntimeException e) {
          try {
            other.rejected(unanswered(Stage.OUTPUT, e));
          } catch (RuntimeException again) {
            failure = again;
          }
        }
      }
      if (failure != null) {
        throw failure;
      }
    }
  }
}
