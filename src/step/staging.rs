//! Copies the source in its own account before it is shared.
//!
//! A look comes before every start and after each wait, so all processes of a run choose the same
//! copies. The process that closes the source deletes all of them.

use super::{Busy, ready};
use crate::command::SourceCommand;
use crate::state::{Pace, Phase, State, TargetPhase};

/// Moves the run to its next phase when targets need the source open.
pub(super) fn before_sharing(state: &mut State) {
    if !state.needs_staging() {
        state.phase = Phase::Sharing;
        return;
    }
    state.phase = Phase::Staging;
    state.source.staged.clear();
    state.sharing.pace = Pace::default();
}

/// Makes targets with copies to start wait as well: the snapshots to copy are unknown for now.
pub(super) fn gather(state: &mut State, busy: &Busy) {
    let owner = state.source.account_id.clone();
    for (i, target) in state.targets.iter_mut().enumerate() {
        if target.account_id == owner {
            continue;
        }
        let lacks = target.work.copies.is_empty() || target.work.copies.iter().any(Option::is_none);
        if target.phase == TargetPhase::Copying && lacks && !busy.targets.contains(&i) {
            target.phase = TargetPhase::Ready;
        }
    }
}

/// Returns the targets that need the staged copies. The parts of an execution cannot make them
/// later, so targets that have not answered yet are included.
pub(super) fn waiting(state: &State) -> Vec<usize> {
    let mut waiting = ready(state);
    if !state.execution.is_empty() && !state.part {
        let late = |&i: &usize| {
            let target = &state.targets[i];
            target.phase == TargetPhase::Looking && !state.run_ref().is_own(target)
        };
        waiting.extend((0..state.targets.len()).filter(late));
    }
    waiting
}

pub(super) fn command(state: &State) -> SourceCommand {
    let snapshots = state.unstaged();
    if state.source.staged.is_empty() || snapshots.is_empty() {
        SourceCommand::LookStaged
    } else {
        SourceCommand::Stage { snapshots }
    }
}
