//! Reading the source again, at the begin of each call that continues a state.
//!
//! An image that is gone is no error of the call, and neither is one that AWS does not return: each
//! target fails by it, and is cleaned up. A caller with a state has something open, and must get to
//! its end.

use tracing::warn;

use super::in_time;
use crate::aws::Aws;
use crate::cause::Cause;
use crate::engine::Budget;
use crate::error::Error;
use crate::source::Source;
use crate::state::{Phase, State, backoff};
use crate::step::MOST_TRIES;

/// The result of reading the source.
#[derive(Debug)]
pub enum Again {
    /// `Err` says why nothing can be copied any more.
    Read(Box<Result<Source, String>>),
    /// AWS does not return it now: try after so many seconds. The state has counted it.
    Later(u32),
}

/// Reads the source. Where AWS does not return it, tries again: inside the call for as long as the
/// budget's patience lasts, and in later calls. In the end the run continues without its source.
pub async fn read_again(aws: &Aws, state: &mut State, budget: &Budget) -> Again {
    // The state comes from outside: nothing that it says of the world is taken for granted.
    state.not_ahead_of(aws.now());
    state.reopen();
    loop {
        if state.unread >= MOST_TRIES {
            let said = format!("{} cannot be read", state.source.image_id);
            return Again::Read(Box::new(Err(said)));
        }
        let said = match in_time(aws, budget, read(aws, state)).await {
            Some(Ok(source)) => {
                state.unread = 0;
                return Again::Read(Box::new(source));
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
        // The caller does not wait for all of these tries.
        let late = state.end_by != 0 && aws.now() >= state.end_by;
        if tries >= MOST_TRIES || late {
            let image = &state.source.image_id;
            let said = format!("{image} could not be read (attempt {tries}): {said}");
            state.give_up(Cause::SourceUnreadable, &said);
            state.unread = MOST_TRIES;
            continue;
        }
        let wait = backoff(tries);
        if wait > budget.patience || !budget.lasts(aws.now() + wait) {
            return Again::Later(u32::try_from(wait).unwrap_or(1));
        }
        tokio::time::sleep(std::time::Duration::from_secs(wait.unsigned_abs())).await;
    }
}

/// Reads the source, and compares it with the state.
async fn read(aws: &Aws, state: &mut State) -> Result<Result<Source, String>, Error> {
    if state.phase == Phase::Ended {
        return Ok(Err("the run has ended".to_owned()));
    }
    // The audience of a lasting share is no target, and may be waiting.
    if state.order.share.is_none() && state.targets.iter().all(|t| t.phase.is_terminal()) {
        return Ok(Err("nothing is left to copy".to_owned()));
    }
    let (image, region) = (&state.source.image_id, &state.source.region);
    match aws.read_source(image, region).await {
        Ok(source) => {
            let there = &state.source;
            let snapshots = source.snapshots.iter().map(|s| &s.id);
            // Keys too: a snapshot's key never changes, and a state may come from anybody who may
            // call.
            let same = snapshots.eq(&there.snapshots)
                && source.keys() == there.keys
                && source.owner == there.account_id;
            if same && state.needs_staging() {
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
async fn read_staged(
    aws: &Aws,
    state: &mut State,
    mut source: Source,
) -> Result<Result<Source, String>, Error> {
    aws.read_keys(&mut source, &state.source.region).await?;
    if source.aws_managed_keys != state.source.managed_keys {
        return Ok(Err(format!(
            "the keys of {} are not what they were when the run began",
            source.id
        )));
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
