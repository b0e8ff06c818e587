//! Signature Version 4, as a service verifies it. The module reads the claim of a request, and
//! computes the signature that only the holder of the secret can make.
//!
//! The code follows the signing specification, so that the signers under test are checked against
//! something else.

use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};
use sha2::{Digest, Sha256};

use super::Incoming;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Encodes everything but the unreserved characters.
const ENCODE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The accepted difference between a signature's time and the sandbox's, except for S3.
pub(crate) const SKEW: Duration = Duration::from_mins(5);

pub(crate) fn within_skew(at: SystemTime, now: SystemTime, skew: Duration) -> bool {
    let apart = at.duration_since(now).or_else(|_| now.duration_since(at));
    apart.is_ok_and(|apart| apart <= skew)
}

/// The claim a request carries, unproved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub access_key: String,
    /// The date, such as `20260131`.
    pub date: String,
    pub region: String,
    pub service: String,
    pub signed_headers: Vec<String>,
    pub signature: String,
    /// The time, such as `20260131T120000Z`.
    pub at: String,
    pub session_token: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The request has no signature.
    Absent,
    Malformed,
}

impl Claim {
    /// Reads the claim from the `Authorization` header.
    pub(crate) fn of_header(request: &Incoming) -> Result<Self, Unreadable> {
        let header = request.header("authorization").ok_or(Unreadable::Absent)?;
        let fields = header
            .strip_prefix(ALGORITHM)
            .ok_or(Unreadable::Malformed)?;
        let field = |name: &str| {
            let mut parts = fields.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let parts = (
            field("Credential"),
            field("SignedHeaders"),
            field("Signature"),
        );
        let (Some(credential), Some(signed), Some(signature)) = parts else {
            return Err(Unreadable::Malformed);
        };
        let at = request.header("x-amz-date").ok_or(Unreadable::Malformed)?;
        let token = request.header("x-amz-security-token");
        Self::build(credential, signed, signature, at, token).ok_or(Unreadable::Malformed)
    }

    /// Reads the claim from the query of a presigned URL.
    pub(crate) fn of_query(query: &[(String, String)]) -> Option<Self> {
        let get = |name: &str| {
            let found = query.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        if get("X-Amz-Algorithm")? != ALGORITHM {
            return None;
        }
        Self::build(
            get("X-Amz-Credential")?,
            get("X-Amz-SignedHeaders")?,
            get("X-Amz-Signature")?,
            get("X-Amz-Date")?,
            get("X-Amz-Security-Token"),
        )
    }

    fn build(
        credential: &str,
        signed: &str,
        signature: &str,
        at: &str,
        token: Option<&str>,
    ) -> Option<Self> {
        let mut scope = credential.split('/');
        let claim = Self {
            access_key: scope.next()?.to_owned(),
            date: scope.next()?.to_owned(),
            region: scope.next()?.to_owned(),
            service: scope.next()?.to_owned(),
            signed_headers: signed.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
            at: at.to_owned(),
            session_token: token.map(str::to_owned),
        };
        let ends_well = scope.next() == Some("aws4_request") && scope.next().is_none();
        let dated = at.get(..8) == Some(claim.date.as_str());
        let whole = ![&claim.access_key, &claim.region, &claim.service]
            .iter()
            .any(|s| s.is_empty());
        (ends_well && dated && whole).then_some(claim)
    }

    /// Returns whether the holder of this secret signed the request, body included.
    pub(crate) fn proves_request(&self, secret: &str, request: &Incoming) -> bool {
        let declared = request.header("x-amz-content-sha256");
        let of_s3 = self.service == "s3";
        // S3 signs the declared digest, which may be a marker. `s3::body` checks it against the
        // body.
        let body = match declared {
            Some(declared) if of_s3 => declared.to_owned(),
            _ => hex::encode(Sha256::digest(&request.body)),
        };
        if declared.is_some_and(|given| given != body) || !self.signs("host") {
            return false;
        }
        let query = decode_query(&request.query);
        let headers = self.canonical_headers(|name| {
            if name == "host" {
                return Some(request.host.clone());
            }
            let given = request.headers.iter().filter(|(key, _)| key == name);
            let values: Vec<_> = given.map(|(_, value)| squeeze(value)).collect();
            (!values.is_empty()).then(|| values.join(","))
        });
        let Some(headers) = headers else { return false };
        let path = if of_s3 {
            encoded_once(&request.path)
        } else {
            double_encoded(&request.path)
        };
        self.matches(secret, &request.method, &path, &query, &headers, &body)
    }

    /// Returns whether the holder of this secret made this presigned `GET` of `https://{host}/`.
    pub(crate) fn proves_url(&self, secret: &str, host: &str, query: &[(String, String)]) -> bool {
        let headers = self.canonical_headers(|name| (name == "host").then(|| host.to_owned()));
        let Some(headers) = headers else { return false };
        let unsigned: Vec<_> = query
            .iter()
            .filter(|(key, _)| key != "X-Amz-Signature")
            .cloned()
            .collect();
        let empty = hex::encode(Sha256::digest(b""));
        self.signs("host") && self.matches(secret, "GET", "/", &unsigned, &headers, &empty)
    }

    pub(crate) fn signs(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|name| name == header)
    }

    /// Returns the signed headers in canonical form; nothing if a signed header is absent.
    fn canonical_headers(&self, value: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut lines = String::new();
        for name in &self.signed_headers {
            lines.push_str(name);
            lines.push(':');
            lines.push_str(&value(name)?);
            lines.push('\n');
        }
        Some(lines)
    }

    fn matches(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        query: &[(String, String)],
        headers: &str,
        body: &str,
    ) -> bool {
        let query = canonical_query(query);
        let signed = self.signed_headers.join(";");
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{body}");
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        );
        let digest = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{digest}", self.at);
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), &self.date);
        for part in [&self.region, &self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        hex::encode(hmac(&key, &to_sign)) == self.signature
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length, so this cannot fail.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

/// Returns the percent-decoded pairs of a query; a `+` stays a `+`.
pub(crate) fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn canonical_query(query: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODE).to_string();
    let mut pairs: Vec<_> = query.iter().map(|(k, v)| (encode(k), encode(v))).collect();
    pairs.sort();
    let joined: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
    joined.join("&")
}

/// Encodes a path for S3: each segment is decoded and encoded anew, so that a key has one signature
/// however it is written.
fn encoded_once(path: &str) -> String {
    encoded(path, |segment| {
        let raw: Vec<u8> = percent_decode_str(segment).collect();
        percent_encode(&raw, ENCODE).to_string()
    })
}

/// Encodes a path once more, as every service but S3 does.
fn double_encoded(path: &str) -> String {
    encoded(path, |segment| {
        utf8_percent_encode(segment, ENCODE).to_string()
    })
}

fn encoded(path: &str, encode: impl Fn(&str) -> String) -> String {
    let segments = path.split('/').map(encode);
    let joined = segments.collect::<Vec<_>>().join("/");
    if joined.is_empty() {
        "/".to_owned()
    } else {
        joined
    }
}

/// Trims a value and replaces inner runs of blanks by one.
fn squeeze(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
