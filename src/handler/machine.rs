//! The two ends of an execution of the state machine. `open` looks at the targets and opens the
//! source; the machine then gives each target its part. `conclude` takes the parts in, closes the
//! source, and answers the caller. It concludes after every end, even where there is only an error
//! to conclude from.

use std::collections::HashMap;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::begin::{Beginning, Begun, NOTHING, accept, begin, request_of, run_of};
use super::stack::{asked_by, started};
use super::working::{work, work_on};
use super::{Handler, Invocation, PATIENCE, answer_by, budget, in_time, too_slow};
use crate::aws::Aws;
use crate::cause::Cause;
use crate::engine::Progress;
use crate::error::Error;
use crate::event::custom_resource::{RequestType, physical_id};
use crate::event::job::{Call, Job};
use crate::plan;
use crate::reply::cloudformation::Answer;
use crate::reply::{Status, notice, outcome};
use crate::request::{Mode, Request};
use crate::state::{Failure, State, TargetPhase};

mod carry;
mod part;

use carry::INLINE;
use part::Part;

impl Handler {
    pub(super) async fn open(
        &self,
        aws: &Aws,
        call: &Call,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let job = Job::parse(&call.job)?;
        self.settings.needed_bucket()?;
        let mut budget = budget(aws, invocation, PATIENCE)?;
        budget.only_open = true;
        let (state, progress) = if let Some(mut state) = self.last_state(aws, &call.last).await? {
            let progress = work_on(aws, &mut state, budget).await;
            (state, progress)
        } else {
            let beginning = in_time(aws, &budget, self.begin_job(aws, &job, invocation)).await;
            match beginning.unwrap_or_else(|| Err(too_slow()))? {
                Beginning::Answer(_) => return Ok(json!({"Status": "Nothing"})),
                Beginning::Run(mut begun) => {
                    call.execution.clone_into(&mut begun.state.execution);
                    let accepting = in_time(aws, &budget, accept_job(aws, &job, &mut begun)).await;
                    accepting.unwrap_or_else(|| Err(too_slow()))?;
                    let Begun {
                        mut state, source, ..
                    } = *begun;
                    self.say_started(aws, &job, &state, invocation).await?;
                    if let Ok(source) = &source {
                        let keeping = in_time(aws, &budget, aws.keep_source(&state, source)).await;
                        keeping.unwrap_or_else(|| Err(too_slow()))?;
                    }
                    let progress = work(aws, &mut state, source, budget).await;
                    (state, progress)
                }
            }
        };
        match progress {
            // The conclusion undoes the rest.
            Progress::Continue(_) if state.end_by != 0 && aws.now() >= state.end_by => {
                self.whole(aws, "Late", None, &state, INLINE).await
            }
            Progress::Continue(seconds) => {
                self.whole(aws, "Continue", Some(seconds), &state, INLINE)
                    .await
            }
            Progress::Opened | Progress::Ended => self.parts_of(aws, &state, call.at_once).await,
        }
    }

    pub(super) async fn conclude(
        &self,
        aws: &Aws,
        call: &Call,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let budget = budget(aws, invocation, PATIENCE)?;
        let last = self.last_state(aws, &call.last).await?;
        let recovered = last.is_none();
        let mut state = match last {
            Some(mut state) => {
                if call.last["Concluding"] != true {
                    self.take_in(aws, &mut state, call).await?;
                }
                state
            }
            None => match in_time(aws, &budget, self.recover(aws, call, invocation))
                .await
                .unwrap_or_else(|| Err(too_slow()))?
            {
                Some(state) => state,
                None => return self.nothing_to_conclude(aws, call, invocation).await,
            },
        };
        match work_on(aws, &mut state, budget).await {
            Progress::Continue(seconds) => {
                let seconds = self.answer_late(aws, call, &state, seconds, invocation);
                self.concluding(aws, seconds.await?, &state).await
            }
            Progress::Opened | Progress::Ended => {
                let status = Status::of(&state);
                if call.failed.is_some() && state.targets.is_empty() && status != Status::Stuck {
                    // Opening failed before it knew its targets: what there was to close is closed,
                    // and nothing was done.
                    return self.nothing_to_conclude(aws, call, invocation).await;
                }
                let status = status.as_str();
                info!(run = state.run, status, "concluded");
                // A resource that does not wait was answered when it began.
                if (recovered || state.end_by != 0)
                    && let Ok(Job::CustomResource(resource, url_at)) = Job::parse(&call.job)
                {
                    let answer = Answer::ended(&state, &physical_id(&state.run));
                    self.answer(
                        aws,
                        &resource,
                        url_at.as_deref(),
                        &answer,
                        answer_by(aws, invocation),
                    )
                    .await?;
                }
                self.told(aws, &state, invocation).await
            }
        }
    }

    async fn begin_job(
        &self,
        aws: &Aws,
        job: &Job,
        invocation: &Invocation,
    ) -> Result<Beginning, Error> {
        let defaults = self.defaults(invocation)?;
        match job {
            Job::Distribute(words) => {
                let request = Request::parse(words, &defaults)?;
                self.permit(aws, &request).await?;
                let run = run_of(words, &request);
                let begun = begin(aws, request, &run, false).await?;
                Ok(Beginning::Run(Box::new(begun)))
            }
            Job::CustomResource(resource, _) => {
                self.check_url(resource)?;
                self.begin_resource(aws, resource, &defaults).await
            }
        }
    }

    /// A resource that does not wait is answered as soon as its request is known to be good.
    async fn say_started(
        &self,
        aws: &Aws,
        job: &Job,
        state: &State,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        match job {
            Job::CustomResource(resource, url_at) if state.end_by == 0 => {
                let by = answer_by(aws, invocation);
                self.answer(aws, resource, url_at.as_deref(), &started(state), by)
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Answers CloudFormation if it waits no longer for the rest of the work, which goes on.
    /// Returns the seconds to wait, which end when the answer is due.
    async fn answer_late(
        &self,
        aws: &Aws,
        call: &Call,
        state: &State,
        seconds: u32,
        invocation: &Invocation,
    ) -> Result<u32, Error> {
        let Ok(Job::CustomResource(resource, Some(url_at))) = Job::parse(&call.job) else {
            return Ok(seconds);
        };
        if state.end_by == 0 {
            return Ok(seconds);
        }
        let left = resource.answer_due(state.end_by) - aws.now();
        if left > 0 {
            return Ok(seconds.min(u32::try_from(left).unwrap_or(seconds)));
        }
        let answer = Answer::late(state, &physical_id(&state.run));
        let by = answer_by(aws, invocation);
        self.answer(aws, &resource, Some(&url_at), &answer, by)
            .await?;
        Ok(seconds)
    }

    async fn concluding(&self, aws: &Aws, seconds: u32, state: &State) -> Result<Value, Error> {
        let mut told = self
            .whole(aws, "Continue", Some(seconds), state, INLINE)
            .await?;
        told["Concluding"] = json!(true);
        Ok(told)
    }

    /// Takes in the results of the parts. A target whose part ended without an end is undone here.
    async fn take_in(&self, aws: &Aws, state: &mut State, call: &Call) -> Result<(), Error> {
        let mut why = HashMap::new();
        let places = state.places();
        let take = |part: Part| match part.state {
            Some(Ok(part_state)) => {
                let of = part_state.targets.first();
                let of = of.and_then(|t| places.get(&(t.account_id.clone(), t.region.clone())));
                why.extend(of.copied().zip(part.error));
                state.take_in(part_state, &places);
            }
            Some(Err(error)) => warn!(run = state.run, %error, "a part came back broken"),
            None => warn!(run = state.run, "a part came back without its state"),
        };
        self.each_part(aws, &call.parts, take).await?;
        let otherwise = call.failed.as_deref();
        let otherwise = otherwise.unwrap_or("the execution ended its part before it was done");
        for i in 0..state.targets.len() {
            let said = why.get(&i).map_or(otherwise, String::as_str);
            state.give_up_target(i, Cause::Other, said);
        }
        if let Some(share) = &mut state.order.share
            && state.phase != crate::state::Phase::Ended
        {
            // Unfinished work is taken back here, not begun again.
            share.gone.append(&mut share.audience);
        }
        state.part = false;
        Ok(())
    }

    /// Closes what a failed opening may have left open, as the ledger has it: there is no state.
    pub(super) async fn recover(
        &self,
        aws: &Aws,
        call: &Call,
        invocation: &Invocation,
    ) -> Result<Option<State>, Error> {
        let Some(failed) = &call.failed else {
            return Ok(None);
        };
        let defaults = self.defaults(invocation)?;
        let (request, run, account) = match Job::parse(&call.job) {
            Ok(Job::Distribute(words)) => match Request::parse(&words, &defaults) {
                Ok(request) => {
                    let run = run_of(&words, &request);
                    (request, run, defaults.account)
                }
                Err(_) => return Ok(None),
            },
            Ok(Job::CustomResource(resource, _)) => match request_of(&resource, &defaults) {
                Ok(request) => {
                    let run = resource.run_id(&request.source_image);
                    (request, run, resource.stack_account())
                }
                Err(_) => return Ok(None),
            },
            Err(_) => return Ok(None),
        };
        if request.mode == Mode::Share {
            // Shares of an earlier request stay. CloudFormation deletes a resource that could not
            // be made.
            return Ok(None);
        }
        let (image, region) = (&request.source_image, &request.source_region);
        let remains = aws.remains(&run, image, region, account).await;
        let Some(place) = remains.map_err(Error::from_refusal)? else {
            return Ok(None);
        };
        let mut state = plan::withdraw(&request, place, true, &run, aws.now());
        // Where the live attempt is this execution's, it had opened the source and had not come to
        // copying.
        let found = aws.run_record(&run).await.map_err(Error::from_refusal)?;
        let ours = found.filter(|run| run.executions.contains(&call.execution));
        if let Some(ours) = ours {
            state.attempt = ours.attempt;
            state.sharing.at = aws.now();
        }
        for target in &mut state.targets {
            target.phase = TargetPhase::Failed;
            target.failure = Some(Failure::new(Cause::Other, failed));
        }
        Ok(Some(state))
    }

    /// The end of an execution that has no run: its words were off, or there was nothing to do.
    async fn nothing_to_conclude(
        &self,
        aws: &Aws,
        call: &Call,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let status = match &call.failed {
            Some(_) => "Failed",
            None => "Succeeded",
        };
        let said = call.failed.as_deref().unwrap_or("there was nothing to do");
        if let Ok(Job::CustomResource(resource, url_at)) = Job::parse(&call.job) {
            let id = resource.physical_resource_id.as_deref();
            let answer = match &call.failed {
                Some(failed) => Answer::failure(id.unwrap_or(NOTHING), failed),
                None => match self
                    .begin_resource(aws, &resource, &self.defaults(invocation)?)
                    .await?
                {
                    Beginning::Answer(answer) => answer,
                    Beginning::Run(begun) => {
                        Answer::ended(&begun.state, &physical_id(&begun.state.run))
                    }
                },
            };
            self.answer(
                aws,
                &resource,
                url_at.as_deref(),
                &answer,
                answer_by(aws, invocation),
            )
            .await?;
        }
        Ok(json!({
            "Status": status,
            "Result": {"Reason": said, "Targets": []},
            "Notice": notice::of_nothing(status, said),
            "Event": outcome::of_nothing(status, said),
        }))
    }
}

/// A Delete has been accepted as it began.
async fn accept_job(aws: &Aws, job: &Job, begun: &mut Begun) -> Result<(), Error> {
    match job {
        Job::Distribute(_) => accept(aws, begun, "a direct call", false).await,
        Job::CustomResource(resource, _) if resource.request_type == RequestType::Delete => Ok(()),
        Job::CustomResource(resource, _) => accept(aws, begun, &asked_by(resource), true).await,
    }
}
