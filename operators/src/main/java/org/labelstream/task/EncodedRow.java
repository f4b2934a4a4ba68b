package org.labelstream.task;

import java.util.ArrayList;
import java.util.List;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Logits;
import org.labelstream.engine.Tokens;

/** A row that runs once: its tokens and, once it ran, its logits. */
final class EncodedRow implements Row {
  private final Tokens tokens;
  private volatile float[] logits;

  EncodedRow(Tokens tokens) {
    this.tokens = tokens;
  }

  Tokens tokens() {
    return tokens;
  }

  /** The values of the row, padding's included; null until it ran. */
  float[] logits() {
    return logits;
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
      ((EncodedRow) batch.get(i)).logits = logits.row(i);
    }
  }
}
