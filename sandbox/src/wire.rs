//! Requests and answers as bytes: the protocols, and Signature Version 4.
//!
//! The module knows nothing of operations.

pub(crate) mod json;
pub(crate) mod query;
pub(crate) mod sigv4;
pub(crate) mod time;
pub(crate) mod xml;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

/// A request as it arrived, in process or over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: String,
    /// Whether the request came by TLS. The server on 127.0.0.1 stands in for an endpoint with TLS;
    /// only an `http://` URI in process did not.
    pub secure: bool,
    /// Headers in order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Incoming {
    pub(crate) fn new(head: &Parts, body: Bytes) -> Self {
        let authority = head.uri.authority().map(|a| a.as_str().to_owned());
        let mut headers: Vec<(String, String)> = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.push((name.as_str().to_owned(), text));
        }
        let named = headers.iter().find(|(name, _)| name == "host");
        let host = named.map(|(_, value)| value.clone()).or(authority);
        Self {
            method: head.method.as_str().to_owned(),
            host: host.unwrap_or_default(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            secure: head.uri.scheme_str() != Some("http"),
            headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The way a request ends for its client.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Response<Bytes>),
    /// The connection breaks.
    Reset,
}
