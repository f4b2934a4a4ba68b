/**
 * Avro in a schema registry's wire format: values to JSON and back. The only package that imports
 * Avro.
 */
package org.labelstream.avro;
