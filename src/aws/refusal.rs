//! From the SDK's error to a `Refusal`: the one place where the SDK's error types end.

use std::error::Error;
use std::fmt::Display;

use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::http::Response;

use super::Place;
use crate::error::Refusal;

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
                Some(code) if !code.is_empty() => code.to_owned(),
                _ if status.is_server_error() => "ServiceUnavailable".to_owned(),
                _ => format!("Http{status}"),
            };
            let message = readable(context.err().message().unwrap_or("no message"));
            (code, message)
        }
        SdkError::TimeoutError(_) => ("Timeout".to_owned(), "no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => (
            "ConnectionFailed".to_owned(),
            DisplayErrorContext(error).to_string(),
        ),
        SdkError::ResponseError(_) => (
            "UnreadableAnswer".to_owned(),
            DisplayErrorContext(error).to_string(),
        ),
        _ => ("NotSent".to_owned(), DisplayErrorContext(error).to_string()),
    };
    Refusal {
        operation,
        account: at.account.clone(),
        region: at.region.clone(),
        resource: resource.to_string(),
        code,
        message,
        request_id: error.request_id().map(str::to_owned),
    }
}

/// EC2 adds an encoded copy of the whole decision, hundreds of characters that nobody can read without another call.
fn readable(message: &str) -> String {
    let end = message
        .find(" Encoded authorization failure message")
        .unwrap_or(message.len());
    message[..end].to_owned()
}
