package org.labelstream.engine;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.labelstream.engine.TextTokenizer.Beginning;
import org.labelstream.engine.TextTokenizer.Detail;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.TruncationSide;

/**
 * What has been tokenized of one record: a text is tokenized once for all models that have the same
 * tokenizer, if they are told of before.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class Encodings {

  /** What makes two tokenizers the same. */
  private record Key(@Nullable String sha256, boolean typeIds, TruncationSide side) {

    static Key of(LoadedModel model) {
      ModelFolder folder = model.folder();
      return new Key(
          folder.sums().get(ModelFolder.TOKENIZER),
          folder.manifest().inputs().contains("token_type_ids"),
          folder.manifest().truncationSide());
    }
  }

  /** What the models with one tokenizer need of a text together. */
  private record Need(int models, int longest, Set<Detail> details) {

    Need and(Need other) {
      Set<Detail> both = EnumSet.noneOf(Detail.class);
      both.addAll(details);
      both.addAll(other.details);
      return new Need(models + other.models, Math.max(longest, other.longest), both);
    }
  }

  /**
   * The models that may share what is tokenized.
   *
   * <p><em>Thread-safety.</em> {@link #add} only before the first record.
   */
  public static final class Sharing {
    private final Map<Key, Need> needs = new HashMap<>();

    /**
     * Adds a model.
     *
     * @param details what its task wants to know of tokens, unless a record asks for more
     */
    public void add(LoadedModel model, Set<Detail> details) {
      needs.merge(Key.of(model), new Need(1, model.folder().maxLength(), details), Need::and);
    }

    /** What is shared of a model's tokenizer, or null where it is the only one that has it. */
    private @Nullable Need of(Key key) {
      Need need = needs.get(key);
      return need == null || need.models() == 1 ? null : need;
    }
  }

  /** A text, or two, that have been tokenized as far as was asked. */
  private record Kept(
      Key key, String text, @Nullable String pair, Set<Detail> details, Beginning beginning) {

    boolean has(Key other, String otherText, @Nullable String otherPair, Detail... asked) {
      return key.equals(other)
          && text.equals(otherText)
          && Objects.equals(pair, otherPair)
          && details.containsAll(Arrays.asList(asked));
    }
  }

  private final Sharing sharing;
  private final Runnable onTokenized;

  @GuardedBy("this")
  private final List<Kept> kept = new ArrayList<>();

  /**
   * @param onTokenized told each time that the texts of a model are tokenized
   */
  public Encodings(Sharing sharing, Runnable onTokenized) {
    this.sharing = sharing;
    this.onTokenized = onTokenized;
  }

  /** Those of a record that one model reads. */
  public static Encodings ofOne() {
    return new Encodings(new Sharing(), () -> {});
  }

  /** As {@link TextTokenizer#encode} of the model's tokenizer. */
  public Tokens encode(LoadedModel model, String text, @Nullable String pair, Detail... details) {
    return beginning(model, text, pair, Integer.MAX_VALUE, details).tokens();
  }

  /** As {@link TextTokenizer#encodeTruncated} of the model's tokenizer. */
  public Tokens encodeTruncated(
      LoadedModel model, String text, @Nullable String pair, int maxLength, Detail... details) {
    return beginning(model, text, pair, maxLength, details)
        .tokens()
        .truncatedTo(maxLength, model.folder().manifest().truncationSide());
  }

  /** As {@link TextTokenizer#encodeEnd} of the model's tokenizer; it is not shared. */
  public Tokens encodeEnd(LoadedModel model, String text, int count) {
    onTokenized.run();
    return model.tokenizer().encodeEnd(text, count);
  }

  private Beginning beginning(
      LoadedModel model, String text, @Nullable String pair, int maxLength, Detail... details) {
    Key key = Key.of(model);
    Need need = sharing.of(key);
    if (need == null) {
      onTokenized.run();
      return model.tokenizer().begin(text, pair, maxLength, details);
    }
    synchronized (this) {
      for (Kept one : kept) {
        if (one.has(key, text, pair, details) && one.beginning().shows(maxLength)) {
          return one.beginning();
        }
      }
      Need whole = need.and(new Need(0, maxLength, Set.of(details)));
      onTokenized.run();
      Beginning beginning =
          model
              .tokenizer()
              .begin(text, pair, whole.longest(), whole.details().toArray(Detail[]::new));
      kept.add(new Kept(key, text, pair, whole.details(), beginning));
      return beginning;
    }
  }
}
