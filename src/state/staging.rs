//! Staged copies. A source whose key can never be shared is copied in its own account first, and
//! so is a source that many accounts of another Region copy; the copies are shared.

use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, RunRef, SHOWN_WITHIN, State, TargetState};
use crate::copies::{CopyStatus, Staged, best};
use crate::ids::{KeyRef, Region};

/// A place in the source account where the run copies the source before others copy it from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage<'a> {
    /// The Region of the staged copies.
    pub region: &'a Region,
    /// Their key.
    pub key: &'a KeyRef,
}

impl RunRef<'_> {
    /// Returns the stage beside the source, which holds the snapshots that cannot be shared.
    pub fn home_stage(&self) -> Option<usize> {
        (!self.source.managed_keys.is_empty()).then_some(0)
    }
}

impl State {
    /// Keeps the stages that targets copy from.
    pub fn settle_stages(&mut self) {
        let owner = &self.source.account_id;
        let others = self.targets.iter().filter(|t| t.account_id != *owner);
        let regions: BTreeSet<&Region> = others.map(|target| &target.region).collect();
        let staged = &mut self.order.staging_keys;
        staged.retain(|region, _| regions.contains(region));
        let staged = &self.order.staging_keys;
        if regions.iter().all(|region| staged.contains_key(*region)) {
            self.source.managed_keys.clear();
        }
        if self.source.managed_keys.is_empty() {
            self.order.reencrypt_key = None;
        }
    }

    /// Returns whether the source must be copied in its own account before targets can copy it.
    pub fn needs_staging(&self) -> bool {
        !self.run_ref().stages().is_empty()
    }

    /// Returns whether staged copies of this run may exist, made by any process.
    pub fn may_have_staged(&self) -> bool {
        self.order.reencrypt_key.is_some()
            || !self.order.staging_keys.is_empty()
            || self.source.staged.iter().any(Option::is_some)
    }

    /// Returns the places of the snapshots without a known staged copy; all of them before the
    /// first look.
    pub fn unstaged(&self) -> Vec<usize> {
        let staged = &self.source.staged;
        (0..self.staged_count())
            .filter(|&place| staged.get(place).is_none_or(Option::is_none))
            .collect()
    }

    /// Returns the number of the snapshots of all stages.
    pub(super) fn staged_count(&self) -> usize {
        self.run_ref().stages().len() * self.source.snapshots.len()
    }

    /// Returns the run with the snapshots, the keys and the Region of a stage in place of the
    /// source's.
    #[must_use]
    pub fn opened(&self, stage: Option<usize>) -> Self {
        let run = self.run_ref();
        let mut opened = self.clone();
        for (s, id) in opened.source.snapshots.iter_mut().enumerate() {
            id.clone_from(self.source.opened_snapshot(stage, s));
        }
        opened.source.keys = run.opened_keys(stage);
        if let Some(stage) = stage.and_then(|stage| run.stages().into_iter().nth(stage)) {
            opened.source.region.clone_from(stage.region);
        }
        opened
    }

    /// Sorts targets by the stage that they copy from.
    pub fn by_stage(&self, targets: Vec<usize>) -> BTreeMap<Option<usize>, Vec<usize>> {
        let run = self.run_ref();
        let mut sorted: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for i in targets {
            let stage = run.stage_of(&self.targets[i]);
            sorted.entry(stage).or_default().push(i);
        }
        if self.order.share.is_some() {
            // An audience has no targets.
            sorted.entry(None).or_default();
        }
        sorted
    }

    /// Returns whether a target waits for staged copies.
    pub fn waits_for_stage(&self, target: &TargetState) -> bool {
        !self.sharing.staged && self.run_ref().stage_of(target).is_some()
    }

    /// Uses the staged copies if all are complete; otherwise uses none until the look of Staging.
    pub fn see_staged(&mut self, seen: &Staged) {
        let originals = self.source.snapshots.iter().cycle();
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
            Some(whole) if !is_staging => {
                self.source.staged = whole;
                self.sharing.staged = true;
            }
            // Unseen copies stay, unless another one must be started, which takes a look first.
            _ if is_staging && self.unstaged().is_empty() => {}
            _ => self.stage_anew(),
        }
    }

    /// Forgets the staged copies, which the next look finds.
    pub fn stage_anew(&mut self) {
        self.source.staged.clear();
        self.sharing.staged = false;
        self.phase = Phase::Staging;
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
        // Without a stage there are no staged copies.
        let one_each = source.staged.is_empty() || source.staged.len() == self.staged_count();
        let is_own = |key: &KeyRef, region: &Region| {
            let arn = key.arn();
            arn.is_some_and(|key| key.is_in(&source.account_id, region))
        };
        let home = self.order.reencrypt_key.as_ref();
        let home = home.is_some_and(|key| is_own(key, &source.region));
        let mut elsewhere = self.order.staging_keys.iter();
        one_each
            && source
                .managed_keys
                .iter()
                .all(|key| source.keys.contains(key))
            && (source.managed_keys.is_empty() || home)
            && elsewhere.all(|(region, key)| *region != source.region && is_own(key, region))
    }
}
