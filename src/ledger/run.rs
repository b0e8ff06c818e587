//! A run: who asked for it, to whom it may open, and which attempt of it is live.
//!
//! A `State` is only a bookmark: a run decides what the `State` may open.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Attempt, Kind, Principals, Record, SCHEMA, readable, when};

/// The number of earlier attempts whose workers are remembered.
const MOST_EARLIER: usize = 20;
/// The number of closings in a receipt; the latest stay.
const MOST_RECEIPTS: usize = 400;
/// The number of remembered events of a custom resource; the latest stay.
const MOST_EVENTS: usize = 50;

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

/// One opening: when it was added, when it was taken away, and what AWS showed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Receipt {
    /// The attempt that closed.
    pub attempt: Attempt,
    /// The ID of the snapshot or image, or the ARN of the key.
    pub resource: String,
    /// AWS's name for the opening: `createVolumePermission`, `launchPermission`, `grant` or
    /// `keyPolicy`.
    pub what: String,
    /// The principals whose permissions were taken away.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub opened_at: i64,
    /// Unix seconds of the end of the closing.
    #[serde(with = "when")]
    pub closed_at: i64,
    /// What AWS showed right after the closing, which may be a minute behind.
    pub read_back: Seen,
    /// What AWS showed at least fifteen minutes later, when no call could be under way any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Seen>,
}

/// A reading of a resource after its closing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Seen {
    /// Unix seconds of the reading.
    #[serde(with = "when")]
    pub at: i64,
    /// Principals that the resource was still open to. A verification took them away.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<String>,
    /// Principals that stay because another run holds them, or because their permissions are
    /// preexisting.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kept: BTreeSet<String>,
    /// Principals taken away that the attempt found permitted, within fifteen minutes of another
    /// closing: a person may have added them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unclear: BTreeSet<String>,
    /// Grants that the accounts made by virtue of the run's grants, and what became of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub child_grants: BTreeSet<String>,
    /// AWS's message, if the resource was gone or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Receipt {
    /// Returns the receipt as JSON, for a reply.
    pub fn told(&self) -> Value {
        json!(self)
    }
}

/// The reason why a `State` may open nothing.
pub type Refused = String;

impl Run {
    /// Returns the live attempt.
    pub fn live(&self) -> Attempt {
        Attempt::new(&self.run, self.attempt)
    }

    /// Returns whether the closing of `attempt` closes `other` as well.
    ///
    /// It closes an earlier attempt whose end nobody else brings about. If the ledger has no object
    /// of the run, it closes every attempt.
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
            status: RunStatus::Ended,
            closing_since: None,
            resources: BTreeSet::new(),
            stages: true,
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

    /// Returns whether both ask for the same.
    fn same_request(&self, other: &Self) -> bool {
        self.order == other.order
            && self.targets == other.targets
            && self.audience == other.audience
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

    fn note_event(&mut self, event: Option<&String>) {
        self.events
            .extend(event.filter(|event| !self.events.contains(event)).cloned());
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// Returns the run with an attempt that takes back what a copying resource has. The attempt
    /// opens nothing, and closes everything that earlier attempts hold.
    #[must_use]
    pub fn withdrawn(&self, asked: &Self, keep: bool) -> Self {
        let mut new = self.next();
        new.note_event(asked.events.last());
        if new.events.len() == self.events.len() && new.events.last() == asked.events.last() {
            // The same event was delivered again.
            return self.clone();
        }
        new.follow(self);
        let had = std::mem::take(&mut new.targets);
        if keep && self.kind == Kind::Copy {
            new.retained.extend(had);
        }
        new.kind = Kind::Copy;
        new.audience.clear();
        new.asked_by.clone_from(&asked.asked_by);
        new.since = asked.since;
        new.executions.clone_from(&asked.executions);
        new.calls = asked.calls;
        new.status = RunStatus::Live;
        new.closing_since = None;
        for earlier in new.earlier.values_mut() {
            earlier.closing = true;
        }
        new
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

    /// Makes this the attempt after that of `former`.
    fn follow(&mut self, former: &Self) {
        self.attempt = former.attempt.saturating_add(1);
        let earlier = Earlier {
            executions: former.executions.clone(),
            calls: former.calls,
            closing: former.status != RunStatus::Live,
            ..Earlier::default()
        };
        self.earlier.insert(former.attempt, earlier);
        while self.earlier.len() > MOST_EARLIER {
            self.earlier.pop_first();
        }
    }

    /// Accepts a request for this run: it joins the live attempt if it asks for the same, and
    /// otherwise begins the next.
    ///
    /// Each request of a lasting share begins an attempt, which takes over what the earlier ones
    /// hold. `whole` means that the request lists all principals of the share.
    #[must_use]
    pub fn accept(former: Option<&Self>, asked: Self, whole: bool) -> Self {
        let mut new = asked;
        let Some(former) = former else {
            new.attempt = 1;
            return new;
        };
        new.earlier.clone_from(&former.earlier);
        new.retained.clone_from(&former.retained);
        new.revision = former.revision.saturating_add(1);
        new.resources.extend(former.resources.iter().cloned());
        new.stages |= former.stages;
        new.grants |= former.grants;
        new.edits_policies |= former.edits_policies;
        new.receipt.clone_from(&former.receipt);
        let event = new.events.pop();
        new.events.clone_from(&former.events);
        new.note_event(event.as_ref());
        if new.kind == Kind::Share && !whole {
            new.targets.extend(former.targets.iter().cloned());
            new.audience.extend(former.audience.iter().cloned());
        }
        let joins = former.kind == Kind::Copy
            && former.status == RunStatus::Live
            && former.same_request(&new);
        if joins {
            new.attempt = former.attempt;
            new.since = former.since;
            new.asked_by.clone_from(&former.asked_by);
            new.executions.extend(former.executions.iter().cloned());
            new.calls |= former.calls;
        } else {
            new.follow(former);
        }
        if former.kind == Kind::Share && new.kind == Kind::Share {
            if whole {
                // The latest list replaces the others: an older `State` must not open by its own
                // order.
                new.earlier
                    .values_mut()
                    .for_each(|earlier| earlier.order = Value::Null);
            } else if let Some(earlier) = new.earlier.get_mut(&former.attempt) {
                earlier.order.clone_from(&former.order);
            }
        }
        if former.kind == Kind::Share && new.kind == Kind::Copy {
            // The copy closes the openings of the former share with its own.
            for earlier in new.earlier.values_mut() {
                earlier.closing = true;
            }
        }
        new
    }

    /// Returns the run without the principals `gone`, or without any.
    #[must_use]
    pub fn without(&self, gone: Option<&Principals>, event: &str) -> Self {
        let stays = |who: &str| gone.is_some_and(|gone| !gone.contains(who));
        let mut new = self.next();
        let event = event.to_owned();
        new.note_event(Some(&event).filter(|event| !event.is_empty()));
        new.targets.retain(|target| stays(&target.account_id));
        new.audience.retain(|who| stays(who));
        new
    }

    /// Checks that an attempt may open what is asked: only what its request was accepted for, while
    /// the attempt is live. The error is a sentence for the reply.
    pub fn admits(&self, attempt: &Attempt, asked: &Self) -> Result<(), Refused> {
        if self.run != attempt.run || attempt.number > self.attempt || attempt.number == 0 {
            return Err(format!("the ledger knows no attempt {attempt}"));
        }
        let over = self.attempt != attempt.number || self.status != RunStatus::Live;
        if over && self.kind != Kind::Share {
            return Err(format!("attempt {attempt} is over"));
        }
        let of = |run: &Self| {
            let source = [&run.source_image_id, &run.source_region, &run.account_id];
            source.map(String::clone)
        };
        let order = match self.earlier.get(&attempt.number) {
            Some(earlier) if over => &earlier.order,
            _ => &self.order,
        };
        if *order != asked.order || of(self) != of(asked) {
            return Err(format!(
                "what the State says of the request is not what run {} was accepted with",
                self.run
            ));
        }
        let mut targets = asked.targets.iter();
        if let Some(other) = targets.find(|target| !self.targets.contains(target)) {
            return Err(format!(
                "run {} was not accepted for account {} in {} with role {}",
                self.run, other.account_id, other.region, other.role_name
            ));
        }
        let mut audience = asked.audience.iter();
        if let Some(other) = audience.find(|who| !self.audience.contains(*who)) {
            return Err(format!("run {} was not accepted for {other}", self.run));
        }
        Ok(())
    }

    /// Returns AWS's name for the means by which a resource is opened.
    pub fn means(&self, resource: &str) -> &'static str {
        if resource.starts_with("ami-") {
            "launchPermission"
        } else if resource.starts_with("snap-") {
            "createVolumePermission"
        } else if self.edits_policies && self.grants {
            "grant and keyPolicy"
        } else if self.edits_policies {
            "keyPolicy"
        } else {
            "grant"
        }
    }

    /// Returns what the run holds open by a record, in the form of a receipt.
    pub fn still_open(&self, record: &Record) -> Vec<Value> {
        let of_run = record.holders.iter().filter(|(a, _)| a.run == self.run);
        let open = of_run.filter(|(_, holding)| !holding.principals.is_empty());
        open.map(|(attempt, holding)| {
            let mut told = json!(holding.principals);
            told["Attempt"] = json!(attempt);
            told["Resource"] = json!(record.resource);
            told["What"] = json!(self.means(&record.resource));
            told["OpenedAt"] = json!(readable(holding.since));
            told["ClosedAt"] = Value::Null;
            told
        })
        .collect()
    }

    /// Returns the run with its next revision.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut new = self.clone();
        new.revision = new.revision.saturating_add(1);
        new
    }

    /// Adds to the receipt. An entry for the same closing is replaced.
    pub fn add_receipts(&mut self, receipts: Vec<Receipt>) {
        for receipt in receipts {
            let same = |r: &&mut Receipt| {
                r.attempt == receipt.attempt
                    && r.resource == receipt.resource
                    && r.what == receipt.what
                    && r.principals == receipt.principals
            };
            match self.receipt.iter_mut().find(same) {
                Some(there) => *there = receipt,
                None => self.receipt.push(receipt),
            }
        }
        let surplus = self.receipt.len().saturating_sub(MOST_RECEIPTS);
        self.receipt.drain(..surplus);
    }

    /// Returns receipts for closings of this run that the record contains and the receipt lacks: a
    /// process stopped between the two writes.
    pub fn untold(&self, record: &Record) -> Vec<Receipt> {
        let name = &record.resource;
        let told = |attempt: &Attempt| {
            let mut all = self.receipt.iter();
            all.any(|r| r.attempt == *attempt && r.resource == *name)
        };
        let of_run = record.closed.iter().filter(|(a, _)| a.run == self.run);
        let untold = of_run.filter(|(a, closed)| !closed.principals.is_empty() && !told(a));
        untold
            .map(|(attempt, closed)| Receipt {
                attempt: attempt.clone(),
                resource: name.clone(),
                what: self.means(name).to_owned(),
                principals: closed.principals.clone(),
                opened_at: closed.opened,
                closed_at: closed.at,
                read_back: Seen {
                    at: closed.at,
                    said: Some(
                        "the process that closed it stopped before it could tell".to_owned(),
                    ),
                    ..Seen::default()
                },
                verified: None,
            })
            .collect()
    }

    /// Adds the result of a verification to the receipt.
    pub fn verified(&mut self, attempt: &Attempt, resource: &str, seen: &Seen) {
        let of = |r: &&mut Receipt| r.attempt == *attempt && r.resource == resource;
        for receipt in self.receipt.iter_mut().filter(of) {
            receipt.verified.get_or_insert_with(|| seen.clone());
        }
    }
}
