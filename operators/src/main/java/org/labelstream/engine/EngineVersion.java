package org.labelstream.engine;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.CodeSource;

/**
 * Which build of the engine this is. All jobs of a TaskManager share one, from Flink's {@code lib/}
 * folder, so that they share models, workers and devices; {@code operator.RequiredEngine} compares
 * it with the one that a job was built with.
 */
public final class EngineVersion {

  private static final String RESOURCE = "engine-version.txt";

  private EngineVersion() {}

  /**
   * The project's version and a fingerprint of what the engine is made of, such as {@code
   * 0.1.0-3fa9c1d2e4b5}: the same in every build of the same sources.
   *
   * @throws IllegalStateException when the classes have not been built by Maven
   */
  public static String current() {
    try (InputStream in = EngineVersion.class.getResourceAsStream(RESOURCE)) {
      if (in == null) {
        throw new IllegalStateException(
            "The engine has no " + RESOURCE + ": build it with mvn package");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
    } catch (IOException e) {
      throw new IllegalStateException("The engine's version cannot be read: " + e.getMessage(), e);
    }
  }

  /** The jar or folder that the engine was loaded from. */
  public static String location() {
    CodeSource source = EngineVersion.class.getProtectionDomain().getCodeSource();
    return source == null || source.getLocation() == null
        ? "an unknown place"
        : source.getLocation().getPath();
  }
}
