//! IAM.

super::table! {
    IAM_ACCESS_DENIED = 403, "AccessDenied",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "IAM guide, access denied messages";
    IAM_VALIDATION = 400, "ValidationError",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}",
        "IAM common errors; model";
    IAM_NO_SUCH_ROLE = 404, "NoSuchEntity",
        "The role with name {} cannot be found.",
        "live answers in public issues; model";
    IAM_NO_SUCH_POLICY = 404, "NoSuchEntity",
        "The role policy with name {} cannot be found.",
        "live answers in public issues; model";
    IAM_ROLE_EXISTS = 409, "EntityAlreadyExists",
        "Role with name {} already exists.",
        "live answers in public issues; model";
    IAM_POLICY_MALFORMED = 400, "MalformedPolicyDocument",
        "{}",
        "model (wording unproved)";
    IAM_POLICY_PRINCIPAL = 400, "MalformedPolicyDocument",
        "Invalid principal in policy: \"AWS\":\"{}\"",
        "live answers in public issues; model";
    IAM_DELETE_CONFLICT = 409, "DeleteConflict",
        "Cannot delete entity, must delete policies first.",
        "live answers in public issues; model";
    IAM_PROTECTED_ROLE = 400, "UnmodifiableEntity",
        "Cannot perform the operation on the protected role '{}' - this role is only modifiable by \
         AWS",
        "live answers in public issues; model";
    IAM_NO_SUCH_SOURCE = 404, "NoSuchEntity",
        "The user or role {} cannot be found.",
        "model (wording unproved)";
    IAM_POLICY_SOURCE = 400, "InvalidInput", "Invalid Entity Arn: {}", "model (wording unproved)";
    IAM_CALLER_ARN = 400, "InvalidInput",
        "Caller ARN {} is not the ARN of a user or role",
        "model: CallerArn (wording unproved)";
    IAM_RESOURCE_POLICY = 400, "InvalidInput",
        "Invalid resource policy: {}",
        "model: ResourcePolicy (wording unproved)";
    ROLE_NAME_TAKEN = 400, "InvalidInput",
        "Service role name {} has been taken in this account, please try a different suffix.",
        "live answer, DataDog/pathfinding-labs#23";
    ROLE_NO_SUFFIX = 400, "InvalidInput",
        "Custom suffix is not allowed for {}",
        "live answer, terraform-community-modules/tf_aws_elasticsearch#23";
}
