import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Takes leave for an operation on a resource from everybody, or gives it back; kafka-acls.sh is not among the published jars. */
public class Acl {
  public static void main(String[] arguments) throws Exception {
    String brokers = arguments[0], action = arguments[1], type = arguments[2], name = arguments[3], operation = arguments[4];
    ResourcePattern resource = new ResourcePattern(ResourceType.fromString(type), name, PatternType.LITERAL);
    // On a resource with a rule nothing is allowed that no rule allows.
    AclBinding rest = rule(resource, AclOperation.ALL, AclPermissionType.ALLOW);
    AclBinding denied = rule(resource, AclOperation.fromString(operation), AclPermissionType.DENY);
    try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", brokers))) {
      switch (action) {
        case "deny" -> admin.createAcls(List.of(rest, denied)).all().get();
        case "allow" -> admin.deleteAcls(List.of(denied.toFilter())).all().get();
        default -> throw new IllegalArgumentException(action);
      }
    }
  }

  private static AclBinding rule(ResourcePattern resource, AclOperation operation, AclPermissionType permission) {
    return new AclBinding(resource, new AccessControlEntry("User:*", "*", operation, permission));
  }
}
