//! Answering CloudFormation, and events that carry a ResponseURL. The URL is enough to forge the
//! answer, so no queue gets it. Lambda puts the payload of an asynchronous invocation that fails
//! into the dead letters, and such an event therefore never fails.

use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{error, warn};

use super::Handler;
use crate::aws::Aws;
use crate::error::Error;
use crate::event::custom_resource::{CustomResource, ResponseUrl};
use crate::event::response_hosts::ResponseHosts;
use crate::reply::cloudformation::Answer;
use crate::reply::put::put;

/// Calls whose caller waits for the error: nothing of them is queued.
const WAITED_FOR: [&str; 6] = [
    "Open",
    "Conclude",
    "Distribute",
    "Preflight",
    "Policies",
    "State",
];
const URL: &str = "ResponseURL";

impl Handler {
    /// Refuses a ResponseURL that leads neither to CloudFormation nor to a listed host.
    pub(super) fn check_url(&self, resource: &CustomResource) -> Result<(), Error> {
        match &resource.response_url {
            Some(url) => self.hosts()?.check(url),
            None => Ok(()),
        }
    }

    /// A malformed list of hosts admits none, so that CloudFormation itself can still be told what
    /// is wrong.
    fn hosts(&self) -> Result<ResponseHosts, Error> {
        let region = self.region()?;
        let listed = self.settings.response_hosts(region.clone());
        Ok(listed.unwrap_or_else(|_| ResponseHosts::of(region)))
    }

    /// Answers CloudFormation, if the ResponseURL is still there. A kept URL is deleted once used.
    pub(super) async fn answer(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        url_at: Option<&str>,
        answer: &Answer,
        by: Instant,
    ) -> Result<(), Error> {
        let Some(key) = url_at else {
            self.check_url(resource)?;
            return put(&aws.http()?, answer, resource, by).await;
        };
        let bucket = self.settings.needed_bucket()?;
        let Some(url) = aws.kept(bucket, key).await? else {
            return Ok(());
        };
        let url = String::from_utf8(url)
            .map_err(|_| Error::Internal(format!("s3://{bucket}/{key} holds no URL")))?;
        let mut resource = resource.clone();
        resource.response_url = Some(ResponseUrl::parse(url)?);
        self.check_url(&resource)?;
        put(&aws.http()?, answer, &resource, by).await?;
        aws.discard(bucket, key).await
    }

    /// Keeps the resource's ResponseURL in the bucket, and returns where.
    pub(super) async fn keep_url(
        &self,
        aws: &Aws,
        resource: &CustomResource,
    ) -> Result<String, Error> {
        let bucket = self.settings.needed_bucket()?;
        let key = resource.url_at();
        if let Some(url) = &resource.response_url {
            let body = url.reveal().as_bytes().to_vec();
            aws.keep(bucket, &key, body).await?;
        }
        Ok(key)
    }

    /// Serves a resource's event again from its beginning, in another invocation: CloudFormation
    /// did not take the answer.
    pub(super) async fn serve_again(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        function: String,
        turn: u64,
    ) -> Result<(), Error> {
        let at = self.keep_url(aws, resource).await?;
        let payload =
            json!({"Turn": turn, "CustomResource": resource.without_url(), "ResponseUrlAt": at});
        aws.invoke_itself(function, &payload)
            .await
            .map_err(|refusal| Error::Internal(refusal.to_string()))
    }
}

/// Returns the result of an event, and no error for one that carries a ResponseURL.
pub(super) fn without_payload(
    payload: &str,
    event: Option<&Value>,
    served: Result<Value, Error>,
) -> Result<Value, Error> {
    match served {
        Err(error) if carries_url(payload, event) => {
            error!(%error, "not served; the event carries a ResponseURL and is not failed, so that \
                            no queue gets it");
            let (kind, said) = (error.error_type(), error.to_string());
            Ok(json!({"Status": "Failed", "ErrorType": kind, "Reason": said}))
        }
        served => served,
    }
}

fn carries_url(payload: &str, event: Option<&Value>) -> bool {
    let Some(event) = event else {
        return payload.contains(URL);
    };
    if event.get(URL).is_some() {
        return true;
    }
    let has = |key: &str| event.get(key).is_some();
    if !has("Turn") && WAITED_FOR.into_iter().any(has) {
        return false;
    }
    // Also in a string, as SNS sends it; and with its letters escaped.
    payload.contains(URL) || event.to_string().contains(URL)
}

/// Says in the log why an answer is tried again.
pub(super) fn tried_again(resource: &CustomResource, error: &Error) {
    warn!(stack = resource.stack_id, %error, "answered again in another invocation");
}
