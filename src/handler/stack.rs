//! A custom resource's life: Create and Update distribute, Delete withdraws, and CloudFormation always gets its answer,
//! whatever became of it. Longer than one invocation it goes on by invoking itself.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::{Value, json};
use tracing::{error, info};

use super::{Begun, Handler, Invocation, begin, budget, in_time, read_again, too_slow};
use crate::aws::{Aws, Place, refusal};
use crate::engine::{Budget, Progress, advance};
use crate::error::Error;
use crate::event::Turn;
use crate::event::custom_resource::{CustomResource, RequestType, physical_id};
use crate::plan;
use crate::reply::Status;
use crate::reply::cloudformation::{Answer, put};
use crate::request::{Mode, OnDelete, Request};
use crate::source::Source;
use crate::state::State;

/// Lambda stops a function that invokes itself after about sixteen turns; what is open by then is closed in time.
const LAST_TURN: u64 = 14;
/// CloudFormation's hour for a custom resource, less the time to undo and to answer.
const CLOUDFORMATION_WAITS: Duration = Duration::from_mins(55);
/// Kept free before the deadline for the answer, or for the next invocation, where the function has the time.
const FOR_THE_ANSWER: Duration = Duration::from_secs(25);
/// The source design's resources that share without copying.
const SHARING_RESOURCES: [&str; 2] = ["Custom::ShareAutomation", "Custom::MultiAccountAmiShare"];
/// What a failed Create without a usable request is called; deleting it deletes nothing.
const NOTHING: &str = "amiferry-nothing";

/// A run that begins, or an answer that can be given at once.
enum Beginning {
    Run(Box<(State, Result<Source, String>)>, bool),
    Answer(Answer),
}

impl Handler {
    pub(super) async fn custom_resource(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        info!(stack = resource.stack_id, resource = resource.logical_resource_id, request = ?resource.request_type, "custom resource");
        match self.begin_in_time(aws, resource, invocation).await {
            Ok(Beginning::Answer(answer)) => put(&answer, resource).await.map(|()| Value::Null),
            Ok(Beginning::Run(run, wait)) => {
                let (mut state, source) = *run;
                let answered = !wait;
                if answered {
                    let mut started = Answer::success(&physical_id(&state.run), "started");
                    started.data.insert("RunId".to_owned(), json!(state.run));
                    started
                        .data
                        .insert("Count".to_owned(), json!(state.targets.len().to_string()));
                    put(&started, resource).await?;
                }
                self.go_on(
                    aws,
                    &mut state,
                    &source,
                    &Turn {
                        resource: resource.clone(),
                        state: Value::Null,
                        answered,
                        turn: 0,
                    },
                    invocation,
                )
                .await
            }
            Err(error) => {
                // Said to CloudFormation, which rolls back; the invocation itself has done its work.
                let id = resource
                    .physical_resource_id
                    .clone()
                    .unwrap_or_else(|| NOTHING.to_owned());
                put(
                    &Answer::failure(&id, &format!("{}: {error}", error.error_type())),
                    resource,
                )
                .await
                .map(|()| Value::Null)
            }
        }
    }

    async fn begin_in_time(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Beginning, Error> {
        let budget = turn_budget(aws, invocation)?;
        let beginning = match resource.request_type {
            RequestType::Delete => {
                in_time(aws, &budget, self.begin_delete(aws, resource, invocation)).await
            }
            RequestType::Create | RequestType::Update => {
                in_time(aws, &budget, self.begin_copy(aws, resource, invocation)).await
            }
        };
        beginning.unwrap_or_else(|| Err(too_slow()))
    }

    /// Goes on; an error that may pass is met by another turn from the same state, any other by an answer. Silence would
    /// leave CloudFormation waiting and the source open.
    pub(super) async fn custom_resource_turn(
        &self,
        aws: &Aws,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let Err(error) = self.take_turn(aws, turn, invocation).await else {
            return Ok(json!({"Status": "Done"}));
        };
        let passing = matches!(error, Error::Throttled(_) | Error::Internal(_));
        if passing
            && turn.turn < LAST_TURN + 2
            && let Ok(state) = State::open(&turn.state)
            && self.invoke_self(&state, turn, invocation).await.is_ok()
        {
            return Err(error);
        }
        error!(state = %turn.state, %error, "cannot go on by itself");
        if !turn.answered {
            let id = turn.resource.physical_resource_id.clone();
            let run = turn.state["Run"]
                .as_str()
                .map_or_else(|| NOTHING.to_owned(), physical_id);
            let said = format!("{}: {error}", error.error_type());
            put(&Answer::failure(&id.unwrap_or(run), &said), &turn.resource).await?;
        }
        Err(error)
    }

    async fn take_turn(
        &self,
        aws: &Aws,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut state = State::open(&turn.state)?;
        if turn.turn >= LAST_TURN {
            state.give_up("the function may not invoke itself any longer; deploy the state machine for copies of several hours");
        }
        let budget = turn_budget(aws, invocation)?;
        let source = in_time(aws, &budget, read_again(aws, &mut state))
            .await
            .unwrap_or_else(|| Err(too_slow()))?;
        self.go_on(aws, &mut state, &source, turn, invocation).await
    }

    async fn begin_copy(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Beginning, Error> {
        let defaults = self.defaults(invocation)?;
        let mode = mode_of(resource);
        let request = Request::parse_as(mode, &resource.properties, &defaults)?;
        if request.sharing.unshare {
            return Err(Error::invalid(
                "Unshare",
                "is for direct calls; a resource ends its sharing when it is deleted",
            ));
        }
        let run = resource.run_id(&request.source_image);
        let Begun {
            request,
            mut state,
            source,
        } = begin(aws, request, &run, true).await?;
        let copies = request.mode == Mode::Copy;
        if resource.request_type == RequestType::Update
            && copies
            && request.on_delete == OnDelete::Deregister
        {
            // A changed image is a new physical resource: CloudFormation deletes the old one by an event of its own.
            if let Ok(old) = Request::parse_as(mode, &resource.old_properties, &defaults)
                && old.source_image == request.source_image
                && old.mode == Mode::Copy
            {
                let kept = |t: &crate::request::Target| {
                    request
                        .targets
                        .iter()
                        .any(|n| n.account == t.account && n.region == t.region)
                };
                let gone: Vec<_> = old.targets.into_iter().filter(|t| !kept(t)).collect();
                plan::take_off(&mut state, &gone)?;
            }
        }
        Ok(Beginning::Run(Box::new((state, Ok(source))), request.wait))
    }

    /// What never existed is deleted already; what remains of a run at the source is closed in any case.
    async fn begin_delete(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        invocation: &Invocation,
    ) -> Result<Beginning, Error> {
        let id = resource
            .physical_resource_id
            .clone()
            .unwrap_or_else(|| NOTHING.to_owned());
        let ours = |request: &Request| id == physical_id(&resource.run_id(&request.source_image));
        let request = Request::parse_as(
            mode_of(resource),
            &resource.properties,
            &self.defaults(invocation)?,
        )
        .ok()
        .filter(ours);
        let Some(mut request) = request else {
            return Ok(Beginning::Answer(Answer::success(
                &id,
                "there is nothing of this resource to delete",
            )));
        };
        let run = resource.run_id(&request.source_image);
        let (image, region) = (&request.source_image, &request.source_region);
        let source = match aws.read_source(image, region).await {
            Ok(source) => Ok(source),
            Err(Error::SourceNotFound(said)) => Err(said),
            Err(error) => return Err(error),
        };
        let place = match &source {
            Ok(source) => Some(plan::source_ref(&request, source)),
            Err(_) => {
                aws.remains(&run, image, region, resource.stack_account())
                    .await?
            }
        };
        let place = place.ok_or_else(|| Error::invalid("StackId", "is not the ARN of a stack"))?;
        let state = match (request.mode, request.on_delete) {
            (Mode::Share, _) => plan::unshare_all(&request, place, &run, aws.now()),
            (Mode::Copy, OnDelete::Retain) => {
                plan::withdraw(&request, place, true, &run, aws.now())
            }
            (Mode::Copy, OnDelete::Deregister) => {
                if let Some(audience) = &request.audience {
                    let members = aws.members(audience, true).await?;
                    request = request.with_members(&members.accounts, &place.account_id)?;
                }
                plan::withdraw(&request, place, false, &run, aws.now())
            }
        };
        Ok(Beginning::Run(Box::new((state, source)), true))
    }

    /// Works until the run ends or time is up. CloudFormation waits for one hour: a run that cannot be done by then is ended
    /// and undone while there is time to say so.
    async fn go_on(
        &self,
        aws: &Aws,
        state: &mut State,
        source: &Result<Source, String>,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let whole = turn_budget(aws, invocation)?;
        let answer_by = (!turn.answered).then(|| {
            UNIX_EPOCH + Duration::from_secs(state.started.unsigned_abs()) + CLOUDFORMATION_WAITS
        });
        let until_answer = Budget {
            end: whole.end.into_iter().chain(answer_by).min(),
            ..whole
        };
        let mut progress = advance(aws, state, source, until_answer).await;
        if progress != Progress::Ended && answer_by.is_some_and(|by| by <= aws.time_source().now())
        {
            state.give_up("CloudFormation waits for one hour; give the resource Wait: false, or the copies CopyCompletionMinutes");
            progress = advance(aws, state, source, whole).await;
        }
        match progress {
            Progress::Ended => {
                let answer = Answer::ended(state, &physical_id(&state.run));
                info!(
                    run = state.run,
                    status = Status::of(state).as_str(),
                    reason = answer.reason,
                    "ended"
                );
                if !turn.answered {
                    put(&answer, &turn.resource).await?;
                }
                Ok(json!({"Status": Status::of(state).as_str(), "RunId": state.run}))
            }
            Progress::Continue(_) => {
                if let Err(refused) = self.invoke_self(state, turn, invocation).await {
                    // The state is no secret: with it, a person can go on by {"State": …} and close what is open.
                    let open = serde_json::to_string(state).unwrap_or_default();
                    error!(run = state.run, state = open, refused = %refused, "cannot go on by itself");
                    if !turn.answered {
                        put(
                            &Answer::failure(&physical_id(&state.run), &refused.to_string()),
                            &turn.resource,
                        )
                        .await?;
                    }
                    return Err(refused);
                }
                Ok(json!({"Status": "Continue", "RunId": state.run}))
            }
        }
    }

    async fn invoke_self(
        &self,
        state: &State,
        turn: &Turn,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let at = Place {
            account: state.source.account_id.to_string(),
            region: self
                .config
                .region()
                .map_or_else(String::new, ToString::to_string),
        };
        let payload = json!({"CustomResource": turn.resource.to_value(), "State": state, "Answered": turn.answered, "Turn": turn.turn + 1});
        aws_sdk_lambda::Client::new(&self.config)
            .invoke()
            .function_name(invocation.own_name())
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .map_err(|e| {
                Error::Internal(refusal("Invoke", &at, &invocation.function_arn, &e).to_string())
            })?;
        Ok(())
    }
}

/// What the resource's type says where its properties do not.
fn mode_of(resource: &CustomResource) -> Mode {
    if SHARING_RESOURCES.contains(&resource.resource_type.as_str()) {
        Mode::Share
    } else {
        Mode::Copy
    }
}

/// An invocation that answers, or hands on, itself.
fn turn_budget(aws: &Aws, invocation: &Invocation) -> Result<Budget, Error> {
    let budget = budget(aws, invocation, i64::MAX)?;
    let now = aws.time_source().now();
    let shorter = budget
        .end
        .and_then(|end| end.checked_sub(FOR_THE_ANSWER))
        .filter(|end| *end > now + FOR_THE_ANSWER);
    Ok(Budget {
        end: shorter.or(budget.end),
        ..budget
    })
}
