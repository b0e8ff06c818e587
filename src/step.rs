//! The decisions. Pure: no clock, no I/O, no randomness; `now` is an argument, in Unix seconds.
//!
//! `next` returns what may be done at this moment, and `record` notes the outcome. A target goes
//! through these phases:
//!
//! - Looking (`Look`): to Checking if there is an image, to Registering if all copies are complete,
//!   otherwise to Ready.
//! - Ready (the run's `Share`): to Copying.
//! - Copying (`Start`, `Poll`): to Registering when all copies are complete, to Looking when
//!   something is not as remembered. Copying as a whole (`CopyImage`, `PollImage`): to Checking
//!   when the image is available.
//! - Registering (`Register`): to Checking.
//! - Checking (`Check`): to Tidying if there are surplus copies, otherwise to the first of
//!   Retagging, Granting and Publishing that the run needs, or to Succeeded; to Undoing if the
//!   image differs.
//! - Tidying (`Tidy`): to the same.
//! - Retagging (`Retag`), if an update asks for other tags: to Granting, Publishing or Succeeded,
//!   or to Failed with its image kept.
//! - Granting (`Grant`), if service-linked roles need to launch: to Publishing or Succeeded, or to
//!   Failed with its image kept.
//! - Publishing (`Publish`), if the request says where: to Succeeded, or to Failed with its image
//!   kept; to EndingTest if it is given up during a launch test.
//! - EndingTest (`EndTest`): to Failed with its image kept.
//! - Undoing (`Undo`): to Failed or Stuck.
//! - Removing (`Remove`): to Removed or Failed.
//!
//! A run goes through these phases:
//!
//! - Looking, until every target has looked.
//! - Staging, if the source cannot be shared itself.
//! - Sharing with the accounts that need it, which may be none.
//! - Copying, until every target is terminal.
//! - Revoking.
//! - Copying once more. This time it deletes copies that other processes of the same state may have
//!   left in targets that the source was open to.
//! - Ended.
//!
//! With `Mode: Share` the targets begin as Ready, and are Granting or Succeeded once they are
//! shared with. Revoking then takes back only the openings that are no longer wanted.

use crate::cause::Cause;
use crate::command::{Command, SourceCommand, TargetCommand};
use crate::state::{Phase, State, TargetPhase, TargetState};

mod ends;
mod opening;
mod pace;
mod record;
mod staging;

pub use ends::Ends;
pub use opening::{OpeningPlan, Refusals, WantedGrant, Wish, granted_actions, grantee};
pub use pace::{MOST_TRIES, copy_limit};
pub use record::{overtaken, record};

const OUT_OF_TIME: &str =
    "CloudFormation waits no longer than the ServiceTimeout of the resource, one hour at most";

/// Commands under way at once. Each target has at most one.
const AT_ONCE: usize = 128;

/// The commands that are under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// Whether a command about the source is under way.
    pub source: bool,
    /// Indices of the targets with a command under way.
    pub targets: std::collections::BTreeSet<usize>,
}

impl Busy {
    /// Returns how many commands may begin.
    fn room(&self) -> usize {
        AT_ONCE.saturating_sub(self.targets.len() + usize::from(self.source))
    }
}

/// The decision of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform these commands, which do not depend on each other. There may be more, as soon as one
    /// of them ends.
    Do(Vec<Command>),
    /// Do nothing before this time (Unix seconds), unless a command under way ends.
    WaitUntil(i64),
    /// Do nothing until a command under way ends.
    WaitForBusy,
    /// The run is over.
    End,
}

/// Returns what to do now. Moves the run from phase to phase if nothing but time had to pass.
pub fn next(state: &mut State, now: i64, busy: &Busy) -> Next {
    end_in_time(state, now, busy);
    turn(state, busy);
    if state.phase == Phase::Ended {
        return Next::End;
    }
    let room = busy.room();
    if room == 0 {
        return Next::WaitForBusy;
    }
    let mut commands = Vec::new();
    // Nothing is to be done at a deadline that has passed: late targets are undone already.
    let mut earliest: Option<i64> = Some(state.end_by).filter(|by| *by > now);
    let idle = state.targets.iter().enumerate();
    let idle = idle.filter(|(i, _)| !busy.targets.contains(i));
    let of_targets = idle.filter_map(|(i, target)| {
        Some((
            target.pace.due,
            Command::Target(i, command_for(state, target)?),
        ))
    });
    let of_source = std::iter::once_with(|| source_command(state)).flatten();
    let of_source = of_source.map(|(due, command)| (due, Command::Source(command)));
    let of_source = of_source.filter(|_| !busy.source);
    for (due, command) in of_targets.chain(of_source) {
        if due > now {
            earliest = Some(earliest.map_or(due, |e: i64| e.min(due)));
            continue;
        }
        commands.push(command);
        if commands.len() == room {
            break;
        }
    }
    match (commands.is_empty(), earliest) {
        (false, _) => Next::Do(commands),
        (true, Some(due)) => Next::WaitUntil(due),
        (true, None) => Next::WaitForBusy,
    }
}

/// Gives up targets that cannot be done by the deadline.
///
/// A target with a command under way is given up after the outcome, because its resources must be
/// known before they are undone. A good image that only lacks its verification may be finished.
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
                | TargetPhase::Publishing
        );
        if ends && !busy.source && !busy.targets.contains(&i) {
            state.give_up_target(i, Cause::TooSlow, OUT_OF_TIME);
        }
    }
}

/// Moves the run as far as its targets allow.
fn turn(state: &mut State, busy: &Busy) {
    if busy.source {
        return;
    }
    // All accounts are shared with at once, so sharing waits for the first answer of each target,
    // but not for its retries.
    let unheard = |t: &TargetState| t.phase == TargetPhase::Looking && t.pace.tries == 0;
    if state.phase == Phase::Looking && !state.targets.iter().any(unheard) {
        staging::before_sharing(state);
    }
    if state.phase == Phase::Staging {
        staging::gather(state, busy);
        if staging::waiting(state).is_empty() {
            state.phase = Phase::Copying;
        }
    }
    if state.phase == Phase::Copying && !ready(state).is_empty() {
        // A target that answered late, or looked again, still needs copies.
        staging::before_sharing(state);
    }
    if state.phase == Phase::Sharing
        && staging::shareable(state).is_empty()
        && !audience_waits(state)
    {
        state.phase = Phase::Copying;
        if !ready(state).is_empty() {
            staging::before_sharing(state);
        }
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

/// Returns whether a lasting share must still be opened to an organization or a unit.
fn audience_waits(state: &State) -> bool {
    let audience = state.order.share.as_ref().map(|s| &s.audience);
    state.sharing.at == 0 && audience.is_some_and(|a| !a.is_empty())
}

/// Returns the targets that wait for the source to be opened.
fn ready(state: &State) -> Vec<usize> {
    state
        .targets
        .iter()
        .enumerate()
        .filter(|(_, t)| t.phase == TargetPhase::Ready)
        .map(|(i, _)| i)
        .collect()
}

/// Returns the next command about the source, and when it is due.
fn source_command(state: &State) -> Option<(i64, SourceCommand)> {
    let due = state.sharing.pace.due;
    match state.phase {
        Phase::Sharing => {
            let targets = staging::shareable(state);
            Some((due, SourceCommand::Share { targets }))
        }
        Phase::Staging => Some((due, staging::command(state))),
        Phase::Revoking => Some((due.max(state.staged_shown_by()), SourceCommand::Revoke)),
        Phase::Looking | Phase::Copying | Phase::Ended => None,
    }
}

fn command_for(state: &State, target: &TargetState) -> Option<TargetCommand> {
    match target.phase {
        TargetPhase::Looking => Some(TargetCommand::Look),
        TargetPhase::Copying if target.image_id.is_some() => Some(TargetCommand::PollImage),
        TargetPhase::Copying if state.order.copies_image => Some(TargetCommand::CopyImage),
        TargetPhase::Copying => {
            let missing: Vec<usize> = (0..state.source.snapshots.len())
                .filter(|&s| target.work.copies.get(s).is_none_or(Option::is_none))
                .collect();
            // Only the progress of other copies frees a place in a full quota: poll, then try
            // again.
            if missing.is_empty() || target.work.queued {
                Some(TargetCommand::Poll)
            } else if state.waits_for_stage(target) {
                None
            } else {
                Some(TargetCommand::Start { snapshots: missing })
            }
        }
        TargetPhase::Registering => Some(TargetCommand::Register),
        TargetPhase::Checking => Some(TargetCommand::Check),
        TargetPhase::Tidying => Some(TargetCommand::Tidy),
        TargetPhase::Undoing => Some(TargetCommand::Undo),
        TargetPhase::Removing => Some(TargetCommand::Remove),
        TargetPhase::Retagging => Some(TargetCommand::Retag),
        TargetPhase::Granting => Some(TargetCommand::Grant),
        TargetPhase::Publishing => Some(TargetCommand::Publish),
        TargetPhase::EndingTest => Some(TargetCommand::EndTest),
        TargetPhase::Ready
        | TargetPhase::Succeeded
        | TargetPhase::Removed
        | TargetPhase::Failed
        | TargetPhase::Stuck { .. } => None,
    }
}

#[cfg(test)]
mod tests;
