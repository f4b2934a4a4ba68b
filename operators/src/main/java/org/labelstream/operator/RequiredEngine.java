package org.labelstream.operator;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.labelstream.engine.EngineVersion;

/**
 * The engine that this job jar was built with. The jar does not bring it: it comes from Flink's
 * {@code lib/} folder, which an administrator fills, and so it may be another, or none.
 *
 * <p>Whoever calls this must not have needed a class of the engine before, which a JVM may look for
 * as soon as it verifies the caller.
 */
public final class RequiredEngine {

  private static final String RESOURCE = "required-engine-version.txt";

  private RequiredEngine() {}

  /**
   * Makes sure that the engine here is the one that this job needs.
   *
   * @throws WrongEngineException when it is not, with what to do
   */
  public static void check() {
    String required = required();
    String problem;
    try {
      String current = EngineVersion.current();
      if (current.equals(required)) {
        return;
      }
      problem = "the one here is " + current + " (" + EngineVersion.location() + ")";
    } catch (LinkageError e) {
      problem = "there is none here";
    }
    throw new WrongEngineException(
        "This job needs the Labelstream engine "
            + required
            + ", but "
            + problem
            + ": unpack labelstream-lib.tar.gz of the same build into Flink's lib/ folder, in place of"
            + " an older one, and restart the cluster");
  }

  private static String required() {
    try (InputStream in = RequiredEngine.class.getResourceAsStream(RESOURCE)) {
      if (in == null) {
        throw new IllegalStateException(
            "The job has no " + RESOURCE + ": build it with mvn package");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
    } catch (IOException e) {
      throw new IllegalStateException(
          "The version of the engine that the job needs cannot be read: " + e.getMessage(), e);
    }
  }
}
