//! The step state: the facts that a run must remember between two calls, and no others.
//!
//! The state contains the present status of each target, and what undoing needs. Step Functions
//! keeps the history. The run freezes its request in the state when it begins, so newer code never
//! plans a running distribution again. The state contains no credentials and no ResponseURL.
//!
//! Any command may have happened although the state does not show it, because the process may have
//! died before it could return. A process that opens a state therefore looks at AWS before acting;
//! see `State::reopen`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::shortened;
use crate::ids::{AccountId, Region, SnapshotId};

mod asked;
mod copies;
mod giving_up;
mod open;
mod order;
mod pace;
mod published;
mod run_ref;
mod size;
mod staging;
mod standing;
mod target;

pub use order::{Order, Renewal, Retag, Share, SourceRef};
pub use pace::{Pace, backoff};
pub use published::{Published, PublishedParameter, PublishedTemplate};
pub use run_ref::RunRef;
pub use staging::Stage;
pub use standing::MOST_COPIES_BESIDE_WORDS;
pub use target::{Failure, TargetPhase, TargetState, Work};

/// The prefix of the keys of all states, parts and results in the bucket.
pub const PAYLOADS: &str = "payloads/";
/// The schema that this version writes.
pub const SCHEMA: u64 = 1;
/// Bytes of JSON that a state may have, apart from its targets.
pub const BYTES_IN_ALL: usize = 4096;
/// Bytes of JSON that a state may have for each target.
pub const BYTES_PER_TARGET: usize = 1024;
/// Seconds that this function waits at most before it looks again.
const LONGEST_PAUSE: i64 = 600;
/// Bytes of AWS's message that are kept for a failed target.
const REASON_BYTES: usize = 320;
/// Bytes of what is told of an image that another run made.
pub const NOTE_BYTES: usize = 140;
/// Bytes of the reason why a clean-up failed.
pub const STUCK_BYTES: usize = 120;
/// Seconds until the lists of AWS show a new resource.
pub(crate) const SHOWN_WITHIN: i64 = 60;
/// Bytes of all notes about losses of the copies.
pub const MOST_NOTES_BYTES: usize = 600;
/// The number of resources left behind that are named one by one; the others are found by their
/// tags.
pub const MOST_LEFT: usize = 6;
/// The number of copies whose IDs fit into a target's share of the state; others are found by their
/// tags.
pub const MOST_REMEMBERED_COPIES: usize = 26;

/// The state of a run, as JSON between two calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct State {
    /// The schema of the JSON; see [`SCHEMA`].
    pub schema: u64,
    /// The run's ID. The ID follows from the request, so an event that is delivered twice is the
    /// same run.
    pub run: String,
    /// The number of the run's attempt in the ledger, which says what the attempt may open; 0 if
    /// the ledger has no such run.
    pub attempt: u32,
    /// When the run began (Unix seconds).
    pub started: i64,
    /// The phase of the run.
    pub phase: Phase,
    /// The source.
    pub source: SourceRef,
    /// The request's common part.
    pub order: Order,
    /// The progress of opening and closing the source.
    #[serde(default)]
    pub sharing: Sharing,
    /// The name of the state machine's execution that drives the run: when the execution is over,
    /// so is the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub execution: String,
    /// The identity of the custom resource's event that asked. A later event of the resource ends
    /// the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// The deadline: when the caller stops waiting (Unix seconds); 0 if there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub end_by: i64,
    /// Whether the state is a part: some of the targets of a run whose whole is elsewhere. Only the
    /// whole closes the source.
    #[serde(default, skip_serializing_if = "is_default")]
    pub part: bool,
    /// How often in a row the source could not be read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unread: u32,
    /// Whether another process may have worked on this run at the same time: its copies may show
    /// late.
    #[serde(default, skip_serializing_if = "is_default")]
    pub contended: bool,
    /// The targets.
    pub targets: Vec<TargetState>,
}

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Each target is looked at; nothing has been opened.
    Looking,
    /// The source is copied in its own account under a key that can be shared.
    Staging,
    /// The source is opened to the accounts that need it.
    Sharing,
    /// The targets are copied to.
    Copying,
    /// Every target is terminal, and the source is being closed.
    Revoking,
    /// The run is over.
    Ended,
}

/// The progress of opening and closing the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Sharing {
    /// When something was opened last (Unix seconds); 0 if nothing was.
    #[serde(skip_serializing_if = "is_default")]
    pub at: i64,
    /// The pace of the commands about the source.
    #[serde(skip_serializing_if = "is_default")]
    pub pace: Pace,
    /// Whether everything that was opened is closed again, so nobody starts another copy.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: bool,
    /// AWS's message, if the audience of a lasting share was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether the staged copies are complete, and may be opened.
    #[serde(skip_serializing_if = "is_default")]
    pub staged: bool,
    /// When the last staged copy was started (Unix seconds); 0 if none was.
    #[serde(skip_serializing_if = "is_default")]
    pub staged_at: i64,
    /// Whether the end of an opening call is unknown. The attempt then closes again what it has
    /// closed.
    #[serde(skip_serializing_if = "is_default")]
    pub unsure: bool,
    /// AWS's message, if closing failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

impl State {
    /// Moves times that lie in the future back to now.
    ///
    /// A state whose `Sharing.At` is tomorrow would be polled every two seconds until then. A state
    /// that is due next year would leave the source open for a year.
    pub fn not_ahead_of(&mut self, now: i64) {
        let latest = now.saturating_add(LONGEST_PAUSE);
        self.started = self.started.min(now);
        self.sharing.at = self.sharing.at.min(now);
        self.sharing.pace.due = self.sharing.pace.due.min(latest);
        self.sharing.staged_at = self.sharing.staged_at.min(now);
        for target in &mut self.targets {
            target.work.since = target.work.since.min(now);
            target.work.last_start = target.work.last_start.min(now);
            target.pace.due = target.pace.due.min(latest);
        }
    }

    /// Makes a state from outside safe to act on: it is not ahead of time, and every target on its
    /// way looks first.
    ///
    /// `Sharing` stays, so a target that was copying continues right after its look. Granting looks
    /// itself. So does waiting: a poll finds all copies by their tags, as a look does, and EC2
    /// refuses to register a second image of a name. CopyImage takes a name twice: there the older
    /// image counts, which a look finds.
    pub fn reopen(&mut self, now: i64) {
        self.not_ahead_of(now);
        let closed = self.sharing.closed;
        let snapshots = self.source.snapshots.len();
        for target in &mut self.targets {
            // Once the source is closed, a tidied target is known to be good, and has no source to
            // be compared with.
            let tidying = target.phase == TargetPhase::Tidying && !closed;
            if target.phase == TargetPhase::Copying && target.is_under_way(snapshots) {
                target.pace.due = 0;
            } else if tidying
                || matches!(
                    target.phase,
                    TargetPhase::Copying | TargetPhase::Registering | TargetPhase::Checking
                )
            {
                target.phase = TargetPhase::Looking;
                target.pace.due = 0;
            }
        }
    }

    /// Returns the part of this run with one target, for a process that works on the target alone.
    /// The whole closes the source.
    #[must_use]
    pub fn part(&self, i: usize) -> Self {
        Self {
            part: true,
            ..self.with_targets(vec![self.targets[i].clone()])
        }
    }

    /// Returns the run with one target first, and the others of its account.
    #[must_use]
    pub fn around(&self, i: usize) -> Self {
        let target = &self.targets[i];
        let beside = self.targets.iter().enumerate();
        let beside = beside.filter(|(n, t)| *n != i && t.account_id == target.account_id);
        let beside = beside.map(|(_, other)| other.clone());
        self.with_targets([target.clone()].into_iter().chain(beside).collect())
    }

    fn with_targets(&self, targets: Vec<TargetState>) -> Self {
        Self {
            sharing: self.sharing.clone(),
            targets,
            order: self.order.clone(),
            source: self.source.clone(),
            run: self.run.clone(),
            execution: self.execution.clone(),
            event: self.event.clone(),
            ..*self
        }
    }

    /// Returns the prefix of the keys of this run's payloads in the bucket, apart from those of any
    /// other execution.
    pub fn prefix(&self) -> String {
        let place = if self.execution.is_empty() {
            &self.run
        } else {
            &self.execution
        };
        format!("{PAYLOADS}{place}/")
    }

    /// Returns the places of the targets in the list.
    pub fn places(&self) -> HashMap<(AccountId, Region), usize> {
        let places = self.targets.iter().enumerate();
        places
            .map(|(i, of)| ((of.account_id.clone(), of.region.clone()), i))
            .collect()
    }

    /// Takes over the targets of a part, given the places of its own. A part of another run changes
    /// nothing.
    pub fn take_in(&mut self, part: Self, places: &HashMap<(AccountId, Region), usize>) {
        if part.run != self.run {
            return;
        }
        self.contended |= part.contended;
        for target in part.targets {
            let place = (target.account_id.clone(), target.region.clone());
            if let Some(i) = places.get(&place) {
                self.targets[*i] = target;
            }
        }
    }

    /// Returns the copies of one target, with a place for each source snapshot.
    pub fn copies_mut(&mut self, target: usize) -> &mut Vec<Option<SnapshotId>> {
        let count = self.source.snapshots.len();
        let copies = &mut self.targets[target].work.copies;
        copies.resize(count, None);
        copies
    }
}

/// Cuts a text in its middle, marking the cut. Control characters become spaces, because JSON
/// escapes each into six bytes.
pub fn shorten(text: &str, bytes: usize) -> String {
    let escaped = |c: char| c.is_control() || c == '"' || c == '\\';
    let plain = |c: char| if escaped(c) { ' ' } else { c };
    let clean: String = text.chars().map(plain).collect();
    shortened(&clean, bytes).into_owned()
}

/// Returns whether the JSON omits the value: a number that is zero, a flag that is off.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
pub(crate) mod tests;
