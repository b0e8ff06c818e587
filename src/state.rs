//! The step state: the facts that a run must remember between two calls, and no others.
//!
//! The state contains the present status of each target, and what undoing needs. Step Functions
//! keeps the history. The run freezes its request in the state when it begins, so newer code never
//! plans a running distribution again. The state contains no credentials and no ResponseURL.
//!
//! Any command may have happened although the state does not show it, because the process may have
//! died before it could return. A process that opens a state therefore looks at AWS before acting;
//! see `State::reopen`.

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
mod size;
mod staging;
mod standing;

pub use standing::MOST_COPIES_BESIDE_WORDS;

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
/// The reason of a target that was left to a later event.
const OVERTAKEN: &str = "a later event of this resource came before it was done";
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
    /// The run's ID. It follows from the request, so an event that is delivered twice is the same
    /// run.
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

/// The source image, by IDs only: each call reads its facts anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SourceRef {
    /// The image's ID.
    pub image_id: ImageId,
    /// The image's Region.
    pub region: Region,
    /// The account that owns the image.
    pub account_id: AccountId,
    /// The image's snapshots, the root device's first.
    pub snapshots: Vec<SnapshotId>,
    /// ARNs of the distinct keys.
    pub keys: Vec<String>,
    /// The AWS-managed keys among `keys`: snapshots under them are copied in the source account
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_keys: Vec<String>,
    /// The snapshots that are shared and copied, one for each source snapshot: itself, or its
    /// staged copy.
    #[serde(default, with = "copies", skip_serializing_if = "copies::none")]
    pub staged: Vec<Option<SnapshotId>>,
}

/// The part of the request that all targets have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Order {
    /// The template for the names of the copies.
    pub name: NameTemplate,
    /// Tags for the copies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether the copies get the tags of the source.
    pub copy_tags: bool,
    /// How the targets reach the source keys.
    pub key_access: KeyAccess,
    /// Whether the source is closed after the copies.
    pub revoke_after_copy: bool,
    /// Minutes within which EC2 completes each copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_completion_minutes: Option<u16>,
    /// The number of targets whose time-based copies of one snapshot EC2 makes one after another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serial: usize,
    /// `Mode: Share`: the targets launch from the source image, and nothing is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// The service-linked roles of each target that get a grant to launch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_linked_roles: Vec<ServiceLinkedRole>,
    /// Service-linked roles that an update took off. Their grants on the targets' own keys are
    /// revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_roles: Vec<ServiceLinkedRole>,
    /// Whether missing service-linked roles are created.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_service_linked_roles: bool,
    /// ARNs of the organization and units whose members are the targets; key policies name these
    /// ARNs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// An update asks for another name or key, so the run's former image does not count as the
    /// result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// An update asks for other tags, so those of existing copies are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retag: Option<Retag>,
    /// The key for staged copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reencrypt_key: Option<KeyRef>,
    /// Losses of the copies, for the reply about each target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Order {
    /// Returns whether the run makes or revokes grants by which service-linked roles launch.
    pub fn has_launch_grants(&self) -> bool {
        !self.service_linked_roles.is_empty() || !self.ended_roles.is_empty()
    }
}

/// The end of a run's former image, once the image that an update asks for is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renewal {
    /// The former image stays.
    Keep,
    /// The former image is removed.
    Remove,
}

/// The difference between the tags of a run's former request and those of the present one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Retag {
    /// The former value of each changed tag; `None` if the former request did not set the tag.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, Option<String>>,
    /// The former `CopyTags`.
    pub copy_tags: bool,
}

/// The goal of a lasting share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Share {
    /// Whether the snapshots are shared too.
    #[serde(skip_serializing_if = "is_default")]
    pub snapshots: bool,
    /// ARNs of the organizations and units that may launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// ARNs of the organizations and units that may launch no longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Whether the request is the whole list: all other principals of this run lose the share.
    #[serde(skip_serializing_if = "is_default")]
    pub only: bool,
}

/// The progress of opening and closing the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Sharing {
    /// When something was opened last (Unix seconds); 0 if nothing was.
    #[serde(skip_serializing_if = "is_default")]
    pub at: i64,
    /// When the next command about the source is due (Unix seconds).
    #[serde(skip_serializing_if = "is_default")]
    pub due: i64,
    /// The number of consecutive failed commands about the source.
    #[serde(skip_serializing_if = "is_default")]
    pub tries: u32,
    /// Whether everything that was opened is closed again, so nobody starts another copy.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: bool,
    /// AWS's message, if the audience of a lasting share was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
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

/// One target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and left out of the JSON where it is not so"
)]
pub struct TargetState {
    /// The target account.
    pub account_id: AccountId,
    /// The target Region.
    pub region: Region,
    /// The key as the request named it; after the first look the key's ARN, so that moving an alias
    /// changes nothing.
    #[serde(
        default = "KeyRef::aws_ebs",
        skip_serializing_if = "KeyRef::is_aws_ebs"
    )]
    pub kms_key_id: KeyRef,
    /// The role that the function assumes in the account.
    pub role_name: RoleName,
    /// The external ID for assuming the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// Whether the target is named by its organization or unit, which has the launch permission of
    /// a lasting share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: bool,
    /// The phase of the target.
    pub phase: TargetPhase,
    /// Progress of the copies in percent, averaged over all snapshots.
    #[serde(default, skip_serializing_if = "is_default")]
    pub progress: u8,
    /// When the next command is due (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub due: i64,
    /// When the first copy was started (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: i64,
    /// When the last copy was started (Unix seconds).
    #[serde(default, skip_serializing_if = "is_default")]
    pub last_start: i64,
    /// The number of consecutive failed commands that may succeed later.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tries: u32,
    /// The number of copies begun again because one ended in error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub again: u32,
    /// Whether the quota of concurrent copies was full: poll before trying again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued: bool,
    /// Whether a copy of this run was passed over for an equal one. The surplus copy may not show
    /// yet when the target is tidied.
    #[serde(default, skip_serializing_if = "is_default")]
    pub doubled: bool,
    /// Whether this run has the source open to the account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared: bool,
    /// The target's image, once it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// The copy of each source snapshot, in the source's order. The JSON omits `snap-`.
    #[serde(default, with = "copies", skip_serializing_if = "copies::none")]
    pub copies: Vec<Option<SnapshotId>>,
    /// Why the target failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// IDs of resources that could not be deleted, and ARNs of keys whose grants could not be
    /// revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// The phase of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPhase {
    /// The target is looked at before anything is done: its copies and its image.
    Looking,
    /// The look is over and copies are needed, but the source is not open to the target yet.
    Ready,
    /// Copies are started and polled.
    Copying,
    /// The image is being registered.
    Registering,
    /// The image is being verified.
    Checking,
    /// The image is good, and surplus copies are deleted.
    Tidying,
    /// The image is good, and tags of existing copies are changed.
    Retagging,
    /// The image is good, and service-linked roles get their grants to launch.
    Granting,
    /// The target failed, and the run's copies in it are deleted.
    Undoing,
    /// The target's image is deregistered, and its snapshots are deleted.
    Removing,
    /// The target has everything that the request asks for.
    Succeeded,
    /// The target's image is removed.
    Removed,
    /// The target failed, and nothing is left behind.
    Failed,
    /// The target failed, and resources are left behind.
    Stuck,
}

/// The failure of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// AWS's message, shortened for the state.
    pub reason: String,
    /// Why cleaning up failed as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

impl Failure {
    /// Returns a failure with the reason shortened for the state.
    pub fn new(cause: Cause, reason: &str) -> Self {
        Self {
            cause,
            reason: shorten(reason, REASON_BYTES),
            stuck: None,
        }
    }
}

impl TargetState {
    /// Returns when everything that the run started shows in the lists (Unix seconds); 0 if it
    /// started nothing. Undoing earlier could miss a copy.
    pub fn shown_by(&self) -> i64 {
        if self.last_start == 0 {
            0
        } else {
            self.last_start.saturating_add(SHOWN_WITHIN)
        }
    }
}

impl TargetPhase {
    /// Returns whether nothing happens in this phase any more.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Removed | Self::Failed | Self::Stuck
        )
    }
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
        self.sharing.due = self.sharing.due.min(latest);
        self.sharing.staged_at = self.sharing.staged_at.min(now);
        for target in &mut self.targets {
            target.since = target.since.min(now);
            target.last_start = target.last_start.min(now);
            target.due = target.due.min(latest);
        }
    }

    /// Makes a state that may be out of date safe to act on: every target on its way looks first.
    ///
    /// `Sharing` stays, so a target that was copying continues right after its look. Granting looks
    /// itself.
    pub fn reopen(&mut self) {
        let closed = self.sharing.closed;
        for target in &mut self.targets {
            // Once the source is closed, a tidied target is known to be good, and has no source to
            // be compared with.
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

    /// Ends every target that is not terminal; the run's copies are undone.
    pub fn give_up(&mut self, cause: Cause, reason: &str) {
        for target in 0..self.targets.len() {
            self.give_up_target(target, cause, reason);
        }
    }

    /// Ends one target that is not terminal; the run's copies are undone.
    pub fn give_up_target(&mut self, i: usize, cause: Cause, reason: &str) {
        // A share makes nothing in the target; revoking closes its openings.
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

    /// Leaves one target to a later event of the resource. The run's copies go to that event if it
    /// `wants` the target, and are undone otherwise.
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

    /// Returns the part of this run with one target, for a process that works on the target alone.
    /// The whole closes the source.
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

    /// Takes over the targets of a part. A part of another run changes nothing.
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

    /// Returns the copies of one target, with a place for each source snapshot.
    pub fn copies_mut(&mut self, target: usize) -> &mut Vec<Option<SnapshotId>> {
        let count = self.source.snapshots.len();
        let copies = &mut self.targets[target].copies;
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
