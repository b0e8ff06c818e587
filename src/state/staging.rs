//! A source of which nobody else may ever use the key is copied in its own account first; what is shared and copied is that.

use super::{Phase, SHOWN_WITHIN, State};
use crate::copies::{CopyStatus, Staged, best};

impl State {
    /// Whether some of the source's snapshots must be copied before they can be shared.
    pub fn needs_staging(&self) -> bool {
        !self.source.managed_keys.is_empty()
    }

    /// Whether copies of this run may be in the source account, whoever made them.
    pub fn may_have_staged(&self) -> bool {
        self.order.reencrypt_key.is_some() || self.source.staged.iter().any(Option::is_some)
    }

    /// The snapshots of which no copy is known yet; all, before the first look.
    pub fn unstaged(&self) -> Vec<usize> {
        let staged = &self.source.staged;
        (0..self.source.snapshots.len())
            .filter(|&s| staged.get(s).is_none_or(Option::is_none))
            .collect()
    }

    /// The same run, about what is opened instead of what it stands for.
    #[must_use]
    pub fn opened(&self) -> Self {
        let mut opened = self.clone();
        for (s, id) in opened.source.snapshots.iter_mut().enumerate() {
            id.clone_from(self.source.opened_snapshot(s));
        }
        opened.source.keys = self.run_ref().opened_keys();
        opened
    }

    /// Takes what is there for what is shared, where it is whole; otherwise nothing is, until Staging has looked.
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
            // Those not seen yet are kept, unless there is one to start: that is looked for first.
            _ if is_staging && self.unstaged().is_empty() => {}
            _ => {
                self.source.staged.clear();
                self.phase = Phase::Staging;
            }
        }
    }

    /// When the copies in the source account must show in the lists (Unix seconds).
    pub fn staged_shown_by(&self) -> i64 {
        match self.sharing.staged_at {
            0 => 0,
            at => at + SHOWN_WITHIN,
        }
    }

    pub(super) fn staging_is_sound(&self) -> bool {
        let source = &self.source;
        let one_each = source.staged.is_empty() || source.staged.len() == source.snapshots.len();
        let own = (
            source.region.partition(),
            source.region.as_str(),
            source.account_id.as_str(),
        );
        let key = self.order.reencrypt_key.as_ref();
        let is_own = key.is_some_and(|key| key.is_key_arn() && key.home() == Some(own));
        // Where all can be shared as it is, nothing stands in its place.
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
