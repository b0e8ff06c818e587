//! Targets that have what they are to have, and yet have failed: nobody launches from it by itself. What is good is kept, told,
//! and found by the next run, which has only the rest to do.

use super::{Failure, TargetPhase, TargetState};
use crate::cause::Cause;

/// With more copies than this there is no place beside the words of a failure: the image tells them.
pub const MOST_COPIES_BESIDE_WORDS: usize = 12;

impl TargetState {
    /// Whether the image is there to be launched, or shared, whatever else became of the target.
    pub fn stands(&self) -> bool {
        match self.phase {
            TargetPhase::Succeeded | TargetPhase::Retagging | TargetPhase::Granting => true,
            // Who undoes forgets the image.
            TargetPhase::Failed => self.image_id.is_some(),
            _ => false,
        }
    }

    /// The target has failed, and its image stays.
    pub fn fail_standing(&mut self, cause: Cause, reason: &str) {
        self.failure = Some(Failure::new(cause, reason));
        (self.tries, self.due, self.doubled) = (0, 0, false);
        if self.copies.len() > MOST_COPIES_BESIDE_WORDS {
            self.copies.clear();
        }
        self.phase = TargetPhase::Failed;
    }
}
