package org.labelstream.job.kafka;

import java.util.List;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** What tests allow users of a broker. */
public final class Grants {

  private Grants() {}

  /**
   * Allows a user something.
   *
   * @param name a resource's name, {@code *} for all, or a prefix, which ends with a slash or
   *     hyphen
   */
  public static void grant(
      Admin admin, String user, ResourceType type, String name, AclOperation operation)
      throws Exception {
    PatternType pattern = name.matches(".*[/-]") ? PatternType.PREFIXED : PatternType.LITERAL;
    admin
        .createAcls(
            List.of(
                new AclBinding(
                    new ResourcePattern(type, name, pattern),
                    new AccessControlEntry(
                        "User:" + user, "*", operation, AclPermissionType.ALLOW))))
        .all()
        .get();
  }
}
