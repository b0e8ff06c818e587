//! One account and Region of a run, with its progress.

use serde::{Deserialize, Serialize};

use super::{Pace, Published, REASON_BYTES, SHOWN_WITHIN, copies, is_default, shorten};
use crate::cause::Cause;
use crate::ids::{AccountId, ExternalId, ImageId, KeyRef, Region, RoleName, SnapshotId};

/// One target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
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
    /// The pace of the target's commands.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pace: Pace,
    /// The copying for the target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub work: Work,
    /// Whether this run has the source open to the account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shared: bool,
    /// The target's image, once it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// The publications of the image, as far as the run asks for any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub published: Published,
    /// A note about the image for the reply, although the target succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why the target failed, or why something of it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The copying for one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Work {
    /// Progress of the copies in percent, averaged over all snapshots.
    #[serde(skip_serializing_if = "is_default")]
    pub progress: u8,
    /// When the first copy was started (Unix seconds).
    #[serde(skip_serializing_if = "is_default")]
    pub since: i64,
    /// When the last copy was started (Unix seconds).
    #[serde(skip_serializing_if = "is_default")]
    pub last_start: i64,
    /// The number of copies begun again because one ended in error.
    #[serde(skip_serializing_if = "is_default")]
    pub again: u32,
    /// The number of images that CopyImage made and that came to nothing. Each next one has a token
    /// of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub lost_images: u32,
    /// Whether the quota of concurrent copies was full: poll before trying again.
    #[serde(skip_serializing_if = "is_default")]
    pub queued: bool,
    /// Whether a copy of this run was passed over for an equal one. The surplus copy may not show
    /// yet when the target is tidied.
    #[serde(skip_serializing_if = "is_default")]
    pub doubled: bool,
    /// The copy of each source snapshot, in the source's order. The JSON omits `snap-`.
    #[serde(with = "copies", skip_serializing_if = "copies::none")]
    pub copies: Vec<Option<SnapshotId>>,
}

/// The phase of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "PascalCase", deny_unknown_fields)]
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
    /// The image is good, and is published where the request says.
    Publishing,
    /// Publishing is given up, and the instance of its launch test is terminated.
    EndingTest,
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
    Stuck {
        /// Why cleaning up failed as well.
        why: String,
        /// IDs of resources that could not be deleted, and ARNs of keys whose grants could not be
        /// revoked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
    },
}

/// The failure of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// AWS's message, shortened for the state.
    pub reason: String,
}

impl Failure {
    /// Returns a failure with the reason shortened for the state.
    pub fn new(cause: Cause, reason: &str) -> Self {
        Self {
            cause,
            reason: shorten(reason, REASON_BYTES),
        }
    }
}

impl TargetState {
    /// Returns whether nothing is to be done but waiting for copies, of so many snapshots.
    pub fn is_under_way(&self, snapshots: usize) -> bool {
        let known = self.work.copies.iter().flatten().count();
        let waits = self.work.since != 0 && !self.work.queued && self.image_id.is_none();
        waits && known > 0 && known == snapshots
    }
}

impl Work {
    /// Starts the clock of the target, when its first copy begins or is found under way.
    pub fn begin(&mut self, now: i64) {
        if self.since == 0 {
            self.since = now;
        }
    }

    /// Notes that copies may have begun now.
    pub fn start(&mut self, now: i64) {
        self.begin(now);
        self.last_start = now;
    }

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
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Removed | Self::Failed | Self::Stuck { .. }
        )
    }

    /// Returns the resources that are left behind.
    pub fn left(&self) -> &[String] {
        match self {
            Self::Stuck { left, .. } => left,
            _ => &[],
        }
    }
}
