package org.labelstream.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.BufferedReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;

@Timeout(60)
class ModelFetcherTest {

  private static final Path FIXTURE =
      Path.of("src/test/resources/parity/distilbert-sequence_classification");
  private static final String REMOTE = RemoteFileSystem.address(FIXTURE);
  private static final String SHA256 = ModelFolder.read(FIXTURE, Verify.REQUIRED).sha256();

  @TempDir Path temporary;

  private Path root;
  private ModelFetcher fetcher;

  @BeforeEach
  void make() {
    RemoteFileSystem.reset();
    root = temporary.resolve("cache");
    fetcher = new ModelFetcher(new ModelCache(root, false));
  }

  @AfterEach
  void close() {
    fetcher.close();
    RemoteFileSystem.reset();
  }

  private ModelFetcher.Lease fetch(String model, String sha256) throws IOException {
    return fetcher.fetch(model, Verify.REQUIRED, sha256);
  }

  private static List<Path> below(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(file -> !file.equals(folder)).toList();
    }
  }

  private static List<String> names() throws IOException {
    try (Stream<Path> files = Files.list(FIXTURE)) {
      return files.map(file -> file.getFileName().toString()).toList();
    }
  }

  private static void copy(Path from, Path to) throws IOException {
    Files.createDirectories(to);
    for (String name : names()) {
      Files.copy(from.resolve(name), to.resolve(name));
    }
  }

  private static void age(Path folder) throws IOException {
    for (Path file : below(folder)) {
      Files.setLastModifiedTime(file, FileTime.from(Instant.now().minusSeconds(60)));
    }
  }

  private static void flip(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length / 2] ^= 1;
    Files.write(file, bytes);
  }

  @Nested
  class ARemoteFolder {

    @Test
    void isFetchedOnceHoweverManyAskAtOnceAndGoesWithTheLastLease() throws Exception {
      int slots = 8;
      ExecutorService threads = Executors.newFixedThreadPool(slots);
      CountDownLatch together = new CountDownLatch(slots);
      List<Future<ModelFetcher.Lease>> asked = new ArrayList<>();
      for (int i = 0; i < slots; i++) {
        asked.add(
            threads.submit(
                () -> {
                  together.countDown();
                  together.await();
                  return fetch(REMOTE, SHA256);
                }));
      }
      List<ModelFetcher.Lease> leases = new ArrayList<>();
      for (Future<ModelFetcher.Lease> one : asked) {
        leases.add(one.get());
      }
      threads.shutdown();

      assertThat(RemoteFileSystem.READ).containsExactlyInAnyOrderElementsOf(names());
      Path folder = leases.get(0).folder().path();
      assertThat(folder).startsWith(root).hasFileName(FIXTURE.getFileName().toString());
      for (ModelFetcher.Lease lease : leases) {
        assertThat(lease.folder().path()).isEqualTo(folder);
        assertThat(lease.folder().sha256()).isEqualTo(SHA256);
        assertThat(lease.folder().name()).isEqualTo(FIXTURE.getFileName().toString());
      }
      for (ModelFetcher.Lease lease : leases) {
        assertThat(folder).exists();
        lease.close();
        lease.close(); // it is given back once
      }
      assertThat(below(root)).isEmpty();
    }

    @Test
    void isSoundUnderItsOwnNameBesideAnotherOfTheSameContent() throws Exception {
      Path other = temporary.resolve("other");
      copy(FIXTURE, other);
      try (ModelFetcher.Lease one = fetch(REMOTE, SHA256);
          ModelFetcher.Lease two = fetch(RemoteFileSystem.address(other), SHA256)) {
        assertThat(two.folder().name()).isEqualTo("other");
        assertThat(two.folder().path()).isNotEqualTo(one.folder().path());
        assertThat(ModelFolder.read(two.folder().path(), Verify.REQUIRED)).isNotNull();
      }
    }

    @Test
    void thatIsAnotherThanAtTheSubmissionIsRefusedAndNotKept() throws Exception {
      String wanted = "0123abcd".repeat(8);

      assertThatExceptionOfType(InvalidModelException.class)
          .isThrownBy(() -> fetch(REMOTE, wanted))
          .withMessage(
              REMOTE
                  + " is not the model folder of this job: its SHA-256 begins with "
                  + SHA256.substring(0, 8)
                  + ", that of the job (taken when it was submitted, or pinned by model-sha256) with 0123abcd. Submit the job again, or put the same folder on every TaskManager");
      assertThat(below(root)).isEmpty();
    }

    @Test
    void thatIsUnsoundIsRefusedAndNotKept() throws Exception {
      Path broken = temporary.resolve("broken");
      copy(FIXTURE, broken);
      flip(broken.resolve("model.pt"));
      String address = RemoteFileSystem.address(broken);

      assertThatExceptionOfType(InvalidModelException.class)
          .isThrownBy(() -> fetch(address, null))
          .withMessageStartingWith(address + " was fetched, but ")
          .withMessageContaining("model.pt is not the file that was exported");
      assertThat(below(root)).isEmpty();
    }

    @Test
    void thatIsNotThereIsToldAsMissing() throws Exception {
      for (String place : List.of("nowhere", "empty")) {
        Path folder = temporary.resolve(place);
        if (place.equals("empty")) {
          Files.createDirectory(folder);
        }
        assertThatExceptionOfType(InvalidModelException.class)
            .isThrownBy(() -> fetch(RemoteFileSystem.address(folder), null))
            .withMessageEndingWith("): check the address")
            .withCauseInstanceOf(FileNotFoundException.class);
      }
      assertThat(below(root)).isEmpty();
    }

    @Test
    void whoseStoreBreaksOffLeavesNothingAndIsFetchedTheNextTime() throws Exception {
      RemoteFileSystem.fault =
          (name, in, buffer, offset, length) -> {
            if (name.equals("model.pt")) {
              throw new IOException("connection reset");
            }
            return in.read(buffer, offset, length);
          };
      assertThatExceptionOfType(IOException.class)
          .isThrownBy(() -> fetch(REMOTE, SHA256))
          .withMessageContaining("cannot be fetched (connection reset)");
      assertThat(below(root)).isEmpty();

      RemoteFileSystem.fault =
          (name, in, buffer, offset, length) ->
              in.getChannel().position() > 0 ? -1 : in.read(buffer, offset, Math.min(length, 99));
      assertThatExceptionOfType(IOException.class)
          .isThrownBy(() -> fetch(REMOTE, SHA256))
          .withMessageContaining(" has ended after 99 of ");
      assertThat(below(root)).isEmpty();

      RemoteFileSystem.fault = null;
      try (ModelFetcher.Lease lease = fetch(REMOTE, SHA256)) {
        assertThat(lease.folder().sha256()).isEqualTo(SHA256);
      }
    }

    @Test
    void isNotWaitedForByATaskThatIsCancelled() throws Exception {
      CountDownLatch reading = new CountDownLatch(1);
      CountDownLatch goOn = new CountDownLatch(1);
      RemoteFileSystem.fault =
          (name, in, buffer, offset, length) -> {
            reading.countDown();
            try {
              goOn.await();
            } catch (InterruptedException e) {
              throw new IOException(e);
            }
            return in.read(buffer, offset, length);
          };
      ExecutorService threads = Executors.newSingleThreadExecutor();
      Future<ModelFetcher.Lease> slow = threads.submit(() -> fetch(REMOTE, SHA256));
      reading.await();
      Thread.currentThread().interrupt();

      assertThatExceptionOfType(InterruptedIOException.class)
          .isThrownBy(() -> fetch(REMOTE, SHA256));
      assertThat(Thread.interrupted()).isTrue();

      goOn.countDown();
      slow.get().close();
      threads.shutdown();
      assertThat(below(root)).isEmpty();
    }
  }

  @Nested
  class ACacheFolder {

    @Test
    void thatCannotBeUsedIsToldWithTheWayOut() throws Exception {
      Files.writeString(root, "a file");

      assertThatExceptionOfType(ModelFetcher.CacheException.class)
          .isThrownBy(() -> fetch(REMOTE, SHA256))
          .withMessageStartingWith("the cache folder " + root + " cannot be used (")
          .withMessageEndingWith(
              "): make room there and make it writable, or name another one with -Dlabelstream.model.cache");
    }

    @Test
    void thatMayBeAnotherUsersIsNotTrusted() throws Exception {
      Files.createDirectory(root);
      try {
        Files.setOwner(
            root,
            root.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody"));
      } catch (IOException | UnsupportedOperationException e) {
        assumeThat(e).as("only root may give a folder away").isNull();
      }
      try (ModelFetcher careful = new ModelFetcher(new ModelCache(root, true))) {
        assertThatExceptionOfType(ModelFetcher.CacheException.class)
            .isThrownBy(() -> careful.fetch(REMOTE, Verify.REQUIRED, SHA256))
            .withMessageContaining("it belongs to nobody");
      }
      assertThat(below(root)).isEmpty();
    }
  }

  @Nested
  class AProcessThatWasKilled {

    /** What a process leaves that was killed while it had one model and fetched another. */
    private Path leftBy(String process) throws IOException {
      Path own = root.resolve(process);
      copy(FIXTURE, own.resolve(SHA256 + "-1/" + FIXTURE.getFileName()));
      Files.createDirectories(own.resolve("part-2/half"));
      Files.writeString(own.resolve("part-2/half/model.pt"), "half of");
      Files.createDirectories(own.resolve("left/" + SHA256 + "-0/unneeded"));
      Files.createFile(root.resolve(process + ".lock"));
      return own;
    }

    @Test
    void leavesWholeFoldersThatAreFoundAgainAndNothingElse() throws Exception {
      Path dead = leftBy("1-1-dead");
      Path elsewhere = temporary.resolve("renamed");
      copy(FIXTURE, elsewhere);

      try (ModelFetcher.Lease lease = fetch(RemoteFileSystem.address(elsewhere), SHA256)) {
        assertThat(RemoteFileSystem.READ).isEmpty();
        assertThat(lease.folder().name()).isEqualTo("renamed");
        assertThat(lease.folder().sha256()).isEqualTo(SHA256);
        assertThat(dead).doesNotExist();
        assertThat(below(root))
            .noneMatch(file -> file.toString().matches(".*(dead|half|unneeded).*"));
      }
      assertThat(below(root)).isEmpty();
    }

    @Test
    void leavesNothingThatIsTakenForAnother() throws Exception {
      leftBy("1-1-dead");

      try (ModelFetcher.Lease any = fetch(REMOTE, null)) {
        assertThat(any.folder().sha256()).isEqualTo(SHA256);
        assertThat(RemoteFileSystem.READ)
            .hasSameSizeAs(names()); // what is there now may be another
      }
    }

    @Test
    void leavesNothingThatIsUsedThoughAByteOfItHasGone() throws Exception {
      for (String name : List.of("model.pt", "index_to_name.json")) {
        Path dead = leftBy("1-1-dead");
        flip(dead.resolve(SHA256 + "-1").resolve(FIXTURE.getFileName()).resolve(name));
        RemoteFileSystem.READ.clear();

        try (ModelFetcher.Lease lease = fetch(REMOTE, SHA256)) {
          assertThat(lease.folder().sha256()).isEqualTo(SHA256);
          assertThat(RemoteFileSystem.READ).hasSameSizeAs(names());
          assertThat(below(root)).filteredOn(file -> file.endsWith("model.pt")).hasSize(1);
        }
      }
    }

    @Test
    void isToldFromOneThatLives() throws Exception {
      Process other =
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-cp",
                  System.getProperty("java.class.path"),
                  Holding.class.getName(),
                  root.toString())
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      Path theirs;
      try (BufferedReader lines = other.inputReader()) {
        String line = lines.readLine();
        while (line != null && !line.startsWith("holds ")) {
          line = lines.readLine();
        }
        assertThat(line).isNotNull();
        theirs = Path.of(line.substring("holds ".length()));

        try (ModelFetcher.Lease ours = fetch(REMOTE, SHA256)) {
          assertThat(theirs).exists();
          assertThat(ours.folder().path()).isNotEqualTo(theirs);
          assertThat(RemoteFileSystem.READ).hasSameSizeAs(names());
        }
        assertThat(theirs).exists();
      } finally {
        other.destroyForcibly().waitFor();
      }

      RemoteFileSystem.READ.clear();
      try (ModelFetcher.Lease ours = fetch(REMOTE, SHA256)) {
        assertThat(RemoteFileSystem.READ).isEmpty();
        assertThat(theirs).doesNotExist();
        assertThat(ours.folder().sha256()).isEqualTo(SHA256);
      }
      assertThat(below(root)).isEmpty();
    }
  }

  /** A process that holds a folder until it is killed. */
  static final class Holding {
    public static void main(String[] args) throws Exception {
      ModelFetcher fetcher = new ModelFetcher(new ModelCache(Path.of(args[0]), false));
      ModelFetcher.Lease lease = fetcher.fetch(REMOTE, Verify.REQUIRED, SHA256);
      System.out.println("holds " + lease.folder().path());
      Thread.sleep(Long.MAX_VALUE);
    }
  }

  @Nested
  class ALocalFolder {

    private Path folder;

    @BeforeEach
    void make() throws IOException {
      folder = temporary.resolve("reviews");
      copy(FIXTURE, folder);
      age(folder);
    }

    @Test
    void isReadOnceWhileItStaysAsItIs() throws Exception {
      try (ModelFetcher.Lease first = fetch(folder.toString(), null);
          ModelFetcher.Lease second = fetch(folder.toString(), SHA256)) {
        assertThat(second.folder()).isSameAs(first.folder());
        assertThat(first.folder().path()).isEqualTo(folder);
      }
      assertThat(folder).exists();
      assertThat(root).doesNotExist();
    }

    @Test
    void isReadAgainWhereItMayHaveChangedWithinATickOfTheClock() throws Exception {
      Files.setLastModifiedTime(folder.resolve("model.pt"), FileTime.from(Instant.now()));
      try (ModelFetcher.Lease first = fetch(folder.toString(), null);
          ModelFetcher.Lease second = fetch(folder.toString(), null)) {
        assertThat(second.folder()).isNotSameAs(first.folder());
      }
    }

    @Test
    void isReadAgainWhereItHasChanged() throws Exception {
      try (ModelFetcher.Lease first = fetch(folder.toString(), SHA256)) {
        Files.writeString(
            folder.resolve("index_to_name.json"), "{\"label_list\": [\"A\", \"B\", \"C\"]}");
        age(folder);
        assertThatExceptionOfType(InvalidModelException.class)
            .isThrownBy(() -> fetch(folder.toString(), SHA256))
            .withMessageStartingWith(folder + " is not the model folder of this job");
        try (ModelFetcher.Lease second = fetch(folder.toString(), null)) {
          assertThat(second.folder().labels().names()).containsExactly("A", "B", "C");
          assertThat(second.folder().sha256()).isNotEqualTo(first.folder().sha256());
        }

        flip(folder.resolve("model.pt"));
        assertThatExceptionOfType(InvalidModelException.class)
            .isThrownBy(() -> fetch(folder.toString(), null))
            .withMessageContaining("model.pt is not the file that was exported");
      }
    }

    @Test
    void isReadAgainWhereItsSumsAreRequiredOnlyNow() throws Exception {
      Path manifest = folder.resolve("labelstream.json");
      Files.writeString(manifest, Files.readString(manifest).replace("\"sha256\"", "\"none\""));
      age(folder);
      try (ModelFetcher.Lease lax = fetcher.fetch(folder.toString(), Verify.IF_PRESENT, null)) {
        assertThat(lax.folder().manifest().sums()).isEmpty();
        assertThatExceptionOfType(InvalidModelException.class)
            .isThrownBy(() -> fetch(folder.toString(), null))
            .withMessageContaining("verify is required");
      }
    }
  }
}
