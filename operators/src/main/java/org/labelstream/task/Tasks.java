package org.labelstream.task;

import java.util.List;
import java.util.Optional;
import org.labelstream.model.TaskNames;

/** The tasks that there are. */
public final class Tasks {

  /** All of them. A new task is a line here. */
  public static final List<TaskType> ALL =
      List.of(
          SequenceClassification.TYPE,
          TokenClassification.TYPE,
          QuestionAnswering.TYPE,
          TextGeneration.TYPE);

  private Tasks() {}

  /** The task of that name; hyphens and Hugging Face's names are accepted too. */
  public static Optional<TaskType> named(String name) {
    String wanted = TaskNames.canonical(name);
    return ALL.stream().filter(type -> type.name().equals(wanted)).findFirst();
  }
}
