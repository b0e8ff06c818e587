//! Comparing the copies in the targets with their source, for a person (`amiferry verify`): every
//! attribute, the keys, and who can use the copy and the source. Every call reads.

use aws_sdk_ec2::Client;
use futures::stream::{self, StreamExt};
use serde_json::json;

use super::check::used_in_order;
use super::grants::KeySite;
use super::permission::{launchers, volume_makers};
use super::visit::Visit;
use super::{Actor, Aws, Place, copies, image, naming};
use crate::error::Refusal;
use crate::ids::{ImageId, SnapshotId};
use crate::source::{Attribute, Source};
use crate::state::{RunRef, State, TargetState};

/// Targets looked at at once.
const AT_ONCE: usize = 16;

/// The principals that can use a resource: accounts by their IDs, organizations and units by their
/// ARNs, everybody as `all`, and the principals of grants.
#[derive(Debug, Clone)]
pub struct Use {
    /// The resource: a snapshot, an image, or the ARN of a key.
    pub resource: String,
    /// The principals; or AWS's refusal to say.
    pub by: Result<Vec<String>, Refusal>,
}

/// A snapshot of a copy, and its key.
#[derive(Debug, Clone)]
pub struct CopiedSnapshot {
    /// The snapshot of the source.
    pub source: SnapshotId,
    /// The copy in the target.
    pub copy: SnapshotId,
    /// The ARN of the copy's key; `None` if it is not encrypted, or does not show.
    pub key: Option<String>,
    /// Whether this is the key that the request names for the target.
    pub is_targets: bool,
}

/// The copy in a target, beside its source.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The copy.
    pub image: ImageId,
    /// The state, such as `available`.
    pub state: String,
    /// The run that made the copy.
    pub run: Option<String>,
    /// Every attribute.
    pub attributes: Vec<Attribute>,
    /// The snapshots of the copy; empty if a device of the source has none.
    pub snapshots: Vec<CopiedSnapshot>,
    /// The principals that can use the copy and its snapshots, beside its account.
    pub uses: Vec<Use>,
}

impl Aws {
    /// Compares the copy of each target with the source; `None` where there is no copy.
    pub async fn compare(
        &self,
        state: &State,
        source: &Source,
    ) -> Vec<Result<Option<Comparison>, Refusal>> {
        let run = state.run_ref();
        let targets = state.targets.iter();
        let looks = targets.map(|target| self.compare_target(run, source, target));
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    async fn compare_target(
        &self,
        run: RunRef<'_>,
        source: &Source,
        target: &TargetState,
    ) -> Result<Option<Comparison>, Refusal> {
        let actor = self.session_with(run, target, reading()).await?;
        let mut target = target.clone();
        target.kms_key_id = self.target_key(&actor, &target).await?.into();
        let visit = self.visit_as(run, &target, actor);
        let Some(found) = naming::own_copy(&visit).await? else {
            return Ok(None);
        };
        let Some(id) = image::id_of(&found) else {
            return Ok(None);
        };
        let mut facts = image::facts(&found);
        image::uefi_data(&visit.ec2, &visit.at, &id, &mut facts).await?;
        let copies = used_in_order(source, &facts).unwrap_or_default();
        let snapshots = copied(&visit, source, &copies).await?;
        let mut uses = vec![launches(&visit.ec2, &visit.at, &id).await];
        for snapshot in &copies {
            uses.push(volumes(&visit.ec2, &visit.at, snapshot).await);
        }
        Ok(Some(Comparison {
            image: id,
            state: facts.state.clone(),
            run: naming::made_by(&found).map(str::to_owned),
            attributes: source.attributes(&facts, &copies),
            snapshots,
            uses,
        }))
    }

    /// Returns who can use the source image, its snapshots and its keys now, beside the account of
    /// the source. For a key these are the principals of grants; its policy is not read.
    pub async fn uses_of_source(&self, state: &State, source: &Source) -> Vec<Use> {
        let actor = Actor::own(&source.owner);
        let region = &state.source.region;
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        let mut uses = vec![launches(&ec2, &at, &source.id).await];
        for snapshot in &source.snapshots {
            uses.push(volumes(&ec2, &at, &snapshot.id).await);
        }
        for key in source.keys() {
            let site = KeySite {
                key: &key,
                account: &source.owner,
            };
            let grants = self.grants(&site).await;
            let by = grants.map(|grants| {
                let grantees = grants.iter().filter_map(|grant| grant.grantee_principal());
                grantees.map(str::to_owned).collect()
            });
            let resource = key.into();
            uses.push(Use { resource, by });
        }
        uses
    }
}

/// A session that reads, whatever else the role may do.
fn reading() -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
            "ec2:DescribeImages", "ec2:DescribeImageAttribute", "ec2:DescribeSnapshots",
            "ec2:DescribeSnapshotAttribute", "kms:DescribeKey"]}]
    })
    .to_string()
}

/// Reads the snapshots that an image stands on.
async fn copied(
    visit: &Visit<'_>,
    source: &Source,
    used: &[SnapshotId],
) -> Result<Vec<CopiedSnapshot>, Refusal> {
    if used.is_empty() {
        return Ok(Vec::new());
    }
    let listed = copies::of_ids(&visit.ec2, &visit.at, used).await?;
    let pairs = source.snapshots.iter().zip(used);
    Ok(pairs
        .map(|(from, copy)| {
            let mut listed = listed.iter();
            let there = listed.find(|there| there.snapshot_id() == Some(copy.as_str()));
            let key = there.and_then(|there| there.kms_key_id());
            CopiedSnapshot {
                source: from.id.clone(),
                copy: copy.clone(),
                key: key.map(str::to_owned),
                is_targets: key == Some(visit.target.kms_key_id.as_str()),
            }
        })
        .collect())
}

async fn launches(ec2: &Client, at: &Place, id: &ImageId) -> Use {
    Use {
        resource: id.to_string(),
        by: launchers(ec2, at, id).await,
    }
}

async fn volumes(ec2: &Client, at: &Place, id: &SnapshotId) -> Use {
    Use {
        resource: id.to_string(),
        by: volume_makers(ec2, at, id).await,
    }
}
