//! What can be done, and what came of it. Each command finds what it made before it makes it again:
//!
//! | command | what makes it repeatable |
//! |---|---|
//! | `Share` | the ledger says, before the first permission, who holds it and who had been allowed before |
//! | `Share` (grants) | CreateGrant with the same name and parameters returns the same grant |
//! | `Share` (key policies) | statements are found by their `Sid`, which has the run in it |
//! | `Start` | CopySnapshot has no token: copies carry the tag `amiferry:key`, looks come first, surplus copies are deleted |
//! | `LookStaged`, `Stage` | the same as `Start`, in the source account, with a tag of the run's own; all are deleted by `Revoke` |
//! | `Register` | the name: EC2 refuses the second image of a name |
//! | `Tidy`, `Undo`, `Remove` | what is gone already counts as deleted |
//! | `Retag` | a tag is set to what it is to be, and deleted only while it has its former value |
//! | `Grant` | an equal grant is looked for first; CreateGrant by name; a service-linked role that is there counts as made |
//! | `Revoke` | announces itself in the ledger, removes what the record allows, and buries; then deletes what was staged |

use std::collections::BTreeSet;

use crate::copies::{Copies, Staged};
use crate::digest::digest;
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, KeyRef, Region, SnapshotId};
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, TargetState};

/// The tags this project puts on what it makes.
pub mod tag {
    pub const RUN: &str = "amiferry:run";
    pub const SOURCE_IMAGE: &str = "amiferry:source-image";
    pub const SOURCE_ACCOUNT: &str = "amiferry:source-account";
    pub const KEY: &str = "amiferry:key";
    /// All of the above begin with this.
    pub const OURS: &str = "amiferry:";
}

/// Indices are those of `State::targets` and of the source's snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Open the source to the accounts of these targets.
    Share {
        targets: Vec<usize>,
    },
    /// See what copies of the source this run has in the source account.
    LookStaged,
    /// Start a copy of each of these snapshots there.
    Stage {
        snapshots: Vec<usize>,
    },
    Look {
        target: usize,
    },
    /// Start a copy of each of these snapshots.
    Start {
        target: usize,
        snapshots: Vec<usize>,
    },
    Poll {
        target: usize,
    },
    Register {
        target: usize,
    },
    Check {
        target: usize,
    },
    /// Delete copies that the target's image does not use.
    Tidy {
        target: usize,
    },
    Undo {
        target: usize,
    },
    Remove {
        target: usize,
    },
    /// Give a copy that stands the tags that an update asks for.
    Retag {
        target: usize,
    },
    /// Let the service-linked roles asked for launch: a grant for each.
    Grant {
        target: usize,
    },
    Revoke,
}

impl Command {
    /// The target it is about; `None` for the source.
    pub fn target(&self) -> Option<usize> {
        match self {
            Self::Share { .. } | Self::LookStaged | Self::Stage { .. } | Self::Revoke => None,
            Self::Look { target }
            | Self::Start { target, .. }
            | Self::Poll { target }
            | Self::Register { target }
            | Self::Check { target }
            | Self::Tidy { target }
            | Self::Undo { target }
            | Self::Remove { target }
            | Self::Retag { target }
            | Self::Grant { target } => Some(*target),
        }
    }

    /// Whether it makes or removes something that a later event of the custom resource may want
    /// otherwise.
    pub fn changes(&self) -> bool {
        match self {
            Self::Share { .. }
            | Self::Stage { .. }
            | Self::Start { .. }
            | Self::Register { .. }
            | Self::Remove { .. }
            | Self::Retag { .. }
            | Self::Grant { .. } => true,
            Self::LookStaged
            | Self::Look { .. }
            | Self::Poll { .. }
            | Self::Check { .. }
            | Self::Tidy { .. }
            | Self::Undo { .. }
            | Self::Revoke => false,
        }
    }

    /// For the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Share { .. } => "Share",
            Self::LookStaged => "LookStaged",
            Self::Stage { .. } => "Stage",
            Self::Look { .. } => "Look",
            Self::Start { .. } => "Start",
            Self::Poll { .. } => "Poll",
            Self::Register { .. } => "Register",
            Self::Check { .. } => "Check",
            Self::Tidy { .. } => "Tidy",
            Self::Undo { .. } => "Undo",
            Self::Remove { .. } => "Remove",
            Self::Retag { .. } => "Retag",
            Self::Grant { .. } => "Grant",
            Self::Revoke => "Revoke",
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source is open. These targets, and the audience, were refused theirs; to `earlier` the
    /// run had it open already when this began.
    Opened {
        earlier: Vec<AccountId>,
        refused: Vec<(usize, Refusal)>,
        audience: Option<Refusal>,
    },
    /// Opening was refused when some of it may have taken effect.
    OpeningRefused(Refusal),
    /// Another attempt's closing must end first: again then (Unix seconds), and why.
    Wait {
        until: i64,
        why: String,
    },
    /// The function's settings do not allow to open this to these, and why.
    NotAllowed(String),
    /// The attempt opens nothing more, and why.
    Over(String),
    /// A later event of the custom resource goes before, and wants these.
    Overtaken(BTreeSet<(AccountId, Region)>),
    Looked {
        key: KeyRef,
        image: Option<ImageId>,
        copies: Copies,
    },
    Started {
        results: Vec<(usize, Result<SnapshotId, Refusal>)>,
    },
    /// The target cannot use a source key yet.
    KeyNotReady(Refusal),
    Polled(Copies),
    StagedSeen(Staged),
    Registered(ImageId),
    /// The name belongs to an image that is not ours; or to one not visible yet, when `None`.
    NameTaken(Option<ImageId>, Refusal),
    /// Not visible or not available yet.
    NotYet(String),
    /// The image is what it should be. `used` are the copies it stands on, `surplus` the others.
    Faithful {
        used: Vec<SnapshotId>,
        surplus: bool,
    },
    Unfaithful(Vec<String>),
    /// The target's image is there, and somebody has disabled it.
    Disabled(ImageId),
    /// The target was to be undone, but its image is there.
    ImageThere(ImageId),
    /// Roles of these names are not there, or not to be seen by KMS; what AWS said of the first.
    RolesMissing(Vec<String>, Refusal),
    /// Done: tidied, undone, removed, retagged, granted, or revoked.
    Done,
    /// The source is closed; but it had been open already when this process began, to these
    /// accounts: an earlier try of the run may have made copies there.
    Closed {
        earlier: Vec<AccountId>,
        /// What could not be closed.
        left: Vec<(String, Refusal)>,
    },
    /// What was to be removed stays, and why.
    Kept(Vec<String>),
    /// Deleting went on but some could not be deleted.
    Left(Vec<(String, Refusal)>),
    Refused(Refusal),
    /// The source image is not there any more.
    SourceGone(String),
}

/// What find-or-create looks up: digest of source snapshot, account, Region and key.
pub fn copy_key(source: &SnapshotId, target: &TargetState) -> String {
    copy_key_under(source, target, target.kms_key_id.as_str())
}

/// The same under a key that the target's state need not have: another process may have resolved
/// the alias.
pub fn copy_key_under(source: &SnapshotId, target: &TargetState, key: &str) -> String {
    digest([
        source.as_str(),
        target.account_id.as_str(),
        target.region.as_str(),
        key,
    ])
}

/// The same for what is copied in the source account: each run has its own, which no other run
/// deletes.
pub fn staging_key(source: &SnapshotId, run: RunRef<'_>) -> String {
    let key = run.order.reencrypt_key.as_ref();
    digest([
        "staged",
        run.id,
        source.as_str(),
        key.map_or("", KeyRef::as_str),
    ])
}

/// The same for the copy of an image.
pub fn image_key(image: &ImageId, target: &TargetState) -> String {
    digest([
        image.as_str(),
        target.account_id.as_str(),
        target.region.as_str(),
        target.kms_key_id.as_str(),
    ])
}

/// All grants of a run begin with this.
pub fn grant_prefix(run: &str) -> String {
    format!("amiferry-{run}-")
}

/// The grants on a target's own key that let service-linked roles launch begin with this. They are
/// of no run: whichever needs one finds it, so that no key has two of them.
pub const LAUNCH_PREFIX: &str = "amiferry-launch-";

/// The name of the grant by which `role` launches in a target: of an image of the target's own, or
/// of the source image.
pub fn launch_grant_name(
    run: RunRef<'_>,
    target: &TargetState,
    role: &ServiceLinkedRole,
) -> String {
    let role = role.in_grant_name();
    match run.share() {
        None => format!("{LAUNCH_PREFIX}{role}"),
        Some(_) => format!("{}{}/{role}", grant_prefix(run.id), target.account_id),
    }
}
