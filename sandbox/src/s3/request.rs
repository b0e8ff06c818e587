//! Recognises an S3 operation and its parameters, by method, path, query and headers.

use std::collections::BTreeMap;

use super::Address;
use crate::wire::Incoming;
use crate::wire::sigv4::decode_query;

/// The subject of a request.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub query: Vec<(String, String)>,
}

impl Target {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The query parameters of ListObjectsV2, with the names of its members.
const LISTING: [(&str, &str); 8] = [
    ("list-type", ""),
    ("prefix", "Prefix"),
    ("delimiter", "Delimiter"),
    ("max-keys", "MaxKeys"),
    ("start-after", "StartAfter"),
    ("continuation-token", "ContinuationToken"),
    ("encoding-type", "EncodingType"),
    ("fetch-owner", "FetchOwner"),
];

const HEADERS: [(&str, &str); 3] = [
    ("if-match", "IfMatch"),
    ("if-none-match", "IfNoneMatch"),
    ("x-amz-expected-bucket-owner", "ExpectedBucketOwner"),
];

/// Returns operation, members for the ledger, and target. An operation that is not modelled is
/// named by its distinguishing parameter.
pub(crate) fn recognise(
    request: &Incoming,
    address: Address,
) -> (String, BTreeMap<String, String>, Target) {
    let target = Target {
        bucket: address.bucket,
        key: address.key,
        query: decode_query(&request.query),
    };
    let mut params = BTreeMap::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|_| !name.is_empty()) {
            params.insert(name.to_owned(), value.to_owned());
        }
    };
    put("Bucket", target.bucket.as_deref());
    put("Key", target.key.as_deref());
    for (header, name) in HEADERS {
        put(name, request.header(header));
    }
    for (query, name) in LISTING {
        put(name, target.query(query));
    }
    (operation(request, &target), params, target)
}

fn operation(request: &Incoming, target: &Target) -> String {
    let method = request.method.as_str();
    let lists = method == "GET" && target.key.is_none();
    let expected = |name: &str| {
        name == "x-id" || (lists && LISTING.iter().any(|(listing, _)| *listing == name))
    };
    let mut names = target.query.iter().map(|(name, _)| name.as_str());
    if let Some(subresource) = names.find(|name| !expected(name)) {
        return format!("{method} ?{subresource}");
    }
    let name = match (method, &target.bucket, &target.key) {
        ("GET", None, _) => "ListBuckets",
        ("GET", Some(_), None) if target.query("list-type") == Some("2") => "ListObjectsV2",
        ("GET", Some(_), None) => "ListObjects",
        ("HEAD", Some(_), None) => "HeadBucket",
        ("PUT", Some(_), None) => "CreateBucket",
        ("DELETE", Some(_), None) => "DeleteBucket",
        ("GET", Some(_), Some(_)) => "GetObject",
        ("HEAD", Some(_), Some(_)) => "HeadObject",
        ("PUT", Some(_), Some(_)) if request.header("x-amz-copy-source").is_some() => "CopyObject",
        ("PUT", Some(_), Some(_)) => "PutObject",
        ("DELETE", Some(_), Some(_)) => "DeleteObject",
        _ => method,
    };
    name.to_owned()
}
