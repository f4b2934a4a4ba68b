package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.charset.MalformedInputException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeoutException;
import org.apache.flink.core.fs.UnsupportedFileSystemSchemeException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.EngineException;
import org.labelstream.model.InvalidModelException;
import org.labelstream.store.ModelFetcher;

/** The table of docs/cluster.md. */
class LoadFailureTest {

  private static Throwable fetched(Throwable cause) {
    return new ModelFetcher.StoreException("s3://Forbidden/out of memory/timeout", cause);
  }

  private static Throwable loaded(Throwable cause) {
    return new EngineException("/m/reviews/model.pt cannot be loaded", cause);
  }

  private static Throwable deep(Throwable cause) {
    return new IllegalStateException("a", new RuntimeException("b", new RuntimeException(cause)));
  }

  /** Hadoop's, by its name. */
  private static final class AccessControlException extends IOException {
    private static final long serialVersionUID = 1L;
  }

  /** DJL's, by its name. */
  private static final class MalformedModelException extends Exception {
    private static final long serialVersionUID = 1L;

    MalformedModelException(Throwable cause) {
      super("no model", cause);
    }
  }

  static final List<Throwable> PASSING =
      List.of(
          // the disk
          fetched(deep(new IOException("No space left on device"))),
          loaded(deep(new FileSystemException("/c/lib.so", null, "No space left on device"))),
          loaded(deep(new FileSystemException("/c/lib.so", null, "Disk quota exceeded"))),
          loaded(deep(new FileSystemException("/c", null, "Too many open files"))),
          // the cache folders: ours, and DJL's
          new ModelFetcher.CacheException(Path.of("/c"), new AccessDeniedException("/c")),
          new ModelFetcher.CacheException(Path.of("/c"), new NoSuchFileException("/c/part")),
          loaded(deep(new AccessDeniedException("/root/.djl.ai"))),
          loaded(new ExceptionInInitializerError(new IOException("Input/output error"))),
          loaded(deep(new NoSuchFileException("/root/.djl.ai/pytorch"))),
          // memory
          loaded(deep(new RuntimeException("CUDA out of memory. Tried to allocate 2.00 MiB"))),
          loaded(new RuntimeException("\nCUDA error: out of memory\nCUDA kernel errors …")),
          loaded(new RuntimeException("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …")),
          loaded(new RuntimeException("all CUDA-capable devices are busy or unavailable")),
          loaded(
              deep(
                  new RuntimeException(
                      "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12 (Cannot allocate memory)"))),
          loaded(deep(new OutOfMemoryError("Cannot reserve 8 bytes of direct buffer memory"))),
          new UnsatisfiedLinkError("failed to map segment: Cannot allocate memory"),
          // the store
          fetched(new IOException("s3://forbidden/reviews: Input/output error")),
          fetched(deep(new SocketTimeoutException("Read timed out"))),
          fetched(deep(new ConnectException("Connection refused"))),
          fetched(deep(new UnknownHostException("namenode"))),
          new InvalidModelException("x", new UncheckedIOException(new IOException("stale"))),
          new InvalidModelException("x", deep(new TimeoutException())),
          new InvalidModelException(
              "x", new RuntimeException("Unable to execute HTTP request: Connect to …")));

  static final List<Throwable> PERMANENT =
      List.of(
          // what the folder is
          new InvalidModelException("model.pt is not the file that was exported"),
          new InvalidModelException("/m/out of memory is for the task captioning"),
          new InvalidModelException("not UTF-8", new MalformedInputException(1)),
          new InvalidModelException("there is nothing", new FileNotFoundException("no such key")),
          new InvalidModelException("x", deep(new NoSuchFileException("/m/out of memory"))),
          loaded(new RuntimeException("PytorchStreamReader failed reading zip archive")),
          loaded(deep(new MalformedModelException(new IOException("unexpected end")))),
          loaded(new UnsatisfiedLinkError("libtorch.so: wrong ELF class")),
          new EngineException("device is gpu, but PyTorch sees no GPU"),
          new NoClassDefFoundError("ai/djl/Model"),
          // what the job says
          new IllegalArgumentException("top_k is \"out of memory\", but must be a whole number"),
          // what the store says
          fetched(new UnsupportedFileSystemSchemeException("s3 is not known")),
          fetched(new NoClassDefFoundError("org/apache/hadoop/conf/Configuration")),
          fetched(deep(new AccessDeniedException("s3://m/reviews"))),
          fetched(deep(new AccessControlException())),
          fetched(deep(new RuntimeException("Access Denied (Service: S3, Status Code: 403)"))),
          fetched(new IOException("x", new RuntimeException("Forbidden"))));

  @ParameterizedTest
  @FieldSource("PASSING")
  void mayPass(Throwable fault) {
    assertThat(LoadFailure.of(fault, false)).isEqualTo(LoadFailure.PASSING);
    assertThat(LoadFailure.of(fault, true)).isEqualTo(LoadFailure.PASSING);
  }

  @ParameterizedTest
  @FieldSource("PERMANENT")
  void cannotPass(Throwable fault) {
    assertThat(LoadFailure.of(fault, false)).isEqualTo(LoadFailure.PERMANENT);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatIsMissingMayComeBackWhereItWasThereAtSubmission(boolean wasThere) {
    LoadFailure expected = wasThere ? LoadFailure.PASSING : LoadFailure.PERMANENT;
    for (Throwable missing :
        List.of(new NoSuchFileException("/m/reviews"), new FileNotFoundException("no such key"))) {
      assertThat(LoadFailure.of(new InvalidModelException("x", missing), wasThere))
          .isEqualTo(expected);
      assertThat(LoadFailure.of(fetched(deep(missing)), wasThere)).isEqualTo(expected);
    }
    assertThat(LoadFailure.of(new InvalidModelException("another folder"), wasThere))
        .isEqualTo(LoadFailure.PERMANENT);
  }

  @Test
  void aChainThatBitesItsTailEnds() {
    RuntimeException inner = new RuntimeException("inner");
    RuntimeException outer = new RuntimeException("outer", inner);
    inner.initCause(outer);

    assertThat(LoadFailure.of(outer, false)).isEqualTo(LoadFailure.PERMANENT);
  }
}
