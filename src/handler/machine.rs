//! The two ends of an execution of the state machine. `open` looks at the targets and opens the source; the machine then gives
//! each target its part; `conclude` takes the parts in, closes the source, and tells whoever asked. It concludes
//! whatever happened before: also where there is nothing but an error to conclude from.

use serde_json::{Value, json};
use tracing::{info, warn};

use super::begin::{Beginning, Begun, NOTHING, begin, read_again, request_of, run_of};
use super::stack::started;
use super::{Handler, Invocation, PATIENCE, budget, in_time, too_slow};
use crate::aws::Aws;
use crate::diagnose::Cause;
use crate::engine::{Progress, advance};
use crate::error::Error;
use crate::event::custom_resource::{CustomResource, ResponseUrl, physical_id};
use crate::event::job::{Call, Job};
use crate::plan;
use crate::reply::cloudformation::{Answer, put};
use crate::reply::{Status, notice, reply};
use crate::request::{Mode, Request};
use crate::state::{Failure, State, TargetPhase};

/// A state machine carries 256 KiB; several things of this size go with one step.
const INLINE: usize = 60_000;

impl Handler {
    pub(super) async fn open(
        &self,
        aws: &Aws,
        call: &Call,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let job = Job::parse(&call.job)?;
        let mut budget = budget(aws, invocation, PATIENCE)?;
        budget.only_open = true;
        let (mut state, source) = if let Some(mut state) = self.last_state(aws, &call.last).await? {
            match in_time(aws, &budget, read_again(aws, &mut state)).await {
                Some(source) => (state, source?),
                None => return self.whole(aws, "Continue", Some(5), &state).await,
            }
        } else {
            let beginning = in_time(aws, &budget, self.begin_job(aws, &job, invocation)).await;
            match beginning.unwrap_or_else(|| Err(too_slow()))? {
                Beginning::Answer(_) => return Ok(json!({"Status": "Nothing"})),
                Beginning::Run(begun) => {
                    let Begun {
                        mut state, source, ..
                    } = *begun;
                    call.execution.clone_into(&mut state.execution);
                    self.say_started(aws, &job, &state).await?;
                    (state, source)
                }
            }
        };
        match advance(aws, &mut state, &source, budget).await {
            Progress::Continue(seconds) => self.whole(aws, "Continue", Some(seconds), &state).await,
            Progress::Opened | Progress::Ended => {
                // A target that has not answered yet may need the source opened later, by its part.
                let late: Vec<usize> = (0..state.targets.len())
                    .filter(|&i| {
                        let phase = state.targets[i].phase;
                        matches!(phase, TargetPhase::Looking | TargetPhase::Ready)
                    })
                    .collect();
                if !late.is_empty() {
                    aws.mark_open(&state, &late).await?;
                }
                self.parts_of(aws, &state).await
            }
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
            None => match self.recover(aws, call, invocation).await? {
                Some(state) => state,
                None => return self.nothing_to_conclude(aws, call, invocation).await,
            },
        };
        let Some(source) = in_time(aws, &budget, read_again(aws, &mut state)).await else {
            return self.concluding(aws, 5, &state).await;
        };
        match advance(aws, &mut state, &source?, budget).await {
            Progress::Continue(seconds) => self.concluding(aws, seconds, &state).await,
            Progress::Opened | Progress::Ended => {
                let status = Status::of(&state).as_str();
                info!(run = state.run, status, "concluded");
                // A resource that does not wait was answered when it began.
                if (recovered || state.end_by != 0)
                    && let Ok(Job::CustomResource(resource, url_at)) = Job::parse(&call.job)
                {
                    let answer = Answer::ended(&state, &physical_id(&state.run));
                    self.answer(aws, &resource, url_at.as_deref(), &answer)
                        .await?;
                }
                self.told(aws, &state).await
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
                let run = run_of(words, &request);
                let begun = begin(aws, request, &run, false).await?;
                Ok(Beginning::Run(Box::new(begun)))
            }
            Job::CustomResource(resource, _) => self.begin_resource(aws, resource, &defaults).await,
        }
    }

    /// A resource that does not wait is answered as soon as its request is known to be good.
    async fn say_started(&self, aws: &Aws, job: &Job, state: &State) -> Result<(), Error> {
        match job {
            Job::CustomResource(resource, url_at) if state.end_by == 0 => {
                self.answer(aws, resource, url_at.as_deref(), &started(state))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// The parts of those targets that are still on their way; without any there is nothing but to conclude.
    async fn parts_of(&self, aws: &Aws, state: &State) -> Result<Value, Error> {
        let going = (0..state.targets.len()).filter(|&i| !state.targets[i].phase.is_terminal());
        let parts: Vec<Value> = going.map(|i| json!({"State": state.part(i)})).collect();
        if parts.is_empty() {
            return self.whole(aws, "Ready", None, state).await;
        }
        let mut told = self.whole(aws, "Opened", None, state).await?;
        let parts = Value::Array(parts);
        let size = parts.to_string().len();
        match &self.settings.bucket {
            Some(bucket) if size > INLINE => {
                let key = format!("runs/{}/parts.json", place_of(state));
                aws.keep(bucket, &key, parts.to_string().into_bytes())
                    .await?;
                told["PartsAt"] = json!({"Bucket": bucket, "Key": key});
            }
            _ => told["Parts"] = parts,
        }
        Ok(told)
    }

    /// A reply that carries the whole's state, or where it is.
    async fn whole(
        &self,
        aws: &Aws,
        status: &str,
        wait: Option<u32>,
        state: &State,
    ) -> Result<Value, Error> {
        let mut told = json!({ "Status": status });
        if let Some(seconds) = wait {
            told["WaitSeconds"] = json!(seconds);
        }
        let value = serde_json::to_value(state).map_err(|e| Error::Internal(e.to_string()))?;
        let size = value.to_string().len();
        match &self.settings.bucket {
            Some(bucket) if size > INLINE => {
                let key = format!("runs/{}/state.json", place_of(state));
                aws.keep(bucket, &key, value.to_string().into_bytes())
                    .await?;
                told["StateAt"] = json!({"Bucket": bucket, "Key": key});
            }
            _ => told["State"] = value,
        }
        Ok(told)
    }

    async fn concluding(&self, aws: &Aws, seconds: u32, state: &State) -> Result<Value, Error> {
        let mut told = self.whole(aws, "Continue", Some(seconds), state).await?;
        told["Concluding"] = json!(true);
        Ok(told)
    }

    async fn last_state(&self, aws: &Aws, last: &Value) -> Result<Option<State>, Error> {
        let value = match (last.get("State"), last.get("StateAt")) {
            (Some(state), _) => state.clone(),
            (None, Some(at)) => self.fetch(aws, at).await?,
            (None, None) => return Ok(None),
        };
        State::open(&value).map(Some)
    }

    /// JSON that an earlier reply, or the machine itself, left in the bucket.
    async fn fetch(&self, aws: &Aws, at: &Value) -> Result<Value, Error> {
        let bucket = at["Bucket"].as_str().unwrap_or_default();
        let key = at["Key"].as_str().unwrap_or_default();
        if self.settings.bucket.as_deref() != Some(bucket) {
            return Err(Error::InvalidState(format!(
                "is kept in bucket {bucket:?}, which is not this function's (AMIFERRY_BUCKET)"
            )));
        }
        let body = aws.kept(bucket, key).await?;
        let body = body.ok_or_else(|| {
            Error::InvalidState(format!("s3://{bucket}/{key} is not there any more"))
        })?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::InvalidState(format!("s3://{bucket}/{key} is not JSON: {e}")))
    }

    /// Takes in what became of the parts. A target whose part ended without an end is undone here.
    async fn take_in(&self, aws: &Aws, state: &mut State, call: &Call) -> Result<(), Error> {
        let mut why = Vec::new();
        for part in self.parts(aws, &call.parts).await? {
            let said = part.get("Error").map(|e| {
                let word = |key: &str| e[key].as_str().unwrap_or_default();
                format!("{}: {}", word("Error"), word("Cause"))
            });
            match part.get("State").map(State::open) {
                Some(Ok(part)) => {
                    let of = part.targets.first();
                    let of = of.map(|t| (t.account_id.clone(), t.region.clone()));
                    why.extend(of.zip(said));
                    state.take_in(part);
                }
                Some(Err(error)) => warn!(run = state.run, %error, "a part came back broken"),
                None => warn!(run = state.run, "a part came back without its state"),
            }
        }
        let otherwise = call.failed.as_deref();
        let otherwise = otherwise.unwrap_or("the execution ended its part before it was done");
        for i in 0..state.targets.len() {
            let target = &state.targets[i];
            let said = why
                .iter()
                .find(|((a, r), _)| *a == target.account_id && *r == target.region);
            let said = said.map_or(otherwise, |(_, said)| said);
            state.give_up_target(i, Cause::Other, said);
        }
        if let Some(share) = &mut state.order.share
            && state.phase != crate::state::Phase::Ended
        {
            // What was not finished is not begun again here, but taken back.
            share.gone.append(&mut share.audience);
        }
        state.part = false;
        Ok(())
    }

    /// The Map's result: the children's outputs, or where its ResultWriter put them.
    async fn parts(&self, aws: &Aws, parts: &Value) -> Result<Vec<Value>, Error> {
        if let Value::Array(parts) = parts {
            return Ok(parts.clone());
        }
        let Some(details) = parts.get("ResultWriterDetails") else {
            return Ok(Vec::new());
        };
        let manifest = self.fetch(aws, details).await?;
        let mut found = Vec::new();
        for kind in ["SUCCEEDED", "FAILED"] {
            let files = manifest["ResultFiles"][kind].as_array();
            for file in files.into_iter().flatten() {
                let at = json!({"Bucket": details["Bucket"], "Key": file["Key"]});
                let executions = self.fetch(aws, &at).await?;
                let outputs = executions.as_array().into_iter().flatten();
                let outputs = outputs.filter_map(|e| e["Output"].as_str());
                found.extend(outputs.filter_map(|o| serde_json::from_str::<Value>(o).ok()));
            }
        }
        Ok(found)
    }

    /// Where opening failed before it had a state to tell: what it may have left open is found by its marks.
    async fn recover(
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
            // What an earlier request shared stays; a resource that could not be made is deleted by CloudFormation.
            return Ok(None);
        }
        let (image, region) = (&request.source_image, &request.source_region);
        let Some(place) = aws.remains(&run, image, region, account).await? else {
            return Ok(None);
        };
        let mut state = plan::withdraw(&request, place, true, &run, aws.now());
        // It was this execution that opened the source, and it had not come to copying.
        state.sharing.at = aws.now();
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
            self.answer(aws, &resource, url_at.as_deref(), &answer)
                .await?;
        }
        Ok(json!({
            "Status": status,
            "Result": {"Reason": said, "Targets": []},
            "Notice": notice::of_nothing(status, said),
        }))
    }

    async fn told(&self, aws: &Aws, state: &State) -> Result<Value, Error> {
        let mut told = reply(state, Progress::Ended)?;
        told["Notice"] = notice::of(state);
        let size = told["Result"].to_string().len();
        if let Some(bucket) = &self.settings.bucket
            && size > INLINE
        {
            let key = format!("runs/{}/result.json", place_of(state));
            aws.keep(bucket, &key, told["Result"].to_string().into_bytes())
                .await?;
            let at = json!({"Bucket": bucket, "Key": key});
            told["Result"] = json!({"RunId": state.run, "SourceImageId": state.source.image_id, "Count": state.targets.len(), "ResultAt": at});
        }
        Ok(told)
    }

    /// Answers CloudFormation, where its ResponseURL still is: it is thrown away once used.
    async fn answer(
        &self,
        aws: &Aws,
        resource: &CustomResource,
        url_at: Option<&str>,
        answer: &Answer,
    ) -> Result<(), Error> {
        let (Some(key), Some(bucket)) = (url_at, &self.settings.bucket) else {
            return put(answer, resource).await;
        };
        let Some(url) = aws.kept(bucket, key).await? else {
            return Ok(());
        };
        let url = String::from_utf8(url)
            .map_err(|_| Error::Internal(format!("s3://{bucket}/{key} holds no URL")))?;
        let mut resource = resource.clone();
        resource.response_url = Some(ResponseUrl::parse(url)?);
        put(answer, &resource).await?;
        aws.discard(bucket, key).await
    }
}

/// Where this run's objects are: apart from those of any other execution.
fn place_of(state: &State) -> &str {
    if state.execution.is_empty() {
        &state.run
    } else {
        &state.execution
    }
}
