//! The bucket and key that a request names, by its host (`BUCKET.s3.REGION.amazonaws.com`) or its
//! path.
//!
//! Source: S3 guide, virtual hosting of buckets; S3 guide, bucket naming rules.

use percent_encoding::percent_decode_str;

use crate::aws::is_region;
use crate::wire::Incoming;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// The Region of the endpoint, if its name has one; a server on 127.0.0.1 stands in for every
    /// Region.
    pub region: Option<String>,
    pub bucket: Option<String>,
    pub key: Option<String>,
}

/// Returns whether the host is an endpoint of S3, with or without a bucket.
pub(crate) fn is_endpoint(host: &str) -> bool {
    endpoint(host).is_some()
}

/// Returns the bucket in an endpoint's name, and its Region; the global endpoint is that of
/// us-east-1.
fn endpoint(host: &str) -> Option<(Option<&str>, &str)> {
    let host = host.split(':').next()?;
    let china = host.strip_suffix(".amazonaws.com.cn");
    let labels = china.or_else(|| host.strip_suffix(".amazonaws.com"))?;
    let (front, region) = match labels.rsplit_once('.') {
        Some((front, region)) if is_region(region) => (front, region),
        _ => (labels, "us-east-1"),
    };
    if front == "s3" {
        return Some((None, region));
    }
    front
        .strip_suffix(".s3")
        .map(|bucket| (Some(bucket), region))
}

impl Address {
    /// Returns the address of a request; nothing if the path is not UTF-8.
    pub(crate) fn of(request: &Incoming) -> Option<Self> {
        let path = request.path.strip_prefix('/').unwrap_or(&request.path);
        let named = endpoint(&request.host);
        let (bucket, key) = match named {
            Some((Some(bucket), _)) => (bucket, path),
            _ => path.split_once('/').unwrap_or((path, "")),
        };
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8().ok()?;
            Some(Some(text.into_owned()).filter(|text| !text.is_empty()))
        };
        Some(Self {
            region: named.map(|(_, region)| region.to_owned()),
            bucket: decode(bucket)?,
            key: decode(key)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_recognised_by_its_labels() {
        for (host, expected) in [
            ("s3.us-west-2.amazonaws.com", Some((None, "us-west-2"))),
            (
                "b.s3.us-west-2.amazonaws.com",
                Some((Some("b"), "us-west-2")),
            ),
            (
                "a.b.s3.eu-west-1.amazonaws.com",
                Some((Some("a.b"), "eu-west-1")),
            ),
            (
                "b.s3.cn-north-1.amazonaws.com.cn",
                Some((Some("b"), "cn-north-1")),
            ),
            ("b.s3.amazonaws.com", Some((Some("b"), "us-east-1"))),
            ("ec2.us-west-2.amazonaws.com", None),
            ("b.s3-accelerate.amazonaws.com", None),
            ("b.s3.dualstack.us-west-2.amazonaws.com", None),
            ("127.0.0.1:8080", None),
        ] {
            assert_eq!(endpoint(host), expected, "{host}");
        }
    }
}
