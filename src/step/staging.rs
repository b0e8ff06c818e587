//! Copying the source in its own account, before it is shared. One look comes before every start, and one after each waiting: all
//! processes of a run choose the same copies, and whoever closes the source deletes them all.

use super::{Busy, ready};
use crate::command::Command;
use crate::state::{Phase, State, TargetPhase};

/// Where a run goes when targets need the source open.
pub(super) fn before_sharing(state: &mut State) {
    if !state.needs_staging() {
        state.phase = Phase::Sharing;
        return;
    }
    state.phase = Phase::Staging;
    state.source.staged.clear();
    (state.sharing.tries, state.sharing.due) = (0, 0);
}

/// A target that has copies to start waits as well: of what, is not known now.
pub(super) fn gather(state: &mut State, busy: &Busy) {
    for (i, target) in state.targets.iter_mut().enumerate() {
        let lacks = target.copies.is_empty() || target.copies.iter().any(Option::is_none);
        if target.phase == TargetPhase::Copying && lacks && !busy.targets.contains(&i) {
            target.phase = TargetPhase::Ready;
        }
    }
}

/// The targets for which it is done. An execution hands on what is open: its parts cannot do it later, so it is done for targets
/// that have not answered yet too.
pub(super) fn waiting(state: &State) -> Vec<usize> {
    let mut waiting = ready(state);
    if !state.execution.is_empty() && !state.part {
        let late = |&i: &usize| state.targets[i].phase == TargetPhase::Looking;
        waiting.extend((0..state.targets.len()).filter(late));
    }
    waiting
}

pub(super) fn command(state: &State) -> Command {
    let snapshots = state.unstaged();
    if state.source.staged.is_empty() || snapshots.is_empty() {
        Command::LookStaged
    } else {
        Command::Stage { snapshots }
    }
}
