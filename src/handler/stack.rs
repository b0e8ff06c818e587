//! A custom resource's event: Create and Update distribute, Delete withdraws. With a state machine
//! it is started and does the rest; without, this invocation does.

use serde_json::{Value, json};
use tracing::info;

use super::answer::tried_again;
use super::begin::{Beginning, Begun, NOTHING, accept, request_of};
use super::turn::{MOST_TURNS, check_carried};
use super::{Handler, Invocation, in_time, too_slow, turn_budget};
use crate::aws::Aws;
use crate::error::Error;
use crate::event::Turn;
use crate::event::custom_resource::{CustomResource, RequestType, physical_id};
use crate::event::job::Job;
use crate::reply::cloudformation::Answer;

impl Handler {
    pub(super) async fn custom_resource(
        &self,
        aws: &Aws,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let Some(resource) = &turn.resource else {
            return Ok(Value::Null);
        };
        info!(
            stack = resource.stack_id,
            resource = resource.logical_resource_id,
            request = ?resource.request_type,
            "custom resource"
        );
        let is_delete = resource.request_type == RequestType::Delete;
        // A Delete works without a bucket, but an execution needs a place for the ResponseURL.
        let with_machine = self.settings.state_machine.is_some()
            && (self.settings.needed_bucket().is_ok() || !is_delete);
        let served = if with_machine {
            self.start_for(aws, resource, invocation).await
        } else {
            self.serve(aws, resource, turn, invocation).await
        };
        let untold = match served {
            Ok(value) => return Ok(value),
            Err(Unanswered::Said(error)) => return Err(error),
            Err(Unanswered::Untold(error)) => error,
            Err(Unanswered::ToSay(error)) => {
                // Said to CloudFormation, which rolls back; the invocation itself has done its
                // work.
                let id = resource.physical_resource_id.as_deref();
                let said = format!("{}: {error}", error.error_type());
                let answer = Answer::failure(id.unwrap_or(NOTHING), &said);
                match self.answer_in(aws, turn, &answer, invocation).await {
                    Ok(()) => return Ok(Value::Null),
                    Err(error) => error,
                }
            }
        };
        if turn.turn >= MOST_TURNS {
            return Err(untold);
        }
        tried_again(resource, &untold);
        let (function, next) = (invocation.own_name(), turn.turn + 1);
        self.serve_again(aws, resource, function, next).await?;
        Ok(json!({"Status": "Continue"}))
    }

    /// Starts the state machine. The execution's name comes from the event, so a second delivery
    /// starts nothing.
    async fn start_for(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Value, Unanswered> {
        if resource.request_type != RequestType::Delete {
            let request = request_of(resource, &self.defaults(invocation)?)?;
            self.permit(aws, &request).await?;
        }
        let bucket = self.settings.needed_bucket()?;
        let name = resource.execution();
        if self.has_execution(aws, &name).await? {
            // Delivered before: the URL is kept, or was used a moment ago by an execution that has
            // not ended yet.
            return Ok(json!({"Execution": name}));
        }
        let url_at = self.keep_url(aws, resource).await?;
        let input = Job::custom_resource(resource, &url_at);
        if !self.start(aws, &name, &input).await? {
            // An old event once more: its answer was given, and nobody would throw the URL away.
            aws.discard(bucket, &url_at).await?;
        }
        Ok(json!({"Execution": name}))
    }

    async fn serve(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Unanswered> {
        let budget = turn_budget(aws, invocation)?;
        let defaults = self.defaults(invocation)?;
        let beginning = in_time(aws, &budget, self.begin_resource(aws, resource, &defaults));
        let begun = match beginning.await.unwrap_or_else(|| Err(too_slow()))? {
            Beginning::Answer(answer) => {
                let told = self.answer_in(aws, turn, &answer, invocation).await;
                return told.map(|()| Value::Null).map_err(Unanswered::Untold);
            }
            Beginning::Run(begun) => begun,
        };
        let mut begun = begun;
        if resource.request_type != RequestType::Delete {
            check_carried(&begun.state)?;
            let by = asked_by(resource);
            let accepting = in_time(aws, &budget, accept(aws, &mut begun, &by, true)).await;
            accepting.unwrap_or_else(|| Err(too_slow()))?;
        }
        let Begun {
            mut state, source, ..
        } = *begun;
        // A resource that does not wait has no end to report.
        let answered = state.end_by == 0;
        if answered {
            let started = started(&state);
            let told = self.answer_in(aws, turn, &started, invocation).await;
            told.map_err(Unanswered::Untold)?;
        }
        let turn = Turn {
            answered,
            ..turn.clone()
        };
        let going = self.go_on(aws, &mut state, Some(source), &turn, invocation);
        going.await.map_err(Unanswered::Said)
    }
}

/// An error of a custom resource's invocation.
enum Unanswered {
    /// CloudFormation has its answer, or another invocation gives it.
    Said(Error),
    /// CloudFormation has not taken the answer.
    Untold(Error),
    ToSay(Error),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::ToSay(error)
    }
}

/// A custom resource as the ledger names it.
pub fn asked_by(resource: &CustomResource) -> String {
    format!(
        "custom resource {} of {}",
        resource.logical_resource_id, resource.stack_id
    )
}

/// Returns the answer to a resource with `Wait: false`.
pub fn started(state: &crate::state::State) -> Answer {
    let mut started = Answer::success(&physical_id(&state.run), "started");
    let data = &mut started.data;
    data.insert("RunId".to_owned(), json!(state.run));
    data.insert("Count".to_owned(), json!(state.targets.len().to_string()));
    started
}
