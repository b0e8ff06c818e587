//! CreateBucket and DeleteBucket.
//!
//! Source: S3 API reference. The sandbox creates a bucket only in the Region of the endpoint. ACLs,
//! object ownership, object locks and tags of a new bucket are not modelled.

use std::collections::BTreeMap;

use super::body::Payload;
use super::{Ask, Rest, authorise};
use crate::aws::{Aws, LiveBucket};
use crate::refusals::{self, Refused};
use crate::rules::buckets::is_bucket_name;

/// The Region whose endpoint takes no LocationConstraint, and creates a bucket again.
const FIRST: &str = "us-east-1";

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>, payload: &Payload) -> Result<Rest, Refused> {
    if !is_bucket_name(ask.bucket) {
        let no = refusals::S3_BUCKET_NAME.with(&[]);
        return Err(no.detail("BucketName", ask.bucket));
    }
    let location = location(&payload.content)?;
    let bucket = LiveBucket {
        account: ask.call.caller.account().to_owned(),
        region: ask.call.region.clone(),
        policy_text: None,
        policy: None,
        objects: BTreeMap::new(),
    };
    let facts = [("s3:locationconstraint", location)];
    authorise::check(aws, ask, &bucket, "CreateBucket", &facts)?;
    check_location(ask, location)?;
    let headers = vec![
        ("location", format!("/{}", ask.bucket)),
        ("x-amz-bucket-arn", bucket.arn(ask.bucket)),
    ];
    match aws.s3_buckets.get(ask.bucket) {
        Some(known) if known.account != bucket.account => {
            let no = refusals::S3_BUCKET_EXISTS.with(&[]);
            return Err(no.detail("BucketName", ask.bucket));
        }
        Some(known) if known.region != FIRST || bucket.region != FIRST => {
            let no = refusals::S3_BUCKET_OWNED.with(&[]);
            return Err(no.detail("BucketName", ask.bucket));
        }
        Some(_) => {}
        None => {
            aws.s3_buckets.insert(ask.bucket.to_owned(), bucket);
        }
    }
    Ok(Rest::empty(200, headers))
}

fn check_location(ask: Ask<'_>, location: Option<&str>) -> Result<(), Refused> {
    let here = ask.call.region.as_str();
    match location {
        None if here == FIRST => Ok(()),
        Some(FIRST) if here == FIRST => Err(refusals::S3_LOCATION_INVALID.with(&[])),
        Some(other) if here == FIRST => {
            let what = format!("the LocationConstraint {other} sent to {FIRST}");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
        Some(location) if location == here => Ok(()),
        location => {
            let location = location.unwrap_or("unspecified");
            Err(refusals::S3_LOCATION_ILLEGAL.with(&[location]))
        }
    }
}

/// Returns the LocationConstraint of a request, whose body may be empty. Every other element of the
/// body is refused.
fn location(body: &[u8]) -> Result<Option<&str>, Refused> {
    let malformed = || refusals::S3_MALFORMED_XML.with(&[]);
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut rest = text.trim();
    if let Some((_, after)) = rest.strip_prefix("<?xml").and_then(|r| r.split_once("?>")) {
        rest = after.trim_start();
    }
    if rest.is_empty() {
        return Ok(None);
    }
    let opened = rest.strip_prefix("<CreateBucketConfiguration");
    let (attributes, inner) = opened
        .and_then(|rest| rest.split_once('>'))
        .ok_or_else(malformed)?;
    if attributes.ends_with('/') && inner.is_empty() {
        return Ok(None);
    }
    let inner = inner.strip_suffix("</CreateBucketConfiguration>");
    let inner = inner.ok_or_else(malformed)?.trim();
    if inner.is_empty() {
        return Ok(None);
    }
    let Some(value) = inner.strip_prefix("<LocationConstraint>") else {
        return Err(refusals::NOT_IMPLEMENTED.with(&["this CreateBucketConfiguration of S3"]));
    };
    let (value, after) = value
        .split_once("</LocationConstraint>")
        .ok_or_else(malformed)?;
    if !after.is_empty() {
        return Err(refusals::NOT_IMPLEMENTED.with(&["this CreateBucketConfiguration of S3"]));
    }
    Ok(Some(value))
}

pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<Rest, Refused> {
    let bucket = ask.find(aws)?;
    authorise::check(aws, ask, bucket, "DeleteBucket", &[])?;
    if !bucket.objects.is_empty() {
        let no = refusals::S3_BUCKET_NOT_EMPTY.with(&[]);
        return Err(no.detail("BucketName", ask.bucket));
    }
    aws.drop_bucket(ask.bucket);
    Ok(Rest::empty(204, Vec::new()))
}
