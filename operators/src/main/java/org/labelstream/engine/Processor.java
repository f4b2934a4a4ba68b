package org.labelstream.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** What the processor of this machine can do, as Linux tells it. */
final class Processor {

  private static final Path TOLD_IN = Path.of("/proc/cpuinfo");

  /** Instructions that multiply numbers in bfloat16, as Linux names them on x86 and on Arm. */
  private static final Set<String> BFLOAT16 = Set.of("avx512_bf16", "amx_bf16", "bf16");

  private Processor() {}

  /**
   * Whether it has instructions for bfloat16: without them each number is converted, and a model in
   * {@code bf16} is slower than in {@code fp32}. True where it is not known.
   */
  static boolean multipliesBfloat16() {
    try {
      return multipliesBfloat16(Files.readAllLines(TOLD_IN));
    } catch (IOException e) {
      return true;
    }
  }

  /**
   * @param told the lines of {@code /proc/cpuinfo}
   */
  static boolean multipliesBfloat16(List<String> told) {
    List<String> flags =
        told.stream()
            .filter(line -> line.startsWith("flags") || line.startsWith("Features"))
            .limit(1)
            .flatMap(line -> Arrays.stream(line.substring(line.indexOf(':') + 1).split(" ", -1)))
            .toList();
    return flags.isEmpty() || flags.stream().anyMatch(BFLOAT16::contains);
  }
}
