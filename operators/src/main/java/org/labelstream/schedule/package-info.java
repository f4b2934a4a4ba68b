/**
 * Which waiting rows run together, when, and on which thread; and what becomes of the records that
 * they are of. Knows neither models nor Flink.
 */
package org.labelstream.schedule;
