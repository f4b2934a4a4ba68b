package org.labelstream.job;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.apache.flink.util.ExceptionUtils;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventFormat;
import org.labelstream.job.file.LinePipeline;
import org.labelstream.job.file.OutputException;
import org.labelstream.job.report.ReportWriter;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.InferenceFunction;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineException;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code scripts/label.sh}: the operators of the job over lines, without Kafka. */
@Command(
    name = "label.sh",
    description = {
      "Labels lines of files, or of standard input, with a model folder.",
      "A line is a text or a JSON object, as the value of a Kafka record is. Labelled records go to standard output in the order of the lines, dead letters to standard error."
    },
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class)
public final class LabelCommand implements Callable<Integer> {

  @Parameters(
      index = "0",
      paramLabel = "MODEL_FOLDER",
      description = "A model folder, such as model-assets/sentiment.")
  private Path model;

  @Parameters(
      index = "1..*",
      paramLabel = "FILE",
      description = "Files to read, in this order; - or none for standard input.")
  private List<String> files = new ArrayList<>();

  @Option(
      names = "--parameters",
      paramLabel = "JSON",
      defaultValue = "{}",
      description = "The task's settings, such as '{\"top_k\": 2}'; a record's own win.")
  private String parameters;

  /** What the shell reports of a command that wrote to a pipe which nobody reads: 128 + SIGPIPE. */
  private static final int BROKEN_PIPE = 141;

  @Option(
      names = "--dead-letters",
      paramLabel = "FILE",
      description = "Where dead letters go, in place of standard error.")
  private Path deadLetters;

  @Option(
      names = "--explanations",
      paramLabel = "FILE",
      description = "Where explanations of all lines go, a JSON object a line.")
  private Path explanations;

  @Option(
      names = "--report",
      paramLabel = "FILE.html",
      description = "Where a page goes that shows the explanations of all lines.")
  private Path report;

  @Option(
      names = "--steps",
      paramLabel = "N",
      defaultValue = "50",
      description = "How many gradients an explanation takes, or adaptive (default: 50).")
  private String steps;

  public static void main(String[] args) {
    CommandLine commandLine = new CommandLine(new LabelCommand());
    commandLine.setExecutionExceptionHandler(
        (e, command, parsed) -> {
          if (find(e, OutputException.class).filter(OutputException::isClosed).isPresent()) {
            return BROKEN_PIPE;
          }
          System.err.println(sentence(e));
          return 1;
        });
    System.exit(commandLine.execute(args));
  }

  private static <T extends Throwable> Optional<T> find(Throwable e, Class<T> type) {
    return ExceptionUtils.findSerializedThrowable(e, type, LabelCommand.class.getClassLoader());
  }

  private static String sentence(Exception e) {
    if (e instanceof InvalidModelException || e instanceof IllegalArgumentException) {
      return e.getMessage();
    }
    // Ours are sentences; what is within them is for developers.
    Optional<? extends Exception> ours =
        find(e, PipelineException.class)
            .<Exception>map(failure -> failure)
            .or(() -> find(e, OutputException.class));
    if (ours.isPresent()) {
      return ours.get().getMessage();
    }
    Throwable cause = e;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return "Labelling has failed: " + (cause.getMessage() == null ? cause : cause.getMessage());
  }

  @Override
  public Integer call() throws Exception {
    ModelFolder folder = ModelFolder.read(model, ModelFolder.Verify.IF_PRESENT);
    Map<String, Object> settings = parse(parameters);
    try {
      InferenceFunction.taskType(folder).parameters().parse(settings);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException("In --parameters, " + e.getMessage(), e);
    }
    for (String file : files) {
      if (Files.isDirectory(Path.of(file))) {
        throw new IllegalArgumentException(
            file + " is a folder: give the files in it, as " + file + "/*.txt");
      }
      if (!file.equals("-") && !Files.isReadable(Path.of(file))) {
        throw new IllegalArgumentException(file + " cannot be read: check the path");
      }
    }
    checkWritable("--dead-letters", deadLetters);
    checkWritable("--explanations", explanations);
    checkWritable("--report", report);
    Integer count = steps();
    Path explained = explanations;
    if (report != null && explained == null) {
      explained = Files.createTempFile("labelstream-", ".jsonl");
    }
    try {
      LinePipeline.run(
          InferenceSettings.of(folder.name(), model.toAbsolutePath().normalize().toString())
              .withParameters(settings),
          files.isEmpty() ? List.of("-") : files,
          deadLetters,
          explained,
          count);
      if (report != null) {
        writeReport(folder, explained);
      }
    } finally {
      if (explanations == null && explained != null) {
        Files.deleteIfExists(explained);
      }
    }
    return 0;
  }

  /** Finds out before the work is done what would otherwise be told behind it. */
  private static void checkWritable(String option, Path file) {
    if (file == null) {
      return;
    }
    Path folder = file.toAbsolutePath().getParent();
    String problem = null;
    if (Files.isDirectory(file)) {
      problem = "it is a folder";
    } else if (folder == null || !Files.isDirectory(folder)) {
      problem = "there is no such folder";
    } else if (!Files.isWritable(Files.exists(file) ? file : folder)) {
      problem = "it may not be written";
    }
    if (problem != null) {
      throw new IllegalArgumentException(
          option + " " + file + " cannot be written (" + problem + "): give a path that can be");
    }
  }

  /** The steps that were asked for, or null for adaptive ones. */
  private Integer steps() {
    if (steps.equalsIgnoreCase("adaptive")) {
      return null;
    }
    if (steps.matches("[1-9][0-9]{0,2}|1000")) {
      return Integer.valueOf(steps);
    }
    throw new IllegalArgumentException(
        "--steps is " + steps + ", but must be a whole number from 1 to 1000, or adaptive");
  }

  private void writeReport(ModelFolder folder, Path explained) throws IOException {
    try (BufferedReader lines = Files.newBufferedReader(explained);
        ReportWriter page = new ReportWriter(report, "Explanations of " + folder.name())) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        page.add(line.getBytes(StandardCharsets.UTF_8));
      }
    }
  }

  /** Reads settings as they would be read in a record, so that the same rules hold. */
  private static Map<String, Object> parse(String json) {
    byte[] event = ("{\"parameters\": " + json + "}").getBytes(StandardCharsets.UTF_8);
    SourceRecord record =
        new SourceRecord(null, event, List.of(), "--parameters", SourceRecord.NO_PARTITION, 1, -1);
    try {
      return new EventCodec("label", EventForm.of(EventFormat.JSON), event.length, List.of())
          .decode(record)
          .event()
          .parameters();
    } catch (RejectedRecordException e) {
      throw new IllegalArgumentException(
          "--parameters is not a JSON object ("
              + e.getMessage()
              + "): write it as '{\"top_k\": 2}'",
          e);
    }
  }
}
