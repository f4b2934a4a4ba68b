package org.labelstream.engine;

/** Where a model shall run. */
public enum DeviceChoice {
  /** A GPU where there is one, else the CPU. */
  AUTO,
  CPU,
  /** A GPU, or an error where there is none. */
  GPU
}
