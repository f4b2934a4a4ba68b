package org.labelstream.engine;

import ai.djl.Device;
import java.util.HashMap;
import java.util.Map;

/**
 * The devices of this process and how many leases each has. GPUs are chosen by lease and not by
 * subtask index: every operator of a TaskManager sees the same set of them.
 */
final class Devices {

  private final Map<Device, Integer> leases = new HashMap<>();

  /**
   * Leases the GPU that has fewest leases, or the CPU.
   *
   * @param precision the model's; an {@code int8} one runs on the CPU, because PyTorch has its
   *     operators for no other device, and a process that loads it onto a GPU crashes
   * @param gpus how many GPUs there are
   */
  synchronized Device lease(DeviceChoice choice, String precision, int gpus) {
    boolean processorOnly = precision.equals("int8");
    int usable = processorOnly ? 0 : gpus;
    if (choice == DeviceChoice.GPU && usable == 0) {
      throw new EngineException(
          processorOnly
              ? "device is gpu, but the model is int8, which PyTorch runs on processors only: set device: auto or cpu, or export it in fp32 or bf16"
              : "device is gpu, but PyTorch sees no GPU on this TaskManager: set device: auto or cpu, or start the TaskManager with PyTorch's CUDA libraries");
    }
    Device chosen = Device.cpu();
    for (int i = 0; choice != DeviceChoice.CPU && i < usable; i++) {
      Device gpu = Device.gpu(i);
      if (i == 0 || leases(gpu) < leases(chosen)) {
        chosen = gpu;
      }
    }
    lease(chosen);
    return chosen;
  }

  /** Another lease on a device. */
  synchronized void lease(Device device) {
    leases.merge(device, 1, Integer::sum);
  }

  synchronized void giveBack(Device device) {
    leases.merge(device, -1, Integer::sum);
  }

  private int leases(Device device) {
    return leases.getOrDefault(device, 0);
  }
}
