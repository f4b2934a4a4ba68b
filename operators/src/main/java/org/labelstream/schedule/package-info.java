/**
 * Which waiting rows run together, when, and on which thread; and what becomes of the records that
 * they are of. Knows neither models nor Flink.
 */
@NullMarked
package org.labelstream.schedule;

import org.jspecify.annotations.NullMarked;
