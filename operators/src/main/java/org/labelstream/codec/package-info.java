/** Bytes to events and predictions to bytes. The only package that knows Jackson. */
package org.labelstream.codec;
