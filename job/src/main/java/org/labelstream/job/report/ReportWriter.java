package org.labelstream.job.report;

import com.samskivert.mustache.Mustache;
import com.samskivert.mustache.Template;
import java.io.BufferedWriter;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;

/**
 * Writes explanations as one HTML page that needs no other file, no network and no script.
 *
 * <p>Memory does not grow with the number of explanations: each is written when it comes, to a file
 * with {@code .part} at the end of its name, which {@link #close} moves into place.
 *
 * <p><em>Thread-safety.</em> All methods may be called by any thread.
 */
public final class ReportWriter implements Closeable {

  private static final Mustache.Compiler MUSTACHE =
      Mustache.compiler().escapeHTML(true).withLoader(ReportWriter::resource);
  private static final Template HEAD = MUSTACHE.loadTemplate("head.mustache");
  private static final Template EXPLANATION = MUSTACHE.loadTemplate("explanation.mustache");
  private static final Template FOOT = MUSTACHE.loadTemplate("foot.mustache");

  private final Path file;
  private final Path part;
  private final Writer out;
  private long explanations;
  private long failures;
  private boolean closed;

  /**
   * Begins a page.
   *
   * @param file where it will be; one that is there already is replaced
   * @param title the page's title
   * @throws IOException when the file cannot be written there
   */
  public ReportWriter(Path file, String title) throws IOException {
    this.file = file;
    part = file.resolveSibling(file.getFileName() + ".part");
    out = new BufferedWriter(Files.newBufferedWriter(part), 1 << 16);
    HEAD.execute(Map.of("title", title), out);
  }

  private static InputStreamReader resource(String name) throws IOException {
    InputStream in = ReportWriter.class.getResourceAsStream(name);
    if (in == null) {
      throw new IOException("The resource " + name + " is missing. This is a bug.");
    }
    return new InputStreamReader(in, StandardCharsets.UTF_8);
  }

  /**
   * Adds an explanation.
   *
   * @param json the value of a record of the explanations topic
   * @throws InvalidExplanationException when it is none; the page is as it was before
   * @throws IOException when the page cannot be written
   */
  public synchronized void add(byte[] json) throws IOException {
    Explanation explanation = Explanation.parse(json);
    if (closed) {
      throw new IOException(file + " has been closed");
    }
    explanations++;
    if (explanation.error() != null) {
      failures++;
    }
    out.write(EXPLANATION.execute(Card.of(explanations, explanation)));
  }

  /** What the page holds, in words, such as "12 explanations, 2 of which could not be made". */
  public synchronized String summary() {
    String all = explanations == 1 ? "1 explanation" : explanations + " explanations";
    return failures == 0 ? all : all + ", " + failures + " of which could not be made";
  }

  /** Ends the page and moves it into place; a second time, does nothing. */
  @Override
  public synchronized void close() throws IOException {
    if (closed) {
      return;
    }
    closed = true;
    try (out) {
      FOOT.execute(Map.of("summary", summary()), out);
    } catch (IOException | RuntimeException e) {
      Files.deleteIfExists(part);
      throw e;
    }
    Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
  }
}
