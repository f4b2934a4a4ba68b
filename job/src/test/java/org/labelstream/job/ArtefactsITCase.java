package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.ModelProviderFactory;
import org.apache.flink.util.FlinkUserCodeClassLoaders;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What lies in which of the two jars: Flink looks in the job jar first, and in lib/ next. */
class ArtefactsITCase {

  private static final Predicate<String> SHARED =
      Pattern.compile("org/labelstream/(record|model|schedule|engine|store)/.*").asMatchPredicate();

  @TempDir Path folder;

  private static final String ENGINE = "target/labelstream-engine-*.jar";
  private static final String JOB = "target/labelstream-job.jar";
  private static final String KAFKA_FOR_SQL =
      "../scripts/flink-local/target/sql/flink-sql-connector-kafka.jar";

  private static JarFile open(String glob) throws IOException {
    Path path = Path.of(glob);
    try (DirectoryStream<Path> jars =
        Files.newDirectoryStream(path.getParent(), path.getFileName().toString())) {
      return new JarFile(jars.iterator().next().toFile());
    }
  }

  private static List<String> classes(String glob) throws IOException {
    try (JarFile file = open(glob)) {
      return file.stream().map(ZipEntry::getName).filter(name -> name.endsWith(".class")).toList();
    }
  }

  @Test
  void theEngineJarHasAllThatJobsShareAndNothingThatOthersWouldSee() throws Exception {
    assertThat(classes(ENGINE))
        .anyMatch(SHARED)
        .allMatch(name -> SHARED.test(name) || name.startsWith("org/labelstream/shaded/"));
  }

  @Test
  void theJobJarHasNothingThatJobsShareNorWhatTheCompilerReads() throws Exception {
    assertThat(classes(JOB))
        .contains("org/labelstream/job/Main.class", "org/labelstream/operator/RequiredEngine.class")
        .noneMatch(SHARED)
        .noneMatch(name -> name.startsWith("ai/djl/"))
        .noneMatch(name -> name.startsWith("org/jspecify/"))
        .noneMatch(name -> name.startsWith("com/google/errorprone/"));
  }

  /**
   * Of a name that begins with Flink's, Flink takes the class that lib/ has, whatever is in the job
   * jar; and beside the job jar in a session of SQL stands Kafka's SQL connector, whose classes
   * bear the names of the job's own connector.
   */
  @Test
  void theJobJarHasNoClassUnderANameThatFlinkOrItsKafkaConnectorHas() throws Exception {
    assertThat(classes(JOB))
        .contains("org/labelstream/shaded/flink/connector/kafka/source/KafkaSource.class")
        .noneMatch(name -> name.startsWith("org/apache/flink/"))
        .doesNotContainAnyElementsOf(classes(KAFKA_FOR_SQL));
  }

  @Test
  void aCopyInLibAndOthersInTheSessionAreOneProvider() throws Exception {
    URL[] copies = {
      Path.of(JOB).toUri().toURL(),
      Files.copy(Path.of(JOB), folder.resolve("copy.jar")).toUri().toURL()
    };
    ClassLoader lib = getClass().getClassLoader(); // it has the provider's service file too
    try (URLClassLoader session =
        FlinkUserCodeClassLoaders.create(copies, lib, new Configuration())) {
      ModelProviderFactory factory =
          FactoryUtil.discoverFactory(session, ModelProviderFactory.class, "labelstream");
      assertThat(factory.getClass().getClassLoader()).as("the session's").isNotSameAs(lib);
    }
  }

  @Test
  void bothTellTheirLicence() throws Exception {
    for (String jar : List.of(ENGINE, JOB)) {
      try (JarFile file = open(jar)) {
        assertThat(file.getJarEntry("META-INF/LICENSE")).as(jar).isNotNull();
        assertThat(file.getJarEntry("META-INF/NOTICE")).as(jar).isNotNull();
      }
    }
  }
}
