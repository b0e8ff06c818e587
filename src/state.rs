//! The step state: what a run must remember between two calls, and no more. It is the present status of each target and
//! what undoing needs; Step Functions keeps the history. It is frozen from the request when the run begins, so newer code
//! never re-plans a running distribution. It holds no credentials and no ResponseURL.
//!
//! Every command may have happened although this says nothing of it (the process died before it could return): whoever
//! opens a state looks at AWS before acting on it, see `State::reopen`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::error::shortened;
use crate::ids::{AccountId, ExternalId, ImageId, KeyRef, Region, RoleName, SnapshotId};
use crate::name::NameTemplate;
use crate::request::KeyAccess;
use crate::service_linked_role::ServiceLinkedRole;

mod asked;
mod copies;
mod open;
mod run_ref;
mod size;
mod staging;
mod standing;

pub use run_ref::RunRef;
pub use standing::MOST_COPIES_BESIDE_WORDS;

/// The schema this version writes.
pub const SCHEMA: u64 = 1;
/// Bytes of JSON a state may take: this much in all, and this much more for each target.
pub const BYTES_IN_ALL: usize = 4096;
pub const BYTES_PER_TARGET: usize = 1024;
/// Seconds: more than this function ever waits before it looks again.
const LONGEST_PAUSE: i64 = 600;
/// Bytes of AWS's words kept for a target that failed.
const REASON_BYTES: usize = 320;
/// What is said of a target that was left to a later event.
const OVERTAKEN: &str = "a later event of this resource came before it was done";
/// And for why its clean-up failed.
pub const STUCK_BYTES: usize = 120;
/// What was just made shows in the lists after this many seconds at the latest.
pub(crate) const SHOWN_WITHIN: i64 = 60;
/// Bytes of all notes about what copies lack.
pub const MOST_NOTES_BYTES: usize = 600;
/// Things left behind that are named one by one; the tags find the others.
pub const MOST_LEFT: usize = 6;
/// With more snapshots than this, their IDs would not fit a target's share of the state; the tags find them again.
pub const MOST_REMEMBERED_COPIES: usize = 26;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct State {
    pub schema: u64,
    /// Names this run: derived from what asked for it, so that the same event delivered twice is the same run.
    pub run: String,
    /// Which attempt at the run this is, in the ledger: what it may open stands there. 0 where the ledger has no such run.
    pub attempt: u32,
    /// Unix seconds.
    pub started: i64,
    pub phase: Phase,
    pub source: SourceRef,
    pub order: Order,
    #[serde(default)]
    pub sharing: Sharing,
    /// The name of the state machine's execution that goes on with it: once that is over, so is the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub execution: String,
    /// The custom resource's event that asked: a later one of the resource ends the run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// Whoever asked waits no longer than this (Unix seconds); 0 if for ever.
    #[serde(default, skip_serializing_if = "is_default")]
    pub end_by: i64,
    /// Some of the targets of a run whose whole is elsewhere: it is the whole that closes the source.
    #[serde(default, skip_serializing_if = "is_default")]
    pub part: bool,
    /// How often in a row the source could not be read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unread: u32,
    pub targets: Vec<TargetState>,
}

/// Where the run as a whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Finding out in each target what is there already. Nothing has been shared.
    Looking,
    /// Copying the source in its own account under a key that can be shared.
    Staging,
    /// Opening the source to the accounts that need it.
    Sharing,
    Copying,
    /// Every copy is terminal; closing the source again.
    Revoking,
    Ended,
}

/// The image, by its names only: its facts are read anew by each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SourceRef {
    pub image_id: ImageId,
    pub region: Region,
    pub account_id: AccountId,
    pub snapshots: Vec<SnapshotId>,
    /// ARNs of the distinct keys.
    pub keys: Vec<String>,
    /// Those of the keys that are AWS-managed: what is under them is copied in the source account first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_keys: Vec<String>,
    /// What is shared and copied, one for each snapshot: itself, or its copy in the source account under a key that can be shared.
    ///
    #[serde(default, with = "copies", skip_serializing_if = "copies::none")]
    pub staged: Vec<Option<SnapshotId>>,
}

/// What the request said that targets have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Order {
    pub name: NameTemplate,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub copy_tags: bool,
    pub key_access: KeyAccess,
    pub revoke_after_copy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_completion_minutes: Option<u16>,
    /// How many targets' time-based copies of one snapshot EC2 makes one after another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serial: usize,
    /// `Mode: Share`: launch from the source image; nothing is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Those in each target that get a grant to launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_linked_roles: Vec<ServiceLinkedRole>,
    /// Those that an update took off: their grants on the targets' own keys are revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_roles: Vec<ServiceLinkedRole>,
    /// Make those of them that do not exist.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_service_linked_roles: bool,
    /// ARNs of the organisation and units whose members are the targets: key policies name them as such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// An update asks for another name or key: the run's image of before is not taken for the one that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// An update asks for other tags: those of the copies that stand are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retag: Option<Retag>,
    /// The key under which the source is copied in its own account first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reencrypt_key: Option<KeyRef>,
    /// What of the source its copies lack, to be told with each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Order {
    /// Whether the run makes or revokes grants by which service-linked roles launch.
    pub fn has_launch_grants(&self) -> bool {
        !self.service_linked_roles.is_empty() || !self.ended_roles.is_empty()
    }
}

/// What becomes of a run's image of before, once the one that an update asks for is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    Keep,
    Remove,
}

/// How the tags that a run's former request asked for differ from those that the present one asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Retag {
    /// The former value of each of `Tags` that has changed; `None` where the former request did not set it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, Option<String>>,
    /// The former `CopyTags`.
    pub copy_tags: bool,
}

/// What lasting sharing is to come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Share {
    /// The snapshots too.
    #[serde(skip_serializing_if = "is_default")]
    pub snapshots: bool,
    /// ARNs of organisations and units that may launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// ARNs of those that may no longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Whoever else this run let in before is to go: the request is the whole list.
    #[serde(skip_serializing_if = "is_default")]
    pub only: bool,
}

/// How the sharing of the source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Sharing {
    /// Unix seconds of the last time something was shared; 0 if nothing was.
    #[serde(skip_serializing_if = "is_default")]
    pub at: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub due: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub tries: u32,
    /// Everything that was opened is closed again: nobody starts another copy.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: bool,
    /// Why the audience of a lasting share was refused: what AWS said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// When the last copy in the source account was started (Unix seconds); 0 if none was.
    #[serde(skip_serializing_if = "is_default")]
    pub staged_at: i64,
    /// Some of it was opened by a call whose end nobody knows: what this attempt has closed is closed again.
    #[serde(skip_serializing_if = "is_default")]
    pub unsure: bool,
    /// Why revoking failed for good: what AWS said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and left out of the JSON where it is not so"
)]
pub struct TargetState {
    pub account_id: AccountId,
    pub region: Region,
    /// As the request named it until the first look, from then on the key's ARN: an alias moved meanwhile changes nothing.
    #[serde(
        default = "KeyRef::aws_ebs",
        skip_serializing_if = "KeyRef::is_aws_ebs"
    )]
    pub kms_key_id: KeyRef,
    pub role_name: RoleName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// Named by its organisation or unit, which has the launch permission of a lasting share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: bool,
    pub phase: TargetPhase,
    /// Percent of the copying, over all snapshots.
    #[serde(default, skip_serializing_if = "is_default")]
    pub progress: u8,
    /// Not before this (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub due: i64,
    /// When the first copy was started (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: i64,
    /// When the last copy was started (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_start: i64,
    /// Consecutive stumbles over something passing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tries: u32,
    /// Copies begun again because one ended in error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub again: u32,
    /// The quota of concurrent copies was full: poll before trying again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued: bool,
    /// A copy that this run started was passed over for another of the same: it may not show yet when the others are tidied.
    ///
    #[serde(default, skip_serializing_if = "is_default")]
    pub doubled: bool,
    /// Whether this run has the source open to the account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// The copy of each source snapshot, in the source's order; short, as digits only.
    #[serde(default, with = "copies", skip_serializing_if = "copies::none")]
    pub copies: Vec<Option<SnapshotId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// IDs of what could not be deleted; ARNs of keys whose grants could not be revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPhase {
    /// Look before acting: what is there of this target's copies and image?
    Looking,
    /// Looked: copies are wanted, the source is not open to it yet.
    Ready,
    Copying,
    Registering,
    Checking,
    /// The image is good; deleting copies made beside the ones it uses.
    Tidying,
    /// The image is good; changing the tags of what stood before.
    Retagging,
    /// Everything is there; letting service-linked roles launch from it.
    Granting,
    /// Failed; deleting what was made.
    Undoing,
    /// To be deregistered with its snapshots.
    Removing,
    Succeeded,
    Removed,
    Failed,
    /// Failed, and what was made could not be deleted.
    Stuck,
}

/// Why a target did not get there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Failure {
    pub cause: Cause,
    /// What AWS said, shortened to what the state can carry.
    pub reason: String,
    /// Why cleaning up failed as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

impl Failure {
    pub fn new(cause: Cause, reason: &str) -> Self {
        Self {
            cause,
            reason: shorten(reason, REASON_BYTES),
            stuck: None,
        }
    }
}

impl TargetState {
    /// When whatever it started must show in the lists (Unix seconds): what is undone earlier may be missed. 0 if it started nothing.
    pub fn shown_by(&self) -> i64 {
        if self.last_start == 0 {
            0
        } else {
            self.last_start.saturating_add(SHOWN_WITHIN)
        }
    }
}

impl TargetPhase {
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Removed | Self::Failed | Self::Stuck
        )
    }
}

impl State {
    /// Brings times that have not come yet back to now: a state that says it was shared tomorrow would be asked about every two
    /// seconds until then, one that is due next year would leave the source open for a year.
    pub fn not_ahead_of(&mut self, now: i64) {
        let latest = now.saturating_add(LONGEST_PAUSE);
        self.started = self.started.min(now);
        self.sharing.at = self.sharing.at.min(now);
        self.sharing.due = self.sharing.due.min(latest);
        self.sharing.staged_at = self.sharing.staged_at.min(now);
        for target in &mut self.targets {
            target.since = target.since.min(now);
            target.last_start = target.last_start.min(now);
            target.due = target.due.min(latest);
        }
    }

    /// Makes a state that may be behind the world safe to act on: every target not yet terminal looks first. What had
    /// been shared stays known, so a target that was copying goes straight on after its look. Granting looks itself.
    pub fn reopen(&mut self) {
        let closed = self.sharing.closed;
        for target in &mut self.targets {
            // Once the source is closed, what is tidied has been found good, and needs no source to compare it with.
            let tidying = target.phase == TargetPhase::Tidying && !closed;
            if tidying
                || matches!(
                    target.phase,
                    TargetPhase::Copying | TargetPhase::Registering | TargetPhase::Checking
                )
            {
                target.phase = TargetPhase::Looking;
                target.due = 0;
            }
        }
    }

    /// Ends every target that is not terminal yet; what it made is undone.
    pub fn give_up(&mut self, cause: Cause, reason: &str) {
        for target in 0..self.targets.len() {
            self.give_up_target(target, cause, reason);
        }
    }

    /// Ends one target if it is on its way; what it made is undone.
    pub fn give_up_target(&mut self, i: usize, cause: Cause, reason: &str) {
        // A share leaves nothing in the target; what it opened, revoking closes.
        let phase = if self.order.share.is_some() {
            TargetPhase::Failed
        } else {
            TargetPhase::Undoing
        };
        let target = &mut self.targets[i];
        if target.phase.is_terminal() || target.phase == TargetPhase::Removing {
            return;
        }
        if self.sharing.closed && target.phase == TargetPhase::Tidying {
            target.phase = TargetPhase::Succeeded;
            return;
        }
        if target.phase == TargetPhase::Retagging {
            return target.fail_standing(Cause::TagsNotChanged, reason);
        }
        if target.phase == TargetPhase::Granting {
            return target.fail_standing(Cause::LaunchGrantMissing, reason);
        }
        target
            .failure
            .get_or_insert_with(|| Failure::new(cause, reason));
        target.phase = phase;
        target.due = target.shown_by();
    }

    /// Leaves one target to a later event of the resource. What was made there is that event's where it `wants` the target, and undone
    /// where it does not.
    pub fn overtake(&mut self, i: usize, wants: &BTreeSet<(AccountId, Region)>) {
        let target = &mut self.targets[i];
        if target.phase.is_terminal() {
            return;
        }
        let wanted = wants.contains(&(target.account_id.clone(), target.region.clone()));
        if wanted || target.phase == TargetPhase::Removing {
            target.failure = Some(Failure::new(Cause::Overtaken, OVERTAKEN));
            target.phase = TargetPhase::Failed;
            return;
        }
        self.give_up_target(i, Cause::Overtaken, OVERTAKEN);
    }

    /// One target's part of this run, for whoever works on it alone. The whole closes what was opened.
    #[must_use]
    pub fn part(&self, i: usize) -> Self {
        let target = self.targets[i].clone();
        Self {
            part: true,
            sharing: self.sharing.clone(),
            targets: vec![target],
            order: self.order.clone(),
            source: self.source.clone(),
            run: self.run.clone(),
            execution: self.execution.clone(),
            event: self.event.clone(),
            ..*self
        }
    }

    /// Takes over what became of a part. A part of another run, or of no target here, is nothing to this one.
    pub fn take_in(&mut self, part: Self) {
        if part.run != self.run {
            return;
        }
        for target in part.targets {
            let same = |t: &&mut TargetState| {
                t.account_id == target.account_id && t.region == target.region
            };
            if let Some(ours) = self.targets.iter_mut().find(same) {
                *ours = target;
            }
        }
    }

    /// The copies of one target, one place for each source snapshot.
    pub fn copies_mut(&mut self, target: usize) -> &mut Vec<Option<SnapshotId>> {
        let count = self.source.snapshots.len();
        let copies = &mut self.targets[target].copies;
        copies.resize(count, None);
        copies
    }
}

/// Cuts in the middle, marking the cut. Control characters go: they would be escaped into six bytes each.
pub fn shorten(text: &str, bytes: usize) -> String {
    let escaped = |c: char| c.is_control() || c == '"' || c == '\\';
    let plain = |c: char| if escaped(c) { ' ' } else { c };
    let clean: String = text.chars().map(plain).collect();
    shortened(&clean, bytes).into_owned()
}

/// For what a state leaves out: a number that is zero, a flag that is off.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
