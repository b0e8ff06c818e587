//! One invocation, from payload to answer: wiring between event, engine and reply.

use std::io::Write;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::aws::Aws;
use crate::engine::{Budget, Progress};
use crate::error::Error;
use crate::event::{Event, LARGEST, Turn};
use crate::ids::AccountId;
use crate::kms::Arn;
use crate::reply::metrics::Meter;
use crate::reply::reply;
use crate::request::{Channel, Defaults, Places, Request, Target};
use crate::setup::Settings;
use crate::state::{State, TargetPhase};

mod answer;
mod begin;
mod channel;
mod enroll;
mod execution_ended;
mod machine;
mod permit;
mod policies;
mod preflight;
mod retain;
mod stack;
mod start;
mod sweep;
mod turn;
mod working;

use answer::without_payload;
pub use begin::run_of;
use begin::{Begun, accept, begin};
use working::{work, work_on};

/// The answer leaves this long before Lambda's deadline.
const BEFORE_DEADLINE: Duration = Duration::from_secs(11);
/// Time that is left for an error to leave.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// Bytes of the largest JSON in a reply: Lambda returns no more than 6 MB.
const LARGEST_REPLY: usize = 5 * 1024 * 1024;
/// Below this there is no time to do anything.
const SHORTEST: Duration = Duration::from_secs(3);
/// Lambda's longest time-out, for when the deadline is unknown.
const LONGEST: Duration = Duration::from_mins(15);
/// Kept free before the deadline for the answer, or for the next invocation, where the function has
/// the time.
const FOR_THE_ANSWER: Duration = Duration::from_secs(25);
/// An answer is tried for so long at least, however late it is.
const FOR_ONE_TRY: Duration = Duration::from_secs(1);
/// Seconds a task waits itself; longer waiting is its state machine's, which waits for nothing.
const PATIENCE: i64 = 5;

/// Lambda's facts about one invocation.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// When Lambda ends it; `None`, or a time that is not in the future, counts as unknown.
    pub deadline: Option<SystemTime>,
    /// The ARN that Lambda invoked, which may name an alias or version.
    pub function_arn: String,
    /// The function's name as its environment has it; an emulator's ARN may name another account.
    pub function_name: String,
}

impl Invocation {
    /// Returns the name by which this function invokes itself, with the version or alias that it
    /// was invoked by.
    fn own_name(&self) -> String {
        match self.function_arn.splitn(8, ':').nth(7) {
            Some(qualifier) if !self.function_name.is_empty() => {
                format!("{}:{qualifier}", self.function_name)
            }
            None if !self.function_name.is_empty() => self.function_name.clone(),
            _ => self.function_arn.clone(),
        }
    }
}

/// The Lambda function, as a value.
#[derive(Debug)]
pub struct Handler {
    config: SdkConfig,
    settings: Settings,
    patience: i64,
    largest_reply: usize,
}

impl Handler {
    /// Makes a handler whose calls use `config`.
    pub fn new(config: SdkConfig, settings: Settings) -> Self {
        Self {
            config,
            settings,
            patience: PATIENCE,
            largest_reply: LARGEST_REPLY,
        }
    }

    /// Has a call return where it would wait for longer than so many seconds.
    #[must_use]
    pub fn with_patience(mut self, seconds: i64) -> Self {
        self.patience = seconds;
        self
    }

    /// Leaves a state or a result of more bytes in the bucket, and returns its place.
    #[must_use]
    pub fn with_largest_reply(mut self, bytes: usize) -> Self {
        self.largest_reply = bytes;
        self
    }

    /// Serves one payload. An event that carries a ResponseURL never fails, so that no queue gets
    /// it.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        match read(payload) {
            Ok(event) => {
                let served = self.serve_value(&event, invocation).await;
                without_payload(payload, Some(&event), served)
            }
            Err(error) => without_payload(payload, None, Err(error)),
        }
    }

    async fn serve_value(&self, event: &Value, invocation: &Invocation) -> Result<Value, Error> {
        // Sessions are narrowed to one run: none outlives its invocation.
        let aws = Aws::new(
            self.config.clone(),
            self.settings.bucket.clone(),
            self.settings.allowed(),
        );
        let serving = self.serve_event(&aws, Event::parse(event)?, invocation);
        // All work ends by itself before that; what AWS keeps waiting beyond is better told than
        // killed.
        match time_left(&aws, invocation) {
            Some(left) => tokio::time::timeout(left.saturating_sub(LAST_MOMENT), serving)
                .await
                .unwrap_or_else(|_| Err(out_of_time())),
            None => serving.await,
        }
    }

    /// Boxed: each way in is a large future, and only one of them is taken.
    fn serve_event<'a>(
        &'a self,
        aws: &'a Aws,
        event: Event,
        invocation: &'a Invocation,
    ) -> BoxFuture<'a, Result<Value, Error>> {
        match event {
            Event::Distribute(request) => {
                Box::pin(async move { self.distribute(aws, &request, invocation).await })
            }
            Event::Preflight(request) => {
                Box::pin(async move { self.preflight(aws, &request, invocation).await })
            }
            Event::Policies(request) => {
                Box::pin(async move { self.policies(aws, &request, invocation).await })
            }
            Event::Resume { last, repeated } => {
                Box::pin(async move { self.resume(aws, &last, repeated, invocation).await })
            }
            Event::CustomResource(resource) => Box::pin(async move {
                self.check_url(&resource)?;
                let turn = Turn::first(Some(*resource), None, false);
                self.custom_resource(aws, &turn, invocation).await
            }),
            Event::Turn(turn) => Box::pin(async move { self.turn(aws, &turn, invocation).await }),
            Event::Open(call) => Box::pin(async move { self.open(aws, &call, invocation).await }),
            Event::Conclude(call) => {
                Box::pin(async move { Box::pin(self.conclude(aws, &call, invocation)).await })
            }
            Event::Sweep { apply } => Box::pin(self.sweep(aws, None, apply, invocation)),
            Event::Promote(wanted) => Box::pin(async move {
                let channel = Channel::promote(&wanted, &self.region()?)?;
                self.channel(aws, channel, invocation).await
            }),
            Event::Rollback(wanted) => Box::pin(async move {
                let channel = Channel::rollback(&wanted, &self.region()?)?;
                self.channel(aws, channel, invocation).await
            }),
            Event::Enroll(call) => {
                Box::pin(async move { self.enroll(aws, &call, invocation).await })
            }
            Event::Retain(rule) => {
                Box::pin(async move { self.retain(aws, &rule, invocation).await })
            }
            Event::ExecutionEnded { machine, name } => Box::pin(async move {
                if self.settings.state_machine.as_deref() != Some(machine.as_str()) {
                    return Ok(Value::Null);
                }
                self.execution_ended(aws, &machine, &name, invocation).await
            }),
            Event::Image(change) => {
                Box::pin(
                    async move { Box::pin(self.image_changed(aws, &change, invocation)).await },
                )
            }
            Event::SnapshotNotification { account, region } => Box::pin(async move {
                Ok(self
                    .snapshot_ended(aws, account.as_str(), region.as_str())
                    .await)
            }),
        }
    }

    async fn distribute(
        &self,
        aws: &Aws,
        request: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let parsed = Request::parse(request, &self.defaults(invocation)?)?;
        let budget = budget(aws, invocation, self.patience)?;
        self.permit(aws, &parsed).await?;
        let run = run_of(request, &parsed);
        let beginning = async {
            let mut begun = begin(aws, parsed, &run, false).await?;
            accept(aws, &mut begun, "a direct call", false).await?;
            Ok(begun)
        };
        let begun = in_time(aws, &budget, beginning).await;
        let Begun {
            mut state, source, ..
        } = begun.unwrap_or_else(|| Err(too_slow()))?;
        let progress = work(aws, &mut state, source, budget).await;
        self.replied(aws, &state, progress, invocation).await
    }

    async fn resume(
        &self,
        aws: &Aws,
        last: &Value,
        repeated: bool,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let state = self.last_state(aws, last).await?;
        let mut state = state.ok_or_else(|| Error::invalid_state("is missing".to_owned()))?;
        state.contended |= repeated;
        self.settings.needed_bucket()?;
        let budget = budget(aws, invocation, self.patience)?;
        let progress = work_on(aws, &mut state, budget).await;
        let mut told = self.replied(aws, &state, progress, invocation).await?;
        if told["Status"] == "Continue" && is_left_to_the_conclusion(&state, aws.now()) {
            told["Status"] = json!("Late");
        }
        Ok(told)
    }

    async fn replied(
        &self,
        aws: &Aws,
        state: &State,
        progress: Progress,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        match progress {
            Progress::Ended => {
                let mut told = self.ended(aws, state, invocation).await?;
                if !state.part {
                    self.shrink_result(aws, state, &mut told, self.largest_reply)
                        .await?;
                }
                Ok(told)
            }
            Progress::Continue(seconds) => {
                self.whole(aws, "Continue", Some(seconds), state, self.largest_reply)
                    .await
            }
            Progress::Opened => {
                self.whole(aws, "Continue", Some(1), state, self.largest_reply)
                    .await
            }
        }
    }

    /// Returns the reply of a run that has ended, with its receipt, and notes the end in the
    /// ledger. Where that fails, the receipt says so: the run itself is over.
    async fn ended(
        &self,
        aws: &Aws,
        state: &State,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut told = reply(state)?;
        if state.part {
            return Ok(told);
        }
        self.measure(invocation, |meter| meter.of_run(state, aws.now()));
        let result = json!({"Status": told["Status"], "Targets": state.targets.len()});
        let ending = tokio::time::timeout_at(
            ends_by(aws, invocation),
            aws.end_run(state.run_ref(), &result),
        );
        told["Result"]["Receipt"] = match ending.await {
            Ok(Ok(receipt)) => json!(receipt),
            Ok(Err(refusal)) => json!([{"Unread": refusal.to_string()}]),
            Err(_) => json!([{"Unread": "the ledger gave no answer in time"}]),
        };
        Ok(told)
    }

    /// Writes metrics into the log, if the settings name a namespace for them.
    fn measure(&self, invocation: &Invocation, line: impl FnOnce(&Meter<'_>) -> String) {
        let Some(namespace) = &self.settings.metrics else {
            return;
        };
        let meter = Meter {
            namespace,
            function: &invocation.function_name,
        };
        // A log that takes nothing is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{}", line(&meter));
    }

    /// Returns the function's account.
    async fn owner(&self, aws: &Aws, invocation: &Invocation) -> Result<AccountId, Error> {
        match self.defaults(invocation)?.account {
            Some(account) => Ok(account),
            None => Ok(aws.caller().await?.account),
        }
    }

    fn defaults(&self, invocation: &Invocation) -> Result<Defaults, Error> {
        let region = self.region()?;
        let account =
            Arn::parse(&invocation.function_arn).and_then(|arn| AccountId::parse(arn.account).ok());
        Ok(Defaults { region, account })
    }
}

/// Returns the targets of a call, with those of its audience.
async fn targets_of(aws: &Aws, places: Places, owner: &AccountId) -> Result<Vec<Target>, Error> {
    let members = match &places.audience {
        Some(audience) => aws.members(audience, true, owner).await?.accounts,
        None => Vec::new(),
    };
    Ok(places.with_members(&members, owner)?.targets)
}

fn read(payload: &str) -> Result<Value, Error> {
    if payload.len() > LARGEST {
        let size = payload.len();
        let problem = format!("has {size} bytes; at most {LARGEST} are accepted");
        return Err(Error::invalid("event", problem));
    }
    serde_json::from_str(payload).map_err(|e| Error::invalid("event", format!("is not JSON: {e}")))
}

/// Returns the result of the work, or `None` if the budget ends before it.
fn in_time<'a, T: 'a>(
    aws: &Aws,
    budget: &Budget,
    work: impl Future<Output = T> + Send + 'a,
) -> BoxFuture<'a, Option<T>> {
    let now = aws.time_source().now();
    let left = budget.end.and_then(|end| end.duration_since(now).ok());
    let working = Box::pin(work);
    Box::pin(async move {
        tokio::time::timeout(left.unwrap_or_default(), working)
            .await
            .ok()
    })
}

/// Whether a part ends unfinished, because only undoing is left and CloudFormation waits no longer.
/// The conclusion answers, and then undoes.
fn is_left_to_the_conclusion(state: &State, now: i64) -> bool {
    let late = state.end_by != 0 && now >= state.end_by;
    let mut phases = state.targets.iter().map(|target| &target.phase);
    let undoing = phases.all(|phase| matches!(phase, TargetPhase::Undoing | TargetPhase::Removing));
    state.part && late && undoing
}

fn too_slow() -> Error {
    Error::Internal(
        "AWS did not tell of the source image before the deadline; nothing was \
                     changed, the call may be repeated"
            .to_owned(),
    )
}

fn out_of_time() -> Error {
    Error::Internal(
        "AWS kept the last call waiting until the deadline; nothing is lost: repeat \
                     the call with the event or the State that you have"
            .to_owned(),
    )
}

/// Returns the time until the deadline; `None` if there is none, or it is past.
fn time_left(aws: &Aws, invocation: &Invocation) -> Option<Duration> {
    let now = aws.time_source().now();
    let left = invocation.deadline?.duration_since(now).ok();
    left.filter(|left| !left.is_zero())
}

fn budget(aws: &Aws, invocation: &Invocation, patience: i64) -> Result<Budget, Error> {
    let now = aws.time_source().now();
    let left = time_left(aws, invocation).unwrap_or(LONGEST);
    if left < BEFORE_DEADLINE + SHORTEST {
        let seconds = left.as_secs();
        return Err(Error::Internal(format!(
            "{seconds} s to the deadline are too few to work in; give the function a Timeout of at \
             least 30 s"
        )));
    }
    Ok(Budget {
        end: Some(now + left - BEFORE_DEADLINE),
        patience,
        only_open: false,
    })
}

/// Returns when a reply must be ready: ten seconds before the deadline.
fn ends_by(aws: &Aws, invocation: &Invocation) -> Instant {
    let left = time_left(aws, invocation).unwrap_or(LONGEST);
    Instant::now() + left.saturating_sub(BEFORE_DEADLINE.saturating_sub(LAST_MOMENT))
}

/// Returns when the answer to CloudFormation must have left, or is given up.
fn answer_by(aws: &Aws, invocation: &Invocation) -> Instant {
    let left = time_left(aws, invocation).unwrap_or(LONGEST);
    let left = left.saturating_sub(BEFORE_DEADLINE);
    Instant::now() + left.max(FOR_ONE_TRY)
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
