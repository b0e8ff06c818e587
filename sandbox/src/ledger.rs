//! The records of the sandbox: every call, every asynchronous invocation, and every answer received
//! by PUT; and the faults that tests inject.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// One API call, in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The number of the call, from 1, over the sandbox's whole life.
    pub seq: u64,
    pub at: SystemTime,
    /// The service: `ec2`, `kms`, `sts`, `iam`, `organizations`, `lambda`, `states` or `s3`.
    pub service: String,
    pub operation: String,
    /// The caller's account; empty if the caller is unknown.
    pub account: String,
    pub region: String,
    /// The caller's ARN; empty if the caller is unknown.
    pub principal: String,
    /// Query parameters as sent; JSON bodies flattened with dots, lists counted from 1. A call of
    /// S3 has the members of its operation: `Bucket`, `Key`, `IfMatch`, `IfNoneMatch`, `Prefix`, ….
    pub params: BTreeMap<String, String>,
    /// The decision of the service, an error by its code. Absent before the decision, or if the
    /// call never reaches the service.
    pub outcome: Option<Result<(), String>>,
    pub request_id: String,
}

/// A fault of a call. *Before*: the call never reaches the service. *After*: its effect took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Delays the call by sandbox time, which the world's speed does not divide.
    Delay(Duration),
    /// Answers with this error, without effect.
    Refuse {
        status: u16,
        code: String,
        message: String,
    },
    ResetBefore,
    ResetAfter,
    HangBefore,
    HangAfter,
}

/// An asynchronous Invoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaInvocation {
    pub function_name: String,
    pub payload: Vec<u8>,
}

/// The way in which the `ResponseURL` sink refuses an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "how", rename_all = "lowercase", deny_unknown_fields)]
pub enum AnswerRefusal {
    /// Answers with an HTTP status (400 to 599), for the first `times` PUTs or for all.
    Status {
        status: u16,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Never answers.
    Hang,
    /// Breaks the connection without an answer.
    Close,
}

/// A PUT that the `ResponseURL` sink received, and the status of the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub path: String,
    pub content_type: Option<String>,
    pub body: String,
    /// The status of the response; 0 if there was none.
    pub status: u16,
}
