package org.labelstream.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;

/** Whatever the files about a model hold, they are read, or a sentence says what is wrong. */
public class ManifestFuzzTest {

  private static final Path FILE = Corpus.file("labelstream.json");

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(ManifestFuzzTest.class, ManifestFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] content) throws IOException {
    Path file = Files.write(FILE, content);
    Sentences.orRefused(file, () -> Manifest.read(file));
    Sentences.orRefused(file, () -> ModelConfig.read(file));
    Sentences.orRefused(file, () -> GenerationConfig.read(file));
  }
}
