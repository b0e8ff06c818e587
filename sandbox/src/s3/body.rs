//! Reads the body as the object's content: it must match its signed digest and checksums, and
//! `aws-chunked` is decoded.
//!
//! Source: S3 API reference, authenticating requests (payloads and trailing checksums). Signed
//! chunks are not modelled.

use aws_smithy_types::base64;
use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;

use super::checksums;
use crate::refusals::{self, Refused};
use crate::wire::Incoming;

#[derive(Debug)]
pub(super) struct Payload {
    pub content: Bytes,
    /// The name and value of the checksum's header, from the client or computed as S3 does.
    pub checksum: (&'static str, String),
}

pub(super) fn read(request: &Incoming) -> Result<Payload, Refused> {
    let declared = request.header("x-amz-content-sha256");
    let declared = declared.ok_or_else(|| refusals::S3_CONTENT_SHA_MISSING.with(&[]))?;
    let (content, trailers) = match declared {
        "UNSIGNED-PAYLOAD" => (request.body.clone(), Vec::new()),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => chunks(request)?,
        marker if marker.starts_with("STREAMING-") => {
            let what = format!("the payload {marker} of S3");
            return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
        }
        digest if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) => {
            return Err(refusals::S3_CONTENT_SHA_INVALID.with(&[]));
        }
        digest if digest != hex::encode(Sha256::digest(&request.body)) => {
            return Err(refusals::S3_CONTENT_SHA_MISMATCH.with(&[]));
        }
        _ => (request.body.clone(), Vec::new()),
    };
    let checksum = verified(request, &content, &trailers)?;
    Ok(Payload { content, checksum })
}

/// Returns the checksum that the client sent as header or trailer, if it matches the content.
fn verified(
    request: &Incoming,
    content: &[u8],
    trailers: &[(String, String)],
) -> Result<(&'static str, String), Refused> {
    if let Some(md5) = request.header("content-md5")
        && md5 != base64::encode(Md5::digest(content))
    {
        return Err(refusals::S3_BAD_DIGEST.with(&["Content-MD5"]));
    }
    let mut found = None;
    for header in checksums::HEADERS {
        let trailer = trailers.iter().find(|(name, _)| name == header);
        let trailer = trailer.map(|(_, value)| value.as_str());
        let Some(sent) = request.header(header).or(trailer) else {
            continue;
        };
        if sent != checksums::of(header, content) {
            let name = header.trim_start_matches("x-amz-checksum-");
            return Err(refusals::S3_BAD_DIGEST.with(&[&name.to_ascii_uppercase()]));
        }
        found = Some((header, sent.to_owned()));
    }
    let own = || {
        (
            checksums::DEFAULT,
            checksums::of(checksums::DEFAULT, content),
        )
    };
    Ok(found.unwrap_or_else(own))
}

type Chunks = (Bytes, Vec<(String, String)>);

/// Returns the content of an `aws-chunked` body and its trailers, which `x-amz-trailer` must have
/// announced.
fn chunks(request: &Incoming) -> Result<Chunks, Refused> {
    let short = || refusals::S3_INCOMPLETE_BODY.with(&[]);
    let mut rest = &request.body[..];
    let mut content = Vec::new();
    loop {
        let size = line(&mut rest).and_then(|line| usize::from_str_radix(line, 16).ok());
        let size = size.ok_or_else(short)?;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size).ok_or_else(short)?;
        content.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or_else(short)?;
    }
    let length = request.header("x-amz-decoded-content-length");
    if length.is_some_and(|length| length != content.len().to_string()) {
        return Err(short());
    }
    let trailers =
        trailers(request, rest).ok_or_else(|| refusals::S3_MALFORMED_TRAILER.with(&[]))?;
    Ok((Bytes::from(content), trailers))
}

/// Returns the trailers; nothing unless they are exactly the announced ones, each once and of a
/// modelled kind.
fn trailers(request: &Incoming, mut rest: &[u8]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        let line = line(&mut rest)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        found.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let announced = request.header("x-amz-trailer").unwrap_or_default();
    let announced = announced.split(',').map(str::trim);
    let announced: Vec<&str> = announced.filter(|name| !name.is_empty()).collect();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let known = names.iter().all(|name| checksums::HEADERS.contains(name));
    (rest.is_empty() && known && names == announced).then_some(found)
}

/// Takes a line with its CRLF, and returns its text.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 2..];
    Some(text)
}
