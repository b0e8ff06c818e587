//! Step Functions.

super::table! {
    STATES_INVALID_ARN = 400, "InvalidArn", "Invalid Arn: '{}'", "model; wording unproved";
    STATES_ACCESS_DENIED = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "IAM guide";
    STATE_MACHINE_DOES_NOT_EXIST = 400, "StateMachineDoesNotExist",
        "State Machine Does Not Exist: '{}'",
        "model; public reports";
    EXECUTION_DOES_NOT_EXIST = 400, "ExecutionDoesNotExist",
        "Execution Does Not Exist: '{}'",
        "model; public reports";
    EXECUTION_ALREADY_EXISTS = 400, "ExecutionAlreadyExists",
        "Execution Already Exists: '{}'",
        "model; public reports";
}
