package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.avro.AvroSettings;
import org.labelstream.avro.FakeRegistry;
import org.labelstream.avro.SchemaRegistry;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventFormat;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.UnavailableException;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.ResultSettings;
import org.labelstream.task.TaskType.Order;

/** Records of Avro on their way through the async stage. */
@Timeout(120)
class AvroStageTest {

  private static final FakeRegistry REGISTRY = new FakeRegistry();

  private static final Schema NOTE =
      SchemaBuilder.record("Note")
          .fields()
          .requiredString("text")
          .requiredString("by")
          .name("sex")
          .type()
          .enumeration("Sex")
          .symbols("M", "F", "Anna")
          .noDefault()
          .endRecord();

  private static InferenceSettings settings(
      String model, SchemaRegistry.Factory registry, ResultSettings results) {
    return InferenceSettings.of(model, Path.of("../model-assets/" + model).toString())
        .withForm(EventForm.of(EventFormat.AVRO))
        .withResults(results)
        .withAvro(new AvroSettings(registry, "notes-value"));
  }

  private static SourceRecord record(int offset, String text, String by, String sex) {
    GenericData.Record note = new GenericData.Record(NOTE);
    note.put("text", text);
    note.put("by", by);
    note.put("sex", new GenericData.EnumSymbol(NOTE.getField("sex").schema(), sex));
    return new SourceRecord(null, REGISTRY.written(NOTE, note), List.of(), "notes", 0, offset, 0);
  }

  private static OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage(
      List<PipelineModel> models) throws Exception {
    OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage =
        new OneInputStreamOperatorTestHarness<>(
            new ModelOperatorFactory<>(
                new InferenceFunction(models, Order.PARTITION), OutputMode.ORDERED, null),
            SourceRecordSerializer.INSTANCE);
    stage.setup(OutcomeSerializer.INSTANCE);
    return stage;
  }

  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static List<Outcome> label(List<PipelineModel> models, SourceRecord... records)
      throws Exception {
    try (OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage = stage(models)) {
      stage.open();
      for (SourceRecord record : records) {
        stage.processElement(record, 0);
      }
      stage.endInput();
      return stage.extractOutputValues();
    }
  }

  private static GenericRecord out(Outcome outcome) {
    return (GenericRecord) REGISTRY.read(((Outcome.Labelled) outcome).value());
  }

  @Test
  void eachOfSeveralModelsHasItsField() throws Exception {
    List<PipelineModel> models = new ArrayList<>();
    for (String model : List.of("sentiment", "entities", "answers")) {
      models.add(
          new PipelineModel(model, settings(model, () -> REGISTRY, ResultSettings.DEFAULT), null));
    }
    List<Outcome> outcomes = label(models, record(0, "Anna lives in Berlin", "Anna", "F"));
    GenericRecord inference = (GenericRecord) out(outcomes.get(0)).get("inference");
    assertThat(((GenericRecord) inference.get("sentiment")).get("label").toString())
        .isIn("POSITIVE", "NEGATIVE");
    assertThat((List<?>) ((GenericRecord) inference.get("entities")).get("entities")).isNotEmpty();
    GenericRecord error = (GenericRecord) ((GenericRecord) inference.get("answers")).get("error");
    assertThat(error.get("code")).hasToString("missing_field");
  }

  @Test
  void whatIsRedactedIsNowhereInIt() throws Exception {
    ResultSettings redacting =
        new ResultSettings(
            new ArrayList<>(),
            new RedactSettings(new LinkedHashMap<>(Map.of("PER", "[NAME]")), true));
    List<Outcome> outcomes =
        label(
            PipelineModel.only(
                settings("entities", () -> REGISTRY, redacting)
                    .withParameters(Map.of("aggregation_strategy", "simple"))),
            record(0, "Anna lives in Berlin", "a mail of Anna", "F"),
            record(1, "Anna lives in Berlin", "a mail of Anna", "Anna"));
    assertThat(out(outcomes.get(0)).toString())
        .contains("[NAME] lives in Berlin", "a mail of [NAME]")
        .doesNotContain("Anna");
    assertThat(((Outcome.Failed) outcomes.get(1)).letter().code())
        .isEqualTo(ErrorCode.NOT_REDACTED);
    assertThat(((Outcome.Failed) outcomes.get(1)).letter().message()).contains("the field sex");
  }

  private static SchemaRegistry away() {
    return new SchemaRegistry() {
      @Override
      public Schema schema(int id) {
        throw new UnavailableException("No schema registry answers at http://r:1", null);
      }

      @Override
      public int id(String subject, Schema schema) {
        throw new AssertionError("no schema was found");
      }
    };
  }

  @Test
  void aRegistryThatDoesNotAnswerCostsNoRecord() throws Exception {
    OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage =
        stage(
            PipelineModel.only(settings("sentiment", AvroStageTest::away, ResultSettings.DEFAULT)));
    stage.getEnvironment().setExpectedExternalFailureCause(PipelineException.class);
    stage.open();
    stage.processElement(record(0, "a good film", "me", "F"), 0);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (stage.getEnvironment().getActualExternalFailureCause().isEmpty()) {
      assertThat(System.nanoTime()).isLessThan(deadline);
      Thread.sleep(20);
    }
    assertThat(stage.getEnvironment().getActualExternalFailureCause())
        .hasValueSatisfying(
            cause -> assertThat(cause).hasMessageContaining("No schema registry answers"));
    assertThat(stage.extractOutputValues()).isEmpty();
    stage.getOperator().close();
  }
}
