package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Runs the commands of scripts/ as a user does: as processes of their own. */
final class Script {

  static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

  private final Path state;
  private final Map<String, String> environment = new HashMap<>();

  /**
   * @param state where the commands keep their state
   */
  Script(Path state) {
    this.state = state;
    environment.put("LABELSTREAM_STATE", state.toString());
  }

  /** What a command printed, and its exit status. */
  record Result(int status, String out, String err) {
    List<String> outLines() {
      return out.lines().toList();
    }

    List<String> errLines() {
      return err.lines().toList();
    }

    Result succeeded() {
      assertThat(status).as("exit status, with%n%s%n%s", out, err).isZero();
      return this;
    }
  }

  Script with(String variable, String value) {
    environment.put(variable, value);
    return this;
  }

  Result run(String script, String... arguments) throws Exception {
    return run(new byte[0], script, arguments);
  }

  Result run(byte[] input, String script, String... arguments) throws Exception {
    List<String> command =
        new ArrayList<>(List.of(ROOT.resolve("scripts").resolve(script).toString()));
    command.addAll(List.of(arguments));
    Files.createDirectories(state);
    Path out = Files.createTempFile(state, "out", ".txt");
    Path err = Files.createTempFile(state, "err", ".txt");
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().putAll(environment);
    builder.directory(ROOT.toFile()).redirectOutput(out.toFile()).redirectError(err.toFile());
    Process process = builder.start();
    try (OutputStream stdin = process.getOutputStream()) {
      stdin.write(input);
    } catch (IOException e) {
      // It ended without reading all that it was given, which it may.
    }
    if (!process.waitFor(4, TimeUnit.MINUTES)) {
      process.destroy();
      throw new AssertionError(command + " has not ended within 4 minutes");
    }
    return new Result(
        process.exitValue(),
        Files.readString(out, StandardCharsets.UTF_8),
        Files.readString(err, StandardCharsets.UTF_8));
  }
}
