//! Sends an answer to CloudFormation, with the SDK's HTTP client. The URL is enough to forge the
//! answer, so nothing of the request is logged at any level.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::time::Duration;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Uri};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use tracing::warn;

use super::cloudformation::Answer;
use crate::error::Error;
use crate::event::custom_resource::CustomResource;

const TRIES: u64 = 4;
const TIMEOUT: Duration = Duration::from_secs(10);

/// PUTs the answer, with a few tries until `by`. Errors never name the URL.
pub async fn put(
    http: &SharedHttpClient,
    answer: &Answer,
    to: &CustomResource,
    by: Instant,
) -> Result<(), Error> {
    let Some(url) = &to.response_url else {
        return Err(Error::invalid(
            "ResponseURL",
            "is required: a string, as CloudFormation sends it",
        ));
    };
    let operation = operation(http, url.reveal())
        .ok_or_else(|| Error::invalid("ResponseURL", "is not a URL"))?;
    let body = answer.body(to);
    let mut said = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            let again = Instant::now() + Duration::from_secs(1 << attempt);
            if again >= by {
                break;
            }
            tokio::time::sleep_until(again).await;
        }
        let sending = operation.invoke(body.clone());
        let sending = sending.with_subscriber(NoSubscriber::default());
        let end = by.min(Instant::now() + TIMEOUT);
        said = match tokio::time::timeout_at(end, sending).await {
            Ok(Ok(status)) if (200..300).contains(&status) => return Ok(()),
            Ok(Ok(status)) => format!("HTTP {status}"),
            Ok(Err(error)) => reason(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(
            stack = to.stack_id,
            said, "CloudFormation did not take the answer"
        );
    }
    Err(Error::Internal(format!(
        "CloudFormation did not take the answer for {} ({said}); unless the event comes again, the \
         stack will time out",
        to.logical_resource_id
    )))
}

/// Returns the operation that PUTs a body to the URL and returns the HTTP status; `None` if that is
/// no URL.
fn operation(http: &SharedHttpClient, url: &str) -> Option<Operation<String, u16, Infallible>> {
    let url: Uri = url.parse().ok()?;
    let endpoint = format!("{}://{}", url.scheme()?, url.authority()?);
    let path = url.path_and_query()?.clone();
    let serialize = move |body: String| {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(path.as_str())
            .header(CONTENT_TYPE, HeaderValue::from_static(""))
            .body(SdkBody::from(body))?;
        Ok(HttpRequest::try_from(request)?)
    };
    let operation = Operation::builder()
        .service_name("CloudFormation")
        .operation_name("PutAnswer")
        .behavior_version(BehaviorVersion::latest())
        .http_client(http.clone())
        .endpoint_url(&endpoint)
        .no_auth()
        .no_retry()
        .timeout_config(TimeoutConfig::disabled())
        .serializer(serialize)
        .deserializer(|response| Ok(response.status().as_u16()))
        .build();
    Some(operation)
}

/// Returns the first cause of the error, such as "Connection refused".
fn reason(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("the connection failed: {cause}")
}
