package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.labelstream.codec.JsonObject.Member;
import org.labelstream.codec.Places.Needed;
import org.labelstream.codec.Places.Place;
import org.labelstream.codec.Places.Role;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;

/** One pass over the JSON object that is an event. */
final class ObjectReading {

  private static final int LONGEST_NUMBER = 400;

  private final String pipeline;
  private final Set<String> entries;
  private final Places places;
  private final Content content;

  private final Set<Place> seen = new HashSet<>();
  private final Set<Place> noObjects = new HashSet<>();
  private final Map<Role, String> texts = new EnumMap<>(Role.class);
  private final List<Member> kept = new ArrayList<>();
  private final List<Member> consumed = new ArrayList<>();
  private final List<Member> earlierResults = new ArrayList<>();
  private String id;
  private boolean explain;
  private Target target;
  private Map<String, Object> parameters = Map.of();
  private String problem;
  private ErrorCode problemCode;

  ObjectReading(String pipeline, Set<String> entries, Places places, Content content) {
    this.pipeline = pipeline;
    this.entries = entries;
    this.places = places;
    this.content = content;
  }

  /**
   * Reads the object.
   *
   * @param position where its record came from
   */
  DecodedEvent read(String position) throws IOException, RejectedRecordException {
    byte[] bytes = content.bytes();
    int start = content.start();
    try (JsonParser parser = JsonObject.JSON.createParser(bytes, start, content.end() - start)) {
      parser.nextToken();
      JsonObject.walk(bytes, start, parser, new Fields(places.atTop(), true));
      if (parser.nextToken() != null) {
        throw new JsonParseException(
            parser, "there is more after the object", parser.currentTokenLocation());
      }
    }
    places.needed().forEach(this::checkIsThere);
    if (problem != null) {
      throw new RejectedRecordException(problemCode, Stage.DECODE, problem);
    }
    TextEvent event =
        new TextEvent(
            position,
            texts.get(Role.TEXT),
            texts.get(Role.TEXT_PAIR),
            texts.get(Role.QUESTION),
            texts.get(Role.CONTEXT),
            explain,
            target,
            parameters);
    return DecodedEvent.ofJson(
        pipeline, event, content, id == null ? content.id() : id, kept, consumed, earlierResults);
  }

  /** Names the first step on the way to a text that leads nowhere. */
  private void checkIsThere(Needed text) {
    if (texts.containsKey(text.role())) {
      return;
    }
    String whole = content.path() + text.way().get(text.way().size() - 1).path;
    for (Place place : text.way()) {
      String path = content.path() + place.path;
      String reads =
          path.equals(whole)
              ? ", where the " + text.role().name().toLowerCase(Locale.ROOT) + " is read from"
              : ", and the "
                  + text.role().name().toLowerCase(Locale.ROOT)
                  + " is read from "
                  + whole;
      if (!seen.contains(place)) {
        refuse(
            ErrorCode.MISSING_FIELD,
            "there is no " + path + reads + ": send it, or set input.fields to where it stands");
        return;
      }
      if (noObjects.contains(place)) {
        refuse(
            ErrorCode.INVALID_FIELD,
            path + " is no object" + reads + ": send one, or set input.fields to where it stands");
        return;
      }
    }
    refuse(
        ErrorCode.MISSING_FIELD, whole + " is null, and the text is read from there: send a text");
  }

  /** The fields of the event, or of an object within it that leads to some. */
  private final class Fields implements JsonObject.Visitor {
    private final Map<String, Place> known;
    private final boolean atTop;

    Fields(Map<String, Place> known, boolean atTop) {
      this.known = known;
      this.atTop = atTop;
    }

    @Override
    public void value(String name, JsonParser parser, int valueStart) throws IOException {
      Place place = known.get(name);
      if (place == null) {
        return; // carried through
      }
      if (!seen.add(place)) {
        refuse(
            ErrorCode.MALFORMED_JSON,
            "the field "
                + content.path()
                + place.path
                + " occurs twice, so it is not clear which one counts: send it once");
      }
      if (place.role != null) {
        readKnown(place, parser);
      } else if (parser.currentToken() == JsonToken.START_OBJECT) {
        JsonObject.walk(content.bytes(), content.start(), parser, new Fields(place.inner, false));
      } else {
        noObjects.add(place);
      }
    }

    @Override
    public void member(Member member) {
      Place place = known.get(member.name());
      Role role = place == null ? null : place.role;
      if (role == Role.ID && !isNull(member)) {
        id = raw(member);
      }
      if (!atTop) {
        return;
      }
      if (role == Role.PARAMETERS || role == Role.EXPLAIN || role == Role.TARGET) {
        consumed.add(member);
      } else if (role == Role.INFERENCE) {
        // its members were located one by one
      } else if (!member.name().equals("id") || !isNull(member)) {
        // A null id is no id: the record's position takes its place.
        kept.add(member);
      }
    }
  }

  private boolean isNull(Member member) {
    return raw(member).equals("null");
  }

  private String raw(Member member) {
    return new String(
        content.bytes(),
        member.valueStart(),
        member.valueEnd() - member.valueStart(),
        StandardCharsets.UTF_8);
  }

  private void readKnown(Place place, JsonParser parser) throws IOException {
    String path = content.path() + place.path;
    JsonToken token = parser.currentToken();
    if (token == JsonToken.VALUE_NULL) {
      return;
    }
    if (place.role == Role.INFERENCE) {
      if (token == JsonToken.START_OBJECT) {
        JsonObject.walk(content.bytes(), content.start(), parser, new EarlierResults());
      } else {
        refuse(
            ErrorCode.INVALID_FIELD,
            "the field inference is not an object, so no result can be added to it: rename it");
      }
      return;
    }
    switch (place.role) {
      case ID -> {
        if (token != JsonToken.VALUE_STRING && token != JsonToken.VALUE_NUMBER_INT) {
          refuse(
              ErrorCode.INVALID_FIELD,
              "the field "
                  + path
                  + " must be a string or an integer: send one, or name another field with"
                  + " input.fields.id");
        }
      }
      case EXPLAIN -> {
        if (!token.isBoolean()) {
          refuse(
              ErrorCode.INVALID_FIELD,
              "the field " + path + " must be true or false" + orOff(place));
        }
        explain = token == JsonToken.VALUE_TRUE;
      }
      case TARGET -> target = readTarget(place, parser);
      case PARAMETERS -> {
        if (token == JsonToken.START_OBJECT) {
          @SuppressWarnings("unchecked")
          Map<String, Object> given = (Map<String, Object>) readValue(parser);
          parameters = given;
        } else {
          refuse(
              ErrorCode.INVALID_PARAMETER,
              "the field " + path + " must be an object, such as {\"top_k\": 2}" + orOff(place));
        }
      }
      default -> {
        if (token == JsonToken.VALUE_STRING) {
          texts.put(place.role, parser.getText());
        } else {
          refuse(
              ErrorCode.INVALID_FIELD,
              "the field "
                  + path
                  + " must be a string: send one, or name the field that holds it with input.fields");
        }
      }
    }
  }

  /** A field of this name may have been meant for others. */
  private static String orOff(Place place) {
    return "; where it is somebody else's, set input.control."
        + place.role.name().toLowerCase(Locale.ROOT)
        + ": off";
  }

  private Target readTarget(Place place, JsonParser parser) throws IOException {
    Object value = readValue(parser);
    if (value instanceof String label) {
      return new Target.Label(label);
    }
    if (isIndex(value)) {
      return new Target.Index(((Long) value).intValue());
    }
    if (value instanceof List<?> pair
        && pair.size() == 2
        && isIndex(pair.get(0))
        && isIndex(pair.get(1))) {
      return new Target.TokenClass(
          ((Long) pair.get(0)).intValue(), ((Long) pair.get(1)).intValue());
    }
    refuse(
        ErrorCode.INVALID_FIELD,
        "the field "
            + place.path
            + " must be the index of a class, its label, or a pair [token, class]"
            + orOff(place));
    return null;
  }

  private boolean isIndex(Object value) {
    return value instanceof Long number && number >= 0 && number <= Integer.MAX_VALUE;
  }

  /** The value at the parser's token, in the types that {@link TextEvent#parameters} names. */
  private Object readValue(JsonParser parser) throws IOException {
    return switch (parser.currentToken()) {
      case VALUE_STRING -> parser.getText();
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> readNumber(parser);
      case START_ARRAY -> {
        List<Object> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          items.add(readValue(parser));
        }
        yield items;
      }
      case START_OBJECT -> {
        Map<String, Object> members = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String name = parser.currentName();
          parser.nextToken();
          if (members.containsKey(name)) {
            refuse(
                ErrorCode.INVALID_PARAMETER,
                "the parameter " + name + " is given twice: give it once");
          }
          members.put(name, readValue(parser));
        }
        yield members;
      }
      default -> null;
    };
  }

  private Object readNumber(JsonParser parser) throws IOException {
    if (parser.getTextLength() > LONGEST_NUMBER) {
      refuse(
          ErrorCode.INVALID_PARAMETER,
          "a number in parameters or target has more than "
              + LONGEST_NUMBER
              + " digits: shorten it");
      return 0L;
    }
    if (parser.currentToken() == JsonToken.VALUE_NUMBER_FLOAT) {
      return parser.getDoubleValue();
    }
    BigInteger number = parser.getBigIntegerValue();
    return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
  }

  /** Notes the first problem; the walk goes on, so that malformed JSON is told as such. */
  private void refuse(ErrorCode code, String message) {
    if (problem == null) {
      problemCode = code;
      problem = message;
    }
  }

  /** The results of the pipelines before this one, all but earlier ones of its own names. */
  private final class EarlierResults implements JsonObject.Visitor {
    @Override
    public void value(String name, JsonParser parser, int valueStart) {
      // only located
    }

    @Override
    public void member(Member member) {
      if (!entries.contains(member.name())) {
        earlierResults.add(member);
      }
    }
  }
}
