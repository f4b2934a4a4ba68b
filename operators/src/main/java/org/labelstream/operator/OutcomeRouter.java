package org.labelstream.operator;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.SourceRecord;

/**
 * Sends each outcome on its way: labelled records to the main output, dead letters to a side
 * output, and records whose explanation is owed to another. What the receiving log would refuse
 * becomes a dead letter too.
 */
public final class OutcomeRouter extends ProcessFunction<Outcome, OutputRecord>
    implements CheckpointedFunction {
  private static final long serialVersionUID = 1L;

  /** The side output of dead letters. */
  public static final OutputTag<OutputRecord> DEAD_LETTERS =
      new OutputTag<>("dead-letters", RecordTypes.OUTPUT_RECORD);

  /** The side output of records that are labelled and are to be explained. */
  public static final OutputTag<SourceRecord> TO_EXPLAIN =
      new OutputTag<>("to-explain", RecordTypes.SOURCE_RECORD);

  private final OutputRecords outputs;
  private final When explain;
  private final DeadLetterShare share;
  private transient boolean restored;

  /**
   * @param outputs makes the records that go out
   * @param explain which labelled records are to be explained
   */
  public OutcomeRouter(OutputRecords outputs, When explain) {
    this(outputs, explain, "", 1);
  }

  /**
   * @param outputs makes the records that go out
   * @param explain which labelled records are to be explained
   * @param pipeline the pipeline's name
   * @param maxShare the share of dead letters above which the job ends; 1 where it never does
   */
  public OutcomeRouter(OutputRecords outputs, When explain, String pipeline, double maxShare) {
    this.outputs = outputs;
    this.explain = explain;
    this.share = new DeadLetterShare(pipeline, maxShare);
  }

  @Override
  public void initializeState(FunctionInitializationContext context) {
    restored = context.isRestored();
  }

  @Override
  public void snapshotState(FunctionSnapshotContext context) {
    // There is no state: whether the job goes on from some is all that is asked.
  }

  @Override
  public void open(OpenContext context) throws Exception {
    if (getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0) {
      outputs.log().check(restored);
    }
    outputs.log().open();
  }

  @Override
  public void close() {
    outputs.log().close();
  }

  @Override
  public void processElement(Outcome outcome, Context context, Collector<OutputRecord> out)
      throws SuppressRestartsException {
    if (outcome instanceof Outcome.Labelled labelled) {
      List<OutputRecord> records = records(labelled);
      // What one of its topics would refuse goes to none of them.
      Optional<DeadLetter> refusal =
          records.stream().flatMap(record -> outputs.log().refusal(record).stream()).findFirst();
      share.add(refusal.orElse(null));
      if (refusal.isEmpty()) {
        records.forEach(out::collect);
        if (isToExplain(labelled)) {
          context.output(TO_EXPLAIN, labelled.source());
        }
      } else {
        context.output(DEAD_LETTERS, outputs.deadLetter(labelled.source(), refusal.get()));
      }
    } else if (outcome instanceof Outcome.Failed failed) {
      share.add(failed.letter());
      context.output(DEAD_LETTERS, outputs.deadLetter(failed.source(), failed.letter()));
    }
  }

  private List<OutputRecord> records(Outcome.Labelled labelled) {
    List<OutputRecord> records = new ArrayList<>();
    if (!labelled.moved()) {
      records.add(outputs.labelled(labelled.source(), labelled.value()));
    }
    for (String topic : labelled.routes()) {
      records.add(outputs.labelled(Destination.route(topic), labelled.source(), labelled.value()));
    }
    return records;
  }

  private boolean isToExplain(Outcome.Labelled labelled) {
    return labelled.value() != null
        && (explain == When.ALWAYS || (explain == When.REQUESTED && labelled.explain()));
  }
}
