package org.labelstream.job.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.awt.Color;
import java.awt.image.BufferedImage;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The report as a browser shows it. Pictures of it are left in {@code target/screenshots}.
 *
 * <p>The tokens of the explanations were made by WordPiece, byte-level BPE and Unigram tokenizers
 * of Hugging Face's library; under {@code source} stand their texts, and the words of these by UAX
 * 29 as Python's {@code regex} module has them.
 */
class ReportBrowserITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Path PICTURES = Path.of("target/screenshots");
  private static final String TITLE = "A report <&\"'> of explanations";
  private static final double AA = 4.5; // WCAG 2.2, success criterion 1.4.3

  private static List<JsonNode> records;
  private static Chromium browser;
  private static Path page;

  @BeforeAll
  static void openBrowser() throws Exception {
    Optional<Path> program = Chromium.find();
    if (System.getenv("CI_REQUIRE_BROWSER") == null) {
      assumeTrue(
          program.isPresent(),
          "No Chromium or Chrome was found, so the report is not looked at: install one, such as Debian's package chromium.");
    }
    assertThat(program).as("a Chromium, which CI_REQUIRE_BROWSER asks for").isPresent();
    Path folder = Files.createTempDirectory(Files.createDirectories(Path.of("target")), "report-");
    page = folder.resolve("page.html").toAbsolutePath();
    records = new ArrayList<>();
    try (ReportWriter report = new ReportWriter(page, TITLE)) {
      for (String line :
          Files.readAllLines(Path.of("src/test/resources/report/explanations.jsonl"))) {
        records.add(JSON.readTree(line));
        report.add(line.getBytes(StandardCharsets.UTF_8));
      }
    }
    browser = new Chromium(program.get(), folder.resolve("profile"));
    // Escaping must hold by itself, without the policy that the page has besides.
    browser.send("Page.setBypassCSP", Map.of("enabled", true));
  }

  @AfterAll
  static void closeBrowser() {
    if (browser != null) {
      browser.close();
    }
  }

  @BeforeEach
  void asItWasDelivered() throws Exception {
    look("light", 1000);
    browser.send("Emulation.setEmulatedVisionDeficiency", Map.of("type", "none"));
    browser.send("Emulation.setScriptExecutionDisabled", Map.of("value", false));
    browser.open(page);
  }

  private static void look(String scheme, int width) throws Exception {
    browser.send(
        "Emulation.setEmulatedMedia",
        Map.of("features", List.of(Map.of("name", "prefers-color-scheme", "value", scheme))));
    browser.resize(width, 800);
  }

  @Test
  void noTextOfARecordBecomesMarkup() throws Exception {
    assertThat(browser.evaluate("document.title").asText()).isEqualTo(TITLE);
    assertThat(browser.evaluate("document.querySelector('h1').textContent").asText())
        .isEqualTo(TITLE);
    assertThat(browser.evaluate("document.querySelectorAll('article').length").asInt())
        .isEqualTo(records.size());
    assertThat(
            texts(
                "[...new Set([...document.querySelectorAll('article *')].map(e => e.localName))]"))
        .isSubsetOf(
            "h2", "bdi", "a", "dl", "div", "dt", "dd", "span", "section", "p", "strong", "code");
    assertThat(
            texts(
                "[...new Set([...document.querySelectorAll('article, article *')].flatMap(e => e.getAttributeNames()))]"))
        .isSubsetOf("id", "href", "aria-label", "class", "dir", "style", "title");
    assertThat(
            browser
                .evaluate("document.querySelector('article:nth-of-type(3) h2 bdi').textContent")
                .asText())
        .isEqualTo(records.get(2).get("id").asText());
  }

  @Test
  void nothingButTheFileIsNeeded() throws Exception {
    assertThat(browser.evaluate("performance.getEntriesByType('resource').length").asInt())
        .isZero();
    assertThat(
            texts(
                "[...document.querySelectorAll('[src], [href]')].map(e => e.getAttribute('href'))"))
        .allSatisfy(link -> assertThat(link).matches("#\\d+"));
    browser.send("Emulation.setScriptExecutionDisabled", Map.of("value", true));
    browser.open(page);
    List<String> pieces = shown(1, ".p");
    browser.click("label[for=merge]");
    assertThat(shown(1, ".w")).hasSizeLessThan(pieces.size()).contains("unbelievably");
  }

  /** Words and their spacing, which only a text whose spans are known can be held against. */
  @Test
  void theTextIsTheTokensOfTheText() throws Exception {
    for (int i = 0; i < records.size(); i++) {
      JsonNode texts = records.get(i).at("/source/texts");
      if (texts.isMissingNode()) {
        continue;
      }
      String read =
          browser
              .evaluate(
                  "[...document.getElementById('"
                      + (i + 1)
                      + "').querySelector('.row').querySelectorAll('.text')].map(text => {"
                      + " const copy = text.cloneNode(true);"
                      + " copy.querySelectorAll('.v, .special, .blank').forEach(e => e.remove());"
                      + " return copy.textContent; }).join(' ')")
              .asText();
      String text =
          String.join(
              " ", StreamSupport.stream(texts.spliterator(), false).map(JsonNode::asText).toList());
      assertThat(normal(read)).as("record %s", i + 1).isEqualTo(normal(text));
    }
  }

  private static String normal(String text) {
    return text.strip().replaceAll("\\s+", " ").toLowerCase(Locale.ROOT);
  }

  @Test
  void mergedWordsAreTheWordsOfTheText() throws Exception {
    browser.click("label[for=merge]");
    for (int i = 0; i < records.size(); i++) {
      JsonNode words = records.get(i).at("/source/words");
      if (!words.isMissingNode()) {
        assertThat(shown(i + 1, ".w:not(.special)"))
            .as("record %s", i + 1)
            .filteredOn(word -> !word.equals("␣"))
            .map(ReportBrowserITCase::normal)
            .containsExactlyElementsOf(
                StreamSupport.stream(words.spliterator(), false)
                    .map(word -> normal(word.asText()))
                    .toList());
      }
    }
  }

  @Test
  void aMergedWordHasTheSumOfItsPieces() throws Exception {
    JsonNode record = records.get(0);
    double sum = 0;
    for (int i = 0; i < record.get("words").size(); i++) {
      int[] span = {
        record.at("/spans/" + i + "/0").asInt(-1), record.at("/spans/" + i + "/1").asInt(-1)
      };
      sum += span[0] >= 3 && span[1] <= 15 ? record.at("/importances/" + i).asDouble() : 0;
    }
    browser.click("label[for=merge]");
    String title =
        browser
            .evaluate(
                "[...document.querySelectorAll('.w')].find(w => w.title.startsWith('unbelievably ')).title")
            .asText();
    assertThat(Double.parseDouble(title.substring("unbelievably ".length()).replace('−', '-')))
        .isCloseTo(sum, within(1e-4));
  }

  @Test
  void importancesAreReadAloudOnceInEitherView() throws Exception {
    assertThat(spoken()).contains("wonderful", "\u00a0+0.70", "un").doesNotContain("unbelievably");
    List<String> pieces = spoken();
    browser.click("label[for=merge]");
    assertThat(spoken()).hasSizeLessThan(pieces.size()).contains("\u00a0+0.70");
  }

  /** What a screen reader is given of the first text. */
  private static List<String> spoken() throws Exception {
    return texts(
        "(function walk(node) { return node.nodeType === 3 ? [node.data]"
            + " : getComputedStyle(node).display === 'none' ? [] : [...node.childNodes].flatMap(walk); })"
            + "(document.querySelector('.text'))");
  }

  @ParameterizedTest
  @CsvSource({
    "light, 1000, pieces", "light, 1000, merged", "light, 360, pieces", "light, 360, merged",
    "dark, 1000, pieces", "dark, 1000, merged", "dark, 360, pieces", "dark, 360, merged"
  })
  void everyTextCanBeReadAndFits(String scheme, int width, String view) throws Exception {
    look(scheme, width);
    if (view.equals("merged")) {
      browser.click("label[for=merge]");
    }
    BufferedImage picture =
        browser.screenshot(
            width, PICTURES.resolve("report-" + scheme + "-" + width + "-" + view + ".png"));
    assertThat(picture.getWidth()).isEqualTo(width);
    isReadable(scheme, width);
    strongWordsHaveTheColoursOfTheLegend(picture);

    browser.click("label[for=values]");
    isReadable(scheme, width);
  }

  private static void isReadable(String scheme, int width) throws Exception {
    JsonNode texts = browser.evaluate(READ);
    assertThat(texts.size()).isGreaterThan(400);
    boolean dark = scheme.equals("dark");
    for (JsonNode text : texts) {
      assertThat(text.get("contrast").asDouble()).as("contrast of %s", text).isGreaterThan(AA);
      assertThat(text.get("light").asBoolean()).as("%s", text).isEqualTo(dark);
      assertThat(text.get("right").asDouble()).as("%s", text).isLessThanOrEqualTo(width);
      assertThat(text.get("left").asDouble()).as("%s", text).isGreaterThanOrEqualTo(0);
    }
    assertThat(browser.evaluate("document.documentElement.scrollWidth").asInt())
        .isLessThanOrEqualTo(width);
  }

  /**
   * Each text that is seen: its colour's contrast to what lies under it (relative luminance as WCAG
   * 2.2 defines it), whether it is lighter than that, and its edges.
   */
  private static final String READ =
      """
      (() => {
        const colour = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {r, g, b, a}; };
        const over = (top, under) => ({
          r: top.r * top.a + under.r * (1 - top.a),
          g: top.g * top.a + under.g * (1 - top.a),
          b: top.b * top.a + under.b * (1 - top.a), a: 1});
        const under = element => {
          if (!element) return {r: 255, g: 255, b: 255, a: 1};
          const own = colour(getComputedStyle(element).backgroundColor);
          return own.a === 1 ? own : over(own, under(element.parentElement));
        };
        const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        const luminance = c => 0.2126 * channel(c.r) + 0.7152 * channel(c.g) + 0.0722 * channel(c.b);
        const found = [];
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
          const element = walker.currentNode.parentElement, style = getComputedStyle(element);
          const range = document.createRange();
          range.selectNodeContents(walker.currentNode);
          const edges = range.getBoundingClientRect();
          if (!walker.currentNode.data.trim() || style.clipPath !== 'none' || edges.width === 0) continue;
          const ground = luminance(under(element)), ink = luminance(colour(style.color));
          found.push({
            text: walker.currentNode.data, kind: element.className,
            contrast: (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05),
            light: ink > ground, left: edges.left, right: edges.right});
        }
        return found;
      })()
      """;

  private static void strongWordsHaveTheColoursOfTheLegend(BufferedImage picture) throws Exception {
    Color supports = ground(picture, ".legend .pos");
    Color opposes = ground(picture, ".legend .neg");
    assertThat(supports.getBlue()).isGreaterThan(supports.getRed() + 60);
    assertThat(opposes.getRed()).isGreaterThan(opposes.getBlue() + 60);
    assertThat(ground(picture, "[title^=\"wonderful \"]")).isEqualTo(supports);
    Color though = ground(picture, "[title^=\"though \"]");
    assertThat(though.getRed()).isGreaterThan(though.getBlue() + 40);
    assertThat(colours(picture)).hasSizeGreaterThan(100);
  }

  /** The colour of a pixel of an element's own background: inside its left edge, above its text. */
  private static Color ground(BufferedImage picture, String selector) throws Exception {
    JsonNode place =
        browser.evaluate(
            "(r => [r.x + scrollX + 5, r.y + scrollY + 2])(document.querySelector('"
                + selector
                + "').getBoundingClientRect())");
    return new Color(
        picture.getRGB((int) place.get(0).asDouble(), (int) Math.ceil(place.get(1).asDouble())));
  }

  private static Set<Integer> colours(BufferedImage picture) {
    Set<Integer> colours = new HashSet<>();
    for (int y = 0; y < picture.getHeight(); y += 3) {
      for (int x = 0; x < picture.getWidth(); x++) {
        colours.add(picture.getRGB(x, y));
      }
    }
    return colours;
  }

  @ParameterizedTest
  @ValueSource(strings = {"light", "dark"})
  void theMoreImportantTheStrongerTheShade(String scheme) throws Exception {
    look(scheme, 1000);
    JsonNode importances = records.get(0).get("importances");
    JsonNode pieces =
        browser.evaluate(
            "[...document.querySelector('.text').querySelectorAll('.p')].map(p => (s => ({ground: s.backgroundColor,"
                + " line: s.textDecorationLine, style: s.textDecorationStyle}))(getComputedStyle(p)))");
    assertThat(pieces.size()).isEqualTo(importances.size());
    Map<Boolean, Integer> compared = new HashMap<>();
    for (int i = 0; i < pieces.size(); i++) {
      double importance = importances.get(i).asDouble();
      if (Math.abs(importance) < 0.005) {
        assertThat(pieces.get(i).get("line").asText()).isEqualTo("none");
        continue;
      }
      boolean supports = importance > 0;
      assertThat(pieces.get(i).get("line").asText()).isEqualTo("underline");
      assertThat(pieces.get(i).get("style").asText()).isEqualTo(supports ? "solid" : "dashed");
      for (int other : IntStream.range(0, i).toArray()) {
        double more = Math.abs(importance) - Math.abs(importances.get(other).asDouble());
        if (importances.get(other).asDouble() > 0 == supports && more > 0.02) {
          assertThat(opacity(pieces.get(i)))
              .as("%s against %s", i, other)
              .isGreaterThan(opacity(pieces.get(other)));
          compared.merge(supports, 1, Integer::sum);
        }
      }
    }
    assertThat(compared.get(true)).isGreaterThan(5);
    assertThat(compared.get(false)).isGreaterThan(5);
  }

  private static double opacity(JsonNode piece) {
    String[] parts = piece.get("ground").asText().replaceAll("[^\\d.,]", "").split(",", -1);
    return parts.length == 3 ? 1 : Double.parseDouble(parts[3]);
  }

  /** As Chromium simulates them; the lines under words tell the sign where no colour is seen. */
  @ParameterizedTest
  @CsvSource({
    "light, protanopia", "light, deuteranopia", "light, tritanopia",
    "dark, protanopia", "dark, deuteranopia", "dark, tritanopia"
  })
  void theSignsAreToldApartWithoutAKindOfCone(String scheme, String deficiency) throws Exception {
    look(scheme, 1000);
    browser.send("Emulation.setEmulatedVisionDeficiency", Map.of("type", deficiency));
    BufferedImage picture =
        browser.screenshot(1000, PICTURES.resolve("report-" + scheme + "-" + deficiency + ".png"));
    Color supports = ground(picture, ".legend .pos");
    Color opposes = ground(picture, ".legend .neg");
    int difference =
        Math.abs(supports.getRed() - opposes.getRed())
            + Math.abs(supports.getGreen() - opposes.getGreen())
            + Math.abs(supports.getBlue() - opposes.getBlue());
    assertThat(difference).as("%s and %s", supports, opposes).isGreaterThan(100);
  }

  @Test
  void whatCouldNotBeExplainedSaysWhy() throws Exception {
    List<String> errors = texts("[...document.querySelectorAll('.error')].map(e => e.textContent)");
    assertThat(errors).hasSize(2);
    assertThat(errors.get(0))
        .contains(records.get(records.size() - 2).at("/error/message").asText());
    assertThat(errors.get(1)).contains("the queue of explanations was full", "explanation_dropped");
  }

  @Test
  void aQuestionsTextsStandApartUnderStartAndEnd() throws Exception {
    int number = number("qa-1");
    assertThat(
            texts(
                "[...document.getElementById('"
                    + number
                    + "').querySelectorAll('.of')].map(e => e.textContent)"))
        .containsExactly("Answer start", "Answer end");
    assertThat(
            texts(
                "[...document.getElementById('"
                    + number
                    + "').querySelectorAll('.text')].map(e => e.textContent)"))
        .hasSize(4)
        .allSatisfy(text -> assertThat(text).containsOnlyOnce("[SEP]"));
  }

  @Test
  void aTextIsReadInItsOwnDirection() throws Exception {
    assertThat(direction(number("xlmr-ar"))).isEqualTo("rtl");
    assertThat(direction(1)).isEqualTo("ltr");
    assertThat(direction(number("control-1"))).isEqualTo("ltr");
    assertThat(String.join("", shown(number("control-1"), ".p")))
        .contains("[U+0000][U+0007][U+202E]evil[U+202C]end␣[U+007F][U+0085]");
    assertThat(browser.evaluate("document.body.textContent").asText())
        .doesNotContainPattern("[\\x00-\\x08\\x0B-\\x1F\\u202A-\\u202E\\u2066-\\u2069]");
  }

  private static String direction(int number) throws Exception {
    return browser
        .evaluate(
            "getComputedStyle(document.getElementById('"
                + number
                + "').querySelector('.text')).direction")
        .asText();
  }

  private static int number(String id) {
    return 1
        + IntStream.range(0, records.size())
            .filter(i -> records.get(i).get("id").asText().equals(id))
            .findFirst()
            .orElseThrow();
  }

  /** The texts of a record's elements in its first row, without the importances. */
  private static List<String> shown(int number, String selector) throws Exception {
    return texts(
        "[...document.getElementById('"
            + number
            + "').querySelector('.row').querySelectorAll('"
            + selector
            + "')].map(element => (function walk(node) {"
            + " return node.nodeType === 3 ? node.data"
            + " : node.className === 'v' || getComputedStyle(node).display === 'none' ? ''"
            + " : [...node.childNodes].map(walk).join(''); })(element))");
  }

  private static List<String> texts(String expression) throws Exception {
    return StreamSupport.stream(browser.evaluate(expression).spliterator(), false)
        .map(JsonNode::asText)
        .toList();
  }
}
