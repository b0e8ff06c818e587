//! Going on without a state machine: the invocation works until the run ends or its time is up, and
//! then invokes itself. A custom resource always gets its answer, whatever became of it.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::answer::tried_again;
use super::begin::NOTHING;
use super::working::{Read, work, work_on};
use super::{Handler, Invocation, answer_by, turn_budget};
use crate::aws::Aws;
use crate::cause::Cause;
use crate::engine::Progress;
use crate::error::Error;
use crate::event::Turn;
use crate::event::custom_resource::{CustomResource, physical_id};
use crate::reply::Status;
use crate::reply::cloudformation::Answer;
use crate::request::MAX_TARGETS_ALONE;
use crate::state::State;

/// Lambda stops a function that invokes itself after about sixteen turns; what is open by then is
/// closed in time.
const LAST_TURN: u64 = 14;
/// Turns beyond the last one, for what may pass.
pub(super) const MOST_TURNS: u64 = LAST_TURN + 2;
const LONG: &str = "the function may not invoke itself any longer; deploy the state machine for \
                    copies of several hours";

impl Turn {
    /// The first turn of a run.
    pub fn first(resource: Option<CustomResource>, url_at: Option<String>, answered: bool) -> Self {
        Self {
            resource,
            url_at,
            state: Value::Null,
            answered,
            turn: 0,
        }
    }

    /// The same turn once CloudFormation has its answer.
    fn answered(self) -> Self {
        Self {
            answered: true,
            ..self
        }
    }

    /// CloudFormation, while it waits.
    fn waiting(&self) -> Option<&CustomResource> {
        self.resource.as_ref().filter(|_| !self.answered)
    }
}

/// Refuses a run whose state one invocation could not hand to the next.
pub(super) fn check_carried(state: &State) -> Result<(), Error> {
    let count = state.targets.len();
    if count <= MAX_TARGETS_ALONE {
        return Ok(());
    }
    let problem = format!(
        "are {count}; a function without a state machine takes {MAX_TARGETS_ALONE} at most: deploy \
         the state machine (template.yaml), or name fewer in one request"
    );
    Err(Error::invalid("Targets", problem))
}

impl Handler {
    /// Answers the caller that waits for this turn's run.
    pub(super) async fn answer_in(
        &self,
        aws: &Aws,
        turn: &Turn,
        answer: &Answer,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let Some(resource) = turn.waiting() else {
            return Ok(());
        };
        let by = answer_by(aws, invocation);
        let url_at = turn.url_at.as_deref();
        self.answer(aws, resource, url_at, answer, by).await
    }

    /// Continues. An error that may pass leads to another turn from the same state, any other error
    /// to an answer. Silence would leave CloudFormation waiting and the source open.
    pub(super) async fn turn(
        &self,
        aws: &Aws,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        if turn.state.is_null() && turn.url_at.is_some() && turn.waiting().is_some() {
            return self.custom_resource(aws, turn, invocation).await;
        }
        let Err(error) = self.take_turn(aws, turn, invocation).await else {
            return Ok(json!({"Status": "Done"}));
        };
        let passing = matches!(error, Error::Throttled(_) | Error::Internal(_));
        if passing
            && turn.turn < MOST_TURNS
            && let Ok(state) = State::open(&turn.state)
            && self
                .invoke_self(aws, &state, turn, invocation)
                .await
                .is_ok()
        {
            // As an error, Lambda would deliver this turn again, and each delivery would invoke the
            // next.
            warn!(run = %turn.state["Run"], %error, "tried again in another turn");
            return Ok(json!({"Status": "Continue"}));
        }
        error!(state = %turn.state, %error, "cannot go on by itself");
        let id = turn
            .resource
            .as_ref()
            .and_then(|r| r.physical_resource_id.clone());
        let run = turn.state["Run"]
            .as_str()
            .map_or_else(|| NOTHING.to_owned(), physical_id);
        let said = format!("{}: {error}", error.error_type());
        let answer = Answer::failure(&id.unwrap_or(run), &said);
        self.answer_in(aws, turn, &answer, invocation).await?;
        Err(error)
    }

    async fn take_turn(
        &self,
        aws: &Aws,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut state = State::open(&turn.state)?;
        // Lambda may deliver an event twice.
        state.contended = true;
        self.settings.needed_bucket()?;
        if turn.turn >= LAST_TURN {
            // The remaining work, undoing and closing, needs no source.
            let nothing = Err(LONG.to_owned());
            state.not_ahead_of(aws.now());
            state.give_up(Cause::TooSlow, LONG);
            return self
                .go_on(aws, &mut state, Some(nothing), turn, invocation)
                .await;
        }
        self.go_on(aws, &mut state, None, turn, invocation).await
    }

    /// Works until the run ends or time is up. A state of an earlier call comes without its source.
    /// Boxed, as several ways in wait for it.
    pub(super) fn go_on<'a>(
        &'a self,
        aws: &'a Aws,
        state: &'a mut State,
        source: Option<Read>,
        turn: &'a Turn,
        invocation: &'a Invocation,
    ) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(self.work_and_answer(aws, state, source, turn, invocation))
    }

    async fn work_and_answer(
        &self,
        aws: &Aws,
        state: &mut State,
        source: Option<Read>,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut budget = turn_budget(aws, invocation)?;
        let waiting = turn.waiting().filter(|_| state.end_by != 0);
        let due = waiting.map(|resource| resource.answer_due(state.end_by));
        if let Some(due) = due {
            budget.end_at(due);
        }
        let progress = match source {
            Some(source) => work(aws, state, source, budget).await,
            None => work_on(aws, state, budget).await,
        };
        if progress == Progress::Ended {
            let answer = Answer::ended(state, &physical_id(&state.run));
            let status = Status::of(state).as_str();
            self.ended(aws, state, invocation).await?;
            info!(run = state.run, status, reason = answer.reason, "ended");
            if let Err(error) = self.answer_in(aws, turn, &answer, invocation).await {
                return self.answer_later(aws, state, turn, invocation, error).await;
            }
            return Ok(json!({"Status": status, "RunId": state.run}));
        }
        if due.is_some_and(|due| aws.now() >= due) {
            let answer = Answer::late(state, &physical_id(&state.run));
            if let Err(error) = self.answer_in(aws, turn, &answer, invocation).await {
                return self.answer_later(aws, state, turn, invocation, error).await;
            }
            let turn = turn.clone().answered();
            return self.hand_on(aws, state, &turn, invocation).await;
        }
        self.hand_on(aws, state, turn, invocation).await
    }

    /// Leaves an answer that CloudFormation did not take to another invocation.
    async fn answer_later(
        &self,
        aws: &Aws,
        state: &State,
        turn: &Turn,
        invocation: &Invocation,
        error: Error,
    ) -> Result<Value, Error> {
        if turn.turn >= MOST_TURNS {
            return Err(error);
        }
        if let Some(resource) = &turn.resource {
            tried_again(resource, &error);
        }
        self.invoke_self(aws, state, turn, invocation).await?;
        Ok(json!({"Status": "Continue", "RunId": state.run}))
    }

    /// Leaves the rest to another invocation.
    async fn hand_on(
        &self,
        aws: &Aws,
        state: &State,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        if let Err(refused) = self.invoke_self(aws, state, turn, invocation).await {
            // The state is no secret: with it, a person can go on by {"State": …} and close what is
            // open.
            let open = serde_json::to_string(state).unwrap_or_default();
            error!(run = state.run, state = open, refused = %refused, "cannot go on by itself");
            let said = Answer::failure(&physical_id(&state.run), &refused.to_string());
            self.answer_in(aws, turn, &said, invocation).await?;
            return Err(refused);
        }
        Ok(json!({"Status": "Continue", "RunId": state.run}))
    }

    async fn invoke_self(
        &self,
        aws: &Aws,
        state: &State,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let mut payload = json!({"State": state, "Answered": turn.answered, "Turn": turn.turn + 1});
        if let Some(resource) = &turn.resource {
            payload["CustomResource"] = resource.without_url();
        }
        if let Some(resource) = turn.waiting() {
            payload["ResponseUrlAt"] = json!(self.keep_url(aws, resource).await?);
        }
        aws.invoke_itself(invocation.own_name(), &payload)
            .await
            .map_err(|refusal| Error::Internal(refusal.to_string()))
    }
}
