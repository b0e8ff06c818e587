//! The part of a state that every call of a run may need, without its targets and its progress.

use super::{Order, Share, SourceRef, State, TargetState};
use crate::ids::{KeyArn, KeyRef, SnapshotId};
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

    /// Returns the snapshot that a target copies for the source's snapshot at this index.
    pub fn copied_snapshot(&self, index: usize, target: &TargetState) -> &'a SnapshotId {
        if self.is_own(target) {
            &self.source.snapshots[index]
        } else {
            self.source.opened_snapshot(index)
        }
    }

    /// Returns the keys that a target must reach to copy.
    pub fn copied_keys(&self, target: &TargetState) -> Vec<KeyArn> {
        if self.is_own(target) {
            self.source.keys.clone()
        } else {
            self.opened_keys()
        }
    }

    /// Returns the keys that a copying principal of another account must reach.
    pub fn opened_keys(&self) -> Vec<KeyArn> {
        let managed = &self.source.managed_keys;
        let mut keys = self.source.keys.clone();
        if managed.is_empty() {
            return keys;
        }
        keys.retain(|key| !managed.contains(key));
        keys.extend(self.order.reencrypt_key.iter().filter_map(KeyRef::arn));
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
    /// Returns the snapshot that is shared and copied for the source's snapshot at this index.
    pub fn opened_snapshot(&self, index: usize) -> &SnapshotId {
        let staged = self.staged.get(index).and_then(Option::as_ref);
        staged.unwrap_or(&self.snapshots[index])
    }
}
