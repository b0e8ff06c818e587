//! Organizations.

super::table! {
    ORG_NOT_IN_USE = 400, "AWSOrganizationsNotInUseException",
        "Your account is not a member of an organization.",
        "live answer, cloud-custodian/cloud-custodian#8106; model";
    ORG_NOT_ADMINISTRATOR = 400, "AccessDeniedException",
        "You don't have permissions to access this resource.",
        "live answer, aws-samples/aws-iam-access-key-auto-rotation#10; aws-facts: Organizations";
    ORG_ACCESS_DENIED = 400, "AccessDeniedException",
        "User: {} is not authorized to perform: {} on resource: {} {}",
        "live answer in public notes on Control Tower; IAM guide, access denied messages";
    ORG_PATTERN = 400, "InvalidInputException",
        "You provided a value that does not match the required pattern.",
        "live answer, awslabs/aws-service-catalog-products#49; model: INVALID_PATTERN";
    ORG_REQUIRED = 400, "InvalidInputException",
        "You must provide a value for {}.",
        "model: INPUT_REQUIRED (wording unproved)";
    ORG_MAX_VALUE = 400, "InvalidInputException",
        "You provided a numeric parameter that has a larger value than allowed: {}, at most 20.",
        "model: MAX_VALUE_EXCEEDED (wording unproved)";
    ORG_MIN_VALUE = 400, "InvalidInputException",
        "You provided a numeric parameter that has a smaller value than allowed: {}, at least 1.",
        "model: MIN_VALUE_EXCEEDED (wording unproved)";
    ORG_NEXT_TOKEN = 400, "InvalidInputException",
        "Get the value for the NextToken parameter from the response to a previous call of the \
         operation.",
        "model: INVALID_NEXT_TOKEN (wording unproved)";
    ORG_PARENT_NOT_FOUND = 400, "ParentNotFoundException",
        "We can't find a root or OU with the ParentId that you specified.",
        "model (wording unproved)";
    ORG_CHILD_NOT_FOUND = 400, "ChildNotFoundException",
        "We can't find an organizational unit (OU) or AWS account with the ChildId that you \
         specified.",
        "model (wording unproved)";
    ORG_ACCOUNT_NOT_FOUND = 400, "AccountNotFoundException",
        "You specified an account that doesn't exist.",
        "model (wording unproved)";
}

/// Returns the `Reason` of an InvalidInputException, by the refusal's name.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "ORG_PATTERN" => "INVALID_PATTERN",
        "ORG_REQUIRED" => "INPUT_REQUIRED",
        "ORG_MAX_VALUE" => "MAX_VALUE_EXCEEDED",
        "ORG_MIN_VALUE" => "MIN_VALUE_EXCEEDED",
        "ORG_NEXT_TOKEN" => "INVALID_NEXT_TOKEN",
        _ => return None,
    })
}
