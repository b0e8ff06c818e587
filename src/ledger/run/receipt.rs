//! The receipt of a run: its closings, and what AWS showed after them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Attempt, Principals, Record, Run, readable, when};

/// The number of closings in a receipt; the latest stay.
const MOST_RECEIPTS: usize = 400;

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
    /// The reading right after the closing, which may be a minute behind.
    pub read_back: Seen,
    /// The reading at least fifteen minutes later, when no call can be under way any more.
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

impl Run {
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
