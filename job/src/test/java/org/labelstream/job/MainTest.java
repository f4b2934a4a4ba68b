package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.client.program.ProgramParametrizationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MainTest {

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"--config", "--job-file"})
  void takesTheJobFileByEitherName(String option) {
    assertThatThrownBy(() -> Main.main(new String[] {option, folder + "/none.yaml"}))
        .isInstanceOf(ProgramParametrizationException.class)
        .hasMessageContaining("none.yaml cannot be read");
  }

  @Test
  void refusesBytesThatAreNotUtf8() throws Exception {
    Path file = folder.resolve("job.yaml");
    Files.write(file, new byte[] {'n', 'a', 'm', 'e', ':', ' ', (byte) 0xE9, '\n'});

    assertThatThrownBy(() -> Main.main(new String[] {"--config", file.toString()}))
        .isInstanceOf(ProgramParametrizationException.class)
        .hasMessageContaining("job.yaml is not UTF-8");
  }
}
