package org.labelstream.job;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.labelstream.job.report.InvalidExplanationException;
import org.labelstream.job.report.ReportWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code scripts/report.sh}: records of an explanations topic as a page to read. */
@Command(
    name = "report.sh",
    description = {
      "Writes explanations as one HTML page that needs nothing else to be read.",
      "Explanations are records of an explanations topic, one a line. A line that is none is told on standard error, and the others are written. Ctrl-C ends the page with what has come."
    },
    footer = {
      "",
      "From a topic:",
      "scripts/kafka-local.sh consume explanations | scripts/report.sh -o page.html"
    },
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class)
public final class ReportCommand implements Callable<Integer> {

  /** Above what a Kafka broker takes by default, by far; what is longer is no explanation. */
  private static final int LONGEST_LINE = 64 << 20;

  @Parameters(
      paramLabel = "FILE",
      description = "Files to read, in this order; - or none for standard input.")
  private List<String> files = new ArrayList<>();

  @Option(
      names = {"-o", "--output"},
      required = true,
      paramLabel = "FILE.html",
      description = "The page; one that is there already is replaced.")
  private Path output;

  @Option(
      names = "--title",
      paramLabel = "TITLE",
      defaultValue = "Explanations",
      description = "The page's title (default: ${DEFAULT-VALUE}).")
  private String title;

  private boolean finished;

  public static void main(String[] args) {
    CommandLine commandLine = new CommandLine(new ReportCommand());
    commandLine.setExecutionExceptionHandler(
        (e, command, parsed) -> {
          System.err.println(sentence(e));
          return 1;
        });
    System.exit(commandLine.execute(args));
  }

  private static String sentence(Exception e) {
    if (e instanceof IllegalArgumentException) {
      return e.getMessage();
    }
    return "The report has failed: " + (e.getMessage() == null ? e : e.getMessage());
  }

  @Override
  public Integer call() throws IOException {
    for (String file : files) {
      if (!file.equals("-")
          && (!Files.isReadable(Path.of(file)) || Files.isDirectory(Path.of(file)))) {
        throw new IllegalArgumentException(file + " cannot be read: check the path");
      }
    }
    ReportWriter report = open();
    // Whoever reads a topic that does not end leaves with Ctrl-C, and wants the page then.
    Runtime.getRuntime().addShutdownHook(new Thread(() -> finishInterrupted(report)));
    try {
      for (String file : files.isEmpty() ? List.of("-") : files) {
        if (file.equals("-")) {
          read("stdin", System.in, report);
        } else {
          try (InputStream in = Files.newInputStream(Path.of(file))) {
            read(file, in, report);
          }
        }
      }
    } catch (IOException e) {
      if (!isFinished()) { // the page that Ctrl-C ended takes no more
        throw e;
      }
    }
    finish(report);
    return 0;
  }

  private synchronized boolean isFinished() {
    return finished;
  }

  private ReportWriter open() throws IOException {
    try {
      return new ReportWriter(output, title);
    } catch (FileSystemException e) {
      String reason = e instanceof NoSuchFileException ? "there is no such folder" : e.getMessage();
      throw new IllegalArgumentException(
          output + " cannot be written (" + reason + "): give --output a path that can be", e);
    }
  }

  private synchronized void finish(ReportWriter report) throws IOException {
    if (!finished) {
      finished = true;
      report.close();
      System.err.println(output + ": " + report.summary());
    }
  }

  private void finishInterrupted(ReportWriter report) {
    try {
      finish(report);
    } catch (IOException e) {
      System.err.println(sentence(e));
    }
  }

  private static void read(String name, InputStream source, ReportWriter report)
      throws IOException {
    BufferedInputStream in = new BufferedInputStream(source, 1 << 16);
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    long number = 1;
    int b;
    do {
      b = in.read();
      if (b >= 0 && b != '\n') {
        if (line.size() <= LONGEST_LINE) {
          line.write(b);
        }
      } else {
        add(name + ":" + number++, line, report);
        line.reset();
      }
    } while (b >= 0);
  }

  private static void add(String place, ByteArrayOutputStream line, ReportWriter report)
      throws IOException {
    if (line.size() > LONGEST_LINE) {
      System.err.println(
          place + ": this line is longer than " + LONGEST_LINE + " bytes: leave it out");
    } else if (!line.toString(StandardCharsets.UTF_8).isBlank()) {
      try {
        report.add(line.toByteArray());
      } catch (InvalidExplanationException e) {
        System.err.println(place + ": " + e.getMessage());
      }
    }
  }
}
