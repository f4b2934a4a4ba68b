package org.labelstream.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;

/** Whatever an index_to_name.json holds, it names each class, or a sentence says what is wrong. */
public class LabelMappingFuzzTest {

  private static final Path FILE = Corpus.file("index_to_name.json");

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(LabelMappingFuzzTest.class, LabelMappingFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] content) throws IOException {
    Path file = Files.write(FILE, content);
    for (int classes = 1; classes <= 3; classes++) {
      int expected = classes;
      Sentences.orRefused(
          file,
          () -> {
            LabelMapping mapping = LabelMapping.read(file, expected);
            if (mapping.size() != expected || mapping.names().stream().anyMatch(String::isBlank)) {
              throw new AssertionError(mapping.names());
            }
          });
    }
  }
}
