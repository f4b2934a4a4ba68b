package org.labelstream.schedule.violation;

import org.labelstream.model.ModelFolder;

/** What {@code ArchitectureTest} must refuse: the batcher knows no models. */
public final class KnowsModels {
  private KnowsModels() {}

  public static String nameOf(ModelFolder folder) {
    return folder.name();
  }
}
