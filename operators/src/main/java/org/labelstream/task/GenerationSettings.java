package org.labelstream.task;

import java.util.List;

/**
 * How a text is generated, by the names and with the defaults of Hugging Face's {@code
 * GenerationConfig}.
 *
 * @param maxNewTokens the most tokens that are generated
 * @param minNewTokens the least, if the model does not run out of positions
 * @param beams how many continuations are searched at the same time; 1 for no search
 * @param sample whether tokens are drawn, not taken by their score
 * @param seed where the drawing starts
 * @param temperature divides the scores before drawing
 * @param topK how many of the best tokens are drawn from, or 0 for all
 * @param topP the share of probability that is drawn from
 * @param minP the least probability of what is drawn, as a share of the best one's
 * @param repetitionPenalty what the score of a token that was seen already is divided by
 * @param noRepeatNgramSize the length of sequences that may occur once only, or 0
 * @param badWords sequences of token ids that may not occur
 * @param lengthPenalty the exponent of a beam's length by which its score is divided
 * @param earlyStopping when a beam search ends: {@code true}, {@code false} or {@code never}
 * @param eosTokenIds tokens that end the text
 * @param stopStrings texts that end it
 * @param returnFullText whether the prompt is given back before what is new
 */
record GenerationSettings(
    int maxNewTokens,
    int minNewTokens,
    int beams,
    boolean sample,
    long seed,
    float temperature,
    int topK,
    float topP,
    float minP,
    float repetitionPenalty,
    int noRepeatNgramSize,
    List<List<Integer>> badWords,
    float lengthPenalty,
    String earlyStopping,
    List<Integer> eosTokenIds,
    List<String> stopStrings,
    boolean returnFullText) {

  private static final int MAX_BEAMS = 64;
  private static final int MAX_TOKENS = 1_000_000;

  /** What a record or a pipeline may set. */
  static final ParameterSpecs SPECS =
      ParameterSpecs.none()
          .integer("max_new_tokens", 1, MAX_TOKENS)
          .integer("min_new_tokens", 0, MAX_TOKENS)
          .integer("num_beams", 1, MAX_BEAMS)
          .flag("do_sample")
          .orNullLong("seed")
          .positiveNumber("temperature")
          .orNullInteger("top_k", 0)
          .number("top_p", 0, 1)
          .number("min_p", 0, 1)
          .positiveNumber("repetition_penalty")
          .integer("no_repeat_ngram_size", 0, MAX_TOKENS)
          .tokenSequences("bad_words_ids")
          .number("length_penalty", -100, 100)
          .flagOr("early_stopping", "never")
          .tokenIds("eos_token_id")
          .textOrTexts("stop_strings")
          .flag("return_full_text");

  private static final int MAX_NEW_TOKENS = 256;
  private static final int TOP_K = 50;

  /**
   * Settings for one text.
   *
   * @param given the record's, over the pipeline's, over the model folder's
   * @param maxNewTokens the bound where none is given
   * @param eosTokenIds what ends a text where nothing else is given
   * @param position the place of the record, from which its seed follows where none is given
   */
  static GenerationSettings of(
      Parameters given, Integer maxNewTokens, List<Integer> eosTokenIds, String position) {
    Long seed = given.longInteger("seed");
    String earlyStopping = given.text("early_stopping");
    List<String> stopStrings = given.texts("stop_strings");
    List<Integer> ends = given.tokenIds("eos_token_id", eosTokenIds);
    return new GenerationSettings(
        given.integer("max_new_tokens", maxNewTokens == null ? MAX_NEW_TOKENS : maxNewTokens),
        given.integer("min_new_tokens", 0),
        given.integer("num_beams", 1),
        given.flag("do_sample", false),
        seed == null ? position.hashCode() : seed,
        (float) given.number("temperature", 1),
        given.has("top_k") ? given.integer("top_k", 0) : TOP_K, // null is no bound
        (float) given.number("top_p", 1),
        (float) given.number("min_p", 0),
        (float) given.number("repetition_penalty", 1),
        given.integer("no_repeat_ngram_size", 0),
        given.tokenSequences("bad_words_ids").stream()
            .filter(words -> words.size() > 1 || !ends.contains(words.get(0)))
            .toList(),
        (float) given.number("length_penalty", 1),
        earlyStopping == null ? "false" : earlyStopping,
        ends,
        stopStrings == null ? List.of() : stopStrings,
        given.flag("return_full_text", true));
  }

  /** The same with another bound on what is new. */
  GenerationSettings withMaxNewTokens(int most) {
    return new GenerationSettings(
        most,
        minNewTokens,
        beams,
        sample,
        seed,
        temperature,
        topK,
        topP,
        minP,
        repetitionPenalty,
        noRepeatNgramSize,
        badWords,
        lengthPenalty,
        earlyStopping,
        eosTokenIds,
        stopStrings,
        returnFullText);
  }
}
