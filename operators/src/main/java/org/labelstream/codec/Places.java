package org.labelstream.codec;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventForm.Envelope;

/**
 * Where in an event the fields stand that are read. All others are somebody else's.
 *
 * <p><em>Thread-safety.</em> Immutable once made.
 */
final class Places {

  /** What a field is for. */
  enum Role {
    TEXT,
    TEXT_PAIR,
    QUESTION,
    CONTEXT,
    ID,
    PARAMETERS,
    EXPLAIN,
    TARGET,
    INFERENCE
  }

  /** A field that is read, or an object on the way to some. */
  static final class Place {
    /** Its path in the event, for messages. */
    final String path;

    /** The fields within it that are read, by their names. */
    final Map<String, Place> inner = new HashMap<>();

    /** What it is for, or null where it is only on the way. */
    Role role;

    private Place(String path) {
      this.path = path;
    }
  }

  /**
   * A text that must be there, and is looked for elsewhere than at the top of a bare object.
   *
   * @param way the objects on the way to it, then itself
   */
  record Needed(Role role, List<Place> way) {}

  private static final Map<String, Role> TEXTS =
      Map.of(
          "text", Role.TEXT,
          "text_pair", Role.TEXT_PAIR,
          "question", Role.QUESTION,
          "context", Role.CONTEXT);

  private final Place top = new Place("");
  private final List<Needed> needed = new ArrayList<>();

  /**
   * @param fields which texts the task reads
   */
  Places(EventForm form, Collection<String> fields) {
    for (String name : fields) {
      FieldPath path = form.fields().get(name);
      List<Place> way = put(TEXTS.get(name), path == null ? FieldPath.of(name) : path);
      // A second text is left out by those who have none.
      if ((path != null || form.envelope() != Envelope.NONE) && !name.equals("text_pair")) {
        needed.add(new Needed(TEXTS.get(name), way));
      }
    }
    put(Role.ID, form.fields().getOrDefault("id", FieldPath.of("id")));
    put(Role.INFERENCE, FieldPath.of("inference"));
    Control control = form.control();
    putAtTop(Role.PARAMETERS, control.parameters());
    putAtTop(Role.EXPLAIN, control.explain());
    putAtTop(Role.TARGET, control.target());
  }

  private void putAtTop(Role role, String name) {
    if (name != null) {
      put(role, FieldPath.of(name));
    }
  }

  private List<Place> put(Role role, FieldPath path) {
    List<Place> way = new ArrayList<>();
    Place place = top;
    for (String step : path.steps()) {
      Place outer = place;
      place =
          place.inner.computeIfAbsent(
              step, name -> new Place(outer == top ? name : outer.path + "." + name));
      way.add(place);
    }
    place.role = role;
    return way;
  }

  /** The fields at the top that are read, or lead to some. */
  Map<String, Place> atTop() {
    return top.inner;
  }

  /** The texts whose absence a task could not tell by their place. */
  List<Needed> needed() {
    return needed;
  }
}
