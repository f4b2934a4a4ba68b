package org.labelstream.job.report;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.awt.image.BufferedImage;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;

/**
 * A headless Chromium of this machine, spoken to by the DevTools protocol. Nothing is downloaded:
 * the JDK has the WebSocket, and Chromium the rest.
 */
final class Chromium implements AutoCloseable {

  private static final List<String> NAMES =
      List.of("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");
  private static final Path MAC =
      Path.of("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
  private static final Pattern ENDPOINT = Pattern.compile("DevTools listening on ws://([^/]+)/.*");
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Process process;
  private final WebSocket socket;
  private final Map<Integer, CompletableFuture<JsonNode>> waiting = new ConcurrentHashMap<>();
  private int commands;

  /** Where a Chromium or Chrome is installed. */
  static Optional<Path> find() {
    Stream<Path> inPath =
        Stream.of(System.getenv("PATH").split(File.pathSeparator))
            .flatMap(folder -> NAMES.stream().map(name -> Path.of(folder, name)));
    return Stream.concat(inPath, Stream.of(MAC)).filter(Files::isExecutable).findFirst();
  }

  /**
   * Starts one.
   *
   * @param profile an empty folder for what it keeps
   */
  Chromium(Path program, Path profile) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                program.toString(),
                "--headless=new",
                "--remote-debugging-port=0",
                "--user-data-dir=" + profile,
                "--no-first-run",
                "--disable-gpu",
                "--disable-dev-shm-usage", // containers have little of it
                "--hide-scrollbars",
                "--force-color-profile=srgb"));
    if (System.getProperty("user.name").equals("root")) {
      command.add("--no-sandbox"); // as root, Chromium does not start with it
    }
    command.add("about:blank");
    process = new ProcessBuilder(command).redirectErrorStream(true).start();
    socket = connect(page(process.inputReader()));
  }

  private static URI page(BufferedReader output) throws Exception {
    StringBuilder said = new StringBuilder();
    for (String line = output.readLine(); line != null; line = output.readLine()) {
      Matcher endpoint = ENDPOINT.matcher(line);
      if (endpoint.matches()) {
        drain(output);
        HttpRequest list =
            HttpRequest.newBuilder(URI.create("http://" + endpoint.group(1) + "/json/list"))
                .build();
        HttpResponse<String> answer =
            HttpClient.newHttpClient().send(list, HttpResponse.BodyHandlers.ofString());
        for (JsonNode target : JSON.readTree(answer.body())) {
          if (target.get("type").asText().equals("page")) {
            return URI.create(target.get("webSocketDebuggerUrl").asText());
          }
        }
      }
      said.append(line).append('\n');
    }
    throw new IOException("Chromium does not start: " + said);
  }

  /** A full pipe would halt it. */
  private static void drain(BufferedReader output) {
    Thread thread = new Thread(() -> output.lines().forEach(line -> {}), "chromium-output");
    thread.setDaemon(true);
    thread.start();
  }

  private WebSocket connect(URI page) {
    StringBuilder text = new StringBuilder();
    WebSocket.Listener listener =
        new WebSocket.Listener() {
          @Override
          public CompletionStage<?> onText(WebSocket from, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
              receive(text.toString());
              text.setLength(0);
            }
            from.request(1);
            return null;
          }
        };
    return HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(page, listener).join();
  }

  private void receive(String message) {
    try {
      JsonNode answer = JSON.readTree(message);
      CompletableFuture<JsonNode> command =
          answer.has("id") ? waiting.remove(answer.get("id").asInt()) : null;
      if (command != null) {
        command.complete(answer);
      }
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /** Sends a command of the DevTools protocol and waits for its result. */
  JsonNode send(String method, Map<String, ?> parameters) throws Exception {
    int id = ++commands;
    CompletableFuture<JsonNode> answer = new CompletableFuture<>();
    waiting.put(id, answer);
    socket
        .sendText(
            JSON.writeValueAsString(Map.of("id", id, "method", method, "params", parameters)), true)
        .join();
    JsonNode result = answer.get(60, TimeUnit.SECONDS);
    assertThat(result.has("error")).as("%s: %s", method, result).isFalse();
    return result.get("result");
  }

  void open(Path file) throws Exception {
    send("Page.navigate", Map.of("url", file.toUri().toString()));
    for (int i = 0; i < 600; i++) {
      JsonNode ready =
          evaluate("location.protocol === 'file:' && document.readyState === 'complete'");
      if (ready.asBoolean()) {
        return;
      }
      Thread.sleep(50);
    }
    throw new AssertionError(file + " has not been loaded within 30 s");
  }

  /** The value of an expression of JavaScript, by way of JSON. */
  JsonNode evaluate(String expression) throws Exception {
    JsonNode result =
        send(
            "Runtime.evaluate",
            Map.of("expression", expression, "returnByValue", true, "awaitPromise", true));
    assertThat(result.has("exceptionDetails")).as("%s", result).isFalse();
    return result.at("/result/value");
  }

  /** Presses the mouse in the middle of an element. */
  void click(String selector) throws Exception {
    JsonNode place =
        evaluate(
            "(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector('"
                + selector
                + "').getBoundingClientRect())");
    for (String type : List.of("mousePressed", "mouseReleased")) {
      send(
          "Input.dispatchMouseEvent",
          Map.of(
              "type",
              type,
              "x",
              place.get(0).asDouble(),
              "y",
              place.get(1).asDouble(),
              "button",
              "left",
              "clickCount",
              1));
    }
  }

  /**
   * Sets the window.
   *
   * @param width in pixels of CSS, of which each is one of the screen
   */
  void resize(int width, int height) throws Exception {
    send(
        "Emulation.setDeviceMetricsOverride",
        Map.of("width", width, "height", height, "deviceScaleFactor", 1, "mobile", width < 500));
  }

  /**
   * A picture of the whole page.
   *
   * @param width of the window
   * @param file where it is kept too
   */
  BufferedImage screenshot(int width, Path file) throws Exception {
    // What is not in the window has an estimated height until it is.
    int height = 0;
    for (int now = pageHeight(); now != height; now = pageHeight()) {
      height = now;
      resize(width, height);
    }
    JsonNode picture = send("Page.captureScreenshot", Map.of());
    byte[] png = Base64.getDecoder().decode(picture.get("data").asText());
    Files.createDirectories(file.getParent());
    Files.write(file, png);
    return ImageIO.read(new ByteArrayInputStream(png));
  }

  private int pageHeight() throws Exception {
    return evaluate(
            "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame("
                + "() => drawn(document.documentElement.scrollHeight))))")
        .asInt();
  }

  @Override
  public void close() {
    socket.abort();
    process.destroy();
    process
        .onExit()
        .orTimeout(10, TimeUnit.SECONDS)
        .exceptionally(tooLong -> process.destroyForcibly())
        .join();
  }
}
