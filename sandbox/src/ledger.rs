//! What was asked of the sandbox: every call, and what left it sideways (asynchronous invocations, answers by PUT).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// One API call, in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Counts from 1, over the sandbox's whole life.
    pub seq: u64,
    pub at: SystemTime,
    /// `ec2`, `kms`, `sts`, `iam`, `organizations`, `lambda` or `s3`.
    pub service: String,
    pub operation: String,
    /// The caller's account; empty if the caller is unknown.
    pub account: String,
    pub region: String,
    /// The caller's ARN; empty if the caller is unknown.
    pub principal: String,
    /// Query parameters as sent; JSON bodies flattened with dots, lists counted from 1. A call of S3
    /// has the members of its operation: `Bucket`, `Key`, `IfMatch`, `IfNoneMatch`, `Prefix`, ….
    pub params: BTreeMap<String, String>,
    /// What the service decided: nothing while it has not, or if the call never reached it.
    pub outcome: Option<Result<(), String>>,
    pub request_id: String,
}

/// What befalls a call. *Before*: it never reaches the service. *After*: its effect took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Sandbox time, not divided by the world's speed.
    Delay(Duration),
    /// Answered with this error, without effect.
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

/// How the `ResponseURL` sink fails to take an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "how", rename_all = "lowercase", deny_unknown_fields)]
pub enum AnswerRefusal {
    /// An HTTP status (400 to 599): for the first so many PUTs, or for all.
    Status {
        status: u16,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Nothing ever comes back.
    Hang,
    /// The connection breaks without an answer.
    Close,
}

/// A PUT received by the `ResponseURL` sink, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub path: String,
    pub content_type: Option<String>,
    pub body: String,
    /// 0 if nothing was answered.
    pub status: u16,
}
