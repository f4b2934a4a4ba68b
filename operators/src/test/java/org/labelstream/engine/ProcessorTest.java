package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ProcessorTest {

  @ParameterizedTest
  @ValueSource(
      strings = {
        "flags\t\t: fpu avx512f avx512_bf16 avx512_vnni",
        "flags\t\t: fpu amx_bf16",
        "Features\t: fp asimd i8mm bf16",
        "model name\t: one whose abilities nobody tells"
      })
  void bfloat16IsMultiplied(String line) {
    assertThat(Processor.multipliesBfloat16(List.of("processor\t: 0", line))).isTrue();
  }

  @ParameterizedTest
  @ValueSource(strings = {"flags\t\t: fpu avx2 avx512f avx512_vnni", "Features\t: fp asimd"})
  void bfloat16IsConverted(String line) {
    assertThat(Processor.multipliesBfloat16(List.of("processor\t: 0", line))).isFalse();
  }
}
