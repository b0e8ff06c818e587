//! Headers: every `x-amz-…` header must be signed, and a header that would change the effect is
//! modelled or refused.
//!
//! Source: S3 API reference, authenticating requests, and the operations' request headers.

use crate::refusals::{self, Refused};
use crate::wire::Incoming;
use crate::wire::sigv4::Claim;

/// Headers without a meaning for the object, and headers that `body` and the operations read.
const KNOWN: [&str; 13] = [
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "x-amz-user-agent",
    "x-amz-expected-bucket-owner",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-checksum-mode",
    "x-amz-trailer",
    "x-amz-decoded-content-length",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha256",
];

/// Standard headers with a meaning for S3.
const MEANINGFUL: [&str; 9] = [
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "range",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
];

pub(super) fn check(request: &Incoming, operation: &str) -> Result<(), Refused> {
    let claim = Claim::of_header(request).ok();
    for (name, value) in &request.headers {
        let amazon = name.starts_with("x-amz-");
        if amazon && !claim.as_ref().is_some_and(|claim| claim.signs(name)) {
            let no = refusals::S3_HEADERS_NOT_SIGNED.with(&[]);
            return Err(no.detail("HeadersNotSigned", name));
        }
        let modelled = match (operation, name.as_str()) {
            ("PutObject", "if-match" | "if-none-match") | ("DeleteObject", "if-match") => true,
            (_, "content-encoding") => value == "aws-chunked",
            (_, name) if amazon => KNOWN.contains(&name),
            (_, name) => !MEANINGFUL.contains(&name),
        };
        if !modelled {
            let what = format!("the header {name} in {operation}");
            return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
        }
    }
    Ok(())
}
