//! CloudFormation.

super::table! {
    STACK_ACCESS_DENIED = 403, "AccessDenied",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "IAM guide";
    STACK_DOES_NOT_EXIST = 400, "ValidationError", "Stack with id {} does not exist",
        "public reports";
}
