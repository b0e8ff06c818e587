//! Opening the source to the targets' accounts: createVolumePermission on every snapshot, a grant on every key. The image's
//! launch permission is not needed for copying, so it is never given.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};
use aws_sdk_kms::types::GrantOperation;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

use super::key::key_region;
use super::key_policy::Admitted;
use super::launch;
use super::mark::{CopyMark, Marks};
use super::marking::Tags;
use super::{Aws, refusal};
use crate::command::{Outcome, grant_prefix, sharing_tag};
use crate::error::{Error, Refusal};
use crate::ids::{AccountId, SnapshotId};
use crate::request::KeyAccess;
use crate::state::State;

/// Changes in one ModifySnapshotAttribute.
const BATCH: usize = 500;
/// CreateGrant allows 50 a second.
const GRANTS_AT_ONCE: usize = 8;
/// What EC2 does with a source key in the name of a copy role, or of whoever launches (EBS user guide, permissions for encryption; EC2
/// user guide, sharing an AMI with encrypted snapshots). `ReEncrypt*` is no grant operation.
const OPERATIONS: [GrantOperation; 6] = [
    GrantOperation::DescribeKey,
    GrantOperation::CreateGrant,
    GrantOperation::Decrypt,
    GrantOperation::GenerateDataKeyWithoutPlaintext,
    GrantOperation::ReEncryptFrom,
    GrantOperation::ReEncryptTo,
];

impl Aws {
    pub(super) async fn share(&self, state: &State, targets: &[usize]) -> Outcome {
        match self.share_snapshots(state, targets).await {
            Ok((prior, earlier)) => Outcome::Shared {
                prior,
                earlier,
                refused: self.open_keys(state, targets).await.refused,
            },
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Opens the snapshots, and tells which of the run's accounts had permission on any of them before, and to which this run had
    /// them open already.
    async fn share_snapshots(
        &self,
        state: &State,
        targets: &[usize],
    ) -> Result<(Vec<AccountId>, Vec<AccountId>), Refusal> {
        let (tags, permitted) = self.seen_together(state).await?;
        if state.part && !is_marked(state, &tags) {
            return Err(over(state));
        }
        let wanted = accounts_of(state, targets);
        let marks = self.marks_for(state, targets, &tags, &permitted);
        self.write_marks(state, &tags, &marks).await?;
        let each = state.source.snapshots.iter().zip(&tags).zip(&permitted);
        let opening = each.map(|((id, tags), permitted)| {
            let add: BTreeSet<String> = &wanted - permitted;
            async move {
                if let Some(tags) = tags {
                    self.void_before(state, id, tags, &add).await?;
                }
                let add = add.into_iter().collect();
                self.modify(state, id, OperationType::Add, add).await
            }
        });
        join_all(opening)
            .await
            .into_iter()
            .collect::<Result<(), Refusal>>()?;
        let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
        let those = |told: &dyn Fn(&str) -> bool| -> Vec<AccountId> {
            let those = ours.iter().filter(|a| told(a.as_str()));
            those.map(|a| (*a).clone()).collect()
        };
        let own = tags.iter().flatten().filter_map(|tags| {
            let mut marks = Marks::read(tags);
            marks.copies.remove(&state.run)
        });
        let own: Vec<CopyMark> = own.collect();
        let earlier = those(&|a| own.iter().any(|mark| mark.needs.has(a)));
        Ok((before(state, &marks), earlier))
    }

    fn marks_for(
        &self,
        state: &State,
        targets: &[usize],
        tags: &[Tags],
        permitted: &[BTreeSet<String>],
    ) -> Vec<CopyMark> {
        let wanted = accounts_of(state, targets);
        let each = tags.iter().zip(permitted);
        each.map(|(tags, permitted)| self.mark_for(state, tags.as_ref(), permitted, &wanted))
            .collect()
    }

    /// Marks the source as open for this run, which may need these targets let in: whoever has the part of one may do so while the
    /// mark is there. Where no mark of the run was there yet, tells which of the run's accounts were permitted before.
    pub async fn mark_open(
        &self,
        state: &State,
        targets: &[usize],
    ) -> Result<Option<Vec<AccountId>>, Error> {
        let state = &state.opened();
        let marking = async {
            let (tags, permitted) = self.seen_together(state).await?;
            let marks = self.marks_for(state, targets, &tags, &permitted);
            self.write_marks(state, &tags, &marks).await?;
            Ok((!is_marked(state, &tags)).then(|| before(state, &marks)))
        };
        marking.await.map_err(Error::from_refusal)
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

    /// Lets the targets use the source keys, in the way that the request names.
    pub(super) async fn open_keys(&self, state: &State, targets: &[usize]) -> Admitted {
        match state.order.key_access {
            KeyAccess::Grant => Admitted {
                refused: self.grant(state, targets).await,
                audience: None,
            },
            KeyAccess::Policy => self.admit(state, targets).await,
            KeyAccess::None => Admitted::default(),
        }
    }

    /// A grant on each source key: to each account's role for copying, to the account for launching. Returns the targets that
    /// were refused theirs.
    async fn grant(&self, state: &State, targets: &[usize]) -> Vec<(usize, Refusal)> {
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
            Some(_) if !state.order.service_linked_roles.is_empty() => launch::OPERATIONS.to_vec(),
            _ => OPERATIONS.to_vec(),
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

fn accounts_of(state: &State, targets: &[usize]) -> BTreeSet<String> {
    let account = |&i: &usize| state.targets[i].account_id.to_string();
    targets.iter().map(account).collect()
}

/// Whether this run has the source open.
fn is_marked(state: &State, tags: &[Tags]) -> bool {
    let name = sharing_tag(&state.run);
    let mut there = tags.iter().flatten();
    there.all(|tags| tags.contains_key(&name))
}

/// A part of a run that was closed meanwhile (stopped, timed out, swept) must not open the source again: nobody would close it.
fn over(state: &State) -> Refusal {
    Refusal {
        operation: "ModifySnapshotAttribute",
        account: state.source.account_id.to_string(),
        region: state.source.region.to_string(),
        resource: state.source.image_id.to_string(),
        code: "RunIsOver".to_owned(),
        message: format!(
            "run {} was closed meanwhile; this part of it was not sent",
            state.run
        ),
        request_id: None,
    }
}

/// Which of the run's accounts had permission on any snapshot before.
fn before(state: &State, marks: &[CopyMark]) -> Vec<AccountId> {
    let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
    let was_there = |a: &&AccountId| marks.iter().any(|mark| mark.before.contains(a.as_str()));
    ours.into_iter().filter(was_there).cloned().collect()
}
