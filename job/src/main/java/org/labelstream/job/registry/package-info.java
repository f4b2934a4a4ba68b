/** Confluent's schema registry, and those that speak as it does. */
package org.labelstream.job.registry;
