//! S3. *S3 errors* is the table of error codes in the S3 API reference.

super::table! {
    S3_ANONYMOUS = 403, "AccessDenied",
        "Access Denied",
        "S3 guide, Block Public Access: on for every new bucket";
    S3_MALFORMED_AUTHORIZATION = 400, "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the Credential is mal-formed; expecting \
         \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        "S3 errors; live answer, fog/fog#3025 (wording)";
    S3_WRONG_REGION = 400, "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region '{}' is wrong; expecting '{}'",
        "S3 errors; live answers in public issues (wording)";
    S3_WRONG_SERVICE = 400, "AuthorizationHeaderMalformed",
        "The authorization header is malformed; incorrect service \"{}\". This endpoint belongs to \
         \"s3\".",
        "S3 errors; live answers in public issues (wording)";
    S3_UNKNOWN_KEY = 403, "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        "S3 errors";
    S3_INVALID_TOKEN = 400, "InvalidToken",
        "The provided token is malformed or otherwise invalid.",
        "S3 errors";
    S3_EXPIRED_TOKEN = 400, "ExpiredToken", "The provided token has expired.", "S3 errors";
    S3_SIGNATURE = 403, "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your \
         key and signing method.",
        "S3 errors";
    S3_SKEWED = 403, "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        "S3 errors; S3 API reference, authentication: 15 minutes";
    S3_ACCOUNT_PROBLEM = 403, "AccountProblem",
        "There is a problem with your AWS account that prevents the operation from completing \
         successfully.",
        "S3 errors (unproved for suspended accounts)";
    S3_REGION_DISABLED = 403, "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records. (Region {} is disabled \
         in account {}.)",
        "S3 errors (unproved for disabled Regions)";
    S3_HEADERS_NOT_SIGNED = 403, "AccessDenied",
        "There were headers present in the request which were not signed",
        "S3 API reference, authenticating requests: every x-amz-* header must be signed";
    S3_CONTENT_SHA_MISSING = 400, "InvalidRequest",
        "Missing required header for this request: x-amz-content-sha256",
        "S3 API reference, authenticating requests";
    S3_CONTENT_SHA_INVALID = 400, "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, or a \
         valid sha256 value.",
        "S3 API reference, authenticating requests (wording unproved)";
    S3_CONTENT_SHA_MISMATCH = 400, "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        "S3 errors";
    S3_BAD_DIGEST = 400, "BadDigest",
        "The {} you specified did not match the calculated checksum.",
        "S3 errors; S3 guide, checking object integrity";
    S3_INCOMPLETE_BODY = 400, "IncompleteBody",
        "The request body terminated unexpectedly",
        "S3 errors";
    S3_MALFORMED_TRAILER = 400, "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our \
         published schema.",
        "S3 errors; S3 API reference, trailing headers";

    S3_INVALID_URI = 400, "InvalidURI", "Couldn't parse the specified URI.", "S3 errors";
    S3_KEY_TOO_LONG = 400, "KeyTooLongError", "Your key is too long", "S3 errors";
    S3_BUCKET_NAME = 400, "InvalidBucketName", "The specified bucket is not valid.", "S3 errors";
    S3_BUCKET_EXISTS = 409, "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users \
         of the system. Specify a different name and try again.",
        "S3 errors";
    S3_BUCKET_OWNED = 409, "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        "S3 errors: in every Region except us-east-1";
    S3_BUCKET_NOT_EMPTY = 409, "BucketNotEmpty",
        "The bucket you tried to delete is not empty.",
        "S3 errors";
    S3_LOCATION_ILLEGAL = 400, "IllegalLocationConstraintException",
        "The {} location constraint is incompatible for the region specific endpoint this request \
         was sent to.",
        "S3 errors; live answers in public issues (wording)";
    S3_LOCATION_INVALID = 400, "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
        "S3 errors; S3 API reference, CreateBucket";
    S3_MALFORMED_XML = 400, "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
        "S3 errors";
    S3_NO_SUCH_BUCKET = 404, "NoSuchBucket", "The specified bucket does not exist", "S3 errors";
    S3_PERMANENT_REDIRECT = 301, "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. \
         Please send all future requests to this endpoint.",
        "S3 errors";
    S3_EXPECTED_OWNER = 403, "AccessDenied",
        "Access Denied",
        "S3 guide, verifying bucket ownership";
    S3_ACCESS_DENIED = 403, "AccessDenied",
        "User: {} is not authorized to perform: {} on resource: \"{}\" {}",
        "S3 guide, troubleshoot access denied errors; IAM guide, access denied messages";
    S3_ACCESS_DENIED_ABROAD = 403, "AccessDenied",
        "Access Denied",
        "S3 guide, troubleshoot access denied errors: reasons are for callers of the bucket's \
         account";
    S3_NO_SUCH_KEY = 404, "NoSuchKey",
        "The specified key does not exist.",
        "S3 errors; S3 guide, conditional writes; live answers on conditional deletes, \
         localstack/localstack#13894";
    S3_PRECONDITION_FAILED = 412, "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        "S3 errors; S3 guide, conditional writes and conditional deletes";
    S3_HEADER_NOT_IMPLEMENTED = 501, "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        "S3 errors; S3 guide, conditional writes: If-None-Match expects *";
    S3_MAX_KEYS = 400, "InvalidArgument",
        "Provided max-keys not an integer or within integer range",
        "S3 errors; live answers in public issues (wording)";
    S3_CONTINUATION_TOKEN = 400, "InvalidArgument",
        "The continuation token provided is incorrect",
        "S3 errors; live answers in public issues (wording)";
    S3_ENCODING_TYPE = 400, "InvalidArgument",
        "Invalid Encoding Method specified in Request",
        "S3 errors; S3 API reference, ListObjectsV2: url is the only one";
}
