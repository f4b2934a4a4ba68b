package org.labelstream;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.conditions.ArchConditions.onlyDependOnClassesThat;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.fields;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.methods;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.record.violation.Behaves;
import org.labelstream.schedule.violation.KnowsJackson;
import org.labelstream.schedule.violation.KnowsModels;

/** The table of docs/architecture.md. */
class ArchitectureTest {

  /**
   * A line of the table.
   *
   * @param name the package
   * @param ours which of our packages it may import
   * @param others which packages of others it may import, beside Java's
   */
  private record Line(String name, List<String> ours, List<String> others) {
    ArchRule rule() {
      String[] allowed =
          Stream.of(
                  Stream.of("java..", own(name)),
                  READ_BY_THE_COMPILER.stream(),
                  ours.stream().map(ArchitectureTest::own),
                  others.stream())
              .flatMap(packages -> packages)
              .toArray(String[]::new);
      return classes()
          .that()
          .resideInAPackage(own(name))
          .should(onlyDependOnClassesThat(resideInAnyPackage(allowed)));
    }
  }

  private static final List<String> READ_BY_THE_COMPILER =
      List.of("org.jspecify.annotations..", "com.google.errorprone.annotations..");

  private static String own(String name) {
    return "org.labelstream." + name + "..";
  }

  static final List<Line> TABLE =
      List.of(
          new Line(
              "operator",
              List.of(
                  "explain",
                  "result",
                  "task",
                  "schedule",
                  "engine",
                  "store",
                  "codec",
                  "avro",
                  "model",
                  "record"),
              List.of("org.apache.flink..", "org.slf4j..", "com.github.benmanes.caffeine.cache..")),
          new Line(
              "result",
              List.of("task", "record"),
              List.of("dev.cel..", "com.google.common.collect..")),
          new Line("explain", List.of("task", "schedule", "engine", "model", "record"), List.of()),
          new Line("task", List.of("schedule", "engine", "model", "record"), List.of()),
          new Line("schedule", List.of("record"), List.of("org.slf4j..")),
          new Line(
              "engine",
              List.of("schedule", "model"),
              List.of("ai.djl..", "com.google.gson..", "org.slf4j..")),
          new Line("store", List.of("model"), List.of("org.apache.flink.core.fs..", "org.slf4j..")),
          new Line("codec", List.of("avro", "record"), List.of("com.fasterxml.jackson.core..")),
          new Line(
              "avro",
              List.of("task", "record"),
              List.of("org.apache.avro..", "com.fasterxml.jackson..")),
          new Line(
              "model",
              List.of(),
              List.of("org.snakeyaml.engine..", "org.apache.commons.text.similarity..")),
          new Line("record", List.of(), List.of()));

  private static final JavaClasses OURS =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages("org.labelstream");

  @ParameterizedTest
  @FieldSource("TABLE")
  void aPackageImportsOnlyWhatTheTableAllows(Line line) {
    line.rule().check(OURS);
  }

  @Test
  void everyClassIsInAPackageOfTheTable() {
    assertThat(OURS).hasSizeGreaterThan(30);
    classes()
        .should()
        .resideInAnyPackage(
            TABLE.stream().map(line -> "org.labelstream." + line.name()).toArray(String[]::new))
        .check(OURS);
  }

  @Test
  void aPackageThatHasVanishedIsFound() {
    Line gone = new Line("gone", List.of(), List.of());
    assertThatThrownBy(() -> gone.rule().check(OURS))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("failed to check any classes");
  }

  /** What the compiler holds against null and locks; to be lengthened, not shortened. */
  @ParameterizedTest
  @ValueSource(strings = {"schedule", "engine"})
  void theCompilerChecksThePackageForNull(String name) throws Exception {
    assertThat(Class.forName("org.labelstream." + name + ".package-info").getPackage())
        .matches(marked -> marked.isAnnotationPresent(NullMarked.class), "is @NullMarked");
  }

  @Test
  void packagesFormNoCycles() {
    slices().matching("org.labelstream.(*)..").should().beFreeOfCycles().check(OURS);
  }

  @Test
  void recordsAreImmutableAndDoNothing() {
    fields()
        .that()
        .areDeclaredInClassesThat()
        .resideInAPackage(own("record"))
        .should()
        .beFinal()
        .check(OURS);
    onlyAccessors().check(OURS);
  }

  private static ArchRule onlyAccessors() {
    return methods()
        .that()
        .areDeclaredInClassesThat()
        .resideInAPackage(own("record"))
        .should(
            new ArchCondition<>("be accessors, factories, or what every value has") {
              @Override
              public void check(JavaMethod method, ConditionEvents events) {
                boolean takesNothing = method.getRawParameterTypes().isEmpty();
                boolean isFactory = method.getModifiers().contains(JavaModifier.STATIC);
                if (!takesNothing && !isFactory && !method.getName().equals("equals")) {
                  events.add(
                      SimpleConditionEvent.violated(
                          method, method.getFullName() + " does something"));
                }
              }
            });
  }

  @Test
  void aBatcherThatKnowsModelsIsFound() {
    assertThatThrownBy(() -> rule("schedule").check(imported(KnowsModels.class)))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("KnowsModels")
        .hasMessageContaining("org.labelstream.model.ModelFolder");
  }

  @Test
  void aBatcherThatKnowsJacksonIsFound() {
    assertThatThrownBy(() -> rule("schedule").check(imported(KnowsJackson.class)))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("com.fasterxml.jackson.core.JsonToken");
  }

  @Test
  void aRecordThatDoesSomethingIsFound() {
    assertThatThrownBy(() -> onlyAccessors().check(imported(Behaves.class)))
        .isInstanceOf(AssertionError.class)
        .hasMessageContaining("plus(int) does something");
  }

  private static ArchRule rule(String name) {
    return TABLE.stream().filter(line -> line.name().equals(name)).findFirst().orElseThrow().rule();
  }

  private static JavaClasses imported(Class<?> type) {
    return new ClassFileImporter().importClasses(type);
  }
}
