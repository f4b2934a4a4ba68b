package org.labelstream.job.kafka;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.connector.kafka.sink.KafkaWriterState;
import org.apache.flink.connector.kafka.sink.TwoPhaseCommittingStatefulSink.PrecommittingStatefulSinkWriter;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.junit.jupiter.api.Test;
import org.labelstream.record.OutputRecord;

class OutputSinkTest {

  /** As the connector's writer does it after a send that failed late. */
  @Test
  @SuppressWarnings("unchecked")
  void whatClosingTheConnectorsWriterThrowsStaysInTheLog() {
    List<String> calls = new ArrayList<>();
    PrecommittingStatefulSinkWriter<OutputRecord, KafkaWriterState, KafkaCommittable> connector =
        (PrecommittingStatefulSinkWriter<OutputRecord, KafkaWriterState, KafkaCommittable>)
            Proxy.newProxyInstance(
                getClass().getClassLoader(),
                new Class<?>[] {PrecommittingStatefulSinkWriter.class},
                (proxy, method, arguments) -> {
                  calls.add(method.getName());
                  throw new ProducerFencedException("another has this transactional id");
                });

    assertThatCode(() -> new OutputSink.Writer(connector).close()).doesNotThrowAnyException();
    assertThat(calls).containsExactly("close");
  }
}
