//! EC2: images.

super::table! {
    IMAGE_MALFORMED = 400, "InvalidAMIID.Malformed",
        "Invalid id: \"{}\" (expecting \"ami-...\")",
        "EC2 errors";
    IMAGE_NOT_FOUND = 400, "InvalidAMIID.NotFound",
        "The image id '[{}]' does not exist",
        "EC2 errors";
    IMAGE_UNAVAILABLE = 400, "InvalidAMIID.Unavailable",
        "The image ID '{}' is no longer available",
        "EC2 errors";
    IMAGE_NOT_OWNED = 401, "AuthFailure", "Not authorized for images: [{}]", "EC2 errors";
    IMAGE_NOT_AVAILABLE = 400, "IncorrectState",
        "Image {} is not in state available: {}",
        "EC2 errors (wording unproved)";
    IMAGE_NOT_DISABLED = 400, "IncorrectState",
        "Image {} is not in state disabled: {}",
        "EC2 errors (wording unproved)";
    IMAGE_PROTECTED = 400, "OperationNotPermitted",
        "Deregistration protection is enabled for image {}, or its cooldown is not over.",
        "model, EnableImageDeregistrationProtection (code and wording unproved)";
    REFERENCES_IMAGE_LIMIT = 400, "InvalidParameterValue",
        "Too many images in one request: {}, at most 10",
        "model: ImageIds of DescribeImageReferences (code and wording unproved)";
    REFERENCES_WITHOUT_TYPES = 400, "MissingParameter",
        "Either IncludeAllResourceTypes or ResourceTypes must be specified",
        "model: DescribeImageReferences (code and wording unproved)";
    DEPRECATION_PAST = 400, "InvalidParameterValue",
        "Value ({}) for parameter DeprecateAt is invalid. The date is in the past.",
        "model, EnableImageDeprecation (wording unproved)";
    ATTRIBUTE_UNKNOWN = 400, "InvalidParameterValue",
        "Value ({}) for parameter attribute is invalid. Unknown attribute.",
        "model";
    IMAGE_ATTRIBUTE_ITEM = 400, "InvalidAMIAttributeItemValue",
        "Invalid attribute item value \"{}\" for {} item type.",
        "live answers, hashicorp/packer-plugin-amazon#156 and hashicorp/packer#1068; EC2 errors";
    MANAGED_KEY_IMAGE_SHARED = 400, "InvalidParameter",
        "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.",
        "aws-facts: EC2 sharing; live answer, hashicorp/packer#7410";
    ENCRYPTED_IMAGE_PUBLIC = 400, "InvalidParameterValue",
        "Images with encrypted snapshots cannot be made public: {}",
        "aws-facts: EC2 sharing (wording unproved)";
    IMAGE_PUBLIC_BLOCKED = 400, "OperationNotPermitted",
        "You can't publicly share image {} because block public access for AMIs is enabled in this \
         Region.",
        "EC2 guide, block public access to AMIs (code and wording unproved)";
    LAUNCH_PERMISSION_LIMIT = 400, "ResourceLimitExceeded",
        "An AMI can be shared with at most 1000 entities: {}",
        "aws-facts: EC2 sharing (wording unproved)";

    NAME_MALFORMED = 400, "InvalidAMIName.Malformed",
        "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, \
         '(', ')', '.', '-', '/' and '_'",
        "EC2 errors; aws-facts: EC2 registering";
    NAME_DUPLICATE = 400, "InvalidAMIName.Duplicate",
        "AMI name {} is already in use by AMI {}",
        "EC2 errors; aws-facts: EC2 registering";
    DESCRIPTION_TOO_LONG = 400, "InvalidParameterValue",
        "Value ({}) for parameter Description is invalid. At most 255 characters.",
        "model";
    REGISTER_ENCRYPTED_WITH_SNAPSHOT = 400, "InvalidParameter",
        "Parameter encrypted is invalid. You cannot specify the encrypted flag if specifying a \
         snapshot id in a block device mapping.",
        "aws-facts: EC2 registering; live answer, hashicorp/terraform-provider-aws";
    REGISTER_KEY_WITH_SNAPSHOT = 400, "InvalidParameter",
        "Parameter KmsKeyId is invalid. You cannot specify a key in a block device mapping of \
         RegisterImage.",
        "aws-facts: EC2 registering; model (wording unproved)";
    REGISTER_OUTPOST_ARN = 400, "InvalidParameter",
        "Parameter OutpostArn is invalid. You cannot specify an Outpost in a block device mapping \
         of RegisterImage.",
        "aws-facts: EC2 registering; model (wording unproved)";
    REGISTER_SNAPSHOT_STATE = 400, "IncorrectState",
        "Snapshot {} is not in state completed: {}",
        "EC2 errors; model: register from completed snapshots (wording unproved)";
    REGISTER_NO_ROOT = 400, "InvalidBlockDeviceMapping",
        "The root device {} has no mapping with a snapshot",
        "EC2 errors (wording unproved)";
    REGISTER_DEVICE_TWICE = 400, "InvalidBlockDeviceMapping",
        "Device {} is mapped more than once",
        "EC2 errors (wording unproved)";
    REGISTER_MAPPING_KIND = 400, "InvalidBlockDeviceMapping",
        "Device {} must have exactly one of Ebs, VirtualName and NoDevice",
        "EC2 errors (wording unproved)";
    REGISTER_VOLUME_TOO_SMALL = 400, "InvalidBlockDeviceMapping",
        "Volume of size {}GB is smaller than snapshot '{}', expect size>= {}GB",
        "live answer, hashicorp/packer";
    REGISTER_VOLUME_FIGURES = 400, "InvalidParameterCombination",
        "The parameter {} is not supported for {} volumes.",
        "model: EbsBlockDevice";
    REGISTER_IOPS_MISSING = 400, "MissingParameter",
        "The request must contain the parameter iops for volume type {}",
        "model: EbsBlockDevice";
    REGISTER_TPM_NEEDS_UEFI = 400, "InvalidParameterCombination",
        "TPM support requires boot mode uefi",
        "EC2 guide, NitroTPM (wording unproved)";
    REGISTER_NEEDS_HVM = 400, "InvalidParameterCombination",
        "arm64, boot modes and enhanced networking need virtualization type hvm, not {}",
        "EC2 guide: virtualization types (wording unproved)";

    COPY_IMAGE_MARKETPLACE = 400, "InvalidRequest",
        "Images from AWS Marketplace cannot be copied to another AWS account",
        "aws-facts: EC2 copying";
    COPY_IMAGE_BILLING = 400, "InvalidRequest",
        "Images with EC2 BillingProduct codes cannot be copied to another AWS account",
        "aws-facts: EC2 copying";
    COPY_IMAGE_STORAGE = 400, "InvalidRequest",
        "You do not have permission to access the storage of this ami",
        "aws-facts: EC2 copying";
    COPY_IMAGE_LIMIT = 400, "ResourceLimitExceeded",
        "Too many image copies in progress. The limit is {} for this destination region.",
        "aws-facts: EC2 copying (wording unproved)";
    CLIENT_TOKEN_REUSED = 400, "IdempotentParameterMismatch",
        "The client token {} was used before with other parameters",
        "EC2 guide, idempotency";
}
