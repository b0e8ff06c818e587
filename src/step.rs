//! The decisions. Pure: no clock, no I/O, no randomness; `now` is an argument, in Unix seconds.
//! `next` says what may be done at this moment, `record` notes what came of it.
//!
//! A target's way, and what turns it:
//!
//! | phase | command | goes on to |
//! |---|---|---|
//! | Looking | Look | Checking (there is an image), Registering (all copies complete), Ready |
//! | Ready | (the run's Share) | Copying |
//! | Copying | Start, Poll | Registering when all are complete; Looking when something is not as remembered |
//! | Registering | Register | Checking |
//! | Checking | Check | Tidying when copies are left over, Retagging, Granting, Succeeded, Undoing when not faithful |
//! | Tidying | Tidy | Retagging, Granting, Succeeded |
//! | Retagging (where an update asks for other tags) | Retag | Granting, Succeeded, Failed with its image kept |
//! | Granting (where service-linked roles are to launch) | Grant | Succeeded, Failed with its image kept |
//! | Undoing | Undo | Failed, Stuck |
//! | Removing | Remove | Removed, Failed |
//!
//! The run's way: Looking until every target has looked; Sharing with the accounts that turned out
//! to need it, which may be none, and before that Staging where the source cannot be shared as it
//! is; Copying until every target is terminal; Revoking; Copying once more, to delete what other
//! processes at work on the same state may have left in the targets that the source was open to;
//! Ended.
//!
//! With `Mode: Share` the targets begin as Ready and are Granting or Succeeded once shared with;
//! Revoking then takes back only what is no longer wanted.

use crate::cause::Cause;
use crate::command::Command;
use crate::state::{Phase, State, TargetPhase, TargetState};

mod ends;
mod opening;
mod pace;
mod record;
mod staging;

pub use ends::Ends;
pub use opening::{OpeningPlan, Refusals, WantedGrant, Wish, granted_actions, grantee};
pub use pace::{MOST_TRIES, backoff, copy_limit};
pub use record::{overtaken, record};

const OUT_OF_TIME: &str =
    "CloudFormation waits no longer than the ServiceTimeout of the resource, one hour at most";

/// What is being worked on at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// A command about the source is under way.
    pub source: bool,
    /// Targets with a command under way.
    pub targets: std::collections::BTreeSet<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Do these; they do not depend on each other.
    Do(Vec<Command>),
    /// Nothing to do before this (Unix seconds), unless something under way ends.
    WaitUntil(i64),
    /// Nothing to do until something under way ends.
    WaitForBusy,
    End,
}

/// What to do now. Moves the run from phase to phase where nothing but time had to happen.
pub fn next(state: &mut State, now: i64, busy: &Busy) -> Next {
    end_in_time(state, now, busy);
    turn(state, busy);
    if state.phase == Phase::Ended {
        return Next::End;
    }
    let mut commands = Vec::new();
    // Once it is past, nobody is left whom it would wake: they are undone already.
    let mut earliest: Option<i64> = Some(state.end_by).filter(|by| *by > now);
    let mut offer = |due: i64, command: Command| {
        if due <= now {
            commands.push(command);
        } else {
            earliest = Some(earliest.map_or(due, |e: i64| e.min(due)));
        }
    };
    for (i, target) in state.targets.iter().enumerate() {
        if !busy.targets.contains(&i)
            && let Some(command) = command_for(state, i, target)
        {
            offer(target.due, command);
        }
    }
    if !busy.source {
        match state.phase {
            Phase::Sharing => offer(
                state.sharing.due,
                Command::Share {
                    targets: ready(state),
                },
            ),
            Phase::Staging => offer(state.sharing.due, staging::command(state)),
            Phase::Revoking => offer(
                state.sharing.due.max(state.staged_shown_by()),
                Command::Revoke,
            ),
            Phase::Looking | Phase::Copying | Phase::Ended => {}
        }
    }
    match (commands.is_empty(), earliest) {
        (false, _) => Next::Do(commands),
        (true, Some(due)) => Next::WaitUntil(due),
        (true, None) => Next::WaitForBusy,
    }
}

/// Gives up what cannot be done by the time that whoever asked waits. A target that is being worked
/// on is given up when that has landed: what it makes must be known before it is undone. A good
/// image that is only to be checked is let through.
fn end_in_time(state: &mut State, now: i64, busy: &Busy) {
    if state.end_by == 0 || now < state.end_by {
        return;
    }
    for i in 0..state.targets.len() {
        let ends = matches!(
            state.targets[i].phase,
            TargetPhase::Looking
                | TargetPhase::Ready
                | TargetPhase::Copying
                | TargetPhase::Registering
                | TargetPhase::Retagging
                | TargetPhase::Granting
        );
        if ends && !busy.source && !busy.targets.contains(&i) {
            state.give_up_target(i, Cause::TooSlow, OUT_OF_TIME);
        }
    }
}

/// Takes the run as far as its targets allow.
fn turn(state: &mut State, busy: &Busy) {
    if busy.source {
        return;
    }
    // Sharing is done for all accounts at once, so it waits for the first answer from each; but not
    // for those that stumble.
    let unheard = |t: &TargetState| t.phase == TargetPhase::Looking && t.tries == 0;
    if state.phase == Phase::Looking && !state.targets.iter().any(unheard) {
        staging::before_sharing(state);
    }
    if state.phase == Phase::Copying && !ready(state).is_empty() {
        // A target that answered late, or looked again, needs copies after all.
        staging::before_sharing(state);
    }
    if state.phase == Phase::Staging {
        staging::gather(state, busy);
        if staging::waiting(state).is_empty() {
            state.phase = Phase::Copying;
        }
    }
    if state.phase == Phase::Sharing && ready(state).is_empty() && !audience_waits(state) {
        state.phase = Phase::Copying;
    }
    if state.phase == Phase::Copying && state.targets.iter().all(|t| t.phase.is_terminal()) {
        let all_done = state.sharing.closed || state.sharing.stuck.is_some();
        state.phase = if state.part || all_done {
            Phase::Ended
        } else {
            Phase::Revoking
        };
    }
}

/// Whether an organisation or unit is yet to be let in by a lasting share.
fn audience_waits(state: &State) -> bool {
    let audience = state.order.share.as_ref().map(|s| &s.audience);
    state.sharing.at == 0 && audience.is_some_and(|a| !a.is_empty())
}

/// The targets that wait for the source to be opened.
fn ready(state: &State) -> Vec<usize> {
    state
        .targets
        .iter()
        .enumerate()
        .filter(|(_, t)| t.phase == TargetPhase::Ready)
        .map(|(i, _)| i)
        .collect()
}

fn command_for(state: &State, i: usize, target: &TargetState) -> Option<Command> {
    match target.phase {
        TargetPhase::Looking => Some(Command::Look { target: i }),
        TargetPhase::Copying => {
            let missing: Vec<usize> = (0..state.source.snapshots.len())
                .filter(|&s| target.copies.get(s).is_none_or(Option::is_none))
                .collect();
            // While the quota is full, progress of the others is what frees a place: poll, then try
            // again.
            if missing.is_empty() || target.queued {
                Some(Command::Poll { target: i })
            } else if state.phase == Phase::Staging {
                None
            } else {
                Some(Command::Start {
                    target: i,
                    snapshots: missing,
                })
            }
        }
        TargetPhase::Registering => Some(Command::Register { target: i }),
        TargetPhase::Checking => Some(Command::Check { target: i }),
        TargetPhase::Tidying => Some(Command::Tidy { target: i }),
        TargetPhase::Undoing => Some(Command::Undo { target: i }),
        TargetPhase::Removing => Some(Command::Remove { target: i }),
        TargetPhase::Retagging => Some(Command::Retag { target: i }),
        TargetPhase::Granting => Some(Command::Grant { target: i }),
        TargetPhase::Ready
        | TargetPhase::Succeeded
        | TargetPhase::Removed
        | TargetPhase::Failed
        | TargetPhase::Stuck => None,
    }
}

#[cfg(test)]
mod tests;
