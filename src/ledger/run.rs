//! What a run is: who asked for it, to whom it may open, which attempt of it is live. A `State` is a bookmark; this is what it
//! may open.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Attempt, Kind, Principals, Record, SCHEMA, readable, when};

/// Earlier attempts of which it is remembered who works on them.
const MOST_EARLIER: usize = 20;
/// Closings that a receipt lists, the latest.
const MOST_RECEIPTS: usize = 400;
/// Events of a custom resource that are remembered, the latest.
const MOST_EVENTS: usize = 50;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and left out of the JSON where it is not so"
)]
pub struct Run {
    pub schema: u64,
    pub revision: u64,
    pub run: String,
    pub kind: Kind,
    /// What it was asked by: a direct call, an execution, a custom resource, an event.
    pub asked_by: String,
    /// Unix seconds of the live attempt's request.
    #[serde(with = "when")]
    pub since: i64,
    pub source_image_id: String,
    pub source_region: String,
    /// The source account.
    pub account_id: String,
    /// Everything of the request that decides what is opened, and how.
    pub order: Value,
    /// Where it may open to.
    pub targets: BTreeSet<RunTarget>,
    /// Organizations and units that it may open to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audience: BTreeSet<String>,
    /// The attempt that is live, or was the last.
    pub attempt: u32,
    /// The executions that work on that attempt.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub executions: BTreeSet<String>,
    /// Whether others work on it too, of whose end nobody is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// Who may work on earlier attempts still.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<u32, Earlier>,
    /// A second request joined the live attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    pub status: RunStatus,
    /// Unix seconds since when it has been closing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_since: Option<i64>,
    /// The snapshots, images and keys whose records may name an attempt of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    /// Whether it may have made copies in the source account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stages: bool,
    /// Whether grants may bear its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grants: bool,
    /// Whether policies of keys may have statements of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edits_policies: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipt: Vec<Receipt>,
    /// Events of the custom resource that asked, by their identities, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Where its copies were left for good when its resource was deleted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retained: BTreeSet<RunTarget>,
    /// How the last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// Where a run may open to: an account, by the role that copies there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunTarget {
    pub account_id: String,
    pub region: String,
    pub role_name: String,
}

/// An attempt that a later one has followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Earlier {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub executions: BTreeSet<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub calls: bool,
    /// It was closing already: whoever closes the run finishes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closing: bool,
    /// How it opens, where a later request of a lasting share has added others in another way.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub order: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStatus {
    Live,
    /// Its openings are being closed: it opens nothing more.
    Closing,
    Ended,
}

/// One opening: when it was added, when it was taken away, and how that was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Receipt {
    pub attempt: Attempt,
    pub resource: String,
    /// `createVolumePermission`, `launchPermission` or `grant`; a key's policy is `keyPolicy`.
    pub what: String,
    #[serde(flatten)]
    pub principals: Principals,
    #[serde(with = "when")]
    pub opened_at: i64,
    #[serde(with = "when")]
    pub closed_at: i64,
    /// What AWS showed right after; it may be a minute behind.
    pub read_back: Seen,
    /// What AWS showed at least fifteen minutes later, when nothing could be on its way any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Seen>,
}

/// What was read of a resource after closing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Seen {
    #[serde(with = "when")]
    pub at: i64,
    /// Principals that it was still open to; a verification took them away.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<String>,
    /// Kept because another run holds on to them, or because they were there before any run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kept: BTreeSet<String>,
    /// Taken away although each was permitted already when the attempt opened it, within fifteen minutes of another closing: a person
    /// may have added it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unclear: BTreeSet<String>,
    /// Grants that principals of the accounts made themselves by virtue of the run's, and what became of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub child_grants: BTreeSet<String>,
    /// The resource was gone, or could not be read: what AWS said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Receipt {
    pub fn told(&self) -> Value {
        json!(self)
    }
}

/// Why a `State` may open nothing.
pub type Refused = String;

impl Run {
    /// The live attempt.
    pub fn live(&self) -> Attempt {
        Attempt::new(&self.run, self.attempt)
    }

    /// Whether whoever closes this attempt closes another of the run, too: an earlier one whose end nobody else brings about; any, where the
    /// ledger has no object of the run.
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

    /// Who may work on an attempt.
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

    /// Whether this attempt may still open.
    pub fn is_live(&self, attempt: &Attempt) -> bool {
        self.status == RunStatus::Live && self.live() == *attempt
    }

    /// Whether a later attempt is at work, which may use what this one copied in the source account.
    pub fn has_followed(&self, attempt: &Attempt) -> bool {
        self.attempt > attempt.number && self.status != RunStatus::Ended
    }

    /// A run of which only an attempt's entry in a record is known: its object is lost. Whatever bears its name is looked for.
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
            grants: true,
            edits_policies: true,
            receipt: Vec::new(),
            events: Vec::new(),
            retained: BTreeSet::new(),
            result: None,
        }
    }

    /// The same, of the resource whose record names it.
    pub fn lost(attempt: &Attempt, record: &Record) -> Self {
        let mut run = Self::unknown(attempt, &record.account_id, &record.region);
        run.resources.insert(record.resource.clone());
        run
    }

    /// Whether what a copy opens is to stay open (`RevokeAfterCopy: false`).
    pub fn keeps_open(&self) -> bool {
        // What was copied in the source account is deleted, and nobody can use it then.
        self.kind == Kind::Copy && self.order["RevokeAfterCopy"] == false && !self.stages
    }

    /// Whether its request names this account, organization or unit.
    pub fn lists(&self, who: &str) -> bool {
        self.audience.contains(who) || self.targets.iter().any(|t| t.account_id == who)
    }

    /// Whether both ask for the same.
    fn same_request(&self, other: &Self) -> bool {
        self.order == other.order
            && self.targets == other.targets
            && self.audience == other.audience
    }

    /// Whether another event of the custom resource came after this one, which has been accepted.
    pub fn has_overtaken(&self, event: &str) -> bool {
        let latest = self.events.last().map(String::as_str);
        !event.is_empty() && latest.is_some_and(|latest| latest != event)
    }

    /// Whether this event was accepted, and another after it.
    pub fn had_and_overtook(&self, event: &str) -> bool {
        self.has_overtaken(event) && self.events.iter().any(|known| known == event)
    }

    fn note_event(&mut self, event: Option<&String>) {
        self.events
            .extend(event.filter(|event| !self.events.contains(event)).cloned());
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// The attempt that takes back what a copying resource has: it opens nothing, and closes everything that earlier attempts hold.
    #[must_use]
    pub fn withdrawn(&self, asked: &Self, keep: bool) -> Self {
        let mut new = self.next();
        new.note_event(asked.events.last());
        if new.events.len() == self.events.len() && new.events.last() == asked.events.last() {
            // The same event once more.
            return self.clone();
        }
        new.follow(self);
        new.joined = false;
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

    /// Whether it counts on a copy of this image in a place: it wants one there, or has left it there for good.
    pub fn counts_on(&self, image: &str, account: &str, region: &str) -> bool {
        let here = |target: &RunTarget| target.account_id == account && target.region == region;
        let failed = self
            .result
            .as_ref()
            .is_some_and(|result| result["Status"] == "Failed");
        // A call that has not ended may never come to it; a resource does, or is deleted.
        let comes = self.result.is_some() || !self.events.is_empty();
        let wants = self.kind == Kind::Copy && comes && !failed && self.targets.iter().any(here);
        self.source_image_id == image && (wants || self.retained.iter().any(here))
    }

    /// Whether its request names this service-linked role.
    pub fn has_launch_by(&self, role: &Value) -> bool {
        let roles = self.order["ServiceLinkedRoles"].as_array();
        roles.is_some_and(|roles| roles.contains(role))
    }

    /// Whether its object must be kept, however old: a resource that lives counts on its copies, and so does whoever retained them.
    pub fn is_counted_by(&self) -> bool {
        !self.retained.is_empty() || (!self.events.is_empty() && !self.targets.is_empty())
    }

    /// Becomes the attempt after that of `former`.
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

    /// Takes in a request for this run: it joins the live attempt if it asks for the same, and else begins the next. A lasting
    /// share has an attempt for each request, which takes over what the former hold; `whole` says that the request lists everybody
    /// who is to have it.
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
        new.joined = joins;
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
                // The latest list rules: no older State opens in its own way.
                new.earlier
                    .values_mut()
                    .for_each(|earlier| earlier.order = Value::Null);
            } else if let Some(earlier) = new.earlier.get_mut(&former.attempt) {
                earlier.order.clone_from(&former.order);
            }
        }
        if former.kind == Kind::Share && new.kind == Kind::Copy {
            // A share that has become a copy is taken back with the copy's own openings.
            for earlier in new.earlier.values_mut() {
                earlier.closing = true;
            }
        }
        new
    }

    /// Takes these, or all, off the lists of whom it may open to.
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

    /// Whether an attempt may open now what is asked: only what its request was accepted for, while the attempt is live.
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

    /// What AWS calls the means by which a resource is opened.
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

    /// What this run holds open by a record, as a receipt tells it.
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

    /// The run with its next revision.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut new = self.clone();
        new.revision = new.revision.saturating_add(1);
        new
    }

    /// Adds to the receipt; what it says of the same closing already is replaced.
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

    /// Receipts of what the record says was closed for this run and the receipt does not tell: a process stopped between the two.
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

    /// Notes what a verification saw.
    pub fn verified(&mut self, attempt: &Attempt, resource: &str, seen: &Seen) {
        let of = |r: &&mut Receipt| r.attempt == *attempt && r.resource == resource;
        for receipt in self.receipt.iter_mut().filter(of) {
            receipt.verified.get_or_insert_with(|| seen.clone());
        }
    }
}
