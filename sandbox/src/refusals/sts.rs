//! STS.

super::table! {
    STS_ACCESS_DENIED = 403, "AccessDenied",
        "User: {} is not authorized to perform: sts:AssumeRole on resource: {}{}",
        "model; IAM guide, access denied messages";
    STS_VALIDATION = 400, "ValidationError",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}",
        "model";
    STS_CHAINING = 400, "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role \
         chaining.",
        "aws-facts: STS; model";
    STS_MAX_SESSION = 400, "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        "model";
    STS_POLICY_MALFORMED = 400, "MalformedPolicyDocument", "{}", "model";
    STS_POLICY_TOO_LARGE = 400, "PackedPolicyTooLarge",
        "Packed size of session policy consumes {}% of allotted space, please use smaller policy.",
        "aws-facts: STS; model (wording unproved)";
    STS_POLICY_TOO_LONG = 400, "ValidationError",
        "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must \
         have length less than or equal to 2048, and has {}",
        "aws-facts: STS; model (wording unproved)";
}
