package org.labelstream.engine;

import ai.djl.Device;
import ai.djl.engine.Engine;
import java.util.HashMap;
import java.util.Map;

/**
 * The devices of this JVM and how many leases each has. GPUs are chosen by lease and not by subtask
 * index: every operator of a TaskManager sees the same set of them.
 */
final class Devices {

  private static final Map<Device, Integer> LEASES = new HashMap<>();

  private Devices() {}

  static synchronized Device lease(DeviceChoice choice, Engine engine) {
    int gpus = choice == DeviceChoice.CPU ? 0 : engine.getGpuCount();
    if (choice == DeviceChoice.GPU && gpus == 0) {
      throw new EngineException(
          "device is gpu, but PyTorch sees no GPU on this TaskManager: set device: auto or cpu, or start the TaskManager with PyTorch's CUDA libraries");
    }
    Device chosen = Device.cpu();
    for (int i = 0; i < gpus; i++) {
      Device gpu = Device.gpu(i);
      if (i == 0 || leases(gpu) < leases(chosen)) {
        chosen = gpu;
      }
    }
    LEASES.merge(chosen, 1, Integer::sum);
    return chosen;
  }

  /** Another lease on a device. */
  static synchronized void lease(Device device) {
    LEASES.merge(device, 1, Integer::sum);
  }

  static synchronized void giveBack(Device device) {
    LEASES.merge(device, -1, Integer::sum);
  }

  private static int leases(Device device) {
    return LEASES.getOrDefault(device, 0);
  }
}
