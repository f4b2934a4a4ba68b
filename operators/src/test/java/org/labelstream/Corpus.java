package org.labelstream;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.function.ThrowingConsumer;

/** The inputs from which scripts/fuzz.sh starts, each of which is a test as well. */
public final class Corpus {
  private Corpus() {}

  /** A test for each input of a fuzz test. */
  public static Stream<DynamicTest> of(Class<?> fuzzTest, ThrowingConsumer<byte[]> target)
      throws IOException {
    List<Path> inputs;
    try (Stream<Path> files =
        Files.list(Path.of("src/test/resources/fuzz", fuzzTest.getSimpleName()))) {
      inputs = files.toList();
    }
    assertThat(inputs).isNotEmpty();
    return inputs.stream()
        .map(
            input ->
                DynamicTest.dynamicTest(
                    input.getFileName().toString(),
                    () -> target.accept(Files.readAllBytes(input))));
  }

  /** A file that is written anew for each input. */
  public static Path file(String name) {
    try {
      Path folder = Files.createTempDirectory("fuzz");
      folder.toFile().deleteOnExit();
      Path file = folder.resolve(name);
      file.toFile().deleteOnExit(); // before its folder
      return file;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
