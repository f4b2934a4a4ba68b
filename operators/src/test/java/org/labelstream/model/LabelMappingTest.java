package org.labelstream.model;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LabelMappingTest {

  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void nameTheFile() {
    file = folder.resolve("index_to_name.json");
  }

  private List<String> read(String content, int classes) throws IOException {
    Files.write(file, content.getBytes(UTF_8));
    LabelMapping mapping = LabelMapping.read(file, classes);
    assertThat(mapping.size()).isEqualTo(classes);
    assertThat(mapping.name(0)).isEqualTo(mapping.names().get(0));
    return mapping.names();
  }

  private void refused(String content, int classes, String sentence) throws IOException {
    Files.write(file, content.getBytes(UTF_8));
    refused(classes, sentence);
  }

  private void refused(int classes, String sentence) {
    assertThatExceptionOfType(InvalidModelException.class)
        .isThrownBy(() -> LabelMapping.read(file, classes))
        .withMessage(file + sentence);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"0\": \"O\", \"1\": \"B-PER\", \"2\": \"I-PER\"}",
        "{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
        "{\n\t\"0\": \"O\",\n\t\"1\": \"B-PER\",\n\t\t\"2\": \"I-PER\"\n}\n",
        "{\t\"0\"\t:\t\"O\"\t,\t\"1\"\t:\t\"B-PER\"\t,\t\"2\":\"I-PER\"\t}\t",
        "{\r\n  \"0\": \"O\",\r\n  \"1\": \"B-PER\",\r\n  \"2\": \"I-PER\"\r\n}\r\n",
        "\uFEFF{\"0\": \"O\", \"1\": \"B-PER\", \"2\": \"I-PER\"}",
        "0: O\n1: B-PER\n2: I-PER\n",
        "{\"label_list\": \"[O, B-PER, I-PER]\"}",
        "{\"label_list\": \"['O', 'B-PER', 'I-PER']\"}",
        "{\"label_list\": \"[\\\"O\\\",\\\"B-PER\\\",\\\"I-PER\\\"]\"}",
        "{\"label_list\": \" [ O ,B-PER,  I-PER , ] \"}",
        "{\"label_list\": [\"O\", \"B-PER\", \"I-PER\"]}",
        "{\n\t\"label_list\": [\n\t\t\"O\",\n\t\t\"B-PER\",\n\t\t\"I-PER\"\n\t]\n}"
      })
  void readsEachFormThatPeopleHave(String content) throws IOException {
    assertThat(read(content, 3)).containsExactly("O", "B-PER", "I-PER");
  }

  @Test
  void readsNamesInAnyScript() throws IOException {
    assertThat(
            read(
                "{\"0\": \"\\ud83d\\ude00 froh\", \"1\": \"😀\", \"2\": \"n\\u00e9gatif\", \"3\": \"חיובי\"}",
                4))
        .containsExactly("😀 froh", "😀", "négatif", "חיובי");
    assertThat(read("{\"label_list\": [\"\\uD83D\\uDE00\", \"a\\/b\\\"c\\\\d\"]}", 2))
        .containsExactly("😀", "a/b\"c\\d");
  }

  @Test
  void readsNamesThatLookLikeSomethingElse() throws IOException {
    assertThat(
            read(
                "{\"0\": \"true\", \"1\": \"null\", \"2\": \"1\", \"3\": \"no\", \"4\": \"a: b # c\", \"5\": \"12:30\"}",
                6))
        .containsExactly("true", "null", "1", "no", "a: b # c", "12:30");
    assertThat(read("{\"0\": 1, \"1\": false}", 2)).containsExactly("1", "false");
    assertThat(read("{\"label_list\": \"['a, b', \\\"it's\\\"]\"}", 2))
        .containsExactly("a, b", "it's");
  }

  @Test
  void saysThatTheCountsDiffer() throws IOException {
    refused(
        "{\"0\": \"A\", \"1\": \"B\", \"2\": \"C\"}",
        2,
        " names 3 classes, but the model gives 2 logits: add or remove names so that the counts agree");
    refused(
        "{\"0\": \"A\"}",
        2,
        " names 1 class, but the model gives 2 logits: add or remove names so that the counts agree");
    refused(
        "{\"label_list\": \"[A, B]\"}",
        1,
        " names 2 classes, but the model gives 1 logit: add or remove names so that the counts agree");
    refused(
        "{}",
        2,
        " names 0 classes, but the model gives 2 logits: add or remove names so that the counts agree");
    refused(
        "{\"label_list\": []}",
        2,
        " names 0 classes, but the model gives 2 logits: add or remove names so that the counts agree");
  }

  @Test
  void saysWhereTheGapIs() throws IOException {
    refused(
        "{\"0\": \"A\", \"2\": \"B\"}",
        2,
        " has no name for class 1, but one for class 2: the indices must run from 0 without a gap");
    refused(
        "{\"1\": \"A\", \"2\": \"B\"}",
        2,
        " has no name for class 0, but one for class 1: the indices must run from 0 without a gap");
  }

  @Test
  void saysWhichIndexIsRepeated() throws IOException {
    refused("{\"0\": \"A\", \"00\": \"B\"}", 2, " names class 0 twice: keep one of the names");
    refused(
        "{\"0\": \"A\",\n \"0\": \"B\"}",
        2,
        " cannot be read (line 2, column 2): found duplicate key 0; correct it there");
  }

  @ParameterizedTest
  @ValueSource(strings = {"-1", "first", "1.5", "", "99999999999", "0x1"})
  void saysWhichKeyIsNoIndex(String key) throws IOException {
    refused(
        "{\"" + key + "\": \"A\"}",
        1,
        " has the key \""
            + key
            + "\", which is no index of a class: write {\"0\": \"first name\", \"1\": …}, or {\"label_list\": [\"first name\", …]}");
  }

  @Test
  void saysWhichNameIsNone() throws IOException {
    String way = ": a name is a text that is not blank";
    refused("{\"0\": \"  \"}", 1, " names a class with the text \"  \"" + way);
    refused("{\"0\": null}", 1, " names a class with nothing" + way);
    refused("{\"0\": [\"A\"]}", 1, " names a class with a list" + way);
    refused("{\"0\": {\"a\": 1}}", 1, " names a class with a mapping" + way);
    refused("{\"label_list\": [\"A\", \"\"]}", 2, " names a class with the text \"\"" + way);
    refused("{\"label_list\": \"[A,,B]\"}", 3, " names a class with the text \"\"" + way);
    refused("{\"label_list\": \"[]\"}", 1, " names a class with the text \"\"" + way);
  }

  @Test
  void saysThatALabelListIsNone() throws IOException {
    String way = ": write it as a list, such as \"[O, B-PER, I-PER]\"";
    refused("{\"label_list\": \"A, B\"}", 2, " has a label_list that is the text \"A, B\"" + way);
    refused("{\"label_list\": 7}", 2, " has a label_list that is the value 7" + way);
    refused("{\"label_list\": null}", 2, " has a label_list that is nothing" + way);
    refused("{\"label_list\": {\"0\": \"A\"}}", 2, " has a label_list that is a mapping" + way);
  }

  @Test
  void saysThatTheFileHoldsSomethingElse() throws IOException {
    refused("[\"A\", \"B\"]", 2, " must hold names with values, but holds a list");
    refused("", 2, " must hold names with values, but holds nothing");
    refused("A", 2, " must hold names with values, but holds the text \"A\"");
  }

  @Test
  void saysWhereTheFileIsMalformed() throws IOException {
    Files.writeString(file, "{\"0\": \"A\",\n \"1\": \"B\"");

    assertThatExceptionOfType(InvalidModelException.class)
        .isThrownBy(() -> LabelMapping.read(file, 2))
        .withMessageStartingWith(file + " cannot be read (line 2, column ")
        .withMessageEndingWith("; correct it there");
  }

  @Test
  void saysThatTheFileIsNotUtf8() throws IOException {
    Files.write(file, "{\"0\": \"négatif\"}".getBytes(ISO_8859_1));

    refused(1, " is not UTF-8: save it as UTF-8");
  }
}
