package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import java.util.Map;

/** Holds records against the schemas in docs/schemas. */
final class Schemas {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final JsonSchema INPUT = schema("input-event");
  private static final JsonSchema LABELLED = schema("labelled-record");
  private static final JsonSchema EXPLANATION = schema("explanation");
  private static final JsonSchema DEAD_LETTER = schema("dead-letter-headers");

  private Schemas() {}

  private static JsonSchema schema(String name) {
    return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012)
        .getSchema(Script.ROOT.resolve("docs/schemas").resolve(name + ".schema.json").toUri());
  }

  static void isLabelledRecord(JsonNode record) {
    assertThat(LABELLED.validate(record)).as("%s", record).isEmpty();
  }

  static void isExplanation(JsonNode record) {
    assertThat(EXPLANATION.validate(record)).as("%s", record).isEmpty();
  }

  static void isInputEvent(JsonNode event) {
    assertThat(INPUT.validate(event)).as("%s", event).isEmpty();
  }

  static void isNoInputEvent(JsonNode event) {
    assertThat(INPUT.validate(event)).as("%s", event).isNotEmpty();
  }

  static void areDeadLetterHeaders(Map<String, String> headers) {
    assertThat(DEAD_LETTER.validate(JSON.valueToTree(headers))).as("%s", headers).isEmpty();
  }
}
