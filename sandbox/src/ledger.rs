//! The records of the sandbox: every call, every asynchronous invocation, and every answer received
//! by PUT; and the faults that tests inject.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// An API call, in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The number of the call, from 1, over the sandbox's whole life.
    pub seq: u64,
    /// The time of arrival.
    pub at: SystemTime,
    /// The service: `ec2`, `kms`, `sts`, `iam`, `organizations`, `lambda`, `states`, `ssm`,
    /// `cloudformation` or `s3`.
    pub service: String,
    /// The operation, such as `CopySnapshot`.
    pub operation: String,
    /// The caller's account; empty if the caller is unknown.
    pub account: String,
    /// The Region of the signature; empty if there is none.
    pub region: String,
    /// The caller's ARN; empty if the caller is unknown.
    pub principal: String,
    /// Query parameters as sent; JSON bodies flattened with dots, lists counted from 1. A call of
    /// S3 has the members of its operation: `Bucket`, `Key`, `IfMatch`, `IfNoneMatch`, `Prefix`, ….
    pub params: BTreeMap<String, String>,
    /// The decision of the service, an error by its code. Absent before the decision, or if the
    /// call never reaches the service.
    pub outcome: Option<Result<(), String>>,
    /// The ID that the answer carries.
    pub request_id: String,
}

/// A fault of a call. *Before*: the call never reaches the service. *After*: its effect took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    None,
    /// Delays the call by sandbox time, which the world's speed does not divide.
    Delay(Duration),
    /// Answers with this error, without effect.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The message.
        message: String,
    },
    /// The connection breaks; the call never reaches the service.
    ResetBefore,
    /// The connection breaks after the call's effect.
    ResetAfter,
    /// The call hangs and never reaches the service.
    HangBefore,
    /// The call hangs after its effect.
    HangAfter,
}

/// An asynchronous Invoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaInvocation {
    /// The function as the caller named it: name or ARN.
    pub function_name: String,
    /// The event.
    pub payload: Vec<u8>,
}

/// The way in which the `ResponseURL` sink refuses an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "how", rename_all = "lowercase", deny_unknown_fields)]
pub enum AnswerRefusal {
    /// Answers with an HTTP status (400 to 599), for the first `times` PUTs or for all.
    Status {
        /// The HTTP status.
        status: u16,
        /// The number of PUTs to refuse; absent for all.
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
    /// The path below `/_sandbox/answers`.
    pub path: String,
    /// The request's Content-Type.
    pub content_type: Option<String>,
    /// The request's body.
    pub body: String,
    /// The status of the response; 0 if there was none.
    pub status: u16,
}
