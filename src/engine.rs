//! The only loop: decide, perform (concurrently), record, until the run ends, only waiting is left,
//! or the budget is used up.
//!
//! At the end of the budget, commands under way are dropped, as in a crash after their calls,
//! except that each counts as an attempt. The next call looks first.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::aws::Aws;
use crate::command::{Command, Outcome, Shared, SourceCommand, SourceOutcome, TargetCommand};
use crate::error::{Place, Refusal};
use crate::request::KeyAccess;
use crate::source::Source;
use crate::state::{Phase, State, TargetPhase};
use crate::step::{Busy, Next, next, overtaken, record};

/// The time that a call may use.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The caller has the answer by then; `None` if unknown.
    pub end: Option<SystemTime>,
    /// Seconds that the call waits itself; longer waiting is its caller's.
    pub patience: i64,
    /// Whether to stop once the source is open: other calls continue with a part each.
    pub only_open: bool,
}

impl Budget {
    /// Returns the end on the clock of the runtime, given the time on the clock of the world.
    fn instant(&self, now: SystemTime) -> Option<Instant> {
        let left = |end: SystemTime| end.duration_since(now).unwrap_or_default();
        self.end.map(|end| Instant::now() + left(end))
    }

    /// Ends the call at that moment (Unix seconds) if it would last longer.
    pub fn end_at(&mut self, at: i64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.unsigned_abs());
        self.end = Some(self.end.map_or(at, |end| end.min(at)));
    }

    /// Whether there is time left at that moment (Unix seconds).
    pub fn lasts(&self, until: i64) -> bool {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(until.unsigned_abs());
        self.end.is_none_or(|end| until < end)
    }
}

/// The progress of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The run has ended.
    Ended,
    /// The source is open, and nothing else is done (`Budget::only_open`).
    Opened,
    /// Continue after so many seconds.
    Continue(u32),
}

/// A command needs the source image, which has not been read in this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceNeeded;

/// The source of a command that does not need it.
static UNREAD: Result<Source, String> = Err(String::new());

type Flying<'a> = FuturesUnordered<BoxFuture<'a, (Command, Outcome)>>;

/// Advances the run as far as the budget allows, or until a command needs a source that is `None`.
/// A source that is gone is `Err`.
pub async fn advance(
    aws: &Aws,
    state: &mut State,
    source: Option<&Result<Source, String>>,
    budget: Budget,
) -> Result<Progress, SourceNeeded> {
    let end = budget.instant(aws.time_source().now());
    if let Ok(Some(wants)) = aws.overtaken(&state.run, &state.event).await {
        overtaken(state, &wants);
    }
    let mut flying: Flying<'_> = FuturesUnordered::new();
    let (mut busy, mut under_way) = (Busy::default(), Vec::new());
    loop {
        if end.is_some_and(|end| Instant::now() >= end) {
            for command in &under_way {
                cut_off(aws, state, command);
            }
            return Ok(Progress::Continue(1));
        }
        let now = aws.now();
        let decided = next(state, now, &busy);
        if budget.only_open && is_open(state) {
            let is_start = |command: &&Command| {
                matches!(command, Command::Target(_, TargetCommand::Start { .. }))
            };
            let starts = under_way.iter().filter(is_start);
            starts.for_each(|command| cut_off(aws, state, command));
            return Ok(Progress::Opened);
        }
        let wake = match decided {
            Next::End => return Ok(Progress::Ended),
            Next::Do(commands) if source.is_none() && needs_source(state, &commands) => {
                if flying.is_empty() {
                    return Err(SourceNeeded);
                }
                None
            }
            Next::Do(commands) => {
                let source = source.unwrap_or(&UNREAD);
                under_way.extend(commands.iter().cloned());
                take_off(aws, state, source, commands, &mut busy, &mut flying);
                None
            }
            Next::WaitUntil(due) => {
                match wait(due - now, flying.is_empty().then_some(budget.patience)) {
                    Ok(seconds) => Some(seconds),
                    Err(later) => return Ok(later),
                }
            }
            // Idle with nothing to do cannot be; asking again later would beat hanging.
            Next::WaitForBusy if flying.is_empty() => return Ok(Progress::Continue(5)),
            Next::WaitForBusy => None,
        };
        tokio::select! {
            biased; // In order, so that the same world leads to the same run.
            Some(first) = flying.next() => {
                for landed in all_landed(first, &mut flying) {
                    under_way.retain(|other| *other != landed.0);
                    land(state, &mut busy, landed, aws.now());
                }
            }
            () = until(wake.map(|seconds| Instant::now() + Duration::from_secs(seconds))) => {}
            () = until(end) => {}
        }
    }
}

fn needs_source(state: &State, commands: &[Command]) -> bool {
    let lasting = state.order.share.is_some();
    let mut commands = commands.iter();
    commands.any(|command| command.needs_source(lasting))
}

/// Returns this outcome and all others that have landed meanwhile: they go into the same decision.
fn all_landed(first: (Command, Outcome), flying: &mut Flying<'_>) -> Vec<(Command, Outcome)> {
    let next = || flying.next().now_or_never().flatten();
    std::iter::once(first)
        .chain(std::iter::from_fn(next))
        .collect()
}

/// Returns the seconds to wait inside; `Err` where that exceeds the patience of a call that has
/// nothing under way.
fn wait(seconds: i64, patience: Option<i64>) -> Result<u64, Progress> {
    let Some(patience) = patience else {
        return Ok(u64::try_from(seconds).unwrap_or(1));
    };
    let wait = u32::try_from(seconds).unwrap_or(1).max(1);
    if i64::from(wait) > patience {
        Err(Progress::Continue(wait))
    } else {
        Ok(u64::from(wait))
    }
}

/// Whether other calls can continue with the parts. A lasting share has no parts.
fn is_open(state: &State) -> bool {
    state.order.share.is_none() && matches!(state.phase, Phase::Copying | Phase::Revoking)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn take_off<'a>(
    aws: &'a Aws,
    state: &State,
    source: &'a Result<Source, String>,
    commands: Vec<Command>,
    busy: &mut Busy,
    flying: &mut Flying<'a>,
) {
    let mut whole = None;
    for command in commands {
        match command.target() {
            Some(target) => drop(busy.targets.insert(target)),
            None => busy.source = true,
        }
        let (seen, local) = seen_by(state, &mut whole, &command);
        let performing = async move {
            let outcome = aws.perform(&seen, source, &local).await.about(&command);
            (command, outcome)
        };
        flying.push(performing.boxed());
    }
}

/// Returns what a command needs of the state, and the command by its places there. In a run of
/// thousands of targets a copy of all of them for each command would take most of the time. Those
/// that need all share `whole`.
fn seen_by(
    state: &State,
    whole: &mut Option<Arc<State>>,
    command: &Command,
) -> (Arc<State>, Command) {
    match command {
        // A key policy names all targets.
        Command::Target(i, wanted) if state.order.key_access != KeyAccess::Policy => {
            let around = Arc::new(state.around(*i));
            (around, Command::Target(0, wanted.clone()))
        }
        _ => {
            let whole = whole.get_or_insert_with(|| Arc::new(state.clone()));
            (whole.clone(), command.clone())
        }
    }
}

/// Counts a command that the end of the budget cuts off as one that AWS did not answer: a run whose
/// every call ends so must end some time, too. Nobody knows how far the command got.
fn cut_off(aws: &Aws, state: &mut State, command: &Command) {
    let (account, region) = match command.target().map(|i| &state.targets[i]) {
        Some(target) => (&target.account_id, &target.region),
        None => (&state.source.account_id, &state.source.region),
    };
    let at = Place {
        account: account.to_string(),
        region: region.to_string(),
    };
    let image = state.source.image_id.to_string();
    let said = "there was no answer before the function's time was up";
    let refusal = |operation| Refusal::ours(operation, &at, &image, "Timeout", said);
    let now = aws.now();
    // A copy that it may have begun shows a while later.
    if let Command::Target(i, TargetCommand::Start { .. }) = command {
        state.targets[*i].work.start(now);
    }
    if let Command::Source(SourceCommand::Stage { .. }) = command {
        state.sharing.staged_at = now;
    }
    let outcome = match command {
        // The command may have opened the source.
        Command::Source(SourceCommand::Share { targets }) => {
            let unsure = Shared::Unsure(refusal("ModifySnapshotAttribute"));
            Outcome::Source(SourceOutcome::Share(targets.clone(), Ok(unsure)))
        }
        other => Outcome::Refused(other.clone(), refusal(other.name())),
    };
    record(state, outcome, now);
}

fn land(state: &mut State, busy: &mut Busy, (command, outcome): (Command, Outcome), now: i64) {
    match command.target() {
        Some(target) => drop(busy.targets.remove(&target)),
        None => busy.source = false,
    }
    let before = command.target().map(|i| state.targets[i].phase.clone());
    let said = outcome.said();
    record(state, outcome, now);
    tell(state, &command, before.as_ref(), said.as_deref());
}

/// Writes one line for each command, for a person who follows the log.
fn tell(state: &State, command: &Command, before: Option<&TargetPhase>, said: Option<&str>) {
    let (run, name) = (state.run.as_str(), command.name());
    match command.target().map(|i| &state.targets[i]) {
        Some(target) => {
            let (account, region) = (target.account_id.as_str(), target.region.as_str());
            let turned = before != Some(&target.phase);
            let phase = match &target.phase {
                TargetPhase::Stuck { .. } => "Stuck".to_owned(),
                other => format!("{other:?}"),
            };
            match said {
                Some(said) => warn!(run, account, region, command = name, phase, said, "refused"),
                None => info!(
                    run,
                    account,
                    region,
                    command = name,
                    phase,
                    turned,
                    progress = target.work.progress,
                    "target"
                ),
            }
        }
        None => {
            let phase = format!("{:?}", state.phase);
            match said {
                Some(said) => warn!(run, command = name, phase, said, "refused"),
                None => info!(run, command = name, phase, "source"),
            }
        }
    }
}
