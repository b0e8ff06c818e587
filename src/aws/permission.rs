//! The principals that may use a source snapshot or launch from the source image: reads and changes
//! createVolumePermission and launch permission. Accounts go by their IDs, organizations and units
//! by their ARNs; never a group, because `all` is everybody.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    ImageAttributeName, OperationType, PermissionGroup, SnapshotAttributeName,
};

use super::{Actor, Aws, Place, refusal};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{ImageId, SnapshotId};
use crate::ledger::{Principals, Resource, Site};

/// Changes in one ModifySnapshotAttribute or ModifyImageAttribute.
pub(super) const BATCH: usize = 500;

/// Returns who may launch from an image: accounts by their IDs, organizations and units by their
/// ARNs, everybody as the group `all`.
pub(super) async fn launchers(
    ec2: &Client,
    at: &Place,
    id: &ImageId,
) -> Result<Vec<String>, Refusal> {
    let answer = ec2
        .describe_image_attribute()
        .image_id(id.as_str())
        .attribute(ImageAttributeName::LaunchPermission)
        .send()
        .await
        .map_err(|e| refusal("DescribeImageAttribute", at, id, &e))?;
    let who = answer.launch_permissions().iter().filter_map(|one| {
        let arn = one.organization_arn().or(one.organizational_unit_arn());
        let group = one.group().map(PermissionGroup::as_str);
        one.user_id().or(arn).or(group)
    });
    Ok(who.map(str::to_owned).collect())
}

/// Returns who may make volumes of a snapshot: accounts by their IDs, everybody as `all`.
pub(super) async fn volume_makers(
    ec2: &Client,
    at: &Place,
    id: &SnapshotId,
) -> Result<Vec<String>, Refusal> {
    let answer = ec2
        .describe_snapshot_attribute()
        .snapshot_id(id.as_str())
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .send()
        .await
        .map_err(|e| refusal("DescribeSnapshotAttribute", at, id, &e))?;
    let who = answer.create_volume_permissions().iter().filter_map(|one| {
        let group = one.group().map(PermissionGroup::as_str);
        one.user_id().or(group)
    });
    Ok(who.map(str::to_owned).collect())
}

fn no_groups(who: Vec<String>) -> Principals {
    let groups = PermissionGroup::values();
    let named = who.into_iter();
    named
        .filter(|who| !groups.contains(&who.as_str()))
        .collect()
}

impl Aws {
    /// To whom the snapshot or image is permitted, as EC2 shows it: it may be a minute behind.
    pub(super) async fn permitted(&self, site: &Site) -> Result<Principals, Refusal> {
        let actor = Actor::own(&site.account);
        let ec2 = self.ec2(&actor, &site.region);
        let at = actor.at(&site.region);
        match &site.resource {
            Resource::Snapshot(id) => Ok(no_groups(volume_makers(&ec2, &at, id).await?)),
            Resource::Image(id) => Ok(no_groups(launchers(&ec2, &at, id).await?)),
            Resource::Key(_) => Ok(Principals::default()),
        }
    }

    /// Permits these. Returns the principals that EC2 does not take, such as accounts that do not
    /// exist.
    pub(super) async fn permit(
        &self,
        site: &Site,
        add: &Principals,
    ) -> Result<Vec<(String, Refusal)>, Refusal> {
        let refused = match self.modify(site, &OperationType::Add, add).await {
            Ok(()) => return Ok(Vec::new()),
            Err(refusal) if spoils_all(&refusal) || add.len() < 2 => refusal,
            Err(_) => return self.permit_each(site, add).await,
        };
        if add.len() == 1 && !spoils_all(&refused) {
            let who = add.iter().cloned();
            return Ok(who.map(|who| (who, refused.clone())).collect());
        }
        Err(refused)
    }

    /// One bad principal spoils the call for all: each by itself tells which.
    async fn permit_each(
        &self,
        site: &Site,
        add: &Principals,
    ) -> Result<Vec<(String, Refusal)>, Refusal> {
        let mut refused = Vec::new();
        for who in add.iter() {
            let one: Principals = [who.as_str()].into_iter().collect();
            match self.modify(site, &OperationType::Add, &one).await {
                Ok(()) => {}
                Err(refusal) if spoils_all(&refusal) => return Err(refusal),
                Err(refusal) => refused.push((who.clone(), refusal)),
            }
        }
        Ok(refused)
    }

    /// Takes the permission away from these, whether EC2 shows them or not: what was just given may
    /// not show yet. A resource that is gone is open to nobody. Tells whether EC2 took it; where it
    /// denies it, and shows none of these, they may never have been given it, or not show yet.
    pub(super) async fn forbid(&self, site: &Site, gone: &Principals) -> Result<bool, Refusal> {
        let refusal = match self.modify(site, &OperationType::Remove, gone).await {
            Ok(()) => return Ok(true),
            Err(refusal) if is_gone(&refusal) => return Ok(true),
            Err(refusal) if refusal.is_passing() => return Err(refusal),
            Err(refusal) => refusal,
        };
        let there = match self.permitted(site).await {
            Err(refusal) if is_gone(&refusal) => return Ok(true),
            other => other?.common(gone),
        };
        if refusal.kind() == RefusalKind::Denied {
            return if there.is_empty() {
                Ok(false)
            } else {
                Err(refusal)
            };
        }
        // A principal that EC2 never took spoils the call for those it did.
        if there.len() == gone.len() {
            return Err(refusal);
        }
        self.modify(site, &OperationType::Remove, &there)
            .await
            .map(|()| true)
    }

    async fn modify(
        &self,
        site: &Site,
        operation: &OperationType,
        who: &Principals,
    ) -> Result<(), Refusal> {
        let actor = Actor::own(&site.account);
        let ec2 = self.ec2(&actor, &site.region);
        let at = actor.at(&site.region);
        let all: Vec<String> = who.iter().cloned().collect();
        for some in all.chunks(BATCH) {
            let given = |picks: &dyn Fn(&String) -> bool| {
                let list: Vec<String> = some.iter().filter(|who| picks(who)).cloned().collect();
                Some(list).filter(|list| !list.is_empty())
            };
            let accounts = given(&|who| !who.starts_with("arn:"));
            match &site.resource {
                Resource::Snapshot(id) => {
                    ec2.modify_snapshot_attribute()
                        .snapshot_id(id.as_str())
                        .attribute(SnapshotAttributeName::CreateVolumePermission)
                        .operation_type(operation.clone())
                        .set_user_ids(accounts)
                        .send()
                        .await
                        .map_err(|e| refusal("ModifySnapshotAttribute", &at, id, &e))?;
                }
                Resource::Image(id) => {
                    ec2.modify_image_attribute()
                        .image_id(id.as_str())
                        .attribute("launchPermission")
                        .operation_type(operation.clone())
                        .set_user_ids(accounts)
                        .set_organization_arns(given(&|who| {
                            who.starts_with("arn:") && !who.contains(":ou/")
                        }))
                        .set_organizational_unit_arns(given(&|who| who.contains(":ou/")))
                        .send()
                        .await
                        .map_err(|e| refusal("ModifyImageAttribute", &at, id, &e))?;
                }
                Resource::Key(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether the refusal says nothing of a single principal.
fn spoils_all(refusal: &Refusal) -> bool {
    refusal.is_passing() || refusal.kind() == RefusalKind::Denied || is_gone(refusal)
}

/// An image or snapshot that somebody deregistered or deleted.
pub fn is_gone(refusal: &Refusal) -> bool {
    refusal.kind() == RefusalKind::NotFound || refusal.code == "InvalidAMIID.Unavailable"
}
