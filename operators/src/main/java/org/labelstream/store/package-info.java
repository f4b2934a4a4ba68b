/**
 * The model folders that a process has: where they lie, or fetched through Flink's file systems
 * once for all of its jobs.
 */
package org.labelstream.store;
