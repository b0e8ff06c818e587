//! The few errors that a call can end with. A state machine's `Retry` and `Catch` match their names
//! as `errorType`, so the list changes only by addition.

use std::borrow::Cow;
use std::fmt;

use lambda_runtime::Diagnostic;

use crate::denial::Denial;

/// The account whose credentials make a call, and the Region that the call goes to.
#[derive(Debug, Clone)]
pub struct Place {
    /// The account's ID, or words for it while the ID is unknown.
    pub account: String,
    /// The Region's name.
    pub region: String,
}

/// A refused call: enough for a person to find the call in CloudTrail, and the thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The API operation, such as `CopySnapshot`.
    pub operation: &'static str,
    /// The account whose credentials made the call.
    pub account: String,
    /// The Region that the call went to.
    pub region: String,
    /// The resource the call was about.
    pub resource: String,
    /// AWS's error code; `Timeout` or `ConnectionFailed` when no answer came.
    pub code: String,
    /// AWS's message.
    pub message: String,
    /// AWS's request ID, by which CloudTrail lists the call.
    pub request_id: Option<String>,
}

/// The reaction to a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Try again, more slowly.
    Throttled,
    /// The effect of the call is unknown: look, then try again.
    Uncertain,
    /// A quota is full for now: wait until a copy ends.
    QuotaFull,
    /// The credentials have expired: get new ones and try again.
    Expired,
    /// A policy denies the call.
    Denied,
    /// The resource does not exist, or is not visible.
    NotFound,
    /// Any other refusal: trying again does not help.
    Final,
}

impl Refusal {
    /// Returns a refusal that this function makes itself, without an answer of AWS. `code` is a
    /// code of AWS that means the same, or one of ours.
    pub fn ours(
        operation: &'static str,
        at: &Place,
        resource: impl fmt::Display,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            operation,
            account: at.account.clone(),
            region: at.region.clone(),
            resource: resource.to_string(),
            code: code.into(),
            message: message.into(),
            request_id: None,
        }
    }

    /// Returns how the refusal should be met.
    pub fn kind(&self) -> RefusalKind {
        match kind_of(&self.code) {
            // The quotas of other calls do not empty by waiting.
            RefusalKind::QuotaFull if !matches!(self.operation, "CopySnapshot" | "CopyImage") => {
                RefusalKind::Final
            }
            kind => kind,
        }
    }

    /// Returns the policy that denied the call, if AWS names it.
    pub fn denial(&self) -> Option<Denial> {
        (self.kind() == RefusalKind::Denied)
            .then(|| Denial::read(&self.message))
            .flatten()
    }

    /// Returns whether somebody has to edit a policy before the call can succeed, however long a
    /// grant takes to spread.
    pub fn is_final_denial(&self) -> bool {
        self.denial().is_some_and(Denial::is_final)
    }

    /// Returns operation, code and message without account, Region and resource, for messages
    /// about several resources.
    pub fn answer(&self) -> String {
        let id = self.request_id.as_ref();
        let request = id.map_or_else(String::new, |id| format!(" (request ID {id})"));
        format!(
            "{}: {}{request}: {}",
            self.operation, self.code, self.message
        )
    }

    /// Returns whether EC2 denies a copy of an image the image's snapshots.
    pub fn denies_storage(&self) -> bool {
        let said = self.message.to_lowercase();
        self.operation == "CopyImage" && said.contains("permission to access the storage")
    }

    /// Returns whether another try may succeed although nobody changes anything.
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

/// The code of a server error without a code, and the prefix of an unknown one.
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
            // A code of ours: others write the same key policy.
            | "KeyPolicyChanging"
            // A code of ours: others write the same object of the ledger.
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
            // The image that uses the snapshot does not show yet, and then keeps it.
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
        // Before the message: messages are long, and a shortened one must not lose the way to
        // CloudTrail.
        if let Some(id) = &self.request_id {
            write!(f, " (request ID {id})")?;
        }
        write!(f, ": {message}")
    }
}

impl std::error::Error for Refusal {}

/// How a call to this function fails as a whole. A failed target is no error: the reply contains
/// it.
#[derive(thiserror::Error)]
pub enum Error {
    /// The request is wrong. Nothing was called, nothing changed.
    /// A key of the request has no acceptable value, or two keys contradict each other.
    #[error("{key}: {problem}")]
    InvalidRequest {
        /// The key at fault, with its path, such as `Targets[1].AccountId`.
        key: String,
        /// The fault and the accepted form.
        problem: String,
    },
    /// This version cannot continue with the given step state.
    #[error("State: {0}")]
    InvalidState(String),
    /// The source image does not exist, or the function's role cannot see it.
    #[error("SourceImageId: {0}")]
    SourceNotFound(String),
    #[error("{refusal}. {remedy}")]
    /// AWS denied a call that reads the source.
    AccessDenied {
        /// The refused call.
        refusal: Refusal,
        /// The remedy, as one sentence without a full stop.
        remedy: String,
    },
    /// AWS throttled or did not answer the calls that read the source.
    #[error("{0}. The call may be repeated as it is")]
    Throttled(Refusal),
    /// The function itself failed.
    #[error("{0}")]
    Internal(String),
}

/// The longest key and the longest problem of a message, in bytes. Both may contain text of a
/// stranger.
const KEY: usize = 160;
const PROBLEM: usize = 1200;

impl Error {
    /// Returns `InvalidRequest`, with both texts shortened to one line.
    pub fn invalid(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidRequest {
            key: on_one_line(&key.into(), KEY),
            problem: on_one_line(&problem.into(), PROBLEM),
        }
    }

    /// Returns `InvalidState`, with the text shortened to one line.
    pub fn invalid_state(problem: impl Into<String>) -> Self {
        Self::InvalidState(on_one_line(&problem.into(), PROBLEM))
    }

    /// Sorts a refusal of a call that reads the source, before any target is at stake.
    pub fn from_refusal(refusal: Refusal) -> Self {
        match refusal.kind() {
            RefusalKind::Throttled | RefusalKind::QuotaFull | RefusalKind::Uncertain => {
                Self::Throttled(refusal)
            }
            RefusalKind::Denied => {
                let remedy = format!(
                    "Allow this action for the function's role on {} in the source account, and \
                     look for a service control policy, or a resource control policy of the \
                     account that owns it, that denies it",
                    refusal.resource
                );
                Self::AccessDenied { refusal, remedy }
            }
            RefusalKind::NotFound => Self::SourceNotFound(refusal.to_string()),
            RefusalKind::Expired | RefusalKind::Final => Self::Internal(refusal.to_string()),
        }
    }

    /// Returns the `errorType` that `Retry` and `Catch` match.
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

/// Returns the text cut to `most` bytes, for messages and log lines. Characters that begin a new
/// line, control a terminal or turn the writing direction become spaces.
pub fn on_one_line(text: &str, most: usize) -> String {
    let in_text = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    let turns = |c: char| in_text(c) || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}');
    let plain = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    shortened(text, most).chars().map(plain).collect()
}

/// Cuts a text to `most` bytes in its middle, and marks the cut: the call stands at the beginning,
/// the reason at the end.
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

/// The runtime logs a failed invocation with `Debug`, so this is the text for a person.
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
    fn the_log_of_a_failed_invocation_equals_its_answer() {
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

    /// The SDK does not retry a call such as CopySnapshot, so this module must know every code of
    /// throttling.
    #[test]
    fn every_code_of_throttling_is_passing() {
        let at = Place {
            account: String::new(),
            region: String::new(),
        };
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
            let refusal = Refusal::ours("CopySnapshot", &at, "", code, "");
            assert_eq!(refusal.kind(), RefusalKind::Throttled, "{code}");
            assert!(refusal.is_passing(), "{code}");
        }
    }
}
