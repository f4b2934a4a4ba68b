/** Modules, tokenizers, devices and workers: what runs a model. The only package that knows DJL. */
@NullMarked
package org.labelstream.engine;

import org.jspecify.annotations.NullMarked;
