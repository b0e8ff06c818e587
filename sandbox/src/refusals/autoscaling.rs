//! Auto Scaling.

super::table! {
    GROUP_ACCESS_DENIED = 403, "AccessDenied",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "IAM guide, troubleshooting access denied messages";
    GROUP_EXISTS = 400, "AlreadyExists",
        "AutoScalingGroup by this name already exists - A group with the name {} already exists",
        "live answer, hashicorp/terraform#17489";
    GROUP_NOT_FOUND = 400, "ValidationError",
        "AutoScalingGroup name not found - AutoScalingGroup '{}' not found",
        "live answer, aws/aws-sdk-go#1151";
    GROUP_IN_USE = 400, "ResourceInUse",
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance \
         request(s) still in the group.",
        "model (wording: live answers in public notes of users)";
    GROUP_TEMPLATE_DENIED = 403, "AccessDenied",
        "You are not authorized to use launch template: {}",
        "live answer, ansible-collections/community.aws#831";
    GROUP_TEMPLATE_INVALID = 400, "ValidationError",
        "You must use a valid fully-formed launch template. {}",
        "live answer, ryanmurakami/hbfl#58";
    GROUP_INVALID = 400, "ValidationError",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint",
        "model (wording as of other query services)";
}
