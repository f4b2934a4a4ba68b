package org.labelstream.model;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * A model folder, read and found sound.
 *
 * @param path where it lies
 * @param name the folder's name, which labelled records carry as {@code model}
 * @param sha256 the SHA-256 over all of the folder's files, in hex: over the lines {@code <SHA-256
 *     of the file> <two spaces> <name>}, sorted by name, as {@code sha256sum} prints them
 * @param sums the SHA-256 of each of these files as it was read, by name
 * @param manifest what the exporter wrote of the module
 * @param config what the user set
 * @param generationConfig the checkpoint's own settings for generation; none where it has none
 * @param labels the names of the classes, or null where the task has none
 */
public record ModelFolder(
    Path path,
    String name,
    String sha256,
    Map<String, String> sums,
    Manifest manifest,
    ModelConfig config,
    GenerationConfig generationConfig,
    LabelMapping labels) {

  /** Whether SHA-256 sums must be there. Those that are there are always checked. */
  public enum Verify {
    REQUIRED,
    IF_PRESENT
  }

  public static final String MODULE = "model.pt";
  public static final String TOKENIZER = "tokenizer.json";
  static final String LABELS = "index_to_name.json";
  private static final String CHECKPOINT_CONFIG = "config.json";

  /**
   * Reads a folder and checks that it is complete, unchanged since its export, and agrees with
   * itself.
   *
   * @throws InvalidModelException with one sentence for the user, when it is not; its cause is a
   *     {@link NoSuchFileException} where the folder or a file of it is missing
   */
  public static ModelFolder read(Path path, Verify verify) {
    if (!Files.isDirectory(path)) {
      throw new InvalidModelException(
          path
              + (Files.exists(path) ? " is not a folder" : " does not exist")
              + ": name a model folder, such as scripts/export_model.py writes",
          new NoSuchFileException(path.toString()));
    }
    requireFiles(
        path, List.of(Manifest.FILE, MODULE, TOKENIZER, CHECKPOINT_CONFIG, ModelConfig.FILE));
    Manifest manifest = Manifest.read(path.resolve(Manifest.FILE));
    requireFiles(path, manifest.sums().keySet());
    if (manifest.explain() != null) {
      requireFiles(path, List.of(manifest.explain()));
    }
    Map<String, String> sums = sums(path);
    checkSums(path, manifest, sums, verify);
    ModelConfig config = ModelConfig.read(path.resolve(ModelConfig.FILE));
    checkAgreement(path.resolve(ModelConfig.FILE), config, manifest);
    GenerationConfig generation = GenerationConfig.read(path.resolve(GenerationConfig.FILE));
    LabelMapping labels = null;
    if (manifest.numLabels() > 0) {
      requireFiles(path, List.of(LABELS));
      labels = LabelMapping.read(path.resolve(LABELS), manifest.numLabels());
    }
    return new ModelFolder(
        path,
        nameOf(path),
        sha256(sums),
        Collections.unmodifiableMap(sums),
        manifest,
        config,
        generation,
        labels);
  }

  /** The first 8 hex digits of {@link #sha256}, which labelled records carry. */
  public String version() {
    return sha256.substring(0, 8);
  }

  /** The same folder in another place. */
  public ModelFolder movedTo(Path other) {
    return new ModelFolder(
        other, nameOf(other), sha256, sums, manifest, config, generationConfig, labels);
  }

  /**
   * Checks that a file is still what it was when the folder was read: for what is loaded later.
   *
   * @throws InvalidModelException with one sentence for the user, when it is not
   */
  public void requireUnchanged(String file) {
    String now;
    try {
      now = sha256(path.resolve(file));
    } catch (IOException e) {
      throw new InvalidModelException(path.resolve(file) + " cannot be read: " + e, e);
    }
    if (!now.equals(sums.get(file))) {
      throw new InvalidModelException(
          path.resolve(file)
              + " has changed since the job started (its SHA-256 was "
              + sums.get(file)
              + " and is "
              + now
              + "): put back the folder, or submit the job again");
    }
  }

  /** The most tokens in a row, special ones included: the user's bound, else the model's. */
  public int maxLength() {
    return config.maxLength() == null ? manifest.maxLength() : config.maxLength();
  }

  /** What the user should know of the folder's settings, a line for the log each. */
  public List<String> notices() {
    return Stream.concat(config.notices().stream(), generationConfig.notices().stream()).toList();
  }

  private static String nameOf(Path path) {
    return path.toAbsolutePath().normalize().getFileName().toString();
  }

  private static void requireFiles(Path path, Iterable<String> names) {
    for (String name : names) {
      if (!Files.isRegularFile(path.resolve(name))) {
        throw new InvalidModelException(
            path
                + " has no "
                + name
                + ": the folder is incomplete; export the checkpoint again with scripts/export_model.py",
            new NoSuchFileException(path.resolve(name).toString()));
      }
    }
  }

  private static void checkSums(
      Path path, Manifest manifest, Map<String, String> sums, Verify verify) {
    List<String> unsummed =
        Stream.of(MODULE, TOKENIZER, CHECKPOINT_CONFIG, GenerationConfig.FILE, manifest.explain())
            .filter(name -> name != null && sums.containsKey(name))
            .filter(name -> !manifest.sums().containsKey(name))
            .distinct()
            .toList();
    if (verify == Verify.REQUIRED && !unsummed.isEmpty()) {
      throw new InvalidModelException(
          path.resolve(Manifest.FILE)
              + " has no SHA-256 sum of "
              + String.join(", ", unsummed)
              + ", and verify is required: export the checkpoint again, or set verify: if-present");
    }
    manifest
        .sums()
        .forEach(
            (name, sum) -> {
              // What is meant to be edited (the user's settings) may be edited: it is checked by
              // what it says.
              if (!name.equals(ModelConfig.FILE) && !sum.equalsIgnoreCase(sums.get(name))) {
                throw new InvalidModelException(
                    path.resolve(name)
                        + " is not the file that was exported (its SHA-256 is "
                        + sums.get(name)
                        + ", "
                        + Manifest.FILE
                        + " says "
                        + sum
                        + "): copy the folder again, or export the checkpoint again");
              }
            });
  }

  private static void checkAgreement(Path file, ModelConfig config, Manifest manifest) {
    if (config.mode() != null && !TaskNames.canonical(config.mode()).equals(manifest.task())) {
      throw contradiction(
          file, "mode", config.mode(), "the model was exported for", manifest.task());
    }
    if (config.numLabels() != null && config.numLabels() != manifest.numLabels()) {
      throw contradiction(
          file, "num_labels", config.numLabels(), "the model's head gives", manifest.numLabels());
    }
    if (config.maxLength() != null && config.maxLength() > manifest.maxLength()) {
      throw contradiction(
          file, "max_length", config.maxLength(), "the model takes at most", manifest.maxLength());
    }
    if (config.doLowerCase() != null
        && manifest.doLowerCase() != null
        && !config.doLowerCase().equals(manifest.doLowerCase())) {
      throw contradiction(
          file,
          "do_lower_case",
          config.doLowerCase(),
          "of " + TOKENIZER + " it is true that it lower-cases:",
          manifest.doLowerCase());
    }
    String embeddings = manifest.embeddingName();
    if (config.embeddingName() != null
        && embeddings != null
        && !embeddings.equals(config.embeddingName())
        && !embeddings.startsWith(config.embeddingName() + ".")) {
      throw contradiction(
          file,
          "embedding_name",
          config.embeddingName(),
          "the model was exported with",
          embeddings);
    }
  }

  private static InvalidModelException contradiction(
      Path file, String key, Object value, String fact, Object actual) {
    return new InvalidModelException(
        file
            + " says "
            + key
            + ": "
            + value
            + ", but "
            + fact
            + " "
            + actual
            + ": correct the file, or export the checkpoint again");
  }

  private static Map<String, String> sums(Path path) {
    Map<String, String> sums = new TreeMap<>();
    try {
      Path folder = path.toRealPath(); // a walk does not go through a link that it begins at
      for (Path file : filesBelow(folder)) {
        String name = folder.relativize(file).toString().replace('\\', '/');
        if (!name.startsWith(".")) {
          sums.put(name, sha256(file));
        }
      }
      return sums;
    } catch (IOException | UncheckedIOException e) {
      throw new InvalidModelException(path + " cannot be read: " + e, e);
    }
  }

  private static List<Path> filesBelow(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(Files::isRegularFile).toList();
    }
  }

  private static String sha256(Map<String, String> sums) {
    MessageDigest digest = newDigest();
    sums.forEach(
        (name, sum) -> digest.update((sum + "  " + name + "\n").getBytes(StandardCharsets.UTF_8)));
    return HexFormat.of().formatHex(digest.digest());
  }

  private static String sha256(Path file) throws IOException {
    MessageDigest digest = newDigest();
    byte[] buffer = new byte[1 << 16];
    try (InputStream in = Files.newInputStream(file)) {
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        digest.update(buffer, 0, read);
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static MessageDigest newDigest() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
