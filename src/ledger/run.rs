//! A run: who asked for it, to whom it may open, and which attempt of it is live.
//!
//! A `State` is only a bookmark: a run decides what the `State` may open.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attempt, Kind, Principals, Record, SCHEMA, readable, when};

mod accepting;
mod receipt;

pub use receipt::{Receipt, Seen};

/// The object about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and left out of the JSON where it is not so"
)]
pub struct Run {
    /// The schema of the object; see [`SCHEMA`].
    pub schema: u64,
    /// Grows with every write, so no two states of the run have the same ETag.
    pub revision: u64,
    /// The run's ID.
    pub run: String,
    /// Whether the run copies or shares.
    pub kind: Kind,
    /// The origin of the request: a direct call, an execution, a custom resource, or an event.
    pub asked_by: String,
    /// Unix seconds of the live attempt's request.
    #[serde(with = "when")]
    pub since: i64,
    /// The ID of the source image.
    pub source_image_id: String,
    /// The Region of the source image.
    pub source_region: String,
    /// The source account.
    pub account_id: String,
    /// Everything in the request that decides what is opened, and how.
    pub order: Value,
    /// The targets that the run may open to.
    pub targets: BTreeSet<RunTarget>,
    /// ARNs of the organizations and units that the run may open to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audience: BTreeSet<String>,
    /// The number of the attempt that is live, or was the last.
    pub attempt: u32,
    /// The executions that work on that attempt.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub executions: BTreeSet<String>,
    /// Whether direct calls work on the attempt too. Nobody reports the end of a call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// The workers of earlier attempts, by the attempts' numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<u32, Earlier>,
    /// Whether a second request has joined the live attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// The status of the attempt.
    pub status: RunStatus,
    /// Unix seconds when the closing began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_since: Option<i64>,
    /// The snapshots, images and keys whose records may name an attempt of the run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    /// Whether the run may have staged copies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stages: bool,
    /// The Regions of the staged copies; the source's Region if none is named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub staged_in: BTreeSet<String>,
    /// Whether grants may contain the run's name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grants: bool,
    /// Whether key policies may contain statements of the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edits_policies: bool,
    /// The closings of the run, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipt: Vec<Receipt>,
    /// Events of the custom resource that asked, by their identities, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Targets whose copies were kept when the run's custom resource was deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retained: BTreeSet<RunTarget>,
    /// The reply of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// A target that a run may open to: an account, with the role that copies there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunTarget {
    /// The account's ID.
    pub account_id: String,
    /// The Region of the copies.
    pub region: String,
    /// The name of the role that copies.
    pub role_name: String,
}

/// The workers of an attempt that a later one followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Earlier {
    /// The names of the executions that work on the attempt.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub executions: BTreeSet<String>,
    /// Whether direct calls work on the attempt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// Whether the attempt was closing already. The closing of the run finishes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// The attempt's own `Order`, if a later request of a lasting share has another one; otherwise
    /// `Null`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub order: Value,
}

/// The status of a run's latest attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStatus {
    /// The attempt may open.
    Live,
    /// The attempt's openings are being closed, so it opens nothing more.
    Closing,
    /// The attempt is over, and its openings are closed.
    Ended,
}

impl Run {
    /// Returns the live attempt.
    pub fn live(&self) -> Attempt {
        Attempt::new(&self.run, self.attempt)
    }

    /// Returns whether the closing of `attempt` closes `other` as well.
    ///
    /// The closing also closes an earlier attempt whose end nobody else brings about. If the ledger
    /// has no object of the run, the closing closes every attempt.
    pub fn closes(&self, attempt: &Attempt, other: &Attempt) -> bool {
        let ended = || {
            self.earlier
                .get(&other.number)
                .is_none_or(|earlier| earlier.closing)
        };
        self.attempt == 0
            || other.number == attempt.number
            || (other.number < attempt.number && ended())
    }

    /// Returns the workers of an attempt.
    pub fn workers(&self, attempt: &Attempt) -> Earlier {
        if attempt.number == self.attempt {
            return Earlier {
                executions: self.executions.clone(),
                calls: self.calls,
                closing: self.status != RunStatus::Live,
                ..Earlier::default()
            };
        }
        self.earlier
            .get(&attempt.number)
            .cloned()
            .unwrap_or_default()
    }

    /// Returns whether this attempt may still open.
    pub fn is_live(&self, attempt: &Attempt) -> bool {
        self.status == RunStatus::Live && self.live() == *attempt
    }

    /// Returns whether a later attempt is at work, which may use the staged copies of this one.
    pub fn has_followed(&self, attempt: &Attempt) -> bool {
        self.attempt > attempt.number && self.status != RunStatus::Ended
    }

    /// Returns a run whose object is lost, known only by an attempt's entry in a record. Everything
    /// that could contain the run's name is assumed to exist.
    pub fn unknown(attempt: &Attempt, account: &str, region: &str) -> Self {
        Self {
            schema: SCHEMA,
            revision: 0,
            run: attempt.run.clone(),
            kind: Kind::Copy,
            asked_by: "unknown".to_owned(),
            since: 0,
            source_image_id: String::new(),
            source_region: region.to_owned(),
            account_id: account.to_owned(),
            order: Value::Null,
            targets: BTreeSet::new(),
            audience: BTreeSet::new(),
            attempt: attempt.number,
            executions: BTreeSet::new(),
            calls: true,
            earlier: BTreeMap::new(),
            joined: true,
            status: RunStatus::Ended,
            closing_since: None,
            resources: BTreeSet::new(),
            stages: true,
            staged_in: BTreeSet::new(),
            grants: true,
            edits_policies: true,
            receipt: Vec::new(),
            events: Vec::new(),
            retained: BTreeSet::new(),
            result: None,
        }
    }

    /// Returns the same run, with the resource whose record names it.
    pub fn lost(attempt: &Attempt, record: &Record) -> Self {
        let mut run = Self::unknown(attempt, &record.account_id, &record.region);
        run.resources.insert(record.resource.clone());
        run
    }

    /// Returns whether the openings of a copy stay (`RevokeAfterCopy: false`).
    pub fn keeps_open(&self) -> bool {
        // Staged copies are deleted, so openings on them would be of no use.
        self.kind == Kind::Copy && self.order["RevokeAfterCopy"] == false && !self.stages
    }

    /// Returns whether the run's request names this account, organization or unit.
    pub fn lists(&self, who: &str) -> bool {
        self.audience.contains(who) || self.targets.iter().any(|t| t.account_id == who)
    }

    /// Returns whether another event of the custom resource was accepted after this one.
    pub fn has_overtaken(&self, event: &str) -> bool {
        let latest = self.events.last().map(String::as_str);
        !event.is_empty() && latest.is_some_and(|latest| latest != event)
    }

    /// Returns whether this event was accepted, and another one after it.
    pub fn had_and_overtook(&self, event: &str) -> bool {
        self.has_overtaken(event) && self.events.iter().any(|known| known == event)
    }

    /// Returns whether the run counts on a copy of this image in a target: it wants a copy there,
    /// or has kept one there.
    pub fn counts_on(&self, image: &str, account: &str, region: &str) -> bool {
        let here = |target: &RunTarget| target.account_id == account && target.region == region;
        let failed = self
            .result
            .as_ref()
            .is_some_and(|result| result["Status"] == "Failed");
        // A call that stopped half-way may never make its copy. A resource makes it, or is deleted.
        let comes = self.result.is_some() || !self.events.is_empty();
        let wants = self.kind == Kind::Copy && comes && !failed && self.targets.iter().any(here);
        self.source_image_id == image && (wants || self.retained.iter().any(here))
    }

    /// Returns whether the run's request names this service-linked role.
    pub fn has_launch_by(&self, role: &Value) -> bool {
        let roles = self.order["ServiceLinkedRoles"].as_array();
        roles.is_some_and(|roles| roles.contains(role))
    }

    /// Returns whether the object must be kept, however old it is: a live resource counts on its
    /// copies, and so do retained copies.
    pub fn is_counted_by(&self) -> bool {
        !self.retained.is_empty() || (!self.events.is_empty() && !self.targets.is_empty())
    }

    /// Returns the run with its next revision.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut new = self.clone();
        new.revision = new.revision.saturating_add(1);
        new
    }
}
