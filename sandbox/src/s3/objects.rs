//! GetObject, HeadObject, PutObject and DeleteObject.
//!
//! | condition | object present | absent |
//! |---|---|---|
//! | PutObject `If-Match: ETAG` | 412 unless it has this ETag | 404 |
//! | PutObject `If-None-Match: *` | 412 | written |
//! | DeleteObject `If-Match: ETAG` | 412 unless it has this ETag | 404 |
//! | DeleteObject `If-Match: *` | deleted | 404 |
//!
//! Source: S3 guide, conditional writes and conditional deletes; the 404 of a conditional delete is
//! that of live answers (localstack/localstack#13894). The 404 for a caller without
//! `s3:ListBucket` is unproved.

use super::body::Payload;
use super::{Ask, Rest, authorise};
use crate::aws::{Aws, LiveObject};
use crate::refusals::{self, Refused};
use crate::wire::time;

/// The header of an object that S3 encrypts itself, as it does by default.
const ENCRYPTED: (&str, &str) = ("x-amz-server-side-encryption", "AES256");

pub(super) fn get(aws: &Aws, ask: Ask<'_>) -> Result<Rest, Refused> {
    let object = readable(aws, ask)?;
    Ok(Rest {
        status: 200,
        headers: headers(ask, object),
        body: object.body.clone(),
    })
}

pub(super) fn head(aws: &Aws, ask: Ask<'_>) -> Result<Rest, Refused> {
    Ok(Rest::empty(200, headers(ask, readable(aws, ask)?)))
}

/// Returns the object. Only a caller that may list the bucket sees that a key is absent (S3 API
/// reference, GetObject, permissions). A policy that allows listing only with `s3:prefix` does not
/// apply: this request has no prefix.
fn readable<'a>(aws: &'a Aws, ask: Ask<'_>) -> Result<&'a LiveObject, Refused> {
    let bucket = ask.find(aws)?;
    authorise::check(aws, ask, bucket, "GetObject", &[])?;
    if let Some(object) = bucket.objects.get(ask.key) {
        return Ok(object);
    }
    authorise::check(aws, ask, bucket, "ListBucket", &[])?;
    Err(absent(ask))
}

fn absent(ask: Ask<'_>) -> Refused {
    refusals::S3_NO_SUCH_KEY.with(&[]).detail("Key", ask.key)
}

fn headers(ask: Ask<'_>, object: &LiveObject) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("etag", object.etag.clone()),
        ("last-modified", time::http_date(object.modified)),
        ("content-length", object.body.len().to_string()),
        ("content-type", object.content_type.clone()),
        ("accept-ranges", "bytes".to_owned()),
        (ENCRYPTED.0, ENCRYPTED.1.to_owned()),
    ];
    let wanted = ask.request.header("x-amz-checksum-mode") == Some("ENABLED");
    if let Some(checksum) = object.checksum.clone().filter(|_| wanted) {
        headers.extend([checksum, full_object()]);
    }
    headers
}

fn full_object() -> (&'static str, String) {
    ("x-amz-checksum-type", "FULL_OBJECT".to_owned())
}

pub(super) fn put(aws: &mut Aws, ask: Ask<'_>, payload: Payload) -> Result<Rest, Refused> {
    let if_match = ask.request.header("if-match");
    let if_none_match = ask.request.header("if-none-match");
    let facts = [
        ("s3:if-match", if_match),
        ("s3:if-none-match", if_none_match),
    ];
    let bucket = ask.find(aws)?;
    authorise::check(aws, ask, bucket, "PutObject", &facts)?;
    if if_match.is_some() {
        authorise::check(aws, ask, bucket, "GetObject", &[])?;
    }
    let present = bucket.objects.get(ask.key);
    match (if_match, if_none_match) {
        (Some("*"), _) | (Some(_), Some(_)) => return Err(not_implemented("If-Match")),
        (Some(etag), None) => matches(ask, present, etag)?,
        (None, Some("*")) if present.is_some() => return Err(failed("If-None-Match")),
        (None, None | Some("*")) => {}
        (None, Some(_)) => return Err(not_implemented("If-None-Match")),
    }
    let content_type = ask.request.header("content-type").map(str::to_owned);
    let mut object = LiveObject::new(payload.content, aws.now);
    object.content_type = content_type.unwrap_or(object.content_type);
    object.checksum = Some(payload.checksum.clone());
    let headers = vec![
        ("etag", object.etag.clone()),
        payload.checksum,
        full_object(),
        (ENCRYPTED.0, ENCRYPTED.1.to_owned()),
    ];
    if let Some(bucket) = aws.s3_buckets.get_mut(ask.bucket) {
        bucket.objects.insert(ask.key.to_owned(), object);
    }
    Ok(Rest::empty(200, headers))
}

pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<Rest, Refused> {
    let if_match = ask.request.header("if-match");
    let bucket = ask.find(aws)?;
    authorise::check(
        aws,
        ask,
        bucket,
        "DeleteObject",
        &[("s3:if-match", if_match)],
    )?;
    if if_match.is_some_and(|etag| etag != "*") {
        authorise::check(aws, ask, bucket, "GetObject", &[])?;
    }
    if let Some(etag) = if_match {
        matches(ask, bucket.objects.get(ask.key), etag)?;
    }
    if let Some(bucket) = aws.s3_buckets.get_mut(ask.bucket) {
        bucket.objects.remove(ask.key);
    }
    Ok(Rest::empty(204, Vec::new()))
}

/// Returns whether an object is there and has this ETag, with or without quotes.
fn matches(ask: Ask<'_>, present: Option<&LiveObject>, etag: &str) -> Result<(), Refused> {
    let present = present.ok_or_else(|| absent(ask))?;
    let same = etag.trim_matches('"') == present.etag.trim_matches('"');
    if etag == "*" || same {
        return Ok(());
    }
    Err(failed("If-Match"))
}

fn failed(header: &str) -> Refused {
    let no = refusals::S3_PRECONDITION_FAILED.with(&[]);
    no.detail("Condition", header)
}

fn not_implemented(header: &str) -> Refused {
    let no = refusals::S3_HEADER_NOT_IMPLEMENTED.with(&[]);
    no.detail("Header", header)
}
