//! Opening the source to the targets' accounts: createVolumePermission on every snapshot, a grant on every key. The image's
//! launch permission is not needed for copying, so it is never given.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};
use aws_sdk_kms::types::GrantOperation;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

use super::key::key_region;
use super::{Aws, mark, refusal};
use crate::command::{Outcome, grant_prefix, sharing_tag};
use crate::error::Refusal;
use crate::ids::{AccountId, SnapshotId};
use crate::request::KeyAccess;
use crate::state::State;

/// Changes in one ModifySnapshotAttribute.
const BATCH: usize = 500;
/// Accounts that a mark lists at most, nineteen to a tag: a resource has fifty tags in all.
const MOST_MARKED: usize = 380;
/// CreateGrant allows 50 a second.
const GRANTS_AT_ONCE: usize = 8;
/// What the copying role needs on a source key, as EC2 uses it for the copy (EBS user guide, permissions for copying).
/// `ReEncrypt*` is no grant operation; reading the source side is `ReEncryptFrom`.
const OPERATIONS: [GrantOperation; 4] = [
    GrantOperation::DescribeKey,
    GrantOperation::CreateGrant,
    GrantOperation::Decrypt,
    GrantOperation::ReEncryptFrom,
];
/// What an account needs on a source key to launch from the source image (EC2 user guide, sharing an AMI with encrypted
/// snapshots). The volumes it makes are encrypted with the same key.
const OPERATIONS_TO_LAUNCH: [GrantOperation; 6] = [
    GrantOperation::DescribeKey,
    GrantOperation::CreateGrant,
    GrantOperation::Decrypt,
    GrantOperation::GenerateDataKeyWithoutPlaintext,
    GrantOperation::ReEncryptFrom,
    GrantOperation::ReEncryptTo,
];

/// The tags of one snapshot; `None` if it is gone.
type Tags = Option<BTreeMap<String, String>>;

impl Aws {
    pub(super) async fn share(&self, state: &State, targets: &[usize]) -> Outcome {
        match self.share_snapshots(state, targets).await {
            Ok(prior) => Outcome::Shared {
                prior,
                refused: self.grant(state, targets).await,
            },
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Opens the snapshots, and tells which of the run's accounts had permission on any of them before.
    async fn share_snapshots(
        &self,
        state: &State,
        targets: &[usize],
    ) -> Result<Vec<AccountId>, Refusal> {
        let (tags, permitted) = self.seen_together(state).await?;
        self.mark(state, &permitted, &tags).await?;
        let wanted: BTreeSet<&str> = targets
            .iter()
            .map(|&i| state.targets[i].account_id.as_str())
            .collect();
        let opening = state
            .source
            .snapshots
            .iter()
            .zip(&permitted)
            .map(|(id, permitted)| {
                let add: Vec<String> = wanted
                    .iter()
                    .filter(|a| !permitted.contains(**a))
                    .map(|a| (*a).to_owned())
                    .collect();
                self.modify(state, id, OperationType::Add, add)
            });
        join_all(opening)
            .await
            .into_iter()
            .collect::<Result<(), Refusal>>()?;
        let name = sharing_tag(&state.run);
        let before = tags.iter().zip(&permitted).map(|(tags, permitted)| {
            tags.as_ref()
                .and_then(|tags| mark::read(&name, tags))
                .unwrap_or_else(|| permitted.clone())
        });
        let before: Vec<BTreeSet<String>> = before.collect();
        let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
        let prior = ours
            .into_iter()
            .filter(|a| before.iter().any(|before| before.contains(a.as_str())));
        Ok(prior.cloned().collect())
    }

    /// The tags of the snapshots and the accounts permitted on them, as they were at one time. Beside another process of the
    /// same run, a mark that is there at neither end of the reading proves that the permissions read between hold nothing
    /// of this run's; a mark that came or went meanwhile means reading again.
    async fn seen_together(
        &self,
        state: &State,
    ) -> Result<(Vec<Tags>, Vec<BTreeSet<String>>), Refusal> {
        let name = sharing_tag(&state.run);
        let marked = |tags: &[Tags]| -> Vec<bool> {
            tags.iter()
                .map(|t| t.as_ref().is_some_and(|t| t.contains_key(&name)))
                .collect()
        };
        let mut tags = self.source_snapshot_tags(state).await?;
        loop {
            let reading = state
                .source
                .snapshots
                .iter()
                .map(|id| self.permitted_accounts(state, id));
            let permitted = join_all(reading)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?;
            let again = self.source_snapshot_tags(state).await?;
            if marked(&tags) == marked(&again) {
                return Ok((again, permitted));
            }
            tags = again;
        }
    }

    /// Writes on each snapshot, before anything is opened, who has permission already: those are not this run's to revoke,
    /// whatever targets it may get later. Snapshots that say the same are tagged in one call.
    async fn mark(
        &self,
        state: &State,
        permitted: &[BTreeSet<String>],
        tags: &[Tags],
    ) -> Result<(), Refusal> {
        let ours: BTreeSet<&str> = state
            .targets
            .iter()
            .map(|t| t.account_id.as_str())
            .collect();
        let name = sharing_tag(&state.run);
        let mut to_mark: BTreeMap<Vec<&str>, Vec<&SnapshotId>> = BTreeMap::new();
        for ((id, permitted), tags) in state.source.snapshots.iter().zip(permitted).zip(tags) {
            if tags.as_ref().is_some_and(|tags| !tags.contains_key(&name)) {
                // So many that they would not fit beside the snapshot's own tags: those that this run is about.
                let all = permitted.len() <= MOST_MARKED;
                let prior = permitted
                    .iter()
                    .map(String::as_str)
                    .filter(|a| all || ours.contains(a))
                    .collect();
                to_mark.entry(prior).or_default().push(id);
            }
        }
        let actor = Self::own(state);
        let region = &state.source.region;
        for (prior, ids) in to_mark {
            let about = mark::about(self.now(), &state.execution);
            let marks = mark::write(&name, about.iter().map(String::as_str).chain(prior));
            let resources = ids.iter().map(ToString::to_string).collect();
            let answer = self
                .ec2(&actor, region)
                .create_tags()
                .set_resources(Some(resources))
                .set_tags(Some(marks))
                .send()
                .await;
            answer.map_err(|e| refusal("CreateTags", &actor.at(region), ids[0], &e))?;
        }
        Ok(())
    }

    /// The accounts that may create volumes from this snapshot.
    pub(super) async fn permitted_accounts(
        &self,
        state: &State,
        id: &SnapshotId,
    ) -> Result<BTreeSet<String>, Refusal> {
        let actor = Self::own(state);
        let region = &state.source.region;
        let answer = self
            .ec2(&actor, region)
            .describe_snapshot_attribute()
            .snapshot_id(id.as_str())
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .send()
            .await
            .map_err(|e| refusal("DescribeSnapshotAttribute", &actor.at(region), id, &e))?;
        Ok(answer
            .create_volume_permissions()
            .iter()
            .filter_map(|p| p.user_id().map(str::to_owned))
            .collect())
    }

    /// Adds or removes accounts, by their IDs only: a group would make the snapshot public.
    pub(super) async fn modify(
        &self,
        state: &State,
        id: &SnapshotId,
        operation: OperationType,
        accounts: Vec<String>,
    ) -> Result<(), Refusal> {
        let actor = Self::own(state);
        let region = &state.source.region;
        for some in accounts.chunks(BATCH) {
            self.ec2(&actor, region)
                .modify_snapshot_attribute()
                .snapshot_id(id.as_str())
                .attribute(SnapshotAttributeName::CreateVolumePermission)
                .operation_type(operation.clone())
                .set_user_ids(Some(some.to_vec()))
                .send()
                .await
                .map_err(|e| refusal("ModifySnapshotAttribute", &actor.at(region), id, &e))?;
        }
        Ok(())
    }

    /// A grant on each source key: to each account's role for copying, to the account for launching. Returns the targets that
    /// were refused theirs.
    pub(super) async fn grant(&self, state: &State, targets: &[usize]) -> Vec<(usize, Refusal)> {
        if state.order.key_access != KeyAccess::Grant {
            return Vec::new();
        }
        // Several targets of one account and role share their grant.
        let mut wanted: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for &i in targets {
            for key in &state.source.keys {
                wanted
                    .entry((grantee(state, i), key.clone()))
                    .or_default()
                    .push(i);
            }
        }
        let granting = wanted
            .into_iter()
            .map(|((grantee, key), targets)| async move {
                let refusal = self
                    .grant_one(state, targets[0], &grantee, &key)
                    .await
                    .err();
                refusal.map(|refusal| {
                    targets
                        .into_iter()
                        .map(|i| (i, refusal.clone()))
                        .collect::<Vec<_>>()
                })
            });
        let refused = stream::iter(granting).buffer_unordered(GRANTS_AT_ONCE);
        refused
            .filter_map(std::future::ready)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn grant_one(
        &self,
        state: &State,
        i: usize,
        grantee: &str,
        key: &str,
    ) -> Result<(), Refusal> {
        let target = &state.targets[i];
        let actor = Self::own(state);
        let region = key_region(state, key);
        let operations = match &state.order.share {
            Some(_) => OPERATIONS_TO_LAUNCH.to_vec(),
            None => OPERATIONS.to_vec(),
        };
        self.kms(&actor, &region)
            .create_grant()
            .key_id(key)
            .grantee_principal(grantee)
            .set_operations(Some(operations))
            .name(format!("{}{}", grant_prefix(&state.run), target.account_id))
            .send()
            .await
            .map_err(|e| refusal("CreateGrant", &actor.at(&region), key, &e))?;
        Ok(())
    }
}

/// Who gets the grant of a target: the role that copies, or the account that launches, which leaves to its own policies who
/// may.
fn grantee(state: &State, i: usize) -> String {
    let target = &state.targets[i];
    let partition = target.region.partition();
    match &state.order.share {
        Some(_) => format!("arn:{partition}:iam::{}:root", target.account_id),
        None => target.role_name.arn(partition, &target.account_id),
    }
}
