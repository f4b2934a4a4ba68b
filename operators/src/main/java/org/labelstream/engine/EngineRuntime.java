package org.labelstream.engine;

import ai.djl.Device;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.labelstream.model.ModelFolder;
import org.labelstream.schedule.InFlightBudget;
import org.labelstream.schedule.Threads;
import org.labelstream.schedule.Workers;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What all jobs of a process share: the loaded models, the threads that run them, those that
 * tokenize, the choice of devices, and the memory that texts in flight may hold. On a cluster this
 * class lies in Flink's {@code lib/}, so that there is one of it on a TaskManager and not one for
 * each job.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class EngineRuntime implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(EngineRuntime.class);

  /** A device runs one batch after the other: the second worker has the next one ready. */
  private static final int WORKERS_PER_GPU = 2;

  /** Of the heap; the rest is for Flink, Kafka's buffers, and what a text needs for a moment. */
  private static final int PART_OF_HEAP = 4;

  private static final int IDLE_SECONDS = 10;

  /** The one of this process, made when it is first asked for. */
  private static final class OfProcess {
    static final EngineRuntime RUNTIME = ofProperties();
  }

  private final int cpuWorkers;
  private final Devices devices = new Devices();
  private final Map<Device, Workers> workers = new HashMap<>();
  private final InFlightBudget inFlight;
  private final ExecutorService texts;
  private final ExecutorService documents;
  private final Models models = new Models(this);

  /**
   * @param cpuWorkers how many threads run models on the CPU
   * @param inFlightBytes how much memory the texts in flight may hold
   */
  public EngineRuntime(int cpuWorkers, long inFlightBytes) {
    this.cpuWorkers = Math.max(1, cpuWorkers);
    this.inFlight = new InFlightBudget(inFlightBytes);
    int threads = Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
    this.texts = pool("labelstream-text-", threads);
    this.documents = pool("labelstream-document-", threads);
  }

  /** What this process has in common, as its system properties say. */
  public static EngineRuntime ofProcess() {
    return OfProcess.RUNTIME;
  }

  private static EngineRuntime ofProperties() {
    int workers = (int) positive("labelstream.workers", Runtime.getRuntime().availableProcessors());
    long bytes =
        positive("labelstream.in-flight-bytes", Runtime.getRuntime().maxMemory() / PART_OF_HEAP);
    LOG.info(
        "{} worker(s) on the CPU; texts in flight may hold {} MiB on this TaskManager (a quarter of its heap, or labelstream.in-flight-bytes)",
        workers,
        bytes >> 20);
    return new EngineRuntime(workers, bytes);
  }

  private static long positive(String property, long usual) {
    String given = System.getProperty(property);
    if (given == null) {
      return usual;
    }
    try {
      long value = Long.parseLong(given.strip());
      if (value > 0) {
        return value;
      }
    } catch (NumberFormatException e) {
      // told below
    }
    LOG.warn(
        "The system property {} is {}, but must be a whole number above 0: {} is taken",
        property,
        given,
        usual);
    return usual;
  }

  private static ExecutorService pool(String name, int threads) {
    AtomicInteger number = new AtomicInteger();
    ThreadPoolExecutor pool =
        new ThreadPoolExecutor(
            threads,
            threads,
            IDLE_SECONDS,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            task -> Threads.daemon(name + number.getAndIncrement(), task));
    pool.allowCoreThreadTimeOut(true);
    return pool;
  }

  /**
   * Leases the model of a folder, loading it where this process has not got it on that device.
   *
   * @throws EngineException when there is no such device, or the module or tokenizer cannot be
   *     loaded
   */
  public LoadedModel lease(ModelFolder folder, DeviceChoice choice) {
    Device device =
        devices.lease(choice, folder.manifest().precision(), Native.engine().getGpuCount());
    return models.lease(folder, ModelFolder.MODULE, device);
  }

  /** Whether a model would run on a GPU. */
  public boolean onGpu(DeviceChoice choice) {
    return choice != DeviceChoice.CPU && Native.engine().getGpuCount() > 0;
  }

  /** The threads that run models on the device of a model. */
  public Workers workers(LoadedModel model) {
    return workers(model.device());
  }

  /** How many threads run models on the CPU, or on each GPU. */
  public int workerCount(boolean onGpu) {
    return onGpu ? WORKERS_PER_GPU : cpuWorkers;
  }

  private Workers workers(Device device) {
    synchronized (workers) {
      return workers.computeIfAbsent(
          device,
          any ->
              device.isGpu()
                  ? new Workers("gpu" + device.getDeviceId() + "-", workerCount(true))
                  : new Workers("", workerCount(false)));
    }
  }

  /** What texts in flight may hold. */
  public InFlightBudget inFlight() {
    return inFlight;
  }

  /** The threads that read and tokenize texts. */
  public Executor texts() {
    return texts;
  }

  /** The threads that do so for long texts, so that short ones do not wait for them. */
  public Executor documents() {
    return documents;
  }

  /**
   * Where results of a model are joined. The threads of a GPU have better to do; on a CPU they have
   * the cores anyway.
   */
  public Executor joiner(LoadedModel model) {
    return model.onGpu() ? texts : Runnable::run;
  }

  Devices devices() {
    return devices;
  }

  /** Ends the threads. All leases must have been given back. */
  @Override
  public void close() {
    texts.shutdownNow();
    documents.shutdownNow();
  }
}
