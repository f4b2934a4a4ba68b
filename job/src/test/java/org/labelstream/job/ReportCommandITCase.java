package org.labelstream.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** scripts/report.sh, as a user calls it. */
class ReportCommandITCase {

  private static final Path EXPLANATIONS =
      Path.of("src/test/resources/report/explanations.jsonl").toAbsolutePath();
  private static final String DROPPED =
      "{\"id\": \"%s\", \"error\": {\"code\": \"explanation_dropped\", \"message\": \"the queue was full\"}}\n";

  @TempDir Path folder;

  @Test
  void writesWhatCanBeReadAndTellsTheRest() throws Exception {
    Path page = folder.resolve("page.html");
    String lines = DROPPED.formatted("a") + "{\"broken\n\n{}\r\n" + DROPPED.formatted("b");
    Script.Result result =
        new Script(folder)
            .run(
                lines.getBytes(UTF_8),
                "report.sh",
                EXPLANATIONS.toString(),
                "-",
                "--output",
                page.toString(),
                "--title",
                "Mine & <yours>")
            .succeeded();
    int all = Files.readAllLines(EXPLANATIONS).size() + 2;
    assertThat(result.out()).isEmpty();
    assertThat(result.errLines()).hasSize(3);
    assertThat(result.errLines().get(0)).startsWith("stdin:2: this is not JSON");
    assertThat(result.errLines().get(1)).isEqualTo("stdin:4: it has neither words nor error");
    assertThat(result.errLines().get(2))
        .isEqualTo(page + ": " + all + " explanations, 4 of which could not be made");
    assertThat(Files.readString(page))
        .contains("<title>Mine &amp; &lt;yours&gt;</title>")
        .containsOnlyOnce("<bdi>b</bdi>");
  }

  @Test
  void aTopicWithoutEndIsWrittenWhenItIsLeft() throws Exception {
    Path page = folder.resolve("page.html");
    Process process =
        new ProcessBuilder(
                Script.ROOT.resolve("scripts/report.sh").toString(), "-o", page.toString())
            .start();
    OutputStream in = process.getOutputStream();
    in.write((DROPPED.formatted("a") + "broken\n").getBytes(UTF_8));
    in.flush();
    BufferedReader err = process.errorReader(UTF_8);
    assertThat(err.readLine()).startsWith("stdin:2: this is not JSON"); // so it has seen the first
    process.toHandle().destroy(); // as Ctrl-C does; Process.destroy would close its streams too
    assertThat(err.readLine()).isEqualTo(page + ": 1 explanation, 1 of which could not be made");
    assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(page).content().contains("<bdi>a</bdi>").endsWith("</html>\n");
  }

  @Test
  void tellsInASentenceWhatItCannotDo() throws Exception {
    Script scripts = new Script(folder);
    Script.Result noFile = scripts.run("report.sh", "missing.jsonl", "-o", "page.html");
    assertThat(noFile.status()).isEqualTo(1);
    assertThat(noFile.errLines()).containsExactly("missing.jsonl cannot be read: check the path");

    Path nowhere = folder.resolve("none/page.html");
    Script.Result noFolder = scripts.run("report.sh", "-o", nowhere.toString());
    assertThat(noFolder.status()).isEqualTo(1);
    assertThat(noFolder.errLines())
        .containsExactly(
            nowhere
                + " cannot be written (there is no such folder): give --output a path that can be");

    assertThat(scripts.run("report.sh").status()).isEqualTo(2);
    assertThat(scripts.run("report.sh", "--help").succeeded().out())
        .contains("--output", "--title", "kafka-local.sh consume explanations");
  }
}
