package org.labelstream.job.kafka;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;

/** Asks brokers that will not answer, and does not wait as long as a user would. */
public final class Impatience {

  private Impatience() {}

  /** What a preflight finds within 3 s. */
  public static Preflight.Findings ask(Preflight preflight) {
    return preflight.run(Impatience::client);
  }

  private static Admin client(Map<String, Object> properties) {
    Map<String, Object> shorter = new HashMap<>(properties);
    shorter.put(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, "2000");
    shorter.put(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, "3000");
    return Admin.create(shorter);
  }
}
