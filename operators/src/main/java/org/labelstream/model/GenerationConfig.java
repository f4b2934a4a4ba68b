package org.labelstream.model;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@code generation_config.json}: how the checkpoint's authors let it generate.
 *
 * @param settings those that are not null, by their Hugging Face names
 * @param notices a line for the log for each that asks for what is not done here
 */
public record GenerationConfig(Map<String, Object> settings, List<String> notices) {

  public static final String FILE = "generation_config.json";

  /**
   * What is not done here, and the value that does not ask for it; an empty text where none does.
   * The exporter's {@code settings.py} has the same.
   */
  private static final Map<String, Object> NOT_DONE =
      Map.ofEntries(
          Map.entry("min_length", 0),
          Map.entry("typical_p", 1.0),
          Map.entry("epsilon_cutoff", 0.0),
          Map.entry("eta_cutoff", 0.0),
          Map.entry("top_h", ""),
          Map.entry("num_beam_groups", 1),
          Map.entry("num_return_sequences", 1),
          Map.entry("diversity_penalty", 0.0),
          Map.entry("penalty_alpha", 0.0),
          Map.entry("encoder_repetition_penalty", 1.0),
          Map.entry("encoder_no_repeat_ngram_size", 0),
          Map.entry("guidance_scale", 1.0),
          Map.entry("sequence_bias", Map.of()),
          Map.entry("forced_bos_token_id", ""),
          Map.entry("forced_eos_token_id", ""),
          Map.entry("suppress_tokens", List.of()),
          Map.entry("begin_suppress_tokens", List.of()),
          Map.entry("exponential_decay_length_penalty", ""),
          Map.entry("constraints", List.of()),
          Map.entry("force_words_ids", List.of()),
          Map.entry("renormalize_logits", false),
          Map.entry("remove_invalid_values", false),
          Map.entry("watermarking_config", ""),
          Map.entry("dola_layers", ""));

  /** Reads the file, which need not be there. */
  static GenerationConfig read(Path file) {
    Map<String, Object> settings = new LinkedHashMap<>();
    List<String> notices = new ArrayList<>();
    if (Files.isRegularFile(file)) {
      Document.readMapping(file)
          .forEach(
              (key, value) -> {
                String name = String.valueOf(key);
                if (value != null) {
                  settings.put(name, value);
                  if (!isSame(value, NOT_DONE.getOrDefault(name, value))) {
                    notices.add(file + ": " + name + " is not used: this version cannot do it");
                  }
                }
              });
    }
    return new GenerationConfig(
        Collections.unmodifiableMap(settings), Collections.unmodifiableList(notices));
  }

  /** Whether two settings say the same: 1 is 1.0. */
  private static boolean isSame(Object one, Object other) {
    if (one instanceof Number a && other instanceof Number b) {
      return a.doubleValue() == b.doubleValue();
    }
    return one.equals(other);
  }
}
