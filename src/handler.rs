//! One invocation, from payload to answer: wiring between event, engine and reply.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures::future::BoxFuture;
use serde_json::Value;
use tracing::info;

use crate::aws::{Aws, Members};
use crate::digest::digest;
use crate::engine::{Budget, Progress, advance};
use crate::error::Error;
use crate::event::{Event, LARGEST};
use crate::ids::{AccountId, Region};
use crate::plan::{self, Plan};
use crate::reply::reply;
use crate::request::{Defaults, Mode, Request};
use crate::source::Source;
use crate::state::State;

mod stack;

/// The answer is out this long before Lambda's deadline.
const BEFORE_DEADLINE: Duration = Duration::from_secs(11);
/// Below this there is no time to do anything.
const SHORTEST: Duration = Duration::from_secs(3);
/// Lambda's longest time-out, for when the deadline is unknown.
const LONGEST: Duration = Duration::from_mins(15);
/// Seconds a task waits itself; longer waiting is its state machine's, which waits for nothing.
const PATIENCE: i64 = 5;

/// What Lambda says of one invocation.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// When Lambda ends it; `None`, or a time that is not in the future, counts as unknown.
    pub deadline: Option<SystemTime>,
    pub function_arn: String,
    /// The function's name as its environment has it; an emulator's ARN may name another account.
    pub function_name: String,
}

impl Invocation {
    /// What this function calls itself by, with the version or alias it was invoked by, if any.
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

/// The function.
#[derive(Debug)]
pub struct Handler {
    config: SdkConfig,
}

impl Handler {
    pub fn new(config: SdkConfig) -> Self {
        Self { config }
    }

    /// Serves one payload.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        if payload.len() > LARGEST {
            return Err(Error::invalid(
                "event",
                format!(
                    "has {} bytes; at most {LARGEST} are accepted",
                    payload.len()
                ),
            ));
        }
        let value: Value = serde_json::from_str(payload)
            .map_err(|e| Error::invalid("event", format!("is not JSON: {e}")))?;
        // Sessions are narrowed to one run: none outlives its invocation.
        let aws = Aws::new(self.config.clone());
        match Event::parse(&value)? {
            Event::Distribute(request) => self.distribute(&aws, &request, invocation).await,
            Event::Resume(state) => self.resume(&aws, &state, invocation).await,
            Event::CustomResource(resource) => {
                self.custom_resource(&aws, &resource, invocation).await
            }
            Event::CustomResourceTurn(turn) => {
                self.custom_resource_turn(&aws, &turn, invocation).await
            }
            Event::SnapshotNotification => {
                info!(
                    "snapshot notification: nothing waits in this version, polling finds the copy's end"
                );
                Ok(Value::Null)
            }
        }
    }

    async fn distribute(
        &self,
        aws: &Aws,
        request: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let parsed = Request::parse(request, &self.defaults(invocation)?)?;
        let budget = budget(aws, invocation, PATIENCE)?;
        let run = match parsed.mode {
            Mode::Copy => digest([request.to_string().as_str(), parsed.source_region.as_str()]),
            // One lasting share of an image for all calls, so that what one call shared another can take back.
            Mode::Share => digest([
                "share",
                parsed.source_image.as_str(),
                parsed.source_region.as_str(),
            ]),
        };
        let begun = in_time(aws, &budget, begin(aws, parsed, &run[..16], false)).await;
        let Begun {
            mut state, source, ..
        } = begun.unwrap_or_else(|| Err(too_slow()))?;
        let progress = advance(aws, &mut state, &Ok(source), budget).await;
        reply(&state, progress)
    }

    async fn resume(
        &self,
        aws: &Aws,
        state: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let mut state = State::open(state)?;
        let budget = budget(aws, invocation, PATIENCE)?;
        let Some(source) = in_time(aws, &budget, read_again(aws, &mut state)).await else {
            return reply(&state, Progress::Continue(5));
        };
        let progress = advance(aws, &mut state, &source?, budget).await;
        reply(&state, progress)
    }

    fn defaults(&self, invocation: &Invocation) -> Result<Defaults, Error> {
        let region = self
            .config
            .region()
            .and_then(|r| Region::parse(r.as_ref()).ok());
        let region = region.ok_or_else(|| {
            Error::Internal("the function has no Region: set AWS_REGION".to_owned())
        })?;
        let account = invocation
            .function_arn
            .split(':')
            .nth(4)
            .and_then(|a| AccountId::parse(a).ok());
        Ok(Defaults { region, account })
    }
}

/// The work, or `None` when the budget ends before it.
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

fn too_slow() -> Error {
    Error::Internal("AWS did not tell of the source image before the deadline; nothing was changed, the call may be repeated".to_owned())
}

/// A run that can be worked on.
struct Begun {
    /// With the audience's accounts among its targets.
    request: Request,
    state: State,
    source: Source,
}

/// Reads the source, refuses what cannot be copied or shared, and plans. `only`: a lasting share's request is its whole list.
async fn begin(aws: &Aws, request: Request, run: &str, only: bool) -> Result<Begun, Error> {
    let mut source = aws
        .read_source(&request.source_image, &request.source_region)
        .await?;
    aws.read_key_managers(&mut source, &request.source_region)
        .await?;
    let members = match &request.audience {
        Some(audience) => aws.members(audience, request.needs_members()).await?,
        None => Members::default(),
    };
    let request = request.with_members(&members.accounts, &source.owner)?;
    let now = aws.now();
    let state = match request.mode {
        Mode::Copy => plan::distribute(&request, &source, run, now)?,
        Mode::Share => plan::share(&request, &source, members.arns, only, run, now)?,
    };
    info!(run, plan = %Plan(&state), "planned");
    Ok(Begun {
        request,
        state,
        source,
    })
}

/// Prepares a state handed in from outside: nothing it says of the world is taken for granted. An image that is gone is no
/// error of the call: it is for each target to fail by, and be cleaned up after.
async fn read_again(aws: &Aws, state: &mut State) -> Result<Result<Source, String>, Error> {
    if state.phase == crate::state::Phase::Ended {
        return Ok(Err("the run has ended".to_owned()));
    }
    state.reopen();
    if state.targets.iter().all(|t| t.phase.is_terminal()) {
        return Ok(Err("nothing is left to copy".to_owned()));
    }
    match aws
        .read_source(&state.source.image_id, &state.source.region)
        .await
    {
        Ok(source)
            if source
                .snapshots
                .iter()
                .map(|s| &s.id)
                .eq(&state.source.snapshots) =>
        {
            Ok(Ok(source))
        }
        Ok(_) => Ok(Err(format!(
            "{} no longer has the snapshots it had when the run began",
            state.source.image_id
        ))),
        Err(Error::SourceNotFound(said)) => Ok(Err(said)),
        Err(error) => Err(error),
    }
}

fn budget(aws: &Aws, invocation: &Invocation, patience: i64) -> Result<Budget, Error> {
    let now = aws.time_source().now();
    let left = invocation
        .deadline
        .and_then(|deadline| deadline.duration_since(now).ok())
        .filter(|left| !left.is_zero());
    let left = left.unwrap_or(LONGEST);
    if left < BEFORE_DEADLINE + SHORTEST {
        let seconds = left.as_secs();
        return Err(Error::Internal(format!(
            "{seconds} s to the deadline are too few to work in; give the function a Timeout of at least 30 s"
        )));
    }
    Ok(Budget {
        end: Some(now + left - BEFORE_DEADLINE),
        patience,
    })
}
