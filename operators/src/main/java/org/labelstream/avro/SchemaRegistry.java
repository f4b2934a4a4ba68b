package org.labelstream.avro;

import java.io.Serializable;
import org.apache.avro.Schema;
import org.labelstream.record.RejectedRecordException;

/**
 * Schemas by their ids, as a registry keeps them. Answers are kept, so it may be asked for each
 * record.
 *
 * <p>Where the registry does not answer, or lets nobody in, all methods throw {@link
 * org.labelstream.record.UnavailableException}: no record is to blame for that.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public interface SchemaRegistry {

  /** Opens a registry where the job runs. */
  interface Factory extends Serializable {
    SchemaRegistry open();
  }

  /**
   * The schema with an id.
   *
   * @throws RejectedRecordException when there is none, or it is none of Avro's
   */
  Schema schema(int id) throws RejectedRecordException;

  /**
   * The id of a schema under a subject, which may register it there.
   *
   * @throws RejectedRecordException when the registry refuses it
   */
  int id(String subject, Schema schema) throws RejectedRecordException;
}
