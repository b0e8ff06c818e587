//! S3 for a program that keeps its records in a bucket: objects are read, written and deleted
//! whole, also on conditions, and listed; buckets are created and deleted.
//!
//! | operation | permission |
//! |---|---|
//! | GetObject, HeadObject | `s3:GetObject`; for an absent key `s3:ListBucket` too |
//! | PutObject | `s3:PutObject`; with `If-Match` also `s3:GetObject` |
//! | DeleteObject | `s3:DeleteObject`; with the `If-Match` of an ETag also `s3:GetObject` |
//! | ListObjectsV2, HeadBucket | `s3:ListBucket` |
//! | CreateBucket, DeleteBucket | `s3:CreateBucket`, `s3:DeleteBucket` |
//!
//! Two calls never run at once, so 409 `ConditionalRequestConflict` and 503 `SlowDown` come by
//! fault only. Source: S3 API reference; S3 guide, conditional requests. The sandbox refuses
//! versions, multipart uploads, metadata, ranges, conditional reads, ACLs, encryption under KMS
//! keys and presigned URLs.

mod address;
mod authorise;
mod body;
mod buckets;
mod checksums;
mod headers;
mod list;
mod objects;
mod request;

use bytes::Bytes;

use crate::aws::{Aws, LiveBucket, Partition};
use crate::identity::Admitted;
use crate::refusals::{self, Refused};
use crate::rules::buckets::{LONGEST_KEY, is_bucket_name};
use crate::wire::Incoming;

pub(crate) use address::{Address, is_endpoint};
pub(crate) use request::{Target, recognise};

/// An answer in the terms of HTTP.
#[derive(Debug)]
pub(crate) struct Rest {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// A call on a bucket, as the operations read it.
#[derive(Clone, Copy, Debug)]
struct Ask<'a> {
    call: &'a Admitted,
    request: &'a Incoming,
    target: &'a Target,
    /// The bucket's name.
    bucket: &'a str,
    /// Empty for an operation on the bucket itself.
    key: &'a str,
}

const OPERATIONS: [&str; 8] = [
    "GetObject",
    "HeadObject",
    "PutObject",
    "DeleteObject",
    "ListObjectsV2",
    "HeadBucket",
    "CreateBucket",
    "DeleteBucket",
];

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    request: &Incoming,
    target: &Target,
) -> Result<Rest, Refused> {
    let Some(bucket) = target.bucket.as_deref().filter(|_| is_known(operation)) else {
        let what = format!("operation {operation} of S3");
        return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
    };
    headers::check(request, operation)?;
    let payload = body::read(request)?;
    let ask = Ask {
        call,
        request,
        target,
        bucket,
        key: target.key.as_deref().unwrap_or_default(),
    };
    if ask.key.len() > LONGEST_KEY {
        return Err(refusals::S3_KEY_TOO_LONG.with(&[]));
    }
    if operation == "CreateBucket" {
        return buckets::create(aws, ask, &payload);
    }
    ask.find(aws)?;
    match operation {
        "DeleteBucket" => buckets::delete(aws, ask),
        "GetObject" => objects::get(aws, ask),
        "HeadObject" => objects::head(aws, ask),
        "PutObject" => objects::put(aws, ask, payload),
        "DeleteObject" => objects::delete(aws, ask),
        "HeadBucket" => {
            let bucket = ask.find(aws)?;
            authorise::check(aws, ask, bucket, "ListBucket", &[])?;
            let region = ("x-amz-bucket-region", bucket.region.clone());
            Ok(Rest::empty(200, vec![region]))
        }
        _ => list::perform(aws, ask),
    }
}

fn is_known(operation: &str) -> bool {
    OPERATIONS.contains(&operation)
}

impl Rest {
    fn empty(status: u16, headers: Vec<(&'static str, String)>) -> Self {
        Self {
            status,
            headers,
            body: Bytes::new(),
        }
    }
}

impl Ask<'_> {
    /// Returns the bucket, if it exists in this partition and Region and belongs to the expected
    /// account.
    fn find<'a>(&self, aws: &'a Aws) -> Result<&'a LiveBucket, Refused> {
        if !is_bucket_name(self.bucket) {
            let no = refusals::S3_BUCKET_NAME.with(&[]);
            return Err(no.detail("BucketName", self.bucket));
        }
        let here = Partition::of_region(&self.call.region);
        let named = aws.s3_buckets.get(self.bucket);
        let named = named.filter(|live| Partition::of_region(&live.region).name == here.name);
        let Some(live) = named else {
            let no = refusals::S3_NO_SUCH_BUCKET.with(&[]);
            return Err(no.detail("BucketName", self.bucket));
        };
        if live.region != self.call.region {
            let endpoint = format!("{}.s3.{}.{}", self.bucket, live.region, here.suffix);
            return Err(refusals::S3_PERMANENT_REDIRECT
                .with(&[])
                .detail("Endpoint", &endpoint)
                .detail("Bucket", self.bucket)
                .detail("x-amz-bucket-region", &live.region));
        }
        let expected = self.request.header("x-amz-expected-bucket-owner");
        if expected.is_some_and(|account| account != live.account) {
            return Err(refusals::S3_EXPECTED_OWNER.with(&[]));
        }
        Ok(live)
    }
}
