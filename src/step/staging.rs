//! Copies the source in its own account before it is shared.
//!
//! A look comes before every start and after each wait, so all processes of a run choose the same
//! copies. The process that closes the source deletes all of them.

use super::{Busy, ready};
use crate::command::SourceCommand;
use crate::state::{Pace, Phase, State, TargetPhase};

/// Moves the run to its next phase when targets need the source open. Those that copy from the
/// source itself come first: staging takes as long as a copy.
pub(super) fn before_sharing(state: &mut State) {
    if state.needs_staging() && shareable(state).is_empty() {
        state.stage_anew();
        state.sharing.pace = Pace::default();
    } else {
        state.phase = Phase::Sharing;
    }
}

/// Returns the targets that the source, or the first stage with such targets, can be opened to now.
/// A refusal in one Region is none of the others.
pub(super) fn shareable(state: &State) -> Vec<usize> {
    let of = |i: usize| state.run_ref().stage_of(&state.targets[i]);
    let mut ready = ready(state);
    ready.retain(|&i| !state.waits_for_stage(&state.targets[i]));
    if let Some(first) = ready.iter().map(|&i| of(i)).min() {
        ready.retain(|&i| of(i) == first);
    }
    ready
}

/// Makes targets with copies to start wait as well: the snapshots to copy are unknown for now.
pub(super) fn gather(state: &mut State, busy: &Busy) {
    for i in 0..state.targets.len() {
        let target = &state.targets[i];
        let lacks = target.work.copies.is_empty() || target.work.copies.iter().any(Option::is_none);
        if target.phase == TargetPhase::Copying
            && lacks
            && !busy.targets.contains(&i)
            && state.waits_for_stage(target)
        {
            state.targets[i].phase = TargetPhase::Ready;
        }
    }
}

/// Returns the targets that need the staged copies. The parts of an execution cannot make them
/// later, so targets that have not answered yet are included.
pub(super) fn waiting(state: &State) -> Vec<usize> {
    let mut waiting = ready(state);
    waiting.retain(|&i| state.waits_for_stage(&state.targets[i]));
    if !state.execution.is_empty() && !state.part {
        let late = |&i: &usize| {
            let target = &state.targets[i];
            target.phase == TargetPhase::Looking && state.waits_for_stage(target)
        };
        waiting.extend((0..state.targets.len()).filter(late));
    }
    waiting
}

pub(super) fn command(state: &State) -> SourceCommand {
    let places = state.unstaged();
    if state.source.staged.is_empty() || places.is_empty() {
        SourceCommand::LookStaged
    } else {
        SourceCommand::Stage { places }
    }
}
