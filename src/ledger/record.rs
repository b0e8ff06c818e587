//! The record of one resource: who holds it open, who is closing it, who has closed it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Attempt, Principals, SCHEMA};

mod closing;
mod entries;
mod opening;

pub use entries::{Close, Closed, Closing, Edit, Holding, Kind, Opening};

/// The openings of one source snapshot, image or key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The schema of the object; see [`SCHEMA`].
    pub schema: u64,
    /// Grows with every write, so no two states of the record have the same ETag.
    pub revision: u64,
    /// The ID of the snapshot or image, or the ARN of the key.
    pub resource: String,
    /// The Region of the resource.
    pub region: String,
    /// The source account.
    pub account_id: String,
    /// Preexisting permissions, of the principals below.
    #[serde(default)]
    pub before: Principals,
    /// Permissions that an attempt found within fifteen minutes of a closing. A slow process or a
    /// person may have added them. The last closing takes them away, and the receipt names them.
    #[serde(default, skip_serializing_if = "Principals::is_empty")]
    pub unclear: Principals,
    /// The attempts that hold the resource open.
    #[serde(default)]
    pub holders: BTreeMap<Attempt, Holding>,
    /// The attempts that may take permissions away at this moment.
    #[serde(default)]
    pub closing: BTreeMap<Attempt, Closing>,
    /// The attempts whose closing is not verified yet.
    #[serde(default)]
    pub closed: BTreeMap<Attempt, Closed>,
    /// Whether the key's policy may contain statements of a run: a process has had the lock on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// The process that edits the key's policy at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

impl Record {
    /// Returns a record without openings. `region` and `account_id` are those of the resource.
    pub fn new(resource: &str, region: &str, account_id: &str) -> Self {
        Self {
            schema: SCHEMA,
            revision: 0,
            resource: resource.to_owned(),
            region: region.to_owned(),
            account_id: account_id.to_owned(),
            before: Principals::default(),
            unclear: Principals::default(),
            holders: BTreeMap::new(),
            closing: BTreeMap::new(),
            closed: BTreeMap::new(),
            edited: false,
            edit: None,
        }
    }

    /// Returns whether the record has no openings, so that it may be deleted.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
            && self.closing.is_empty()
            && self.closed.is_empty()
            && self.edit.is_none()
    }

    /// Returns whether an organization or a unit is held as such, so its members need not be
    /// listed.
    pub fn holds_audience(&self) -> bool {
        let mut holders = self.holders.values();
        holders.any(|h| h.principals.len() > h.principals.accounts().count())
    }

    /// Returns all principals that an attempt of this run holds, closes or has closed.
    pub fn touched_by_run(&self, run: &str) -> Principals {
        let mut all = self.held_by_run(run);
        for (_, closing) in self.closing.iter().filter(|(a, _)| a.run == run) {
            all.extend(&closing.principals);
        }
        for (_, closed) in self.closed.iter().filter(|(a, _)| a.run == run) {
            all.extend(&closed.principals);
        }
        all
    }

    /// Returns all principals that the attempts of one run hold.
    pub fn held_by_run(&self, run: &str) -> Principals {
        let mut held = Principals::default();
        for (_, holding) in self.holders.iter().filter(|(a, _)| a.run == run) {
            held.extend(&holding.principals);
        }
        held
    }

    /// Returns the attempts of one run that hold or close the resource; with `closed`, also the
    /// attempts that have closed it.
    pub fn attempts_of(&self, run: &str, closed: bool) -> Vec<Attempt> {
        let ended = self.closed.keys().filter(|_| closed);
        let all = self.holders.keys().chain(self.closing.keys()).chain(ended);
        let mut of_run: Vec<Attempt> = all.filter(|a| a.run == run).cloned().collect();
        of_run.sort();
        of_run.dedup();
        of_run
    }

    /// Returns the record with its next revision.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut new = self.clone();
        new.revision = new.revision.saturating_add(1);
        new
    }

    fn is_in_use(&self, who: &str) -> bool {
        self.holders.values().any(|h| h.principals.contains(who))
            || self.closing.values().any(|c| c.principals.contains(who))
    }

    fn was_closed(&self, who: &str) -> bool {
        self.closed.values().any(|c| c.principals.contains(who))
    }
}
