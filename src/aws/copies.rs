//! The copies in one target: starting, listing and deleting them.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{Filter, Image, ResourceType, Snapshot, SnapshotState, TagSpecification};
use futures::future::join_all;

use super::presign::CopyToSign;
use super::visit::Visit;
use super::{Actor, Aws, Place, image, refusal, tags};
use crate::command::{Left, Started, copy_key, copy_key_under, tag};
use crate::copies::{Copies, Copy, CopyStatus};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, SnapshotId};
use crate::source::Source;
use crate::state::TargetState;

/// Values that EC2 takes in one filter.
pub const FILTER_VALUES: usize = 200;
const PAGE: i32 = 1000;

/// More facts about a copy.
pub struct Detail {
    pub id: SnapshotId,
    /// The ARN of its key.
    pub key: Option<String>,
}

/// The copies of one target.
pub struct Listed {
    pub copies: Copies,
    pub details: Vec<Detail>,
}

/// A request for a copy.
pub struct AskedCopy<'a> {
    pub from: CopyToSign<'a>,
    pub description: String,
    pub minutes: Option<u16>,
    pub tags: TagSpecification,
}

/// Returns a refusal of a copy by this function itself.
pub fn unsent(at: &Place, snapshot: &SnapshotId, message: String) -> Refusal {
    Refusal::ours("CopySnapshot", at, snapshot, "NotSent", message)
}

impl Aws {
    /// Starts a copy of each of these snapshots, once the session reaches every source key.
    pub(super) async fn start(
        &self,
        visit: &Visit<'_>,
        source: &Source,
        snapshots: &[usize],
    ) -> Started {
        if let Err(refusal) = self.probe_source_keys(visit).await {
            return Started::KeyNotReady(refusal);
        }
        let starting = snapshots
            .iter()
            .map(|&s| async move { (s, self.start_one(visit, source, s).await) });
        let results = join_all(starting).await;
        let expired = |e: &Refusal| e.kind() == RefusalKind::Expired;
        if results.iter().any(|(_, r)| r.as_ref().is_err_and(expired)) {
            self.forget_session(visit.target);
        }
        Started::Copies(results)
    }

    async fn start_one(
        &self,
        visit: &Visit<'_>,
        source: &Source,
        s: usize,
    ) -> Result<SnapshotId, Refusal> {
        let (run, target, actor) = (visit.run, visit.target, &visit.actor);
        let from = &source.snapshots[s];
        let described = from.description.clone();
        let described = described
            .unwrap_or_else(|| format!("Copied from {} for {}", from.id, run.source.image_id));
        let key = copy_key(&from.id, target);
        let asked = AskedCopy {
            from: CopyToSign {
                snapshot: run.copied_snapshot(s, target),
                from: run.copied_from(target),
                to: &target.region,
                key: &target.kms_key_id,
            },
            description: described,
            minutes: run.order.copy_completion_minutes,
            tags: tags::of_copy(run, &from.tags, &key, ResourceType::Snapshot),
        };
        let credentials = actor.credentials.as_ref();
        self.copy_snapshot(actor, credentials, asked).await
    }

    /// Starts a copy, with a presigned URL by these credentials; without credentials, the SDK needs
    /// none.
    pub(super) async fn copy_snapshot(
        &self,
        actor: &Actor,
        credentials: Option<&Credentials>,
        asked: AskedCopy<'_>,
    ) -> Result<SnapshotId, Refusal> {
        let CopyToSign {
            snapshot,
            from,
            to,
            key,
        } = asked.from;
        let at = actor.at(to);
        let presigned = match credentials {
            Some(credentials) => {
                let presigned = self.presigned_copy(credentials, &asked.from).await;
                Some(presigned.map_err(|said| unsent(&at, snapshot, said))?)
            }
            None => None,
        };
        // One attempt only: CopySnapshot has no token, so a repeated call makes a second snapshot.
        // The copy of an unanswered call is found by its tag.
        let once = aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .ec2(actor, to)
            .copy_snapshot()
            .source_region(from.as_str())
            .source_snapshot_id(snapshot.as_str())
            .destination_region(to.as_str())
            .encrypted(true)
            .kms_key_id(key.as_str())
            .set_presigned_url(presigned)
            .description(asked.description)
            .set_completion_duration_minutes(asked.minutes.map(i32::from))
            .tag_specifications(asked.tags)
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|e| refusal("CopySnapshot", &at, snapshot, &e))?;
        let id = answer
            .snapshot_id()
            .and_then(|id| SnapshotId::parse(id).ok());
        let said = "the answer carries no snapshot ID";
        id.ok_or_else(|| Refusal::ours("CopySnapshot", &at, snapshot, "UnreadableAnswer", said))
    }
}

/// Lists all copies of each source snapshot for this target, of every run, in one call for the
/// account and Region.
pub(super) async fn list(visit: &Visit<'_>) -> Result<Listed, Refusal> {
    let snapshots = visit.run.source.snapshots.iter();
    let keys: Vec<String> = snapshots.map(|id| copy_key(id, visit.target)).collect();
    let mut listed = Listed {
        copies: vec![Vec::new(); keys.len()],
        details: Vec::new(),
    };
    for some in keys.chunks(FILTER_VALUES) {
        let filter = Filter::builder()
            .name(format!("tag:{}", tag::KEY))
            .set_values(Some(some.to_vec()))
            .build();
        for snapshot in own_snapshots(&visit.ec2, &visit.at, filter).await? {
            let tags = tags::to_map(snapshot.tags());
            let Some(index) = keys.iter().position(|k| tags.get(tag::KEY) == Some(k)) else {
                continue;
            };
            let Some(copy) = copy(&snapshot) else {
                continue;
            };
            listed.details.push(Detail {
                id: copy.id.clone(),
                key: snapshot.kms_key_id().map(str::to_owned),
            });
            listed.copies[index].push(copy);
        }
    }
    Ok(listed)
}

/// Lists the caller's own snapshots that match, through all pages. A page may be empty and still
/// not be the last.
pub async fn own_snapshots(
    ec2: &Client,
    at: &Place,
    filter: Filter,
) -> Result<Vec<Snapshot>, Refusal> {
    let mut found = Vec::new();
    let mut pages = ec2
        .describe_snapshots()
        .owner_ids("self")
        .filters(filter)
        .max_results(PAGE)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| refusal("DescribeSnapshots", at, "copies", &e))?;
        found.extend(page.snapshots.unwrap_or_default());
    }
    Ok(found)
}

/// Lists those of the caller's own snapshots that have these IDs; one that is gone is no error.
pub async fn of_ids(
    ec2: &Client,
    at: &Place,
    ids: &[SnapshotId],
) -> Result<Vec<Snapshot>, Refusal> {
    let ids = ids.iter().map(ToString::to_string).collect();
    let filter = Filter::builder().name("snapshot-id").set_values(Some(ids));
    own_snapshots(ec2, at, filter.build()).await
}

/// Lists the copies of a run in a target, under every key: an alias may have no ARN any more. A
/// copy has two of our tags; a snapshot with the run's tag alone may be somebody's own.
pub async fn made_by(ec2: &Client, at: &Place, run: &str) -> Result<Vec<Snapshot>, Refusal> {
    tagged(ec2, at, tag::RUN, run).await
}

/// Lists the copies of every run, of every image of a source account.
pub async fn made_in(ec2: &Client, at: &Place, source: &str) -> Result<Vec<Snapshot>, Refusal> {
    tagged(ec2, at, tag::SOURCE_ACCOUNT, source).await
}

async fn tagged(
    ec2: &Client,
    at: &Place,
    name: &str,
    value: &str,
) -> Result<Vec<Snapshot>, Refusal> {
    let of_value = Filter::builder()
        .name(format!("tag:{name}"))
        .values(value)
        .build();
    let mut found = own_snapshots(ec2, at, of_value).await?;
    found.retain(|snapshot| snapshot.tags().iter().any(|t| t.key() == Some(tag::KEY)));
    Ok(found)
}

/// Reads a snapshot as a copy.
pub fn copy(snapshot: &Snapshot) -> Option<Copy> {
    let status = match snapshot.state() {
        Some(SnapshotState::Completed) => CopyStatus::Completed,
        Some(SnapshotState::Error) => CopyStatus::Error(
            snapshot
                .state_message()
                .unwrap_or("no StateMessage")
                .to_owned(),
        ),
        _ => CopyStatus::Pending(percent(snapshot.progress().unwrap_or_default())),
    };
    let mut tags = snapshot.tags().iter();
    let run = tags
        .find(|t| t.key() == Some(tag::RUN))
        .and_then(|t| t.value());
    let started = snapshot
        .start_time()
        .map_or(0, aws_smithy_types::DateTime::secs);
    Some(Copy {
        id: SnapshotId::parse(snapshot.snapshot_id()?).ok()?,
        run: run.unwrap_or_default().to_owned(),
        started,
        status,
    })
}

/// Reads `37%` as EC2 writes it; any other text counts as 0.
fn percent(text: &str) -> u8 {
    text.trim_end_matches('%')
        .parse()
        .map_or(0, |p: u8| p.min(100))
}

/// The fate of snapshots that were to be deleted.
#[derive(Default)]
pub struct Deleted {
    pub gone: Vec<SnapshotId>,
    pub left: Left,
}

/// Whether a snapshot has the tag of a copy of this source snapshot, whatever its key.
pub fn is_copy_of(snapshot: &Snapshot, source: &SnapshotId, target: &TargetState) -> bool {
    let wanted = copy_key_under(source, target, snapshot.kms_key_id().unwrap_or_default());
    let mut tags = snapshot.tags().iter();
    tags.any(|t| t.key() == Some(tag::KEY) && t.value() == Some(&wanted))
}

/// Deletes these copies, except those that an image uses. `deregistered` images use none any more,
/// though the lists may still show them.
///
/// EC2 refuses to delete the snapshot of an image's root device, and of no other device. A new
/// image may be missing in the lists for a minute. So the root snapshots are deleted first: where
/// EC2 refuses one as in use, the others stay until the image shows.
pub async fn delete(
    ec2: &Client,
    at: &Place,
    roots: &[SnapshotId],
    others: &[SnapshotId],
    deregistered: &[ImageId],
) -> Deleted {
    let mut deleted = Deleted::default();
    let all: Vec<SnapshotId> = roots.iter().chain(others).cloned().collect();
    let used = match image::using(ec2, at, &all).await {
        Ok(images) => used_by(&images, deregistered),
        Err(refusal) => {
            let all = all.iter().map(|id| (id.to_string(), refusal.clone()));
            deleted.left.extend(all);
            return deleted;
        }
    };
    let unused = |ids: &[SnapshotId]| -> Vec<SnapshotId> {
        let unused = ids.iter().filter(|id| !used.contains(id.as_str()));
        unused.cloned().collect()
    };
    delete_all(ec2, at, &unused(roots), &mut deleted).await;
    match deleted.left.first().cloned() {
        None => delete_all(ec2, at, &unused(others), &mut deleted).await,
        Some((_, refusal)) => {
            let waiting = unused(others).into_iter();
            deleted
                .left
                .extend(waiting.map(|id| (id.to_string(), refusal.clone())));
        }
    }
    deleted
}

async fn delete_all(ec2: &Client, at: &Place, ids: &[SnapshotId], deleted: &mut Deleted) {
    let deleting = ids.iter().map(|id| async move {
        let answer = ec2.delete_snapshot().snapshot_id(id.as_str()).send().await;
        (
            id,
            answer.map_err(|e| refusal("DeleteSnapshot", at, id, &e)),
        )
    });
    for (id, answer) in join_all(deleting).await {
        match answer {
            Err(refusal) if refusal.code == "InvalidSnapshot.NotFound" => {
                deleted.gone.push(id.clone());
            }
            Err(refusal) if refusal.kind() == RefusalKind::Denied && is_gone(ec2, at, id).await => {
                deleted.gone.push(id.clone());
            }
            Err(refusal) => deleted.left.push((id.to_string(), refusal)),
            Ok(_) => deleted.gone.push(id.clone()),
        }
    }
}

/// Whether EC2 knows nothing of a snapshot that it lists. A deleted snapshot has no tags by which a
/// policy would allow to delete it.
async fn is_gone(ec2: &Client, at: &Place, id: &SnapshotId) -> bool {
    let answer = ec2.describe_snapshots().snapshot_ids(id.as_str()).send();
    let refused = answer.await.err();
    let refused = refused.map(|e| refusal("DescribeSnapshots", at, id, &e));
    refused.is_some_and(|refusal| refusal.code == "InvalidSnapshot.NotFound")
}

pub fn used_by(images: &[Image], deregistered: &[ImageId]) -> BTreeSet<String> {
    let standing = images.iter().filter(|image| {
        let mut gone = deregistered.iter().map(ImageId::as_str);
        !gone.any(|id| image.image_id() == Some(id))
    });
    let mappings = standing.flat_map(Image::block_device_mappings);
    let used = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
    used.map(str::to_owned).collect()
}
