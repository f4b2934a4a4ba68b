package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** scripts/label.sh, as a user calls it. */
class LabelCommandITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String SENTIMENT = "model-assets/sentiment";

  @TempDir Path folder;
  private Script scripts;

  @BeforeEach
  void keepNativesAcrossTests() {
    scripts = new Script(Path.of("target/label-state").toAbsolutePath());
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  @Test
  void labelsStandardInputAndTellsWhatIsBroken() throws Exception {
    Script.Result result =
        scripts
            .run(
                bytes(
                    "What a wonderful film\n{\"id\":\"2\",\"text\":\"Terrible service\"}\n{\"broken\n"),
                "label.sh",
                SENTIMENT)
            .succeeded();
    assertThat(result.outLines()).hasSize(2);
    JsonNode first = JSON.readTree(result.outLines().get(0));
    assertThat(first.get("id").asText()).isEqualTo("stdin:1");
    assertThat(first.at("/inference/sentiment/label").asText()).isEqualTo("POSITIVE");
    JsonNode second = JSON.readTree(result.outLines().get(1));
    assertThat(second.get("id").asText()).isEqualTo("2");
    assertThat(second.at("/inference/sentiment/label").asText()).isEqualTo("NEGATIVE");
    assertThat(result.errLines()).hasSize(1);
    JsonNode dead = JSON.readTree(result.errLines().get(0));
    assertThat(dead.get("error.code").asText()).isEqualTo("malformed_json");
    assertThat(dead.get("error.stage").asText()).isEqualTo("decode");
    assertThat(dead.get("value").asText()).isEqualTo("{\"broken");
  }

  @Test
  void readsFilesInTheirOrderAndWritesDeadLettersToAFile() throws Exception {
    Path one = Files.write(folder.resolve("one.txt"), bytes("good\r\n\nbad"));
    Path two =
        Files.write(
            folder.resolve("two.txt"), new byte[] {'o', 'k', '\n', (byte) 0xFF, '\n', 'o', 'k'});
    Path dead = folder.resolve("dead.jsonl");
    Script.Result result =
        scripts
            .run(
                "label.sh",
                SENTIMENT,
                one.toString(),
                two.toString(),
                "--parameters",
                "{\"top_k\": null}",
                "--dead-letters",
                dead.toString())
            .succeeded();
    assertThat(result.err()).isEmpty();
    assertThat(result.outLines())
        .extracting(line -> JSON.readTree(line).get("id").asText())
        .containsExactly(one + ":1", one + ":2", one + ":3", two + ":1", two + ":3");
    assertThat(JSON.readTree(result.outLines().get(0)).get("text").asText()).isEqualTo("good");
    assertThat(result.outLines())
        .allSatisfy(
            line -> assertThat(JSON.readTree(line).at("/inference/sentiment/scores")).hasSize(2));
    assertThat(Files.readAllLines(dead)).hasSize(1);
    assertThat(JSON.readTree(dead.toFile()).get("error.code").asText()).isEqualTo("not_utf8");
  }

  /** As {@code label.sh … | head -1}. */
  @Test
  void endsQuietlyWhenNobodyReadsWhatItWrites() throws Exception {
    Path texts = Files.writeString(folder.resolve("many.txt"), "a good film\n".repeat(20_000));
    scripts.run("label.sh", SENTIMENT, texts.toString(), "--help").succeeded(); // all is built
    Path err = folder.resolve("err.txt");
    ProcessBuilder command =
        new ProcessBuilder(
                Script.ROOT.resolve("scripts/label.sh").toString(), SENTIMENT, texts.toString())
            .directory(Script.ROOT.toFile())
            .redirectError(err.toFile());
    command
        .environment()
        .put("LABELSTREAM_STATE", Path.of("target/label-state").toAbsolutePath().toString());
    Process process = command.start();
    try (BufferedReader out = process.inputReader()) {
      assertThat(out.readLine()).contains("a good film");
    }

    assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
    assertThat(Files.readString(err)).isEmpty();
    assertThat(process.exitValue()).as("128 + SIGPIPE, as of other commands").isEqualTo(141);
  }

  @Test
  void tellsInASentenceWhatItCannotDo() throws Exception {
    Script.Result noModel = scripts.run("label.sh", "no/such/model");
    assertThat(noModel.status()).isEqualTo(1);
    assertThat(noModel.errLines())
        .singleElement()
        .asString()
        .contains("no/such/model does not exist");

    Script.Result wrongParameter =
        scripts.run("label.sh", SENTIMENT, "--parameters", "{\"topk\": 2}");
    assertThat(wrongParameter.status()).isEqualTo(1);
    assertThat(wrongParameter.errLines())
        .singleElement()
        .asString()
        .contains("there is no parameter topk", "did you mean top_k?");

    Script.Result noFile = scripts.run("label.sh", SENTIMENT, "missing.txt");
    assertThat(noFile.status()).isEqualTo(1);
    assertThat(noFile.errLines()).singleElement().asString().contains("missing.txt");

    Script.Result notAFile = scripts.run("label.sh", SENTIMENT, folder.toString());
    assertThat(notAFile.status()).isEqualTo(1);
    assertThat(notAFile.errLines())
        .singleElement()
        .asString()
        .contains(folder + " is a folder", folder + "/*.txt");

    Script.Result wrongUse = scripts.run("label.sh");
    assertThat(wrongUse.status()).isEqualTo(2);
    assertThat(scripts.run("label.sh", "--help").succeeded().out())
        .contains("MODEL_FOLDER", "--parameters", "--dead-letters");
  }

  @Test
  void twoCommandsAtOnceBothFindWhatTheyRunOn() throws Exception {
    Path state = Path.of("target/label-state-of-two").toAbsolutePath();
    // What a rebuild leaves: natives that are there, and jars that are older than the bundle.
    Path stamp = state.resolve("lib/.unpacked");
    if (Files.exists(stamp)) {
      Files.setLastModifiedTime(stamp, FileTime.fromMillis(0));
    }
    ExecutorService both = Executors.newFixedThreadPool(2);
    try {
      Callable<Script.Result> command =
          () -> new Script(state).run(bytes("good"), "label.sh", SENTIMENT);
      for (Future<Script.Result> result : both.invokeAll(List.of(command, command))) {
        assertThat(result.get().succeeded().outLines()).hasSize(1);
      }
    } finally {
      both.shutdown();
    }
  }

  @Test
  void whatAKilledCommandHasLeftDoesNotHoldUpTheNext() throws Exception {
    Path state = Path.of("target/label-state").toAbsolutePath();
    Process gone = new ProcessBuilder("true").start();
    gone.waitFor();
    Files.createDirectories(state);
    Path lock = state.resolve("lib.lock");
    Files.createSymbolicLink(lock, Path.of(Long.toString(gone.pid())));
    assertThat(scripts.run(bytes("good"), "label.sh", SENTIMENT).succeeded().outLines()).hasSize(1);
    assertThat(Files.exists(lock, LinkOption.NOFOLLOW_LINKS)).isFalse();
  }
}
