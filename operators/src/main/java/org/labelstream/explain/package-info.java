/**
 * Why a model decided as it did: integrated gradients over the embeddings, their quadrature, and
 * what is told of them.
 */
package org.labelstream.explain;
