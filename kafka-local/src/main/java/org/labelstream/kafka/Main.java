package org.labelstream.kafka;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.KafkaException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** The command line: starts the local broker, and is a console for this or any other broker. */
@Command(
    name = "kafka-local.sh",
    description = "A local Kafka broker, and a console for it or for any other.",
    mixinStandardHelpOptions = true,
    version = "Labelstream kafka-local 0.1.0",
    subcommands = {
      StartCommand.class,
      ProduceCommand.class,
      ConsumeCommand.class,
      CreateCommand.class,
      TopicsCommand.class
    },
    exitCodeListHeading = "%nExit status:%n",
    exitCodeList = {"0:done", "1:it could not be done; one sentence says why", "2:wrong use"})
public final class Main implements Callable<Integer> {
  @Spec private CommandSpec spec;

  private Main() {}

  /** Runs one command on the process's own streams, and exits with its status. */
  public static void main(String[] args) {
    // Not the usual log4j2.xml, which would speak for every program that embeds the broker.
    if (System.getProperty("log4j2.configurationFile") == null) {
      boolean broker = args.length > 0 && args[0].equals("start");
      System.setProperty(
          "log4j2.configurationFile",
          "org/labelstream/kafka/log4j2-" + (broker ? "broker" : "console") + ".xml");
    }
    PrintStream out =
        new PrintStream(
            new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16),
            false,
            StandardCharsets.UTF_8);
    int status = run(args, System.in, out, System.err);
    out.flush();
    System.exit(status);
  }

  /**
   * Runs one command on the given streams.
   *
   * @return the exit status: 0, 1 if it could not be done, 2 for wrong use
   */
  public static int run(String[] args, InputStream in, PrintStream out, PrintStream err) {
    Console console = new Console(in, out, err);
    CommandLine line = new CommandLine(new Main(), new ConsoleFactory(console));
    line.setOut(new PrintWriter(new OutputStreamWriter(out, StandardCharsets.UTF_8), true));
    line.setErr(new PrintWriter(new OutputStreamWriter(err, StandardCharsets.UTF_8), true));
    line.registerConverter(Duration.class, new DurationConverter());
    line.setUsageHelpAutoWidth(true);
    line.setParameterExceptionHandler(
        (e, wrong) -> {
          err.println(
              e.getMessage()
                  + " (see "
                  + e.getCommandLine().getCommandSpec().qualifiedName()
                  + " --help)");
          return 2;
        });
    line.setExecutionExceptionHandler(
        (e, command, parsed) -> {
          out.flush();
          err.println(sentence(e));
          return 1;
        });
    return line.execute(args);
  }

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "Say what to do");
  }

  private static String sentence(Exception e) {
    if (e instanceof LocalKafkaException) {
      return e.getMessage();
    }
    Throwable cause = e instanceof KafkaException && e.getCause() != null ? e.getCause() : e;
    return "Kafka says: " + (cause.getMessage() == null ? cause.toString() : cause.getMessage());
  }

  /** The streams that a command reads and writes. */
  record Console(InputStream in, PrintStream out, PrintStream err) {}

  /** Makes commands, and gives those that ask for it the console. */
  private record ConsoleFactory(Console console) implements CommandLine.IFactory {
    @Override
    public <K> K create(Class<K> type) throws Exception {
      try {
        return type.getDeclaredConstructor(Console.class).newInstance(console);
      } catch (NoSuchMethodException e) {
        return CommandLine.defaultFactory().create(type);
      }
    }
  }

  /** Reads {@code 500ms}, {@code 10s}, {@code 2m} or {@code 1h}. */
  private static final class DurationConverter implements ITypeConverter<Duration> {
    private static final Pattern FORM = Pattern.compile("(\\d{1,9})(ms|s|m|h)");

    @Override
    public Duration convert(String value) {
      Matcher matcher = FORM.matcher(value);
      if (!matcher.matches()) {
        throw new TypeConversionException(
            "'" + value + "' is not a duration: write it as 500ms, 10s, 2m or 1h");
      }
      long number = Long.parseLong(matcher.group(1));
      return switch (matcher.group(2)) {
        case "ms" -> Duration.ofMillis(number);
        case "s" -> Duration.ofSeconds(number);
        case "m" -> Duration.ofMinutes(number);
        default -> Duration.ofHours(number);
      };
    }
  }
}
