//! The ledger: which run holds which part of a source open. Pure: [`Record`] and [`Run`] say what is written and what may be
//! done next; `aws::ledger` reads and writes them as objects in the function's bucket, by conditional writes.
//!
//! | object | says |
//! |---|---|
//! | `runs/<run>/run.json` ([`Run`]) | who asked for what, to whom the run may open, which attempt is live, and the receipt |
//! | `openings/<resource>.json` ([`Record`]) | who holds one snapshot, image or key open, who is closing it, who has closed it |
//!
//! The ID of a run follows from its request, so a request sent again has the same. What holds, closes and is buried is an
//! [`Attempt`] of it.
//!
//! # Rules
//!
//! Each rule is played in every interleaving by `tests`, which also takes each one out and sees a promise broken.
//!
//! 1. **Open**: hold the principals in the record, then change the permission, then read the record again. An attempt that
//!    closes or has closed opens nothing more. A principal that another attempt closes, or has closed contested, is waited for.
//!    Where nobody holds or closes a principal, the permission that exists now is kept as `Before`, unless somebody has just
//!    closed it: a slow process may have given it.
//! 2. **Close**: announce in `Closing`, then take away what is neither `Before` nor held by others in the record as written, then
//!    bury in `Closed`. An attempt that does not stand in `Closing` takes nothing away.
//! 3. **`Revision`** grows with every write: S3's ETag is a digest of the content, so a record that came back to what it was
//!    would look unchanged to a slow writer.
//! 4. **Contested**: a second process that closes the same attempt may take away late, and EC2 has no fence. Openers of those
//!    principals wait until every such process is dead ([`LONGEST_LIFE`]), or until the closing is verified.
//! 5. **Verify**: `Closed` is dropped no sooner than [`VERIFIED_AFTER`], by a process that announces itself as closing, reads what is
//!    permitted, and takes away what nobody holds. Where something was open it is buried anew: reads may show it for a minute more.

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
/// Seconds: no process of this project outlives this. Lambda's longest time-out.
pub const LONGEST_LIFE: i64 = 15 * 60;
/// Seconds after a closing when it may be verified: no process can be under way any more, and reads show what the last one did.
pub const VERIFIED_AFTER: i64 = LONGEST_LIFE + FRESH;
/// Seconds after which whoever has not written a record reads it again before changing a permission.
pub const FRESH: i64 = 60;

/// The object that says what a run is.
pub fn run_key(run: &str) -> String {
    format!("runs/{run}/run.json")
}

/// All objects about openings begin with this.
pub const OPENINGS: &str = "openings/";

/// The object that says who holds a resource open: a snapshot or image by its ID, a key by its ARN.
pub fn record_key(resource: &str) -> String {
    format!("{OPENINGS}{resource}.json")
}

/// One try at a run: `<run>.<number>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Attempt {
    pub run: String,
    pub number: u32,
}

impl Attempt {
    pub fn new(run: &str, number: u32) -> Self {
        Self {
            run: run.to_owned(),
            number,
        }
    }

    /// Whether both are attempts of one run.
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
