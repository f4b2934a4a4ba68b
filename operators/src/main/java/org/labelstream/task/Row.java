package org.labelstream.task;

/**
 * One sequence on its way through a model: the unit of batching. A record is one row or many
 * (windows of a long text, beams), and a row runs once or goes again (generation).
 */
public interface Row {

  /** What the row costs in its next batch, in tokens, before padding. */
  int length();

  /** Whether the model has nothing more to do for it. */
  boolean done();
}
