//! Ends targets before they are done.

use std::collections::BTreeSet;

use super::{Failure, State, TargetPhase};
use crate::cause::Cause;
use crate::ids::{AccountId, Region};

/// The reason of a target that was left to a later event.
const OVERTAKEN: &str = "a later event of this resource came before it was done";

impl State {
    /// Ends every target that is not terminal; the run's copies are undone.
    pub fn give_up(&mut self, cause: Cause, reason: &str) {
        for target in 0..self.targets.len() {
            self.give_up_target(target, cause, reason);
        }
    }

    /// Ends one target that is not terminal; the run's copies are undone.
    pub fn give_up_target(&mut self, i: usize, cause: Cause, reason: &str) {
        // A share makes nothing in the target; revoking closes its openings.
        let phase = if self.order.share.is_some() {
            TargetPhase::Failed
        } else {
            TargetPhase::Undoing
        };
        let tests = self.order.tests_launch();
        let target = &mut self.targets[i];
        let ends = matches!(
            target.phase,
            TargetPhase::Removing | TargetPhase::EndingTest
        );
        if target.phase.is_terminal() || ends {
            return;
        }
        if self.sharing.closed && target.phase == TargetPhase::Tidying {
            target.phase = TargetPhase::Succeeded;
            return;
        }
        if target.phase == TargetPhase::Retagging {
            return target.fail_standing(Cause::TagsNotChanged, reason);
        }
        if target.phase == TargetPhase::Granting {
            return target.fail_standing(Cause::LaunchGrantMissing, reason);
        }
        if target.phase == TargetPhase::Publishing {
            return target.fail_publishing(Cause::NotPublished, reason, tests);
        }
        target
            .failure
            .get_or_insert_with(|| Failure::new(cause, reason));
        target.note = None;
        target.phase = phase;
        target.pace.due = target.work.shown_by();
    }

    /// Leaves one target to a later event of the resource. The run's copies go to that event if it
    /// `wants` the target, and are undone otherwise.
    pub fn overtake(&mut self, i: usize, wants: &BTreeSet<(AccountId, Region)>) {
        let tests = self.order.tests_launch();
        let target = &mut self.targets[i];
        if target.phase.is_terminal() || target.phase == TargetPhase::EndingTest {
            return;
        }
        if target.phase == TargetPhase::Publishing {
            return target.fail_publishing(Cause::Overtaken, OVERTAKEN, tests);
        }
        let wanted = wants.contains(&(target.account_id.clone(), target.region.clone()));
        if wanted || target.phase == TargetPhase::Removing {
            target.failure = Some(Failure::new(Cause::Overtaken, OVERTAKEN));
            target.phase = TargetPhase::Failed;
            return;
        }
        self.give_up_target(i, Cause::Overtaken, OVERTAKEN);
    }
}
