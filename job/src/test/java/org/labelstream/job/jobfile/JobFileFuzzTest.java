package org.labelstream.job.jobfile;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Whatever a job file holds, it is read, or all that is wrong with it is told in sentences. */
public class JobFileFuzzTest {

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    List<Path> inputs;
    try (Stream<Path> files = Files.list(Path.of("src/test/resources/fuzz/JobFileFuzzTest"))) {
      inputs = files.toList();
    }
    assertThat(inputs).isNotEmpty();
    return inputs.stream()
        .map(
            input ->
                DynamicTest.dynamicTest(
                    input.getFileName().toString(),
                    () -> fuzzerTestOneInput(Files.readAllBytes(input))));
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] content) {
    try {
      JobFile.read("job.yaml", new String(content, UTF_8), model -> "../no-such-folder");
    } catch (InvalidJobException e) {
      String message = e.getMessage();
      if (!message.contains("job.yaml")
          || message.matches("(?s).*\\b[a-z]+(\\.[a-z]+)+\\.[A-Z]\\w*(Exception|Error)\\b.*")) {
        throw new AssertionError("No sentence: " + message, e);
      }
    }
  }
}
