//! The ledger says which run holds which part of a source open.
//!
//! The module is pure: [`Record`] and [`Run`] decide what is written and what may be done next.
//! `aws::ledger` reads and writes them as objects in the function's bucket, by conditional writes.
//!
//! - `runs/<run>/run.json` ([`Run`]): the request, the principals that the run may open to, the
//!   live attempt, and the receipt.
//! - `openings/<resource>.json` ([`Record`]): who holds one snapshot, image or key open, who is
//!   closing it, and who has closed it.
//!
//! The ID of a run follows from its request, so the same request sent again has the same ID. Each
//! try at a run is an [`Attempt`]: attempts hold, close and are buried.
//!
//! # Rules
//!
//! `tests` plays each rule in every interleaving, and takes each rule out to see a promise broken.
//!
//! 1. **Open**: hold the principals in the record, then change the permission, then read the record
//!    again. An attempt that closes or has closed opens nothing more. An opener waits for a
//!    principal that another attempt closes, or has closed contested. If nobody holds or closes a
//!    principal, the permission that exists now is kept as `Before`. A permission that somebody has
//!    just closed is not kept: a slow process may have added it.
//! 2. **Close**: announce in `Closing`. Then take away every permission that is neither `Before`
//!    nor held by others in the record as written. Then bury in `Closed`. An attempt that does not
//!    stand in `Closing` takes nothing away.
//! 3. **`Revision`** grows with every write. S3's ETag is a digest of the content, so a record with
//!    an earlier content would look unchanged to a slow writer.
//! 4. **Contested**: a second process that closes the same attempt may take away late, and EC2 has
//!    no fence. Openers of those principals wait until every such process is dead
//!    ([`LONGEST_LIFE`]), or until the closing is verified.
//! 5. **Verify**: drop `Closed` no sooner than [`VERIFIED_AFTER`]. The verifier announces itself as
//!    a closing, reads the permissions, and takes away those that nobody holds. If something was
//!    open, bury it anew: reads may show it for a minute more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod counting;
mod principals;
mod record;
mod run;
mod site;
mod when;

pub use counting::{Counted, Counting, Fate, needs_launch};
pub use principals::{Principals, short_name};
pub use record::{Close, Closed, Closing, Edit, Holding, Kind, Opening, Record};
pub use run::{Earlier, Receipt, Run, RunStatus, RunTarget, Seen};
pub use site::{Resource, Site};
pub use when::readable;

/// The schema of both objects.
pub const SCHEMA: u64 = 1;
/// Seconds that a process of this project lives at most: Lambda's longest time-out.
pub const LONGEST_LIFE: i64 = 15 * 60;
/// Seconds from a closing to its verification. No process can be under way after them, and reads
/// show what the last one did.
pub const VERIFIED_AFTER: i64 = LONGEST_LIFE + FRESH;
/// Seconds after which a process reads a record again before it changes a permission, unless it
/// wrote the record.
pub const FRESH: i64 = 60;

/// Returns the key of the object about a run.
pub fn run_key(run: &str) -> String {
    format!("runs/{run}/run.json")
}

/// The prefix of all objects about openings.
pub const OPENINGS: &str = "openings/";

/// Returns the key of the record of a resource: a snapshot or image by its ID, a key by its ARN.
pub fn record_key(resource: &str) -> String {
    format!("{OPENINGS}{resource}.json")
}

/// One try at a run. As text `<run>.<number>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Attempt {
    /// The run's ID.
    pub run: String,
    /// The number of the attempt, from 1; 0 for a run that the ledger does not know.
    pub number: u32,
}

impl Attempt {
    /// Returns the attempt of this number.
    pub fn new(run: &str, number: u32) -> Self {
        Self {
            run: run.to_owned(),
            number,
        }
    }

    /// Returns whether both are attempts of one run.
    pub fn same_run(&self, other: &Self) -> bool {
        self.run == other.run
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.number)
    }
}

impl From<Attempt> for String {
    fn from(attempt: Attempt) -> Self {
        attempt.to_string()
    }
}

impl TryFrom<String> for Attempt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Attempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .rsplit_once('.')
            .and_then(|(run, number)| Some(Self::new(run, number.parse().ok()?)));
        parsed.ok_or_else(|| format!("{text:?} is no attempt: expected <run>.<number>"))
    }
}

#[cfg(test)]
mod tests;
