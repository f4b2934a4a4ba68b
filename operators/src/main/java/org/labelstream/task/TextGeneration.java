package org.labelstream.task;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.KeyValueCache;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Logits;
import org.labelstream.engine.TokenDecoder;
import org.labelstream.engine.Tokens;
import org.labelstream.model.GenerationConfig;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.Manifest;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;

/**
 * Goes on with a prompt, as Hugging Face's {@code generate()} does, and gives the text as the
 * {@code text-generation} pipeline does ({@code transformers/pipelines/text_generation.py}).
 *
 * <p>A record is one row, which goes through the model again for each token: first its prompt, then
 * what was chosen last, of each of its beams. Rows come and go between steps.
 */
public final class TextGeneration implements Task {

  static final TaskType TYPE =
      new TaskType(
          "text_generation",
          GenerationSettings.SPECS,
          Set.of("text"),
          Map.of(
              "generated_text", FieldType.TEXT,
              "generated_tokens", FieldType.COUNT,
              "finish_reason", FieldType.TEXT),
          TextGeneration::new,
          TaskType.Order.NONE);

  /** What TorchServe's handler gives {@code generate()}, whatever the checkpoint says. */
  private static final Map<String, Object> TORCHSERVE =
      Map.of("do_sample", true, "top_p", 0.95, "top_k", 60, "max_new_tokens", 150);

  private final LoadedModel model;
  private final Manifest manifest;
  private final int positions;
  private final Parameters defaults;
  private final StopStrings stopStrings;

  private TextGeneration(LoadedModel model) {
    this.model = model;
    this.manifest = model.folder().manifest();
    this.positions = model.folder().maxLength();
    if (manifest.cache() == null) {
      throw new InvalidModelException(
          model.folder().path() + " keeps no cache, so it cannot generate: export it for the task");
    }
    this.defaults = defaults(model.folder());
    this.stopStrings = new StopStrings(model.tokenizer());
  }

  /**
   * The model's own settings.
   *
   * @throws InvalidModelException when one of them is wrong
   */
  private static Parameters defaults(ModelFolder folder) {
    Path file = folder.path().resolve(GenerationConfig.FILE);
    Map<String, Object> own = new HashMap<>(folder.generationConfig().settings());
    own.keySet().retainAll(GenerationSettings.SPECS.names());
    own.remove("eos_token_id"); // the exporter has found out which ones count
    if (folder.manifest().torchserve() != null) {
      own.putAll(TORCHSERVE);
    }
    if (folder.config().maxNewTokens() != null) {
      own.put("max_new_tokens", folder.config().maxNewTokens());
    }
    try {
      return GenerationSettings.SPECS.parse(own);
    } catch (IllegalArgumentException e) {
      throw new InvalidModelException(
          file + " cannot be used: " + e.getMessage() + "; correct it, and export again", e);
    }
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException {
    String prompt = Required.field(event.text(), "text", "text generation");
    Parameters given = defaults.overriddenBy(parameters);
    Integer both = boundOfBoth();
    Tokens encoded =
        encodings.encodeEnd(model, prompt, both == null ? positions : Math.max(positions, both));
    int[] tokens = idsOf(encoded);
    GenerationSettings settings =
        GenerationSettings.of(
            given, ownMaxNewTokens(tokens.length), manifest.eosTokenIds(), event.position());
    if (settings.minNewTokens() > settings.maxNewTokens()) {
      throw invalid(
          "min_new_tokens is "
              + settings.minNewTokens()
              + ", but max_new_tokens only "
              + settings.maxNewTokens()
              + ": raise the one or lower the other");
    }
    int[] read = tokens;
    if (tokens.length >= positions) {
      if (settings.maxNewTokens() >= positions && !parameters.has("max_new_tokens")) {
        settings = settings.withMaxNewTokens(positions / 2); // a default must not refuse a record
      }
      if (settings.maxNewTokens() >= positions) {
        throw invalid(
            "max_new_tokens is "
                + settings.maxNewTokens()
                + ", which leaves no room for the prompt among the model's "
                + positions
                + " positions: lower it");
      }
      read = lastOf(tokens, encoded, positions - settings.maxNewTokens());
    }
    return new Generation(
        prompt,
        read,
        read.length < tokens.length,
        settings.withMaxNewTokens(Math.min(settings.maxNewTokens(), positions - read.length)));
  }

  @Override
  public boolean isRepeatable(Parameters parameters) {
    return !defaults.overriddenBy(parameters).flag("do_sample", false);
  }

  private static RejectedRecordException invalid(String message) {
    return new RejectedRecordException(
        ErrorCode.INVALID_PARAMETER, Stage.DECODE, "in parameters, " + message);
  }

  private Integer ownMaxNewTokens(int promptLength) {
    Integer both = boundOfBoth();
    return both == null ? null : Integer.valueOf(Math.max(1, both - promptLength));
  }

  /** Older checkpoints bound prompt and new tokens together; null where this one does not. */
  private Integer boundOfBoth() {
    return model.folder().generationConfig().settings().get("max_length") instanceof Integer length
        ? length
        : null;
  }

  private int[] idsOf(Tokens tokens) throws RejectedRecordException {
    if (tokens.length() > 0) {
      return tokens.ids();
    }
    if (manifest.bosTokenId() == null) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.ENCODE,
          "the field text is empty, and the model has no token to begin with: send a prompt");
    }
    return new int[] {manifest.bosTokenId()};
  }

  /** The last tokens of a prompt that is too long, behind the special ones that it begins with. */
  private static int[] lastOf(int[] ids, Tokens encoded, int room) {
    int kept = 0;
    while (kept < room - 1 && encoded.special(kept)) {
      kept++;
    }
    int[] last = Arrays.copyOf(ids, room);
    System.arraycopy(ids, ids.length - (room - kept), last, kept, room - kept);
    return last;
  }

  @Override
  public void run(List<? extends Row> batch) {
    List<Generation> beginning = new ArrayList<>();
    List<Generation> goingOn = new ArrayList<>();
    for (Row row : batch) {
      Generation generation = (Generation) row;
      if (!generation.done()) { // one that failed beside others comes again
        (generation.cache.length() == 0 ? beginning : goingOn).add(generation);
      }
    }
    step(goingOn);
    step(beginning);
  }

  private void step(List<Generation> generations) {
    if (generations.isEmpty()) {
      return;
    }
    Logits logits =
        model.step(
            generations.stream().map(generation -> generation.cache).toList(),
            generations.stream().map(Generation::unread).toList());
    int row = 0;
    for (Generation generation : generations) {
      int sequences = generation.cache.sequences();
      generation.advance(logits, row);
      row += sequences;
    }
    generations.forEach(generation -> Faults.rethrowFatal(generation.fatal));
  }

  /** A text under way, and what becomes of it. */
  final class Generation implements Plan, Row {
    private final String prompt;
    private final int[] promptTokens;
    private final boolean truncated;
    private final GenerationSettings settings;
    private final Decoding decoding;
    private final KeyValueCache cache = new KeyValueCache();
    private volatile boolean done;
    private String failure;

    /** What no text is to blame for; told once all of the batch have moved on. */
    private Throwable fatal;

    Generation(String prompt, int[] promptTokens, boolean truncated, GenerationSettings settings) {
      this.prompt = prompt;
      this.promptTokens = promptTokens;
      this.truncated = truncated;
      this.settings = settings;
      LogitsProcessors processors = new LogitsProcessors(settings, promptTokens.length);
      Sampler sampler = settings.sample() ? new Sampler(settings.seed()) : null;
      this.decoding =
          settings.beams() == 1
              ? new SingleDecoding(promptTokens, processors, sampler, this::isFinished)
              : new BeamSearch(promptTokens, settings, processors, sampler, this::isFinished);
    }

    private boolean isFinished(int[] sequence) {
      return sequence.length - promptTokens.length >= settings.maxNewTokens()
          || settings.eosTokenIds().contains(sequence[sequence.length - 1])
          || stopStrings.end(sequence, settings.stopStrings());
    }

    @Override
    public List<? extends Row> rows() {
      return List.of(this);
    }

    @Override
    public int length() {
      return promptTokens.length;
    }

    @Override
    public int sequences() {
      return settings.beams();
    }

    @Override
    public boolean done() {
      return done;
    }

    /** The tokens that the model has not read, {@code [sequences][new]}. */
    private int[][] unread() {
      if (cache.length() == 0) {
        return new int[][] {promptTokens};
      }
      return Arrays.stream(decoding.sequences())
          .map(sequence -> Arrays.copyOfRange(sequence, cache.length(), sequence.length))
          .toArray(int[][]::new);
    }

    /**
     * Whatever goes wrong here is this text's own: the caches of all have moved on, so the others
     * of the batch must too.
     */
    private void advance(Logits logits, int firstRow) {
      try {
        int[] origins = decoding.advance(scores(logits, firstRow));
        if (origins.length > 0) {
          cache.select(origins);
          return;
        }
      } catch (RuntimeException | Error e) {
        fatal = Faults.isFatal(e) ? e : null;
        failure = String.valueOf(e.getMessage());
      }
      release();
      done = true;
    }

    private float[][] scores(Logits logits, int firstRow) {
      boolean begins = cache.length() == promptTokens.length;
      if (begins) {
        cache.select(new int[decoding.sequences().length]); // all beams go on from the prompt
      }
      return IntStream.range(0, cache.sequences())
          .mapToObj(i -> logits.row(firstRow + (begins ? 0 : i)))
          .toArray(float[][]::new);
    }

    @Override
    public void release() {
      cache.close();
    }

    /** The new tokens, once the row is done. */
    int[] newTokens() {
      int[] sequence = decoding.result();
      return Arrays.copyOfRange(sequence, promptTokens.length, sequence.length);
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      if (failure != null) {
        throw new RejectedRecordException(
            ErrorCode.INFERENCE_FAILED,
            Stage.INFERENCE,
            "the text could not be continued ("
                + failure
                + "): check the checkpoint and its precision, and what bad_words_ids excludes");
      }
      int[] sequence = decoding.result();
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("generated_text", settings.returnFullText() ? prompt + newText() : newText());
      fields.put("generated_tokens", sequence.length - promptTokens.length);
      fields.put("finish_reason", finishReason(sequence));
      return new Prediction(fields, promptTokens.length, truncated);
    }

    /** The score of what a beam search found. */
    float score() {
      return ((BeamSearch) decoding).score();
    }

    /** The text of all tokens behind as many characters as the prompt's tokens have. */
    String newText() {
      String whole = text(decoding.result());
      String read = text(promptTokens);
      int promptLength = prompt.isEmpty() ? 0 : read.codePointCount(0, read.length());
      return new CodePoints(whole).slice(promptLength, Integer.MAX_VALUE);
    }

    private String finishReason(int[] sequence) {
      if (settings.eosTokenIds().contains(sequence[sequence.length - 1])) {
        return "eos";
      }
      return stopStrings.end(sequence, settings.stopStrings()) ? "stop" : "length";
    }
  }

  private String text(int[] tokens) {
    long[] ids = Arrays.stream(tokens).asLongStream().toArray();
    return TokenDecoder.cleanUpTokenization(model.tokenizer().decode(ids, true));
  }
}
