package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;

/** What lies in which of the two jars: Flink looks in the job jar first, and in lib/ next. */
class ArtefactsITCase {

  private static final Predicate<String> SHARED =
      Pattern.compile("org/labelstream/(record|model|schedule|engine|store)/.*").asMatchPredicate();

  private static final String ENGINE = "labelstream-engine-*.jar";
  private static final String JOB = "labelstream-job.jar";

  private static JarFile open(String glob) throws IOException {
    try (DirectoryStream<Path> jars = Files.newDirectoryStream(Path.of("target"), glob)) {
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
        .noneMatch(name -> name.startsWith("org/labelstream/shaded/"))
        .noneMatch(name -> name.startsWith("ai/djl/"))
        .noneMatch(name -> name.startsWith("org/jspecify/"))
        .noneMatch(name -> name.startsWith("com/google/errorprone/"));
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
