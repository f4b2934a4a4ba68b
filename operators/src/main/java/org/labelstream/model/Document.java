package org.labelstream.model;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/**
 * Reads the small YAML and JSON files of a model folder into maps. JSON is read as the YAML 1.2
 * that it is, so one safe parser (no objects are constructed, aliases and sizes are bounded, keys
 * are unique) serves both.
 */
final class Document {

  private static final int MAX_BYTES = 8 << 20;

  private Document() {}

  /**
   * Reads a file that holds one mapping.
   *
   * @throws InvalidModelException when it is missing, too large, not UTF-8, malformed, or something
   *     else than a mapping
   */
  static Map<?, ?> readMapping(Path file) {
    Object content;
    try {
      content = load(file, readText(file));
    } catch (MarkedYamlEngineException e) {
      String where =
          e.getProblemMark()
              .map(
                  mark ->
                      " (line " + (mark.getLine() + 1) + ", column " + (mark.getColumn() + 1) + ")")
              .orElse("");
      throw new InvalidModelException(
          file + " cannot be read" + where + ": " + e.getProblem() + "; correct it there", e);
    } catch (YamlEngineException e) {
      throw new InvalidModelException(
          file + " cannot be read: " + e.getMessage() + "; correct it", e);
    } catch (StackOverflowError e) {
      throw new InvalidModelException(
          file + " cannot be read: it is nested too deeply, or refers to itself; correct it", e);
    }
    if (content instanceof Map<?, ?> mapping) {
      return mapping;
    }
    throw new InvalidModelException(
        file + " must hold names with values, but holds " + describe(content));
  }

  private static String readText(Path file) {
    try {
      if (Files.size(file) > MAX_BYTES) {
        throw new InvalidModelException(
            file + " has more than 8 MiB, which such a file never needs: is it another file?");
      }
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
          .toString();
    } catch (CharacterCodingException e) {
      throw new InvalidModelException(file + " is not UTF-8: save it as UTF-8", e);
    } catch (IOException e) {
      throw new InvalidModelException(file + " cannot be read: " + e, e);
    }
  }

  private static Object load(Path file, String text) {
    LoadSettings settings =
        LoadSettings.builder()
            .setLabel(file.getFileName().toString())
            .setAllowDuplicateKeys(false)
            .setCodePointLimit(MAX_BYTES)
            .setMaxAliasesForCollections(16)
            .setSchema(new CoreSchema())
            .build();
    // JSON may be indented by tabs, YAML may not; inside its strings JSON has none.
    boolean json = file.getFileName().toString().endsWith(".json");
    return new Load(settings).loadFromString(json ? text.replace('\t', ' ') : text);
  }

  /** A value as a sentence names it. */
  static String describe(Object value) {
    if (value == null) {
      return "nothing";
    }
    if (value instanceof String text) {
      return "the text \"" + Names.shown(text) + "\"";
    }
    if (value instanceof Map) {
      return "a mapping";
    }
    if (value instanceof Iterable) {
      return "a list";
    }
    return "the value " + value;
  }
}
