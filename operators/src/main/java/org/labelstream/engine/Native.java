package org.labelstream.engine;

import ai.djl.engine.Engine;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The native libraries behind DJL, loaded once per JVM with the settings that this project needs.
 */
final class Native {

  private static final Logger LOG = LoggerFactory.getLogger(Native.class);

  private static boolean prepared;

  private Native() {}

  /**
   * Sets what DJL reads once, before its first use. What the JVM's owner set stays.
   *
   * <p>A worker has one core, so libtorch gets one thread in each call; nothing is downloaded or
   * reported while a job runs; and without the graph optimizer a new batch shape does not compile
   * anything anew.
   */
  static synchronized void prepare() {
    if (!prepared) {
      setUnlessSet("ai.djl.offline", "true");
      setUnlessSet("OPT_OUT_TRACKING", "true");
      setUnlessSet("ai.djl.pytorch.num_threads", "1");
      setUnlessSet("ai.djl.pytorch.num_interop_threads", "1");
      setUnlessSet("ai.djl.pytorch.graph_optimizer", "false");
      prepared = true;
    }
  }

  /**
   * DJL's PyTorch engine.
   *
   * @throws EngineException when its libraries are not on the class path or cannot be loaded
   */
  static Engine engine() {
    prepare();
    try {
      Engine engine = Engine.getEngine("PyTorch");
      LOG.debug("PyTorch {} with {} GPU(s)", engine.getVersion(), engine.getGpuCount());
      return engine;
    } catch (LinkageError | RuntimeException e) {
      throw new EngineException(
          "PyTorch's native library cannot be loaded ("
              + e.getMessage()
              + "): unpack labelstream-lib into Flink's lib/ folder and restart the cluster",
          e);
    }
  }

  private static void setUnlessSet(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }
}
