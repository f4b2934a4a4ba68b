package org.labelstream.job.sql;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import org.apache.flink.table.data.RowData;
import org.apache.flink.util.FlinkRuntimeException;

/**
 * A row that fails the job when it is read. A future that completes with an exception would fail it
 * too, but Flink tells the exception together with the row that went in, whose texts are then in
 * the log.
 */
final class FailingRow {

  private FailingRow() {}

  static RowData of(Exception cause) {
    return (RowData)
        Proxy.newProxyInstance(
            FailingRow.class.getClassLoader(),
            new Class<?>[] {RowData.class},
            (proxy, method, arguments) -> answer(method, cause));
  }

  private static Object answer(Method method, Exception cause) {
    if (method.getName().equals("toString")) {
      return "a row that could not be labelled";
    }
    throw new FlinkRuntimeException(cause.getMessage(), cause);
  }
}
