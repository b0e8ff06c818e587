//! The outcomes of commands. Each command has a type of its own, which lists only what that command
//! can give.

use std::collections::BTreeSet;

use super::Command;
use crate::copies::{Copies, Staged};
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, KeyArn, Region, SnapshotId};
use crate::state::Published;

/// Resources that could not be deleted, and openings that could not be closed, each with its
/// refusal.
pub type Left = Vec<(String, Refusal)>;

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of a command about the source.
    Source(SourceOutcome),
    /// Of a command in the target of this index.
    Target(usize, TargetOutcome),
    /// AWS refused the command.
    Refused(Command, Refusal),
    /// A later event of the custom resource has precedence, and wants these targets.
    Overtaken(Command, BTreeSet<(AccountId, Region)>),
}

impl Outcome {
    /// Returns the same outcome of this command, which was made by other places.
    #[must_use]
    pub fn about(self, command: &Command) -> Self {
        match (self, command) {
            (Self::Target(_, outcome), Command::Target(i, _)) => Self::Target(*i, outcome),
            (Self::Refused(_, refusal), _) => Self::Refused(command.clone(), refusal),
            (Self::Overtaken(_, wants), _) => Self::Overtaken(command.clone(), wants),
            (other, _) => other,
        }
    }
}

/// The outcome of a command about the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceOutcome {
    /// Of opening the source to the targets of these indices.
    Share(Vec<usize>, Result<Shared, SourceGone>),
    /// This run's copies in the source account.
    LookStaged(Result<Staged, SourceGone>),
    /// Of starting copies in the source account.
    Stage(Result<Staging, SourceGone>),
    /// Of closing the source.
    Revoke(Revoked),
}

/// The outcome of a command in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetOutcome {
    /// Of looking.
    Look(Looked),
    /// Of starting copies.
    Start(Result<Started, SourceGone>),
    /// The copies of each source snapshot, read again.
    Poll(Copies),
    /// Of copying the image as a whole.
    CopyImage(Result<CopiedImage, SourceGone>),
    /// The image that is copied as a whole, read again.
    PollImage(ImageProgress),
    /// Of registering the image.
    Register(Result<Registered, SourceGone>),
    /// Of verifying the image.
    Check(Result<Checked, SourceGone>),
    /// The surplus copies that could not be deleted.
    Tidy(Left),
    /// Of deleting what the run made.
    Undo(Undone),
    /// Of removing the image.
    Remove(Removed),
    /// Of changing tags.
    Retag(Result<Retagged, SourceGone>),
    /// Of making grants to launch.
    Grant(Result<Granted, SourceGone>),
    /// Of publishing the image.
    Publish(Publication),
    /// The instances of a launch test that showed are terminated.
    EndTest,
}

/// The source image, which the command needs, does not exist any more; the text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGone(pub String);

/// The index of each snapshot with its new copy, or with the refusal.
pub type Begun = Vec<(usize, Result<SnapshotId, Refusal>)>;

/// The outcome of opening the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// The source is open, except to the refused.
    Opened(Opened),
    /// Shared was refused, although part of it may have taken effect.
    Unsure(Refusal),
    /// The closing of another attempt must end first.
    Wait(Wait),
    /// The function's settings do not allow this opening; the text says why.
    NotAllowed(String),
    /// The attempt is over and opens nothing more; the text says why.
    Over(String),
}

/// The result of an opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Accounts to which the run had the source open already when the command began.
    pub earlier: Vec<AccountId>,
    /// Indices of the refused targets, each with its refusal.
    pub refused: Vec<(usize, Refusal)>,
    /// The refusal of the audience.
    pub audience: Option<Refusal>,
}

/// A command that has to be tried again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// When to try again (Unix seconds).
    pub until: i64,
    /// Why the command has to wait.
    pub why: String,
}

/// The outcome of starting copies in the source account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staging {
    /// Copies were started, or refused.
    Started(Begun),
    /// The attempt is over and starts nothing more; the text says why.
    Over(String),
}

/// The outcome of closing the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// The source is closed, except for what is left.
    Closed(Closed),
    /// Some of it can be closed only later.
    Wait(Wait),
}

/// The facts about a source after its closing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closed {
    /// Accounts to which the source was open already when this process began: an earlier try of the
    /// run may have made copies for them.
    pub earlier: Vec<AccountId>,
    /// Whether another request joined the attempt: its process may have copied too.
    pub joined: bool,
    /// Openings that were left behind.
    pub left: Left,
}

/// The result of a look: the target's role could be assumed, and its key can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The target's key.
    pub key: KeyArn,
    /// The target's image, if it exists.
    pub image: Option<ImageId>,
    /// Whether CopyImage is still making that image, or has failed to.
    pub unfinished: bool,
    /// All copies of each source snapshot.
    pub copies: Copies,
}

/// The outcome of starting copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// Copies were started, or refused.
    Copies(Begun),
    /// The target cannot use a source key yet.
    KeyNotReady(Refusal),
}

/// The outcome of copying the image as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopiedImage {
    /// EC2 is copying.
    Started(ImageId),
    /// EC2 refused, or did not answer.
    Refused(Refusal),
    /// The target cannot use a source key yet.
    KeyNotReady(Refusal),
}

/// The progress of an image that CopyImage makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageProgress {
    /// EC2 is copying; the number is the percentage.
    Pending(u8),
    /// The image is available.
    Available,
    /// EC2 gave up, for this reason, and the image is deregistered.
    Failed(String),
    /// There is no such image, or it does not show yet.
    Absent,
}

/// The outcome of registering the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The image is registered.
    Image(ImageId),
    /// An image has the name already: the target's, or one that EC2 does not show yet.
    NameTaken(Option<ImageId>, Refusal),
    /// The answer names no image; the text says so.
    NotYet(String),
}

/// The outcome of verifying the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The image equals its source.
    Faithful {
        /// The copies that the image stands on.
        used: Vec<SnapshotId>,
        /// Whether the target has surplus copies.
        surplus: bool,
        /// How the tags differ from the request's, where another run made the image.
        other_tags: Option<String>,
    },
    /// The image differs from its source; each text is one difference.
    Unfaithful(Vec<String>),
    /// The target's image exists, but is disabled.
    Disabled(ImageId),
    /// An equal image is older, and counts in the place of this one.
    Older {
        /// The older image.
        image: ImageId,
        /// Whether CopyImage is still making it.
        unfinished: bool,
    },
    /// The image is not visible or not available yet; the text names it.
    NotYet(String),
}

/// The outcome of undoing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The run's resources are deleted, except for what is left.
    Deleted(Left),
    /// The target was to be undone, but its image exists.
    ImageThere(ImageId),
}

/// The outcome of removing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The image and its copies are gone, except for what is left.
    Deleted(Left),
    /// Images that were to be removed stay; each text says why.
    Kept(Vec<String>),
}

/// The outcome of changing tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retagged {
    /// The tags are as asked for.
    Done,
    /// The image or its snapshots are not visible yet; the text names it.
    NotYet(String),
}

/// The outcome of making grants to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The roles have their grants. Each text says why a grant that was to be revoked stays.
    Done(Vec<String>),
    /// KMS does not see a new role yet; the text names it.
    NotYet(String),
    /// Service-linked roles with these names do not exist, or KMS does not see them; with the
    /// refusal for the first.
    RolesMissing(Vec<String>, Refusal),
}

/// The outcome of publishing the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The publications that are in force, those of earlier tries included.
    pub done: Published,
    /// Facts that a person should know although nothing failed.
    pub notes: Vec<String>,
    /// The part that is not done.
    pub rest: Rest,
}

/// The first part of a publication that is not done. The parts after it were not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Everything is done.
    Nothing,
    /// The instance of the launch test has not passed its status checks yet.
    Launching {
        /// Seconds until the next look.
        seconds: i64,
    },
    /// Something does not show yet; the text names it.
    NotYet(String),
    /// The launch test failed; the text says why.
    NotLaunched(String),
    /// The image cannot be published there; the text says why.
    Unfit(String),
    /// AWS refused a call.
    Refused(Refusal),
}

impl Outcome {
    /// Returns why the command did not get further, for the log; `None` if it did.
    pub fn said(&self) -> Option<String> {
        match self {
            Self::Source(outcome) => outcome.said(),
            Self::Target(_, outcome) => outcome.said(),
            Self::Refused(_, refusal) => Some(refusal.to_string()),
            Self::Overtaken(..) => Some("a later event of the resource goes before".to_owned()),
        }
    }
}

impl SourceOutcome {
    fn said(&self) -> Option<String> {
        match self {
            Self::Share(_, Ok(Shared::Unsure(refusal))) => Some(refusal.to_string()),
            Self::Share(
                _,
                Ok(Shared::Wait(Wait { why, .. }) | Shared::NotAllowed(why) | Shared::Over(why)),
            )
            | Self::Stage(Ok(Staging::Over(why)))
            | Self::Revoke(Revoked::Wait(Wait { why, .. })) => Some(why.clone()),
            Self::Revoke(Revoked::Closed(closed)) => said_of_first(&closed.left),
            Self::Share(_, Ok(Shared::Opened(_)) | Err(_))
            | Self::LookStaged(_)
            | Self::Stage(Ok(Staging::Started(_)) | Err(_)) => None,
        }
    }
}

impl TargetOutcome {
    fn said(&self) -> Option<String> {
        match self {
            Self::Start(Ok(Started::KeyNotReady(refusal)))
            | Self::CopyImage(Ok(
                CopiedImage::KeyNotReady(refusal) | CopiedImage::Refused(refusal),
            ))
            | Self::Register(Ok(Registered::NameTaken(_, refusal)))
            | Self::Publish(Publication {
                rest: Rest::Refused(refusal),
                ..
            }) => Some(refusal.to_string()),
            Self::Publish(Publication {
                rest: Rest::NotYet(why) | Rest::NotLaunched(why) | Rest::Unfit(why),
                ..
            })
            | Self::PollImage(ImageProgress::Failed(why)) => Some(why.clone()),
            Self::Tidy(left)
            | Self::Undo(Undone::Deleted(left))
            | Self::Remove(Removed::Deleted(left)) => said_of_first(left),
            Self::Start(Ok(Started::Copies(_)) | Err(_))
            | Self::CopyImage(Ok(CopiedImage::Started(_)) | Err(_))
            | Self::PollImage(_)
            | Self::Register(Ok(Registered::Image(_) | Registered::NotYet(_)) | Err(_))
            | Self::Undo(Undone::ImageThere(_))
            | Self::Remove(Removed::Kept(_))
            | Self::Look(_)
            | Self::Poll(_)
            | Self::Check(_)
            | Self::Retag(_)
            | Self::Grant(_)
            | Self::Publish(_)
            | Self::EndTest => None,
        }
    }
}

fn said_of_first(left: &Left) -> Option<String> {
    left.first().map(|(_, refusal)| refusal.to_string())
}
