package org.labelstream.result;

import java.io.Serializable;
import java.util.LinkedHashMap;

/**
 * What is blotted out of texts.
 *
 * @param labels what stands in place of an entity, by its label without {@code B-} or {@code I-}
 * @param replace whether it is blotted out of the record too, and not only of {@code redacted}
 */
public record RedactSettings(LinkedHashMap<String, String> labels, boolean replace)
    implements Serializable {}
