package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.Device;
import org.junit.jupiter.api.Test;

class DevicesTest {

  private final Devices devices = new Devices();

  @Test
  void theGpuWithFewestLeasesIsNext() {
    assertThat(devices.lease(DeviceChoice.AUTO, "fp32", 2)).isEqualTo(Device.gpu(0));
    assertThat(devices.lease(DeviceChoice.GPU, "bf16", 2)).isEqualTo(Device.gpu(1));
    devices.giveBack(Device.gpu(1));
    assertThat(devices.lease(DeviceChoice.AUTO, "fp32", 2)).isEqualTo(Device.gpu(1));
    assertThat(devices.lease(DeviceChoice.CPU, "fp32", 2)).isEqualTo(Device.cpu());
    assertThat(devices.lease(DeviceChoice.AUTO, "fp32", 0)).isEqualTo(Device.cpu());
    assertThatThrownBy(() -> devices.lease(DeviceChoice.GPU, "fp32", 0))
        .hasMessageContaining("PyTorch sees no GPU");
  }

  @Test
  void aModelInInt8RunsOnTheProcessorAlsoWhereThereAreGpus() {
    assertThat(devices.lease(DeviceChoice.AUTO, "int8", 2)).isEqualTo(Device.cpu());
    assertThat(devices.lease(DeviceChoice.CPU, "int8", 2)).isEqualTo(Device.cpu());
    assertThatThrownBy(() -> devices.lease(DeviceChoice.GPU, "int8", 2))
        .hasMessageContaining("the model is int8, which PyTorch runs on processors only");
  }
}
