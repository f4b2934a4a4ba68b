package org.labelstream.task;

import java.util.ArrayList;
import java.util.List;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Logits;
import org.labelstream.engine.Tokens;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.schedule.Row;

/** A row that runs once: its tokens and, once it ran, what is kept of its logits. */
class EncodedRow implements Row {
  private final Tokens tokens;
  private volatile float[] logits;

  EncodedRow(Tokens tokens) {
    this.tokens = tokens;
  }

  /**
   * A row for each window over a text ({@link Tokens#windows}).
   *
   * @throws RejectedRecordException when the stride leaves no room to go on
   */
  static List<EncodedRow> windows(Tokens tokens, int sequence, int maxLength, int stride)
      throws RejectedRecordException {
    try {
      return tokens.windows(sequence, maxLength, stride).stream().map(EncodedRow::new).toList();
    } catch (IllegalArgumentException e) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER, Stage.ENCODE, "in parameters, " + e.getMessage());
    }
  }

  Tokens tokens() {
    return tokens;
  }

  /** The values of the row, padding's included; null until it ran. */
  float[] logits() {
    return logits;
  }

  /** Takes what the model gave for the row: here all of it. */
  void take(float[] values) {
    logits = values;
  }

  @Override
  public int length() {
    return tokens.length();
  }

  @Override
  public boolean done() {
    return logits != null;
  }

  /** Takes rows of this kind through a model, as one batch. */
  static void run(LoadedModel model, List<? extends Row> batch) {
    List<Tokens> tokens = new ArrayList<>(batch.size());
    for (Row row : batch) {
      tokens.add(((EncodedRow) row).tokens);
    }
    Logits logits = model.forward(tokens);
    for (int i = 0; i < batch.size(); i++) {
      ((EncodedRow) batch.get(i)).take(logits.row(i));
    }
  }
}
