package org.labelstream.operator;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import org.apache.flink.core.fs.UnsupportedFileSystemSchemeException;
import org.labelstream.engine.EngineException;
import org.labelstream.model.InvalidModelException;
import org.labelstream.store.ModelFetcher;

/**
 * What a fault at the start of a stage is, judged by its whole chain of causes. {@code
 * docs/cluster.md} has the table.
 */
enum LoadFailure {
  /** It may be gone when the job has restarted. */
  PASSING,
  /** It stays however often the job restarts. */
  PERMANENT;

  /** Hadoop's and DJL's, by name: neither is this room's to import. */
  private static final Set<String> FINAL =
      Set.of("AccessControlException", "MalformedModelException");

  /** As libtorch, CUDA and the operating system say that a resource is used up just now. */
  private static final Pattern USED_UP =
      Pattern.compile(
          "out of memory"
              + "|can(no|')t allocate memory"
              + "|not enough memory"
              + "|_ALLOC_FAILED"
              + "|devices are busy or unavailable"
              + "|no space left"
              + "|disk quota exceeded"
              + "|read-only file system"
              + "|too many open files",
          Pattern.CASE_INSENSITIVE);

  /** As stores that are reached over HTTP refuse a caller; addresses are in lower case. */
  private static final Pattern REFUSED =
      Pattern.compile(
          "Access ?Denied|[Pp]ermission denied|Forbidden|Status Code: 40[13]|InvalidAccessKeyId|SignatureDoesNotMatch");

  /** As clients of stores say it where no {@link IOException} is among the causes. */
  private static final Pattern NO_ANSWER =
      Pattern.compile(
          "timed? ?out|connection (refused|reset)|unable to execute http request|service unavailable|slow ?down|throttl",
          Pattern.CASE_INSENSITIVE);

  /**
   * Classes a fault.
   *
   * @param fault what was thrown
   * @param wasThere whether the model folder was there when the job was submitted: what is missing
   *     now may then come back (a mount, a rollout)
   */
  static LoadFailure of(Throwable fault, boolean wasThere) {
    boolean passing = false;
    boolean ofThisMachine = false;
    for (Throwable cause : chain(fault)) {
      String message = String.valueOf(withoutNames(cause));
      // The folder has been read when the engine loads: files that it misses are its own.
      ofThisMachine |=
          cause instanceof ModelFetcher.CacheException || cause instanceof EngineException;
      if (cause instanceof OutOfMemoryError || USED_UP.matcher(message).find()) {
        return PASSING;
      }
      if (isFinal(cause)) {
        return PERMANENT;
      }
      if (ofThisMachine) {
        passing |= cause instanceof IOException;
      } else if (cause instanceof FileNotFoundException || cause instanceof NoSuchFileException) {
        return wasThere ? PASSING : PERMANENT;
      } else if (cause instanceof AccessDeniedException || REFUSED.matcher(message).find()) {
        return PERMANENT;
      }
      passing |=
          cause instanceof IOException
              || cause instanceof TimeoutException
              || NO_ANSWER.matcher(message).find();
    }
    return passing ? PASSING : PERMANENT;
  }

  /** What a fault says that cannot pass, of whichever machine. */
  private static boolean isFinal(Throwable cause) {
    return cause instanceof CharacterCodingException
        || cause instanceof UnsupportedFileSystemSchemeException
        || cause instanceof NoClassDefFoundError
        || cause instanceof UnsatisfiedLinkError
        || FINAL.contains(cause.getClass().getSimpleName());
  }

  /** A fault's own words: none where they repeat a cause's beside what users chose. */
  private static String withoutNames(Throwable cause) {
    if (cause instanceof FileSystemException file) {
      return file.getReason();
    }
    boolean ours =
        cause instanceof InvalidModelException
            || cause instanceof ModelFetcher.StoreException
            || cause instanceof ModelFetcher.CacheException
            || cause instanceof EngineException
            || cause instanceof IllegalArgumentException;
    boolean repeats =
        cause.getCause() != null && cause.getCause().toString().equals(cause.getMessage());
    return ours || repeats ? null : cause.getMessage();
  }

  /** A fault and its causes, from the outside in; a chain that bites its tail ends there. */
  private static List<Throwable> chain(Throwable fault) {
    List<Throwable> chain = new ArrayList<>();
    for (Throwable cause = fault;
        cause != null && !chain.contains(cause);
        cause = cause.getCause()) {
      chain.add(cause);
    }
    return chain;
  }
}
