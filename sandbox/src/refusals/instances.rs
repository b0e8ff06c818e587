//! EC2: instances.

super::table! {
    INSTANCE_MALFORMED = 400, "InvalidInstanceID.Malformed",
        "Invalid id: \"{}\" (expecting \"i-...\")",
        "EC2 errors";
    INSTANCE_NOT_FOUND = 400, "InvalidInstanceID.NotFound",
        "The instance ID '{}' does not exist",
        "EC2 errors";
    IDEMPOTENT_INSTANCE_TERMINATED = 400, "IdempotentInstanceTerminated",
        "The client token you have provided is associated with a terminated instance. Please use a \
         different client token.",
        "EC2 errors; live answer, boto/boto3#4406";
    SUBNET_NOT_FOUND = 400, "InvalidSubnetID.NotFound",
        "The subnet ID '{}' does not exist",
        "EC2 errors";
    INSTANCE_PROFILE_NOT_FOUND = 400, "InvalidParameterValue",
        "Value ({}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile \
         name",
        "live answer in public notes of users";
    LAUNCH_ARCHITECTURE = 400, "InvalidParameterValue",
        "The architecture '{}' of the specified instance type does not match the architecture '{}' \
         of the specified AMI. Specify an instance type and an AMI that have matching \
         architectures, and try again. You can use 'describe-instance-types' or 'describe-images' \
         to discover the architecture of the instance type or AMI.",
        "live answer in public notes of users";
    LAUNCH_VIRTUALIZATION = 400, "InvalidParameterCombination",
        "Non-Windows instances with a virtualization type of '{}' are currently not supported for \
         this instance type.",
        "live answer in public notes of users";
    LAUNCH_NEEDS_ENA = 400, "InvalidParameterCombination",
        "Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{}' \
         instance type. Ensure that you are using an AMI that is enabled for ENA.",
        "live answer in public notes of users";

    LAUNCH_CLIENT_ERROR = 200, "Client.InternalError",
        "Client.InternalError: Client error on launch",
        "live answer, AWS Knowledge Center on encrypted volumes; aws-facts: KMS";
    LAUNCH_KEY_STATE = 200, "Client.InvalidKMSKey.InvalidState",
        "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state",
        "live answer, OpenShift troubleshooting; EC2 guide, instance terminates immediately";
}
