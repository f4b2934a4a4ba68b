/**
 * What is done with a text: four tasks, their parameters, and how a record becomes rows for a model
 * and rows a prediction.
 */
package org.labelstream.task;
