//! Staged copies. A source whose key can never be shared is copied in its own account first, and
//! the copies are shared.

use super::{Phase, SHOWN_WITHIN, State};
use crate::copies::{CopyStatus, Staged, best};
use crate::ids::KeyRef;

impl State {
    /// Returns whether some of the source's snapshots must be copied before they can be shared.
    pub fn needs_staging(&self) -> bool {
        !self.source.managed_keys.is_empty()
    }

    /// Returns whether staged copies of this run may exist, made by any process.
    pub fn may_have_staged(&self) -> bool {
        self.order.reencrypt_key.is_some() || self.source.staged.iter().any(Option::is_some)
    }

    /// Returns the indices of the snapshots without a known staged copy; all of them before the
    /// first look.
    pub fn unstaged(&self) -> Vec<usize> {
        let staged = &self.source.staged;
        (0..self.source.snapshots.len())
            .filter(|&s| staged.get(s).is_none_or(Option::is_none))
            .collect()
    }

    /// Returns the run with the opened snapshots and keys in place of the source's.
    #[must_use]
    pub fn opened(&self) -> Self {
        let mut opened = self.clone();
        for (s, id) in opened.source.snapshots.iter_mut().enumerate() {
            id.clone_from(self.source.opened_snapshot(s));
        }
        opened.source.keys = self.run_ref().opened_keys();
        opened
    }

    /// Uses the staged copies if all are complete; otherwise uses none until the look of Staging.
    pub fn see_staged(&mut self, seen: &Staged) {
        let originals = self.source.snapshots.iter();
        let whole: Option<Vec<_>> = originals
            .zip(seen)
            .map(|(original, copies)| match copies {
                None => Some(Some(original.clone())),
                Some(copies) => best(copies)
                    .filter(|copy| copy.status == CopyStatus::Completed)
                    .map(|copy| Some(copy.id.clone())),
            })
            .collect();
        let is_staging = self.phase == Phase::Staging;
        match whole {
            Some(whole) if !is_staging => self.source.staged = whole,
            // Unseen copies stay, unless another one must be started, which takes a look first.
            _ if is_staging && self.unstaged().is_empty() => {}
            _ => {
                self.source.staged.clear();
                self.phase = Phase::Staging;
            }
        }
    }

    /// Returns when all staged copies show in the lists (Unix seconds).
    pub fn staged_shown_by(&self) -> i64 {
        match self.sharing.staged_at {
            0 => 0,
            at => at + SHOWN_WITHIN,
        }
    }

    pub(super) fn staging_is_sound(&self) -> bool {
        let source = &self.source;
        let one_each = source.staged.is_empty() || source.staged.len() == source.snapshots.len();
        let key = self.order.reencrypt_key.as_ref().and_then(KeyRef::arn);
        let is_own = key.is_some_and(|key| key.is_in(&source.account_id, &source.region));
        // A source without AWS-managed keys has no staged copies.
        let in_place = !source.managed_keys.is_empty() || source.staged.is_empty();
        one_each
            && in_place
            && source
                .managed_keys
                .iter()
                .all(|key| source.keys.contains(key))
            && (source.managed_keys.is_empty() || is_own)
    }
}
