//! A custom resource's event: Create and Update distribute, Delete withdraws. With a state machine it is started and does the
//! rest; without, this invocation does.

use serde_json::{Value, json};
use tracing::info;

use super::begin::{Beginning, Begun, NOTHING, accept};
use super::{Handler, Invocation, answer_by, in_time, too_slow, turn_budget};
use crate::aws::Aws;
use crate::error::Error;
use crate::event::Turn;
use crate::event::custom_resource::{CustomResource, RequestType, physical_id};
use crate::event::job::Job;
use crate::reply::cloudformation::{Answer, put};

impl Handler {
    pub(super) async fn custom_resource(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        info!(stack = resource.stack_id, resource = resource.logical_resource_id, request = ?resource.request_type, "custom resource");
        let served = if self.settings.state_machine.is_some() {
            self.start_for(aws, resource).await
        } else {
            self.serve(aws, resource, invocation).await
        };
        match served {
            Ok(value) => Ok(value),
            Err(Unanswered::Said(error)) => Err(error),
            Err(Unanswered::ToSay(error)) => {
                // Said to CloudFormation, which rolls back; the invocation itself has done its work.
                let id = resource
                    .physical_resource_id
                    .clone()
                    .unwrap_or_else(|| NOTHING.to_owned());
                let said = format!("{}: {error}", error.error_type());
                let answer = Answer::failure(&id, &said);
                let by = answer_by(aws, invocation);
                put(&answer, resource, by).await.map(|()| Value::Null)
            }
        }
    }

    /// Starts the state machine. The execution's name comes from the event, so a second delivery starts nothing.
    async fn start_for(&self, aws: &Aws, resource: &CustomResource) -> Result<Value, Unanswered> {
        let (name, url_at) = (resource.execution(), resource.url_at());
        let kept = match (&resource.response_url, &self.settings.bucket) {
            (Some(url), Some(bucket)) => {
                aws.keep(bucket, &url_at, url.reveal().as_bytes().to_vec())
                    .await?;
                Some(url_at.as_str())
            }
            _ => None,
        };
        let input = Job::custom_resource(resource, kept);
        let at_work = self.start(aws, &name, &input).await?;
        if let (false, Some(bucket)) = (at_work, &self.settings.bucket) {
            // An old event once more: its answer was given, and nobody would throw the URL away.
            aws.discard(bucket, &url_at).await?;
        }
        Ok(json!({"Execution": name}))
    }

    async fn serve(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Value, Unanswered> {
        let budget = turn_budget(aws, invocation)?;
        let defaults = self.defaults(invocation)?;
        let beginning = in_time(aws, &budget, self.begin_resource(aws, resource, &defaults));
        let begun = match beginning.await.unwrap_or_else(|| Err(too_slow()))? {
            Beginning::Answer(answer) => {
                let put = put(&answer, resource, answer_by(aws, invocation)).await;
                return put.map(|()| Value::Null).map_err(Unanswered::Said);
            }
            Beginning::Run(begun) => begun,
        };
        let mut begun = begun;
        if resource.request_type != RequestType::Delete {
            let by = asked_by(resource);
            let accepting = in_time(aws, &budget, accept(aws, &mut begun, &by, true)).await;
            accepting.unwrap_or_else(|| Err(too_slow()))?;
        }
        let Begun {
            mut state, source, ..
        } = *begun;
        // Whoever does not wait has no end to it.
        let answered = state.end_by == 0;
        if answered {
            let started = started(&state);
            let by = answer_by(aws, invocation);
            put(&started, resource, by)
                .await
                .map_err(Unanswered::Said)?;
        }
        let turn = Turn::first(Some(resource.clone()), answered);
        let going = self.go_on(aws, &mut state, &source, &turn, invocation);
        going.await.map_err(Unanswered::Said)
    }
}

/// An error of a custom resource's invocation.
enum Unanswered {
    /// CloudFormation has been told, or cannot be.
    Said(Error),
    ToSay(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::ToSay(error)
    }
}

/// A custom resource as the ledger names it.
pub fn asked_by(resource: &CustomResource) -> String {
    format!("custom resource {} of {}", resource.logical_resource_id, resource.stack_id)
}

/// What a resource with `Wait: false` is told.
pub fn started(state: &crate::state::State) -> Answer {
    let mut started = Answer::success(&physical_id(&state.run), "started");
    let data = &mut started.data;
    data.insert("RunId".to_owned(), json!(state.run));
    data.insert("Count".to_owned(), json!(state.targets.len().to_string()));
    started
}
