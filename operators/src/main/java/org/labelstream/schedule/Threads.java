package org.labelstream.schedule;

import java.security.AccessController;
import java.security.PrivilegedAction;

/** Threads that outlive the job that happens to start them. */
public final class Threads {

  private Threads() {}

  /**
   * A daemon that keeps nothing of the thread which makes it: neither its context's class loader
   * nor, which Java 17 would, the domains of the code on its stack. Each would keep the classes of
   * a job that has ended.
   */
  @SuppressWarnings("removal") // there is no other way to leave the stack's domains behind
  public static Thread daemon(String name, Runnable task) {
    return AccessController.doPrivileged(
        (PrivilegedAction<Thread>)
            () -> {
              Thread thread = new Thread(null, task, name, 0, false);
              thread.setDaemon(true);
              thread.setContextClassLoader(Threads.class.getClassLoader());
              return thread;
            });
  }
}
