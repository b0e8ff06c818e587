//! Working on a state for as long as a call may: the engine, and reading the source when a command
//! needs it.
//!
//! An image that is gone is no error of the call, and neither is one that AWS does not return: each
//! target fails by it, and is cleaned up. A caller with a state has something open, and must get to
//! its end.

use futures::future::BoxFuture;
use tracing::warn;

use super::in_time;
use crate::aws::Aws;
use crate::cause::Cause;
use crate::engine::{Budget, Progress, advance};
use crate::error::Error;
use crate::source::Source;
use crate::state::{Phase, State, TargetState, backoff};
use crate::step::MOST_TRIES;

/// The source of a run: `Err` says why nothing can be copied any more.
pub type Read = Result<Source, String>;

/// Advances a run with its source as it began in this call. Boxed, as the engine is large.
pub fn work<'a>(
    aws: &'a Aws,
    state: &'a mut State,
    source: Read,
    budget: Budget,
) -> BoxFuture<'a, Progress> {
    Box::pin(work_with(aws, state, Some(source), budget))
}

/// Advances a run whose state comes from an earlier call. Nothing that the state says of the world
/// is taken for granted.
pub fn work_on<'a>(aws: &'a Aws, state: &'a mut State, budget: Budget) -> BoxFuture<'a, Progress> {
    state.reopen(aws.now());
    Box::pin(work_with(aws, state, None, budget))
}

async fn work_with(
    aws: &Aws,
    state: &mut State,
    mut source: Option<Read>,
    budget: Budget,
) -> Progress {
    loop {
        let advanced = advance(aws, state, source.as_ref(), budget).await;
        if let Ok(progress) = advanced {
            return progress;
        }
        match read_patiently(aws, state, &budget).await {
            Ok(read) => source = Some(read),
            Err(seconds) => return Progress::Continue(seconds),
        }
    }
}

/// Reads the source. Where AWS does not return it, tries again: inside the call for as long as the
/// budget's patience lasts, and in later calls, after so many seconds (`Err`). In the end the run
/// continues without its source.
async fn read_patiently(aws: &Aws, state: &mut State, budget: &Budget) -> Result<Read, u32> {
    loop {
        if state.unread >= MOST_TRIES {
            let said = format!("{} cannot be read", state.source.image_id);
            return Ok(Err(said));
        }
        let said = match in_time(aws, budget, read(aws, state)).await {
            Some(Ok(source)) => {
                state.unread = 0;
                return Ok(source);
            }
            Some(Err(Error::Throttled(refusal) | Error::AccessDenied { refusal, .. })) => {
                refusal.to_string()
            }
            Some(Err(error)) => error.to_string(),
            None => "AWS gave no answer in time".to_owned(),
        };
        state.unread += 1;
        let (run, tries) = (state.run.as_str(), state.unread);
        warn!(run, tries, said, "the source could not be read");
        if tries >= MOST_TRIES {
            let image = &state.source.image_id;
            let said = format!("{image} could not be read (attempt {tries}): {said}");
            state.give_up(Cause::SourceUnreadable, &said);
            state.unread = MOST_TRIES;
            continue;
        }
        let wait = backoff(tries);
        if wait > budget.patience || !budget.lasts(aws.now() + wait) {
            return Err(u32::try_from(wait).unwrap_or(1));
        }
        tokio::time::sleep(std::time::Duration::from_secs(wait.unsigned_abs())).await;
    }
}

/// Reads the source, and compares it with the state.
async fn read(aws: &Aws, state: &mut State) -> Result<Read, Error> {
    let (image, region) = (&state.source.image_id, &state.source.region);
    let found = match aws.kept_source(state).await {
        Some(kept) => Ok(kept),
        None => aws.read_source(image, region).await,
    };
    match found {
        Ok(source) => {
            let there = &state.source;
            let snapshots = source.snapshots.iter().map(|s| &s.id);
            // Keys too: a snapshot's key never changes, and a state may come from anybody who may
            // call.
            let same = snapshots.eq(&there.snapshots)
                && source.keys() == there.keys
                && source.owner == there.account_id;
            let staged = |target: &TargetState| {
                !target.phase.is_terminal() && state.run_ref().stage_of(target).is_some()
            };
            if same && state.targets.iter().any(staged) {
                return read_staged(aws, state, source).await;
            }
            Ok(if same {
                Ok(source)
            } else {
                Err(format!(
                    "{image} has not the snapshots and keys it had when the run began"
                ))
            })
        }
        Err(Error::SourceNotFound(said)) => Ok(Err(said)),
        Err(error) => Err(error),
    }
}

/// Reads the staged copies as they are now: KMS says which keys are AWS-managed, and tags say which
/// copies there are. A state may come from anybody who may call, and what it names would be shared.
async fn read_staged(aws: &Aws, state: &mut State, mut source: Source) -> Result<Read, Error> {
    if !state.source.managed_keys.is_empty() {
        aws.read_keys(&mut source, &state.source.region).await?;
        if source.aws_managed_keys != state.source.managed_keys {
            return Ok(Err(format!(
                "the keys of {} are not what they were when the run began",
                source.id
            )));
        }
    }
    if matches!(
        state.phase,
        Phase::Staging | Phase::Sharing | Phase::Copying
    ) && !state.sharing.closed
    {
        let staged = aws.staged(state.run_ref(), &source).await;
        state.see_staged(&staged.map_err(Error::from_refusal)?);
    }
    Ok(Ok(source))
}
