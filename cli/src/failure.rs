//! The ends of the program: exit codes, and the failures behind them.

use std::process::ExitCode;

use amiferry::error::Error;
use serde_json::Value;

/// Codes of AWS for credentials that it does not know, or knows no longer.
const BAD_CREDENTIALS: [&str; 7] = [
    "AuthFailure",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Everything done, or nothing to do.
pub const DONE: u8 = 0;
/// The run failed, or the preflight found something in its way.
pub const FAILED: u8 = 1;
/// The plan has changes (`plan --detailed-exitcode`).
pub const CHANGES: u8 = 2;
/// Some targets failed.
pub const SOME_FAILED: u8 = 3;
/// The run goes on, and can be followed again.
pub const RUNNING: u8 = 4;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// The command or the request is wrong.
pub const USAGE: u8 = 252;
/// There are no credentials, or AWS does not know them.
pub const CREDENTIALS: u8 = 253;
/// AWS refused, or gave no answer.
pub const REFUSED: u8 = 254;

/// A failure, in words for standard error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program itself failed, or a file could not be read or written.
    #[error("{0}")]
    Failed(String),
    /// The run goes on, and can be followed again.
    #[error("{0}")]
    Running(String),
    /// A person interrupted the program.
    #[error("{0}")]
    Interrupted(String),
    /// The command or the request is wrong.
    #[error("{0}")]
    Usage(String),
    /// There are no credentials, or AWS does not know them.
    #[error("{0}")]
    Credentials(String),
    /// AWS refused, or gave no answer.
    #[error("{0}")]
    Refused(String),
    /// Nobody reads standard output any more.
    #[error("standard output is closed")]
    Closed,
}

impl Failure {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => FAILED,
            Self::Running(_) => RUNNING,
            Self::Interrupted(_) => INTERRUPTED,
            Self::Usage(_) => USAGE,
            Self::Credentials(_) => CREDENTIALS,
            Self::Refused(_) => REFUSED,
            Self::Closed => DONE,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let said = error.to_string();
        let unknown = |code: &str| BAD_CREDENTIALS.iter().any(|bad| code.starts_with(bad));
        match &error {
            Error::InvalidRequest { .. } | Error::InvalidState(_) => Self::Usage(said),
            Error::AccessDenied { refusal, .. } if unknown(&refusal.code) => {
                Self::Credentials(said)
            }
            // A refusal for expired credentials arrives as words.
            Error::Internal(words) if words.split([' ', ':']).any(unknown) => {
                Self::Credentials(said)
            }
            Error::AccessDenied { .. } | Error::Throttled(_) | Error::SourceNotFound(_) => {
                Self::Refused(said)
            }
            Error::Internal(_) => Self::Failed(said),
        }
    }
}

impl From<amiferry::error::Refusal> for Failure {
    fn from(refusal: amiferry::error::Refusal) -> Self {
        Error::from_refusal(refusal).into()
    }
}

/// Returns the exit code for the status of a reply.
pub fn code_of(reply: &Value) -> u8 {
    match reply["Status"].as_str() {
        Some("Succeeded" | "Ready") => DONE,
        Some("PartiallySucceeded") => SOME_FAILED,
        Some("Continue") => RUNNING,
        _ => FAILED,
    }
}

/// Returns the exit code for `main`.
pub fn exit(ended: &Result<u8, Failure>) -> ExitCode {
    match ended {
        Ok(code) => ExitCode::from(*code),
        Err(failure) => ExitCode::from(failure.code()),
    }
}

#[cfg(test)]
mod tests {
    use amiferry::error::{Place, Refusal};
    use serde_json::json;

    use super::*;

    fn refused(code: &str) -> Failure {
        let at = Place {
            account: "111111111111".to_owned(),
            region: "us-west-2".to_owned(),
        };
        Refusal::ours("DescribeImages", &at, "ami-1", code, "no").into()
    }

    #[test]
    fn an_error_ends_with_the_exit_code_of_its_kind() {
        assert_eq!(Failure::from(Error::invalid("Targets", "no")).code(), 252);
        assert_eq!(refused("UnauthorizedOperation").code(), 254);
        assert_eq!(refused("RequestLimitExceeded").code(), 254);
        for code in [
            "InvalidClientTokenId",
            "AuthFailure",
            "ExpiredTokenException",
        ] {
            assert_eq!(refused(code).code(), 253, "{code}");
        }
        let internal = Failure::from(Error::Internal("the clock broke".to_owned()));
        assert_eq!(internal.code(), 1);
    }

    #[test]
    fn a_reply_ends_with_the_exit_code_of_its_status() {
        for (status, code) in [
            ("Succeeded", 0),
            ("Ready", 0),
            ("Failed", 1),
            ("NotReady", 1),
            ("Stuck", 1),
            ("PartiallySucceeded", 3),
            ("Continue", 4),
        ] {
            assert_eq!(code_of(&json!({"Status": status})), code, "{status}");
        }
    }
}
