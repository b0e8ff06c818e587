//! The obstacles to copying or sharing a source, each with its remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DISABLED, Mapping, Source, SourceSnapshot, text};
use crate::error::Error;
use crate::ids::KeyArn;

/// The reason why EBS cannot use a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyFault {
    /// A state other than `Enabled`.
    State(String),
    /// A key that does not encrypt symmetrically.
    Spec(String),
    /// A key that does not encrypt at all.
    Usage(String),
}

impl KeyFault {
    /// Describes the fault of this key.
    pub fn of(&self, arn: &KeyArn) -> String {
        match self {
            Self::State(state) => format!("{arn} is {state}"),
            Self::Spec(spec) => {
                format!("{arn} is of spec {spec}; EBS encrypts with symmetric keys only")
            }
            Self::Usage(usage) => {
                format!("{arn} is for {usage}; EBS uses keys for ENCRYPT_DECRYPT only")
            }
        }
    }

    /// Returns what makes the key usable again, in its own account.
    fn mend(&self, arn: &KeyArn) -> String {
        let (region, account) = (arn.region(), arn.account());
        let key = format!("--key-id {arn} --region {region}");
        match self {
            Self::State(state) if state == "PendingDeletion" => format!(
                "in account {account}: cancel the key's deletion and enable it (aws kms \
                 cancel-key-deletion {key}; aws kms enable-key {key})"
            ),
            Self::State(state) if state == "Disabled" => {
                format!("in account {account}: enable the key (aws kms enable-key {key})")
            }
            Self::State(_) => {
                format!("in account {account}: wait until the key is Enabled, or enable it")
            }
            Self::Spec(_) | Self::Usage(_) => {
                "name an image whose snapshots are under a symmetric key".to_owned()
            }
        }
    }
}

/// An obstacle to a request, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The obstacle.
    pub what: String,
    /// The remedy: what to change, and where.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem {
        what: what.into(),
        remedy: remedy.into(),
    }
}

impl Source {
    /// Refuses, before anything is shared, an image that cannot be copied. `reencrypted` means that
    /// snapshots under a key that cannot be shared are copied under another key first.
    pub fn check_copyable(&self, reencrypted: bool) -> Result<(), Error> {
        refuse_first(self.problems_of_copying(reencrypted))
    }

    /// Refuses an image that cannot be shared, because others could not launch from it.
    pub fn check_shareable(&self, snapshots: bool) -> Result<(), Error> {
        refuse_first(self.problems_of_sharing(snapshots))
    }

    /// Returns all obstacles to copying the image.
    pub fn problems_of_copying(&self, reencrypted: bool) -> Vec<Problem> {
        let (id, image) = (&self.id, &self.image);
        let mut problems: Vec<Problem> = self.unavailable("copied").into_iter().collect();
        if self.snapshots.is_empty() {
            problems.push(problem(
                format!(
                    "{id} has no EBS snapshot (root device type {})",
                    text(image.root_device_type.as_deref())
                ),
                "name an EBS-backed image: only those can be copied",
            ));
        } else {
            problems.extend(self.rootless());
        }
        if !image.product_codes.is_empty() {
            let codes = image.product_codes.join(", ");
            problems.push(problem(
                format!(
                    "{id} carries product codes ({codes}), and AWS Marketplace images cannot be \
                     copied to another account"
                ),
                "subscribe there and use the original",
            ));
        }
        if let Some(kernel) = &image.kernel {
            problems.push(problem(
                format!(
                    "{id} is a paravirtual image with kernel {kernel}, which exists in its own \
                     Region only"
                ),
                "convert it to HVM",
            ));
        }
        for snapshot in &self.snapshots {
            problems.extend(self.uncopyable(snapshot));
            let unshareable = self.unshareable_key(snapshot).filter(|_| !reencrypted);
            problems.extend(unshareable.map(|found| Problem {
                remedy: format!(
                    "{}, or name such a key of the source account as ReencryptKmsKeyId: then \
                     amiferry does that for the time of the run",
                    found.remedy
                ),
                ..found
            }));
        }
        problems.extend(self.key_problems());
        problems
    }

    /// Returns all obstacles to sharing the image.
    pub fn problems_of_sharing(&self, snapshots: bool) -> Vec<Problem> {
        let id = &self.id;
        let mut problems: Vec<Problem> = self.unavailable("shared").into_iter().collect();
        for snapshot in &self.snapshots {
            problems.extend(self.unshareable_key(snapshot));
            problems.extend(self.archived(snapshot, "launched from"));
            if snapshots && snapshot.owner != self.owner {
                problems.push(problem(
                    format!(
                        "snapshot {} of {id} belongs to account {}, and only its owner can share \
                         it",
                        snapshot.id, snapshot.owner
                    ),
                    "leave out ShareSnapshots",
                ));
            }
        }
        problems.extend(self.key_problems());
        problems
    }

    fn unavailable(&self, what: &str) -> Option<Problem> {
        let (id, image) = (&self.id, &self.image);
        let reason = image
            .state_reason
            .as_deref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        let remedy = if image.state == DISABLED {
            format!("enable it (aws ec2 enable-image --image-id {id}), or name another")
        } else {
            "wait until it is, or name another".to_owned()
        };
        (image.state != "available").then(|| {
            let state = &image.state;
            problem(
                format!("{id} is {state}{reason}, and only an available image can be {what}"),
                remedy,
            )
        })
    }

    /// Returns the obstacle of a root device without a snapshot: EC2 registers no such image.
    fn rootless(&self) -> Option<Problem> {
        let root = self.image.root_device_name.as_deref()?;
        let has_snapshot =
            |mapping: &Mapping| mapping.device_name == root && mapping.device.snapshot().is_some();
        (!self.image.mappings.iter().any(has_snapshot)).then(|| {
            problem(
                format!(
                    "the root device {root} of {} has no block device mapping with an EBS \
                     snapshot, and EC2 registers no such image",
                    self.id
                ),
                "name an image whose root device is an EBS volume",
            )
        })
    }

    /// Returns the keys that would fail every copy and every launch.
    fn key_problems(&self) -> impl Iterator<Item = Problem> {
        self.unusable_keys.iter().map(|(arn, fault)| {
            let under = self.snapshots.iter().find(|s| s.key.as_ref() == Some(arn));
            let under = under.map_or_else(String::new, |s| {
                format!("snapshot {} is under a key that EBS cannot use: ", s.id)
            });
            problem(format!("{under}{}", fault.of(arn)), fault.mend(arn))
        })
    }

    fn unshareable_key(&self, snapshot: &SourceSnapshot) -> Option<Problem> {
        let key = snapshot.key.as_ref()?;
        self.aws_managed_keys.contains(key).then(|| {
            problem(
                format!(
                    "snapshot {} of {} is encrypted with the AWS-managed key aws/ebs ({key}), \
                     which no other account can ever use",
                    snapshot.id, self.id
                ),
                "copy the image in the source account under a customer-managed key first (aws ec2 \
                 copy-image --encrypted --kms-key-id …) and distribute that copy",
            )
        })
    }

    fn uncopyable(&self, snapshot: &SourceSnapshot) -> Option<Problem> {
        let (id, image) = (&snapshot.id, &self.id);
        if snapshot.owner != self.owner {
            return Some(problem(
                format!(
                    "snapshot {id} of {image} belongs to account {}, and only its owner can share \
                     it",
                    snapshot.owner
                ),
                "copy the image into your account first",
            ));
        }
        if let Some(archived) = self.archived(snapshot, "copied") {
            return Some(archived);
        }
        (snapshot.state != "completed").then(|| {
            problem(
                format!(
                    "snapshot {id} of {image} is {}, and only a completed snapshot can be copied",
                    snapshot.state
                ),
                "wait until it is, or name another image",
            )
        })
    }

    fn archived(&self, snapshot: &SourceSnapshot, done: &str) -> Option<Problem> {
        let id = &snapshot.id;
        snapshot.archived.then(|| {
            problem(
                format!(
                    "snapshot {id} of {} is archived and cannot be {done}",
                    self.id
                ),
                format!(
                    "restore it first (aws ec2 restore-snapshot-tier --snapshot-id {id} \
                     --permanent-restore)"
                ),
            )
        })
    }
}

fn refuse_first(problems: Vec<Problem>) -> Result<(), Error> {
    match problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Error::invalid("SourceImageId", problem.to_string())),
    }
}
