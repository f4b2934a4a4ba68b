package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.labelstream.record.Header;
import org.labelstream.record.SourceRecord;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** What a record costs in a checkpoint: {@code scripts/bench.sh --micro} runs it. */
@State(Scope.Thread)
public class SerializerBenchmark {

  private final SourceRecord record =
      new SourceRecord(
          "key".getBytes(UTF_8),
          "a good film ".repeat(16).getBytes(UTF_8),
          List.of(Header.of("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736")),
          "texts",
          3,
          41,
          1_800_000_000_000L);

  private final DataOutputSerializer out = new DataOutputSerializer(512);
  private final DataInputDeserializer in = new DataInputDeserializer();

  @Benchmark
  public SourceRecord writeAndRead() throws IOException {
    out.clear();
    SourceRecordSerializer.INSTANCE.serialize(record, out);
    in.setBuffer(out.getSharedBuffer(), 0, out.length());
    return SourceRecordSerializer.INSTANCE.deserialize(in);
  }
}
