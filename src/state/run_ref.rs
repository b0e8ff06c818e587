//! The part of a state that every call of a run may need, without its targets and its progress.

use super::{Order, Share, SourceRef, Stage, State, TargetState};
use crate::ids::{KeyArn, Region, SnapshotId};
use crate::ledger::Attempt;

/// One run, borrowed from its state: who it is, of what source, and what was ordered.
#[derive(Debug, Clone, Copy)]
pub struct RunRef<'a> {
    /// The run ID.
    pub id: &'a str,
    /// The number of the attempt.
    pub attempt: u32,
    /// Unix seconds.
    pub started: i64,
    /// The deadline (Unix seconds); 0 if there is none.
    pub end_by: i64,
    /// The source AMI.
    pub source: &'a SourceRef,
    /// The order of the request.
    pub order: &'a Order,
}

impl State {
    /// Borrows what the calls of this run need.
    pub fn run_ref(&self) -> RunRef<'_> {
        RunRef {
            id: &self.run,
            attempt: self.attempt,
            started: self.started,
            end_by: self.end_by,
            source: &self.source,
            order: &self.order,
        }
    }
}

impl<'a> RunRef<'a> {
    /// Returns the attempt that this run's state continues.
    pub fn attempt(&self) -> Attempt {
        Attempt::new(self.id, self.attempt)
    }

    /// Returns the terms of a lasting share; `None` for a copy.
    pub fn share(&self) -> Option<&'a Share> {
        self.order.share.as_ref()
    }

    /// Returns the ARNs of the organization and units that the source is opened to as such: to
    /// launch, or by the policies of keys.
    pub fn audience(&self) -> &'a [String] {
        self.share()
            .map_or(&self.order.audience, |share| &share.audience)
    }

    /// Returns whether a target is in the source account. Its copies are made from the source's own
    /// snapshots, and nothing is opened for it.
    pub fn is_own(&self, target: &TargetState) -> bool {
        self.share().is_none() && target.account_id == self.source.account_id
    }

    /// Returns the stages of the run: first the one beside the source, if snapshots of the source
    /// cannot be shared, then those in other Regions.
    pub fn stages(&self) -> Vec<Stage<'a>> {
        let home = self.order.reencrypt_key.as_ref();
        let home = home.filter(|_| !self.source.managed_keys.is_empty());
        let home = home.map(|key| (&self.source.region, key));
        let others = self.order.staging_keys.iter();
        home.into_iter()
            .chain(others)
            .map(|(region, key)| Stage { region, key })
            .collect()
    }

    /// Returns the stage that a target copies from, by its place in [`RunRef::stages`]; `None` if
    /// the target copies from the source's own snapshots.
    pub fn stage_of(&self, target: &TargetState) -> Option<usize> {
        if self.is_own(target) || self.share().is_some() {
            return None;
        }
        let region = if self.order.staging_keys.contains_key(&target.region) {
            &target.region
        } else {
            &self.source.region
        };
        let mut stages = self.stages().into_iter();
        stages.position(|stage| stage.region == region)
    }

    /// Returns the Region that a target copies from.
    pub fn copied_from(&self, target: &TargetState) -> &'a Region {
        let stage = self.stage_of(target);
        stage.map_or(&self.source.region, |stage| self.stages()[stage].region)
    }

    /// Returns the snapshot that a target copies for the source's snapshot at this index.
    pub fn copied_snapshot(&self, index: usize, target: &TargetState) -> &'a SnapshotId {
        self.source.opened_snapshot(self.stage_of(target), index)
    }

    /// Returns the keys that a target must reach to copy.
    pub fn copied_keys(&self, target: &TargetState) -> Vec<KeyArn> {
        self.opened_keys(self.stage_of(target))
    }

    /// Returns the keys that may be opened for targets of any stage.
    pub fn all_opened_keys(&self) -> Vec<KeyArn> {
        let mut keys = self.opened_keys(self.home_stage());
        let elsewhere = self.order.staging_keys.values();
        keys.extend(elsewhere.filter_map(crate::ids::KeyRef::arn));
        keys
    }

    /// Returns the keys of the snapshots of a stage, or of the source's own.
    pub fn opened_keys(&self, stage: Option<usize>) -> Vec<KeyArn> {
        let Some(stage) = stage.and_then(|stage| self.stages().into_iter().nth(stage)) else {
            return self.source.keys.clone();
        };
        if stage.region != &self.source.region {
            return stage.key.arn().into_iter().collect();
        }
        let managed = &self.source.managed_keys;
        let mut keys = self.source.keys.clone();
        keys.retain(|key| !managed.contains(key));
        keys.extend(stage.key.arn());
        keys.sort();
        keys.dedup();
        keys
    }
}

impl Order {
    /// Whether targets make grants on the source keys, for service-linked roles that launch from
    /// the shared image.
    pub fn grants_on_source_keys(&self) -> bool {
        self.share.is_some() && !self.service_linked_roles.is_empty()
    }
}

impl SourceRef {
    /// Returns the snapshot that is shared and copied for the source's snapshot at this index, from
    /// a stage or from the source itself.
    pub fn opened_snapshot(&self, stage: Option<usize>, index: usize) -> &SnapshotId {
        let place = stage.map(|stage| stage * self.snapshots.len() + index);
        let staged = place.and_then(|place| self.staged.get(place)?.as_ref());
        staged.unwrap_or(&self.snapshots[index])
    }
}
