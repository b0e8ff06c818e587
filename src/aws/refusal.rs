//! From the SDK's error to a `Refusal`: the one place where the SDK's error types end.

use std::error::Error;
use std::fmt::Display;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::http::Response;

use super::Place;
use crate::error::{Refusal, RefusalKind, SERVER_FAILED, kind_of, on_one_line};

/// Bytes of AWS's message that are kept: the other end may not be AWS.
const MESSAGE: usize = 1000;
const WORD: usize = 100;

/// Makes a refusal of an SDK error, with the operation, place and resource of the call.
pub fn refusal<E>(
    operation: &'static str,
    at: &Place,
    resource: impl Display,
    error: &SdkError<E, Response>,
) -> Refusal
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let (code, message) = match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status();
            let code = match context.err().code() {
                Some(code) if !code.is_empty() => {
                    passing(code, matches!(status.as_u16(), 500 | 502..=504))
                }
                _ if status.is_server_error() => SERVER_FAILED.to_owned(),
                // Done, it seems, but the answer cannot be read.
                _ if status.is_success() => "UnreadableAnswer".to_owned(),
                _ => format!("Http{status}"),
            };
            let message = readable(context.err().message().unwrap_or("no message"));
            (code, message)
        }
        SdkError::TimeoutError(_) => ("Timeout".to_owned(), "no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => ("ConnectionFailed".to_owned(), in_words(error)),
        SdkError::ResponseError(_) => ("UnreadableAnswer".to_owned(), in_words(error)),
        _ => ("NotSent".to_owned(), in_words(error)),
    };
    Refusal {
        operation,
        account: at.account.clone(),
        region: at.region.clone(),
        resource: resource.to_string(),
        code: on_one_line(&code, WORD),
        message: on_one_line(&message, MESSAGE),
        request_id: error.request_id().map(|id| on_one_line(id, WORD)),
    }
}

/// Describes an error and its causes in their own words. Their debug form would hold the answer
/// itself, and an answer may hold credentials.
fn in_words(error: &dyn Error) -> String {
    let said = error.to_string();
    match error.source() {
        Some(cause) => format!("{said}: {}", in_words(cause)),
        None => said,
    }
}

/// Returns AWS's message without what a person does not need: the caller, whom the refusal names,
/// and an encoded copy of the whole decision, hundreds of characters that nobody can read without
/// another call.
fn readable(message: &str) -> String {
    let end = message
        .find(" Encoded authorization failure message")
        .unwrap_or(message.len());
    let message = &message[..end];
    let denied = message.find("not authorized to perform: ");
    match (message.find("User: "), denied) {
        (Some(caller), Some(denied)) if caller < denied => message[denied..].to_owned(),
        _ => message.to_owned(),
    }
}

/// Returns the code. A server error of an unknown name gets a code that passes.
fn passing(code: &str, failed: bool) -> String {
    if failed && kind_of(code) == RefusalKind::Final {
        format!("{SERVER_FAILED} ({code})")
    } else {
        code.to_owned()
    }
}
