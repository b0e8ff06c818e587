//! EC2: parameters, permissions, and snapshots.

super::table! {
    MISSING_PARAMETER = 400, "MissingParameter",
        "The request must contain the parameter {}",
        "EC2 errors";
    UNKNOWN_PARAMETER = 400, "UnknownParameter", "The parameter {} is not recognized", "EC2 errors";
    INVALID_PARAMETER_VALUE = 400, "InvalidParameterValue",
        "Value ({}) for parameter {} is invalid.",
        "EC2 errors";
    INVALID_FILTER = 400, "InvalidParameterValue", "The filter '{}' is invalid", "EC2 errors";
    FILTER_WITHOUT_VALUES = 400, "InvalidParameterValue",
        "The filter '{}' must have at least one value",
        "EC2 errors (wording unproved)";
    TOO_MANY_FILTER_VALUES = 400, "FilterLimitExceeded",
        "The maximum number of filter values specified on a single call is 200",
        "EC2 errors";
    MAX_RESULTS_RANGE = 400, "InvalidParameterValue",
        "Value ( {} ) for parameter maxResults is invalid. Expecting a value between {} and 1000.",
        "model";
    MAX_RESULTS_WITH_IDS = 400, "InvalidParameterCombination",
        "The parameter {} cannot be used with the parameter maxResults",
        "model: MaxResults of DescribeSnapshots and DescribeImages";
    INVALID_NEXT_TOKEN = 400, "InvalidParameterValue",
        "Unable to parse pagination token {}",
        "EC2 errors (wording unproved)";
    DRY_RUN_OPERATION = 412, "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
        "EC2 errors";
    UNAUTHORIZED_OPERATION = 403, "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: {} is not authorized to perform: \
         {} on resource: {} {}. Encoded authorization failure message: {}",
        "EC2 errors; IAM guide, access denied messages";

    TAG_RESERVED = 400, "InvalidParameterValue",
        "Tag keys starting with 'aws:' are reserved for internal use",
        "EC2 guide, tag restrictions";
    TAG_LIMIT = 400, "TagLimitExceeded",
        "You have reached the limit of 50 tags for this resource: {}",
        "EC2 errors; EC2 guide, tag restrictions";
    TAG_KEY_LENGTH = 400, "InvalidParameterValue",
        "Tag key must be between 1 and 128 characters, and its value at most 256: {}",
        "EC2 guide, tag restrictions";
    TAG_DUPLICATE = 400, "InvalidParameterValue",
        "Duplicate tag key '{}' specified.",
        "EC2 guide, tag restrictions";
    TAG_RESOURCE_TYPE = 400, "InvalidParameterValue",
        "'{}' is not a valid taggable resource type for this operation.",
        "model: TagSpecifications";
    TAG_RESOURCE_TYPE_MISSING = 400, "InvalidParameterValue",
        "Tag specification resource type must have a value",
        "live answer, ansible-collections/community.aws#1419";
    TAG_RESOURCE_ID = 400, "InvalidID", "The ID '{}' is not valid", "EC2 errors";

    SNAPSHOT_MALFORMED = 400, "InvalidSnapshotID.Malformed",
        "Invalid id: \"{}\" (expecting \"snap-...\")",
        "EC2 errors";
    SNAPSHOT_NOT_FOUND = 400, "InvalidSnapshot.NotFound",
        "The snapshot '{}' does not exist.",
        "EC2 errors; aws-facts: EC2 copying";
    SNAPSHOT_NOT_OWNED = 401, "AuthFailure",
        "Not authorized for snapshot: {}",
        "EC2 errors (wording unproved)";
    SNAPSHOT_IN_USE = 400, "InvalidSnapshot.InUse",
        "The snapshot {} is currently in use by {}",
        "EC2 errors; model, DeleteSnapshot; EC2 guide, disabled AMIs";

    SNAPSHOT_LOCKED = 400, "OperationNotPermitted",
        "The snapshot {} is locked and can't be deleted",
        "EBS guide, snapshot lock (code and wording unproved)";
    SNAPSHOT_NOT_LOCKED = 400, "IncorrectState",
        "The snapshot {} is not locked",
        "model: UnlockSnapshot (code and wording unproved)";
    LOCK_COMPLIANCE = 400, "OperationNotPermitted",
        "The snapshot {} is locked in compliance mode: the lock can only be extended",
        "model: LockSnapshot, UnlockSnapshot (code and wording unproved)";
    LOCK_COOL_OFF = 400, "InvalidParameterCombination",
        "CoolOffPeriod is only for a snapshot that is to be locked in compliance mode",
        "model: CoolOffPeriod of LockSnapshot (code and wording unproved)";

    ZONE_TWO_FORMS = 400, "InvalidParameterCombination",
        "Specify either AvailabilityZone or AvailabilityZoneId, but not both",
        "model: EnableFastSnapshotRestores (code and wording unproved)";
    FAST_RESTORE_NOT_ENABLED = 200, "InvalidFastSnapshotRestore.NotFound",
        "Fast snapshot restore is not enabled for snapshot {} in {}",
        "model: the unsuccessful items of DisableFastSnapshotRestores (code and wording unproved)";

    USER_ID_MALFORMED = 400, "InvalidUserID.Malformed", "Invalid user id: \"{}\"", "EC2 errors";
    USER_GROUP_UNKNOWN = 400, "InvalidParameterValue",
        "Value ({}) for parameter UserGroup is invalid. The only group is all.",
        "model";
    PERMISSION_BOTH_WAYS = 400, "InvalidParameterCombination",
        "Cannot add and remove permissions in the same request",
        "model: ModifySnapshotAttribute";
    PERMISSION_TWO_FORMS = 400, "InvalidParameterCombination",
        "Use either {} or OperationType with UserId, UserGroup and the like, not both",
        "model (wording unproved)";
    PERMISSION_CHANGES_LIMIT = 400, "InvalidParameterValue",
        "Too many permission changes in one request: {}, at most 500",
        "aws-facts: EC2 sharing; model";
    PERMISSION_NOTHING = 400, "InvalidParameterCombination",
        "No attributes specified.",
        "live answer, hashicorp/packer";
    EBS_DEFAULT_KEY_SHARED = 400, "OperationNotPermitted",
        "Encrypted snapshots with EBS default key cannot be shared",
        "aws-facts: EC2 sharing; live answer, hashicorp/packer#7499";
    ENCRYPTED_SNAPSHOT_PUBLIC = 400, "InvalidParameterValue",
        "Encrypted snapshots cannot be shared publicly: {}",
        "aws-facts: EC2 sharing (wording unproved)";
    SNAPSHOT_PUBLIC_BLOCKED = 400, "OperationNotPermitted",
        "You can't publicly share snapshot {} because block public access for snapshots is enabled \
         in this Region.",
        "EBS guide, block public access for snapshots (code and wording unproved)";

    COPY_FROM_NOT_COMPLETED = 400, "IncorrectState",
        "Snapshot {} is not in state completed: {}",
        "EC2 errors (wording unproved)";
    COPY_ARCHIVED = 400, "IncorrectState",
        "Snapshot {} is archived and cannot be copied; restore it first",
        "aws-facts: EC2 sharing (wording unproved)";
    COPY_WRONG_ENDPOINT = 400, "InvalidParameterValue",
        "Value ({}) for parameter DestinationRegion is invalid: the request was sent to {}.",
        "model: send CopySnapshot to the destination Region";
    COPY_UNKNOWN_REGION = 400, "InvalidParameterValue",
        "Invalid region name {}",
        "EC2 errors (wording unproved)";
    COPY_KEY_NEEDS_ENCRYPTED = 400, "InvalidParameterDependency",
        "The parameter [KmsKeyId] requires the parameter Encrypted to be set.",
        "model: KmsKeyId of CopySnapshot";
    COPY_CANNOT_DECRYPT = 400, "InvalidParameterValue",
        "Value (false) for parameter encrypted is invalid. A copy of an encrypted snapshot is \
         always encrypted.",
        "model: Encrypted of CopySnapshot";
    COPY_SOURCE_KEY_REFUSED = 400, "InvalidParameterValue",
        "The key of the snapshot '{}' is not accessible.",
        "only where a world has late_source_checks = false (code and wording unproved)";
    COPY_LIMIT = 400, "ResourceLimitExceeded",
        "Too many snapshot copies in progress. The limit is {} for this destination region.",
        "aws-facts: EC2 copying; EC2 errors";
    COPY_MINUTES = 400, "InvalidParameterValue",
        "Value ({}) for parameter CompletionDurationMinutes is invalid. Specify a multiple of 15 \
         up to 2880.",
        "aws-facts: EC2 copying; model";
    COPY_SNAPSHOT_THROUGHPUT = 400, "InvalidParameterValue",
        "A copy of {} MiB cannot complete within {} minutes: the limit is 500 MiB/s for each \
         snapshot.",
        "aws-facts: EC2 copying (code and wording unproved)";
    COPY_REGION_THROUGHPUT = 400, "ResourceLimitExceeded",
        "Time-based copies between {} and {} would exceed 2000 MiB/s.",
        "aws-facts: EC2 copying (code and wording unproved)";

    COPY_SOURCE_NOT_FOUND = 200, "error",
        "Source snapshot is not found",
        "aws-facts: EC2 copying; live answer, 2026";
    COPY_KEY_NOT_ACCESSIBLE = 200, "error",
        "Given key ID is not accessible",
        "aws-facts: EC2 copying; EBS guide";
    COPY_BAD_PRESIGNED_URL = 200, "error",
        "The presigned URL is not valid: {}",
        "aws-facts: EC2 copying (wording unproved)";
    COPY_SOURCE_LOST = 200, "error",
        "The source snapshot {} is no longer accessible",
        "aws-facts: EC2 sharing (wording unproved)";
}
