package org.labelstream.engine;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * A module for a libtorch that was built without oneDNN, as those for some processors are.
 *
 * <p>The exporter lets linear layers run oneDNN's product over packed weights on a processor, and
 * the plain operators elsewhere. TorchScript looks every operator up when a module is loaded,
 * whether it will run or not: so in a copy the packed ones are taken out of the code, and the plain
 * ones run everywhere.
 */
final class PlainModule {

  private static final String UNKNOWN = "Unknown builtin op: mkldnn::";
  private static final String CODE = ".py";

  /** A call, of which the first argument stands in its place: the weights, or what is never run. */
  private static final Pattern CALL = Pattern.compile("ops\\.mkldnn\\.\\w+\\((\\w+)[^)]*\\)");

  /** Where the packed ones run. */
  private static final Pattern ON_A_PROCESSOR = Pattern.compile("\"cpu\"");

  private PlainModule() {}

  /** Whether a module could not be loaded because there is no oneDNN. */
  static boolean isWantedFor(Throwable failure) {
    String message = failure.getMessage();
    return message != null && message.contains(UNKNOWN);
  }

  /**
   * Copies a module, less oneDNN's operators.
   *
   * @param module what the exporter wrote
   * @param copy to be written
   */
  static void copy(Path module, Path copy) throws IOException {
    copy(module, copy, PlainModule::plain);
  }

  /**
   * @param change of the code of each class
   */
  static void copy(Path module, Path copy, UnaryOperator<String> change) throws IOException {
    try (ZipFile archive = new ZipFile(module.toFile());
        OutputStream file = Files.newOutputStream(copy);
        ZipOutputStream out = new ZipOutputStream(file)) {
      for (ZipEntry entry : Collections.list(archive.entries())) {
        byte[] content;
        try (InputStream in = archive.getInputStream(entry)) {
          content = in.readAllBytes();
        }
        if (entry.getName().endsWith(CODE)) {
          String code = new String(content, StandardCharsets.UTF_8);
          content = change.apply(code).getBytes(StandardCharsets.UTF_8);
        }
        // libtorch reads what is stored as it is.
        ZipEntry written = new ZipEntry(entry.getName());
        written.setMethod(ZipEntry.STORED);
        written.setSize(content.length);
        CRC32 sum = new CRC32();
        sum.update(content);
        written.setCrc(sum.getValue());
        out.putNextEntry(written);
        out.write(content);
      }
    }
  }

  private static String plain(String code) {
    if (!code.contains("ops.mkldnn.")) {
      return code;
    }
    String without = CALL.matcher(code).replaceAll("$1");
    return ON_A_PROCESSOR.matcher(without).replaceAll("\"none\"");
  }
}
