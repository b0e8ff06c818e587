//! Targets that failed although their image is good: service-linked roles cannot launch from it,
//! for example. The image stays, the reply contains it, and the next run finds it and does only the
//! rest.

use super::{Failure, Pace, TargetPhase, TargetState};
use crate::cause::Cause;

/// The number of copies that fit into the state beside the texts of a failure; the image lists them
/// anyway.
pub const MOST_COPIES_BESIDE_WORDS: usize = 12;

impl TargetState {
    /// Returns whether the image exists to launch from, or is shared, however the target ended.
    pub fn stands(&self) -> bool {
        match self.phase {
            TargetPhase::Succeeded
            | TargetPhase::Retagging
            | TargetPhase::Granting
            | TargetPhase::Publishing
            | TargetPhase::EndingTest => true,
            // Undoing clears the image.
            TargetPhase::Failed => self.image_id.is_some(),
            _ => false,
        }
    }

    /// Fails a target that is publishing its image, which stays. An instance that tests the launch
    /// is terminated first.
    pub fn fail_publishing(&mut self, cause: Cause, reason: &str, tests: bool) {
        self.fail_standing(cause, reason);
        if tests && !self.published.launched {
            self.phase = TargetPhase::EndingTest;
        }
    }

    /// Fails the target and keeps its image.
    pub fn fail_standing(&mut self, cause: Cause, reason: &str) {
        self.failure = Some(Failure::new(cause, reason));
        self.note = None;
        self.pace = Pace::default();
        self.work.doubled = false;
        if self.work.copies.len() > MOST_COPIES_BESIDE_WORDS {
            self.work.copies.clear();
        }
        self.phase = TargetPhase::Failed;
    }
}
