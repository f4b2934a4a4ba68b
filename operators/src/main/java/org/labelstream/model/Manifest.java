package org.labelstream.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@code labelstream.json}: what the exporter knows of the module that it wrote.
 *
 * @param task the task, such as {@code sequence_classification}
 * @param architecture the checkpoint's class
 * @param modelType the checkpoint's family, such as {@code distilbert}
 * @param precision {@code fp32}, {@code bf16} or {@code int8}
 * @param inputs the arguments of {@code forward} in their order, each int64 {@code [batch, tokens]}
 * @param methods the methods of the module
 * @param numLabels how many logits the head gives, or 0 where the task has no labels
 * @param problemType {@code single_label_classification}, {@code multi_label_classification},
 *     {@code regression}, or null
 * @param maxLength the most tokens that the model takes in a row, special ones included
 * @param padTokenId what rows are padded with
 * @param padsLeft whether the tokenizer pads on the left; then the context of a question stands
 *     before it
 * @param truncationSide where a text that is too long is cut; on the right where it was not told
 * @param doLowerCase whether {@code tokenizer.json} lower-cases, or null where it was not told
 * @param embeddingName the dotted name of the embeddings module, or null where it was not told
 * @param unkTokenId the id of the unknown token, or null where there is none
 * @param clsTokenId the id of the token that rows begin with, or null
 * @param continuingSubwordPrefix what a token begins with that goes on with a word, such as {@code
 *     ##}, or null
 * @param cache the sizes of a generator's keys and values, or null where the model is none
 * @param bosTokenId the token that a text without a beginning begins with, or null
 * @param eosTokenIds the tokens that end a generated text; may be empty
 * @param torchserve the save mode of the TorchServe archive that the folder was made of, or null
 * @param explain the file with the methods that explanations need, or null where there are none; a
 *     file of the folder itself, as those of the sums are
 * @param sums SHA-256 in hex by file name; the label mapping is not among them, since it may be
 *     swapped
 */
public record Manifest(
    String task,
    String architecture,
    String modelType,
    String precision,
    List<String> inputs,
    List<String> methods,
    int numLabels,
    String problemType,
    int maxLength,
    int padTokenId,
    boolean padsLeft,
    TruncationSide truncationSide,
    Boolean doLowerCase,
    String embeddingName,
    Integer unkTokenId,
    Integer clsTokenId,
    String continuingSubwordPrefix,
    Cache cache,
    Integer bosTokenId,
    List<Integer> eosTokenIds,
    String torchserve,
    String explain,
    Map<String, String> sums) {

  /**
   * The sizes of keys and values {@code [layers, 2, batch, heads, tokens, head_dim]}.
   *
   * @param heads of keys and values, which may be fewer than those of queries
   */
  public record Cache(int layers, int heads, int headDim) {}

  static final String FILE = "labelstream.json";
  private static final int FORMAT = 1;

  /**
   * A file of the folder itself, and none that begins with a dot: the folder's SHA-256 leaves those
   * out.
   */
  private static final String PLAIN_NAME = "[^./\\\\:\\p{Cntrl}][^/\\\\:\\p{Cntrl}]*";

  /** As many as no model has: tokens of a vocabulary, or of a text. */
  private static final int MOST_TOKENS = 1 << 24;

  private static final int MOST_LABELS = 1 << 20;

  /** Before the module is asked, keys and values of one token must not take all memory. */
  private static final int MOST_LAYERS = 1 << 10;

  private static final int MOST_HEADS = 1 << 12;
  private static final List<String> PRECISIONS = List.of("fp32", "bf16", "int8");

  static Manifest read(Path file) {
    Reader reader = new Reader(file, Document.readMapping(file));
    int format = reader.integer("format", 0, 0, Integer.MAX_VALUE);
    if (format != FORMAT) {
      throw new InvalidModelException(
          file
              + " has format "
              + format
              + ", but this version reads format "
              + FORMAT
              + ": export the checkpoint again, or use the version that wrote the folder");
    }
    return new Manifest(
        reader.text("task"),
        reader.optionalText("architecture"),
        reader.optionalText("model_type"),
        reader.precision(),
        reader.texts("inputs"),
        reader.texts("methods"),
        reader.integer("num_labels", 0, 0, MOST_LABELS),
        reader.optionalText("problem_type"),
        reader.integer("max_length", -1, 1, MOST_TOKENS),
        reader.integer("pad_token_id", 0, 0, MOST_TOKENS),
        reader.left("padding_side"),
        reader.left("truncation_side") ? TruncationSide.LEFT : TruncationSide.RIGHT,
        reader.content.get("do_lower_case") instanceof Boolean lower ? lower : null,
        reader.optionalText("embedding_name"),
        reader.optionalInteger("unk_token_id"),
        reader.optionalInteger("cls_token_id"),
        reader.optionalText("continuing_subword_prefix"),
        reader.cache(),
        reader.optionalInteger("bos_token_id"),
        reader.integers("eos_token_ids"),
        reader.optionalText("torchserve"),
        reader.content.get("explain") == null
            ? null
            : reader.plainName("explain", reader.text("explain")),
        reader.sums("sha256"));
  }

  private record Reader(Path file, Map<?, ?> content) {

    String text(String key) {
      if (content.get(key) instanceof String text) {
        return text;
      }
      throw wrong(key, "a text");
    }

    String optionalText(String key) {
      return content.get(key) == null ? null : text(key);
    }

    /**
     * A whole number between two bounds.
     *
     * @param ifAbsent what stands for a number that is not there, or -1 where it must be
     */
    int integer(String key, int ifAbsent, int least, int most) {
      Object value = content.get(key);
      if (value == null && ifAbsent >= 0) {
        return ifAbsent;
      }
      if (value instanceof Integer number && number >= least && number <= most) {
        return number;
      }
      throw wrong(key, "a whole number from " + least + " to " + most);
    }

    Integer optionalInteger(String key) {
      return content.get(key) == null ? null : integer(key, 0, 0, MOST_TOKENS);
    }

    /** Whether a side is the left one; where it was not told it is the right one. */
    boolean left(String key) {
      Object side = content.get(key);
      if (side == null || side.equals("right") || side.equals("left")) {
        return "left".equals(side);
      }
      throw wrong(key, "left or right");
    }

    String precision() {
      String precision = text("precision");
      if (PRECISIONS.contains(precision)) {
        return precision;
      }
      throw wrong("precision", "one of " + String.join(", ", PRECISIONS));
    }

    List<String> texts(String key) {
      List<String> texts = new ArrayList<>();
      if (content.get(key) instanceof Iterable<?> items) {
        for (Object item : items) {
          texts.add(String.valueOf(item));
        }
      }
      if (texts.isEmpty()) {
        throw wrong(key, "a list of names");
      }
      return List.copyOf(texts);
    }

    Cache cache() {
      if (content.get("cache") == null) {
        return null;
      }
      if (content.get("cache") instanceof Map<?, ?> sizes) {
        Reader section = new Reader(file, sizes);
        return new Cache(
            section.integer("layers", -1, 1, MOST_LAYERS),
            section.integer("heads", -1, 1, MOST_HEADS),
            section.integer("head_dim", -1, 1, MOST_HEADS));
      }
      throw wrong("cache", "layers, heads and head_dim");
    }

    List<Integer> integers(String key) {
      List<Integer> integers = new ArrayList<>();
      if (content.get(key) instanceof Iterable<?> items) {
        for (Object item : items) {
          if (!(item instanceof Integer number)) {
            throw wrong(key, "a list of whole numbers");
          }
          integers.add(number);
        }
      }
      return List.copyOf(integers);
    }

    Map<String, String> sums(String key) {
      Map<String, String> sums = new LinkedHashMap<>();
      if (content.get(key) instanceof Map<?, ?> given) {
        given.forEach(
            (name, sum) -> sums.put(plainName(key, String.valueOf(name)), String.valueOf(sum)));
      } else if (content.get(key) != null) {
        throw wrong(key, "sums by file name");
      }
      return Map.copyOf(sums);
    }

    String plainName(String key, String name) {
      if (name.matches(PLAIN_NAME)) {
        return name;
      }
      throw new InvalidModelException(
          file
              + " names the file \""
              + name
              + "\" under "
              + key
              + ", but may only name files of its own folder, without a path and not hidden: the file is the exporter's to write; export the checkpoint again");
    }

    private InvalidModelException wrong(String key, String expected) {
      return new InvalidModelException(
          file
              + " should have "
              + expected
              + " for "
              + key
              + ", but has "
              + Document.describe(content.get(key))
              + ": the file is the exporter's to write; export the checkpoint again");
    }
  }
}
