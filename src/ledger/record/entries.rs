//! The entries of a record, and the decisions about it.

use serde::{Deserialize, Serialize};

use super::super::when;
use super::{Attempt, Principals, Record};

/// Why an attempt holds a resource open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Until the copies are done.
    Copy,
    /// Until an unshare.
    Share,
    /// For ever, because the request said `RevokeAfterCopy: false`.
    Kept,
}

/// An attempt that needs the resource open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Holding {
    /// Why the attempt holds the resource.
    pub kind: Kind,
    /// The principals that the attempt needs.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub since: i64,
    /// Unix seconds of the latest hold.
    #[serde(with = "when")]
    pub latest: i64,
}

/// An attempt that may take permissions away at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Closing {
    /// The principals whose permissions may be taken away.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub opened: i64,
    /// Unix seconds of the latest hold. A permission added then may not show for a minute.
    #[serde(with = "when")]
    pub latest: i64,
    /// Unix seconds of the announcement.
    #[serde(with = "when")]
    pub since: i64,
    /// The ID of the process that closes.
    pub by: String,
    /// Whether another process closed the same attempt before. The slower of the two may take away
    /// late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// An attempt whose openings were taken away; kept until the closing is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Closed {
    /// The principals whose permissions were taken away.
    #[serde(flatten)]
    pub principals: Principals,
    /// Unix seconds of the first hold.
    #[serde(with = "when")]
    pub opened: i64,
    /// Unix seconds of the end of the closing.
    #[serde(with = "when")]
    pub at: i64,
    /// Whether two processes closed the attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
}

/// A process that reads, merges and writes the key's policy. KMS has no version to compare, so the
/// record has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Edit {
    /// The ID of the process.
    pub by: String,
    /// Unix seconds of the lock.
    #[serde(with = "when")]
    pub since: i64,
}

/// The decision about an attempt that wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// Write this record, then change the permission.
    Hold(Box<Record>),
    /// The record holds already: change the permission.
    Held,
    /// Another attempt closes, or has closed contested.
    Wait {
        /// When to try again (Unix seconds).
        until: i64,
        /// The attempt that closes.
        attempt: Attempt,
    },
    /// The closing of this attempt was left half-way: finish it first.
    Finish(Attempt),
    /// The attempt closes or has closed, so it opens nothing more.
    Over,
}

/// The decision about an attempt that wants to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// Write this record, then take away, then bury.
    Announce(Box<Record>),
    /// The attempt holds none of the principals.
    Nothing,
}
