//! KMS.

super::table! {
    KMS_ACCESS_DENIED = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "KMS guide; IAM guide, access denied messages";
    KMS_VALIDATION = 400, "ValidationException",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}",
        "KMS guide, common errors; model";
    KEY_NOT_FOUND = 400, "NotFoundException", "Key '{}' does not exist", "model";
    ALIAS_NOT_FOUND = 400, "NotFoundException", "Alias {} is not found.", "model";
    KEY_INVALID_ARN = 400, "InvalidArnException", "Invalid arn {}", "model";
    KEY_INVALID_ID = 400, "NotFoundException", "Invalid keyId '{}'", "model";
    KEY_DISABLED = 400, "DisabledException", "{} is disabled.", "model";
    KEY_INVALID_STATE = 400, "KMSInvalidStateException", "{} is {}.", "model";
    KEY_TAGS = 400, "TagException", "The tags are not valid: {}", "model (wording unproved)";
    KEY_FOREIGN = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: {} on resource: {} because the operation does not \
         work across accounts",
        "KMS guide: cross-account use";
    POLICY_MALFORMED = 400, "MalformedPolicyDocumentException", "{}", "model";
    POLICY_UNKNOWN_PRINCIPAL = 400, "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
        "aws-facts: KMS";
    POLICY_LOCKOUT = 400, "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
        "model: PutKeyPolicy";
    POLICY_TOO_LONG = 400, "LimitExceededException",
        "The key policy is longer than 32 KB: {} bytes",
        "aws-facts: KMS; model";
    POLICY_NAME = 400, "NotFoundException",
        "No such policy exists: {}",
        "model: the only policy name is default";
    MANAGED_KEY_POLICY = 400, "UnsupportedOperationException",
        "The key policy of an AWS managed key cannot be changed: {}",
        "KMS guide (code unproved)";
    GRANTEE_INVALID = 400, "InvalidArnException",
        "ARN does not refer to a valid principal: {}",
        "live answer, hashicorp/terraform-provider-aws#7646; model";
    GRANT_BEYOND_PARENT = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: kms:CreateGrant on resource: {} because no grant \
         allows a grant with these operations and constraints",
        "KMS guide, granting CreateGrant permission; model: GrantConstraints (wording unproved)";
    GRANT_LIMIT = 400, "LimitExceededException",
        "A key has at most {} grants: {}",
        "aws-facts: KMS";
    GRANT_NOT_FOUND = 400, "NotFoundException", "Grant ID {} not found", "model";
    GRANT_ID_MALFORMED = 400, "InvalidGrantIdException", "Invalid grant id {}", "model";
    GRANT_TOKEN_INVALID = 400, "InvalidGrantTokenException",
        "The grant token is not valid.",
        "model";
    GRANT_DRY_RUN = 400, "DryRunOperationException",
        "The request would have succeeded, but the DryRun option is set.",
        "model";
    MARKER_INVALID = 400, "InvalidMarkerException", "The marker is not valid: {}", "model";
}
