package org.labelstream.job.jobfile;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.connect.transforms.field.FieldSyntaxVersion;
import org.apache.kafka.connect.transforms.field.SingleFieldPath;
import org.junit.jupiter.api.Test;
import org.labelstream.codec.FieldPath;

class FieldPathTest {

  @Test
  void leadsWhereKafkaConnectsOwnLeads() {
    Random random = new Random(13);
    int read = 0;
    for (int i = 0; i < 50_000; i++) {
      StringBuilder text = new StringBuilder();
      for (int length = 1 + random.nextInt(10); length > 0; length--) {
        text.append("ab.`\\".charAt(random.nextInt(5)));
      }
      String path = text.toString();
      SingleFieldPath theirs;
      try {
        theirs = new SingleFieldPath(path, FieldSyntaxVersion.V2);
      } catch (ConfigException e) {
        assertThatThrownBy(() -> FieldPath.parse(path))
            .as(path)
            .isInstanceOf(IllegalArgumentException.class);
        continue;
      }
      List<String> steps;
      try {
        steps = FieldPath.parse(path).steps();
      } catch (IllegalArgumentException e) {
        // They take empty names, which lead nowhere.
        assertThat(e).as(path).hasMessageContaining("a name is empty");
        continue;
      }
      Map<String, Object> record = Map.of(steps.get(steps.size() - 1), "found");
      for (int step = steps.size() - 2; step >= 0; step--) {
        record = Map.of(steps.get(step), record);
      }
      assertThat(theirs.valueFrom(record)).as(path).isEqualTo("found");
      read++;
    }
    assertThat(read).isGreaterThan(5_000);
  }
}
