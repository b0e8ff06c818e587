//! Refusals before any operation: protocol, credentials, signatures, Regions, rates.

super::table! {
    MALFORMED_REQUEST = 400, "MalformedQueryString",
        "The query string contains a syntax error. {}",
        "EC2 errors";
    KMS_MALFORMED_REQUEST = 400, "SerializationException", "{}", "KMS guide, common errors";
    REQUEST_TOO_LARGE = 413, "RequestEntityTooLarge",
        "The request body is larger than {} bytes.",
        "unproved";
    NO_SUCH_VERSION = 400, "NoSuchVersion",
        "The requested version ({}) of service AmazonEC2 does not exist",
        "EC2 errors";
    NOT_IMPLEMENTED = 501, "NotImplemented",
        "The sandbox does not model {}.",
        "the sandbox itself: it never pretends";

    MISSING_AUTHENTICATION_TOKEN = 403, "MissingAuthenticationToken",
        "Request is missing Authentication Token",
        "EC2 errors; STS common errors";
    INCOMPLETE_SIGNATURE = 400, "IncompleteSignature",
        "Authorization header requires 'Credential', 'Signature', 'SignedHeaders' and an \
         'X-Amz-Date' header, and a whole credential scope. {}",
        "EC2 errors; SigV4 guide, troubleshooting";
    AUTH_FAILURE = 401, "AuthFailure",
        "AWS was not able to validate the provided access credentials",
        "EC2 errors";
    EC2_REQUEST_EXPIRED = 400, "RequestExpired", "Request has expired.", "EC2 errors";
    INVALID_CLIENT_TOKEN_ID = 403, "InvalidClientTokenId",
        "The security token included in the request is invalid.",
        "STS common errors";
    SIGNATURE_DOES_NOT_MATCH = 403, "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for details.",
        "SigV4 guide, troubleshooting";
    SIGNATURE_EXPIRED = 403, "SignatureDoesNotMatch",
        "Signature expired: {} is not within 5 minutes of {}",
        "SigV4 guide, troubleshooting";
    WRONG_SCOPE = 403, "SignatureDoesNotMatch",
        "Credential should be scoped to a valid region: the endpoint is {}, the credential scope \
         says {}.",
        "SigV4 guide, troubleshooting";
    EXPIRED_TOKEN = 403, "ExpiredToken",
        "The security token included in the request is expired",
        "STS common errors";
    KMS_UNRECOGNIZED_CLIENT = 400, "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        "KMS guide, common errors";
    KMS_INVALID_SIGNATURE = 400, "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for details.",
        "KMS guide, common errors";
    KMS_SIGNATURE_EXPIRED = 400, "InvalidSignatureException",
        "Signature expired: {} is not within 5 minutes of {}",
        "KMS guide, common errors";
    KMS_EXPIRED_TOKEN = 400, "ExpiredTokenException",
        "The security token included in the request is expired",
        "KMS guide, common errors";

    OPT_IN_REQUIRED = 401, "OptInRequired",
        "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe. \
         (Region {} is disabled in account {}.)",
        "aws-facts: STS; EC2 errors";
    GLOBAL_TOKEN_IN_OPT_IN_REGION = 401, "AuthFailure",
        "AWS was not able to validate the provided access credentials. (A token of the global STS \
         endpoint is not valid in opt-in Region {}.)",
        "aws-facts: STS";
    KMS_REGION_DISABLED = 400, "UnrecognizedClientException",
        "The security token included in the request is invalid. (Region {} is disabled in account \
         {}.)",
        "aws-facts: STS (unproved for KMS)";
    STS_REGION_DISABLED = 403, "RegionDisabledException",
        "STS is not activated in this region for account:{}. Your account administrator can \
         activate STS in this region using the IAM Console.",
        "model";

    ACCOUNT_BLOCKED = 400, "Blocked",
        "This account is currently blocked and not recognized as a valid account. (Account {} is \
         suspended or closed.)",
        "EC2 errors (unproved for suspended accounts)";
    ACCOUNT_SUSPENDED = 403, "OptInRequired",
        "The AWS Access Key Id needs a subscription for the service (Account {} is suspended or \
         closed.)",
        "STS common errors (unproved for suspended accounts)";
    KMS_ACCOUNT_SUSPENDED = 400, "SubscriptionRequiredException",
        "The AWS Access Key Id needs a subscription for the service (Account {} is suspended or \
         closed.)",
        "KMS guide, common errors (unproved for suspended accounts)";

    REQUEST_LIMIT_EXCEEDED = 503, "RequestLimitExceeded",
        "Request limit exceeded.",
        "aws-facts: EC2 throttling";
    KMS_THROTTLING = 400, "ThrottlingException",
        "Rate exceeded",
        "aws-facts: KMS; KMS guide, throttling";
    LAMBDA_TOO_LARGE = 413, "RequestTooLargeException",
        "{} byte payload is too large for the Event invocation type (limit 1048576 bytes)",
        "aws-facts: Lambda";
    LAMBDA_ACCESS_DENIED = 403, "AccessDeniedException",
        "User: {} is not authorized to perform: lambda:InvokeFunction on resource: {} {}",
        "IAM guide";
}
