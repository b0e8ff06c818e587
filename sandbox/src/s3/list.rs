//! ListObjectsV2: keys in the order of their bytes, at most a thousand to a page.
//!
//! Source: S3 API reference, ListObjectsV2. Delimiters and owners are not modelled.

use std::ops::Bound;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Ask, Rest, authorise};
use crate::aws::{Aws, LiveBucket, LiveObject};
use crate::refusals::{self, Refused};
use crate::wire::time;
use crate::wire::xml::Xml;

const MOST_KEYS: usize = 1000;
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The encoding of `encoding-type=url`: slashes stay, and a blank becomes a plus sign.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/')
    .remove(b' ');

/// The request of a ListObjectsV2 call.
struct Listing<'a> {
    prefix: &'a str,
    start_after: Option<&'a str>,
    token: Option<&'a str>,
    /// The key the token continues after.
    continued: Option<String>,
    most: usize,
    encoded: bool,
}

pub(super) fn perform(aws: &Aws, ask: Ask<'_>) -> Result<Rest, Refused> {
    let listing = Listing::read(ask)?;
    let bucket = ask.find(aws)?;
    let facts = [
        ("s3:prefix", ask.target.query("prefix")),
        ("s3:max-keys", ask.target.query("max-keys")),
    ];
    authorise::check(aws, ask, bucket, "ListBucket", &facts)?;
    let mut found = listing.objects(bucket);
    let truncated = listing.most > 0 && found.len() > listing.most;
    found.truncate(listing.most);
    let text = listing.written(ask.bucket, &found, truncated);
    Ok(Rest {
        status: 200,
        headers: vec![("content-type", "application/xml".to_owned())],
        body: Bytes::from(text),
    })
}

impl<'a> Listing<'a> {
    fn read(ask: Ask<'a>) -> Result<Self, Refused> {
        let get = |name: &str| ask.target.query(name);
        if get("delimiter").is_some_and(|text| !text.is_empty()) {
            return Err(refusals::NOT_IMPLEMENTED.with(&["Delimiter of ListObjectsV2"]));
        }
        if get("fetch-owner").is_some_and(|text| text != "false") {
            return Err(refusals::NOT_IMPLEMENTED.with(&["FetchOwner of ListObjectsV2"]));
        }
        let encoding = get("encoding-type");
        if encoding.is_some_and(|text| text != "url") {
            return Err(refusals::S3_ENCODING_TYPE.with(&[]));
        }
        let most = get("max-keys").map(str::parse::<u32>).transpose();
        let most = most.map_err(|_| refusals::S3_MAX_KEYS.with(&[]))?;
        let most = most.map_or(MOST_KEYS, |most| MOST_KEYS.min(most as usize));
        let token = get("continuation-token");
        let continued = token
            .map(|token| read_token(ask.bucket, token))
            .transpose()?;
        Ok(Self {
            prefix: get("prefix").unwrap_or_default(),
            start_after: get("start-after"),
            token,
            continued,
            most,
            encoded: encoding.is_some(),
        })
    }

    /// Returns one object more than wanted, if there are so many. A token takes precedence over
    /// `start-after`.
    fn objects<'b>(&self, bucket: &'b LiveBucket) -> Vec<(&'b str, &'b LiveObject)> {
        let after = self.continued.as_deref().or(self.start_after);
        let start = match after {
            Some(after) if after >= self.prefix => Bound::Excluded(after),
            _ => Bound::Included(self.prefix),
        };
        let range = bucket.objects.range::<str, _>((start, Bound::Unbounded));
        range
            .take_while(|(key, _)| key.starts_with(self.prefix))
            .take(self.most + 1)
            .map(|(key, object)| (key.as_str(), object))
            .collect()
    }

    fn written(&self, bucket: &str, found: &[(&str, &LiveObject)], truncated: bool) -> String {
        let mut xml = Xml::new();
        xml.text("Name", bucket);
        xml.text("Prefix", self.encode(self.prefix));
        if let Some(start) = self.start_after {
            xml.text("StartAfter", self.encode(start));
        }
        xml.maybe("ContinuationToken", self.token);
        if let Some((last, _)) = found.last().filter(|_| truncated) {
            xml.text("NextContinuationToken", token(bucket, last));
        }
        xml.text("KeyCount", found.len().to_string());
        xml.text("MaxKeys", self.most.to_string());
        if self.encoded {
            xml.text("EncodingType", "url");
        }
        xml.flag("IsTruncated", truncated);
        for (key, object) in found {
            xml.element("Contents", |xml| {
                xml.text("Key", self.encode(key));
                xml.text("LastModified", time::iso(object.modified));
                xml.text("ETag", &object.etag);
                xml.text("Size", object.body.len().to_string());
                xml.text("StorageClass", "STANDARD");
            });
        }
        let inner = xml.finish();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"{NAMESPACE}\">{inner}</ListBucketResult>"
        )
    }

    fn encode(&self, text: &str) -> String {
        if !self.encoded {
            return text.to_owned();
        }
        utf8_percent_encode(text, ENCODE)
            .to_string()
            .replace(' ', "+")
    }
}

/// Returns a token, opaque to clients and valid for this bucket only.
fn token(bucket: &str, key: &str) -> String {
    hex::encode(format!("{bucket}/{key}"))
}

fn read_token(bucket: &str, token: &str) -> Result<String, Refused> {
    let text = hex::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text
        .as_deref()
        .and_then(|text| text.strip_prefix(bucket)?.strip_prefix('/'));
    let key = key.ok_or_else(|| refusals::S3_CONTINUATION_TOKEN.with(&[]))?;
    Ok(key.to_owned())
}
