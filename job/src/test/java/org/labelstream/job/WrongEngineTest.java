package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.apache.flink.runtime.throwable.ThrowableClassifier;
import org.apache.flink.runtime.throwable.ThrowableType;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.engine.EngineVersion;
import org.labelstream.operator.RequiredEngine;
import org.labelstream.operator.WrongEngineException;

/** A job jar over a cluster whose lib/ has another engine, or none: told in a sentence, at once. */
class WrongEngineTest {

  private static final String WAY_OUT =
      "unpack labelstream-lib.tar.gz of the same build into Flink's lib/ folder, in place of an older"
          + " one, and restart the cluster";

  @TempDir Path folder;

  /** All of our classes, loaded anew, but for the engine's where a cluster has none. */
  private static final class Job extends URLClassLoader {
    private final boolean hasEngine;

    Job(List<URL> classPath, boolean hasEngine) {
      super(classPath.toArray(URL[]::new), ClassLoader.getPlatformClassLoader());
      this.hasEngine = hasEngine;
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
      if (!hasEngine && name.matches("org\\.labelstream\\.(record|model|schedule|engine)\\..*")) {
        throw new ClassNotFoundException(name);
      }
      return super.loadClass(name, resolve);
    }
  }

  private Job withAnotherEngine() throws IOException {
    Path version = folder.resolve("org/labelstream/engine/engine-version.txt");
    Files.createDirectories(version.getParent());
    Files.writeString(version, "0.0.9-0123456789ab");
    List<URL> classPath = classPath();
    classPath.add(0, folder.toUri().toURL());
    return new Job(classPath, true);
  }

  private static Job withoutEngine() throws IOException {
    return new Job(classPath(), false);
  }

  private static List<URL> classPath() throws MalformedURLException {
    List<URL> urls = new ArrayList<>();
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
      urls.add(Path.of(entry).toUri().toURL());
    }
    return urls;
  }

  /** As Flink's client calls it. */
  private static void submit(Job job) throws Throwable {
    Class<?> main = job.loadClass(Main.class.getName());
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(job);
    try {
      main.getMethod("main", String[].class)
          .invoke(null, (Object) new String[] {"--config", "no-such-job.yaml"});
    } catch (ReflectiveOperationException e) {
      throw e.getCause();
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  /** As a JobManager and a TaskManager take up a job: its source comes first. */
  private static void takeUp(Job job) throws Exception {
    Constructor<?> source =
        Class.forName("org.labelstream.job.kafka.KafkaSourceRecords").getDeclaredConstructor();
    source.setAccessible(true);
    InstantiationUtil.deserializeObject(
        InstantiationUtil.serializeObject(source.newInstance()), job);
  }

  @Test
  void theSameEngineIsTaken() throws Exception {
    assertThatCode(RequiredEngine::check).doesNotThrowAnyException();
    assertThat(EngineVersion.current()).matches("[0-9.]+-[0-9a-f]{12}");
    try (Job job = new Job(classPath(), true)) {
      assertThatThrownBy(() -> submit(job)).hasMessageContaining("no-such-job.yaml cannot be read");
      takeUp(job);
    }
  }

  @Test
  void anotherEngineIsRefusedAtSubmission() throws Exception {
    try (Job job = withAnotherEngine()) {
      assertThatThrownBy(() -> submit(job))
          .hasToString(
              "org.apache.flink.client.program.ProgramParametrizationException: This job needs the"
                  + " Labelstream engine %s, but the one here is 0.0.9-0123456789ab (%s): %s"
                      .formatted(EngineVersion.current(), EngineVersion.location(), WAY_OUT));
    }
  }

  @Test
  void aMissingEngineIsRefusedAtSubmission() throws Exception {
    try (Job job = withoutEngine()) {
      assertThatThrownBy(() -> submit(job))
          .hasToString(
              "org.apache.flink.client.program.ProgramParametrizationException: This job needs the"
                  + " Labelstream engine %s, but there is none here: %s"
                      .formatted(EngineVersion.current(), WAY_OUT));
    }
  }

  @Test
  void anotherEngineIsRefusedWhereTheJobRuns() throws Exception {
    try (Job job = withAnotherEngine()) {
      assertThatThrownBy(() -> takeUp(job)).hasMessageContaining("0.0.9-0123456789ab", WAY_OUT);
    }
  }

  @Test
  void aMissingEngineIsRefusedWhereTheJobRuns() throws Exception {
    try (Job job = withoutEngine()) {
      assertThatThrownBy(() -> takeUp(job)).hasMessageContaining("there is none here: " + WAY_OUT);
    }
  }

  @Test
  void aMissingEngineIsRefusedWhereSqlIsPlannedAndWhereItRuns() throws Exception {
    Constructor<?> function =
        Class.forName("org.labelstream.job.sql.PredictFunction").getDeclaredConstructors()[0];
    function.setAccessible(true);
    byte[] planned =
        InstantiationUtil.serializeObject(function.newInstance(null, null, null, null));
    try (Job job = withoutEngine()) {
      Class<?> factory = job.loadClass("org.labelstream.job.sql.LabelstreamModelFactory");
      assertThatThrownBy(
              () ->
                  Stream.of(factory.getMethods())
                      .filter(method -> method.getName().equals("createModelProvider"))
                      .findFirst()
                      .orElseThrow()
                      .invoke(factory.getConstructor().newInstance(), (Object) null))
          .hasStackTraceContaining("there is none here: " + WAY_OUT);
      assertThatThrownBy(() -> InstantiationUtil.deserializeObject(planned, job))
          .hasMessageContaining("there is none here: " + WAY_OUT);
    }
  }

  @Test
  void noRestartIsTried() throws Exception {
    assertThat(ThrowableClassifier.getThrowableType(exception()))
        .isEqualTo(ThrowableType.NonRecoverableError);
  }

  private static WrongEngineException exception() throws ReflectiveOperationException {
    Constructor<WrongEngineException> constructor =
        WrongEngineException.class.getDeclaredConstructor(String.class);
    constructor.setAccessible(true);
    return constructor.newInstance("another engine");
  }
}
