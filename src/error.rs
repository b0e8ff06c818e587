//! The few errors a call can end with. Their names are the `errorType`s that a state machine's `Retry` and `Catch` match
//! on, so they change only by addition.

use std::borrow::Cow;
use std::fmt;

use lambda_runtime::Diagnostic;

use crate::denial::Denial;

/// What AWS said when it refused a call: enough for a person to find the call in CloudTrail and the thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The API operation, such as `CopySnapshot`.
    pub operation: &'static str,
    /// The account whose credentials made the call, and the Region it went to.
    pub account: String,
    pub region: String,
    /// The resource the call was about.
    pub resource: String,
    /// AWS's error code; `Timeout` or `ConnectionFailed` when no answer came.
    pub code: String,
    pub message: String,
    pub request_id: Option<String>,
}

/// How a refusal is to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Try again, more slowly.
    Throttled,
    /// Nobody knows whether it took effect: look, then try again.
    Uncertain,
    /// A quota is full for now: wait in the queue.
    QuotaFull,
    /// The credentials ran out: get new ones and try again.
    Expired,
    /// The caller may not.
    Denied,
    /// The thing is not there, or not visible.
    NotFound,
    /// Everything else is final.
    Final,
}

impl Refusal {
    /// A refusal by this function itself, or of an answer that it cannot read: no request ID.
    pub fn ours(
        operation: &'static str,
        account: &str,
        region: &str,
        resource: &str,
        code: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation,
            account: account.to_owned(),
            region: region.to_owned(),
            resource: resource.to_owned(),
            code: code.to_owned(),
            message: message.into(),
            request_id: None,
        }
    }

    pub fn kind(&self) -> RefusalKind {
        match kind_of(&self.code) {
            // Of any other call, it is a quota that no waiting empties.
            RefusalKind::QuotaFull if self.operation != "CopySnapshot" => RefusalKind::Final,
            kind => kind,
        }
    }

    /// The policy that denied the call, where AWS names it.
    pub fn denial(&self) -> Option<Denial> {
        (self.kind() == RefusalKind::Denied)
            .then(|| Denial::read(&self.message))
            .flatten()
    }

    /// Whether somebody has to edit a policy before it can end differently, however long a grant takes to spread.
    pub fn is_final_denial(&self) -> bool {
        self.denial().is_some_and(Denial::is_final)
    }

    /// What was asked and answered, without where: for words that name more than one thing.
    pub fn answer(&self) -> String {
        let id = self.request_id.as_ref();
        let request = id.map_or_else(String::new, |id| format!(" (request ID {id})"));
        format!(
            "{}: {}{request}: {}",
            self.operation, self.code, self.message
        )
    }

    /// Whether trying again may end differently without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind(),
            RefusalKind::Throttled
                | RefusalKind::Uncertain
                | RefusalKind::QuotaFull
                | RefusalKind::Expired
        )
    }
}

/// The code of a server error that has none, and the beginning of one that nobody here knows.
pub const SERVER_FAILED: &str = "ServiceUnavailable";

/// Sorts AWS's code. Source: the common and EC2 error code lists of the EC2 and KMS API references.
pub fn kind_of(code: &str) -> RefusalKind {
    match code {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "EC2ThrottledException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "BandwidthLimitExceeded"
            | "SlowDown"
            // Ours: others write the same key policy.
            | "KeyPolicyChanging"
            // Ours: others write the same object of the ledger.
            | "LedgerChanging"
            | "PriorRequestNotComplete" => RefusalKind::Throttled,
            "Timeout"
            | "ConnectionFailed"
            | "InternalError"
            | "InternalFailure"
            | "Unavailable"
            | "ServerInternal"
            | "KMSInternalException"
            | "DependencyTimeoutException"
            | "ServiceFailure"
            | "ConcurrentModification"
            // The image that uses it does not show yet: then it is kept.
            | "InvalidSnapshot.InUse"
            | "UnreadableAnswer" => RefusalKind::Uncertain,
            "ResourceLimitExceeded"
            | "ConcurrentSnapshotLimitExceeded"
            | "SnapshotCopyLimitExceeded"
            | "MaxConcurrentCopies" => RefusalKind::QuotaFull,
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => RefusalKind::Expired,
            "UnauthorizedOperation"
            | "AccessDenied"
            | "AccessDeniedException"
            | "AuthFailure"
            | "OptInRequired"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => RefusalKind::Denied,
            code if code.starts_with(SERVER_FAILED) => RefusalKind::Uncertain,
            code if code.contains("NotFound") => RefusalKind::NotFound,
            _ => RefusalKind::Final,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            account,
            region,
            resource,
            code,
            message,
            ..
        } = self;
        write!(f, "{operation} of {resource} in {account} {region}: {code}")?;
        // Before the message: messages are long, and a shortened one must not lose the way to CloudTrail.
        if let Some(id) = &self.request_id {
            write!(f, " (request ID {id})")?;
        }
        write!(f, ": {message}")
    }
}

impl std::error::Error for Refusal {}

/// How a call to this function can fail as a whole. A target that fails is no error: it is part of the reply.
#[derive(thiserror::Error)]
pub enum Error {
    /// The caller's words are off. Nothing was called, nothing changed.
    #[error("{key}: {problem}")]
    InvalidRequest { key: String, problem: String },
    /// The step state handed in is not one this version can go on with.
    #[error("State: {0}")]
    InvalidState(String),
    #[error("SourceImageId: {0}")]
    SourceNotFound(String),
    #[error("{refusal}. {remedy}")]
    AccessDenied { refusal: Refusal, remedy: String },
    #[error("{0}. The call may be repeated as it is")]
    Throttled(Refusal),
    #[error("{0}")]
    Internal(String),
}

/// Bytes of a key, and of what is wrong with it: both may hold words of a stranger's.
const KEY: usize = 160;
const PROBLEM: usize = 1200;

impl Error {
    pub fn invalid(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidRequest {
            key: on_one_line(&key.into(), KEY),
            problem: on_one_line(&problem.into(), PROBLEM),
        }
    }

    pub fn invalid_state(problem: impl Into<String>) -> Self {
        Self::InvalidState(on_one_line(&problem.into(), PROBLEM))
    }

    /// A refusal met while reading the source, before any target is at stake.
    pub fn from_refusal(refusal: Refusal) -> Self {
        match refusal.kind() {
            RefusalKind::Throttled | RefusalKind::QuotaFull | RefusalKind::Uncertain => {
                Self::Throttled(refusal)
            }
            RefusalKind::Denied => {
                let remedy = format!(
                    "Allow this action for the function's role on {} in the source account, and look for a service control policy, or a resource control policy of the account that owns it, that denies it",
                    refusal.resource
                );
                Self::AccessDenied { refusal, remedy }
            }
            RefusalKind::NotFound => Self::SourceNotFound(refusal.to_string()),
            RefusalKind::Expired | RefusalKind::Final => Self::Internal(refusal.to_string()),
        }
    }

    /// The name for `Retry` and `Catch`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "InvalidRequest",
            Self::InvalidState(_) => "InvalidState",
            Self::SourceNotFound(_) => "SourceNotFound",
            Self::AccessDenied { .. } => "AccessDenied",
            Self::Throttled(_) => "Throttled",
            Self::Internal(_) => "Internal",
        }
    }
}

/// For messages and log lines: cut to so many bytes, and without characters that begin a new line, paint a terminal or turn the
/// direction of what follows.
pub fn on_one_line(text: &str, most: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let plain = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    shortened(text, most).chars().map(plain).collect()
}

/// Cuts a text in the middle, marking the cut: it begins with what was asked for, and ends with why it was refused.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    const CUT: &str = "…";
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(CUT.len());
    let head = text.floor_char_boundary(room - room * 9 / 20);
    let tail = text.ceil_char_boundary(text.len() - (room - head).min(room));
    Cow::Owned(format!("{}{CUT}{}", &text[..head], &text[tail..]))
}

/// The runtime logs a failed invocation by this: what a person reads, not how it is made up.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.error_type())
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self {
            error_type: error.error_type().to_owned(),
            error_message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_failed_invocation_says_what_the_answer_says() {
        let error = Error::invalid("Targets[1].AccountId", "is named twice");
        let logged = format!("{error:?}");
        assert_eq!(
            logged,
            "InvalidRequest: Targets[1].AccountId: is named twice"
        );
        let answered = Diagnostic::from(error);
        let (name, said) = (&answered.error_type, &answered.error_message);
        assert_eq!(logged, format!("{name}: {said}"));
    }

    /// Where the SDK does not try again, as for CopySnapshot, it is for us to know them all.
    #[test]
    fn throttling_in_every_flavour_passes() {
        for code in [
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "EC2ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "BandwidthLimitExceeded",
            "SlowDown",
            "PriorRequestNotComplete",
        ] {
            let refusal = Refusal::ours("CopySnapshot", "", "", "", code, "");
            assert_eq!(refusal.kind(), RefusalKind::Throttled, "{code}");
            assert!(refusal.is_passing(), "{code}");
        }
    }
}
