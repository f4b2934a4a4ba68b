package org.labelstream.record.violation;

/** What {@code ArchitectureTest} must refuse: a record that does something. */
public record Behaves(int value) {
  public int plus(int other) {
    return value + other;
  }
}
