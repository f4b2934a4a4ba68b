/** Modules, tokenizers, devices and workers: what runs a model. The only package that knows DJL. */
package org.labelstream.engine;
