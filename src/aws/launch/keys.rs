//! The keys of an image, and whether a service-linked role can launch with them, for a person
//! (`amiferry explain`). Every call reads.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Image, Snapshot};
use aws_sdk_kms::types::KeyManagerType;

use super::gives_launch;
use crate::aws::grants::KeySite;
use crate::aws::key::key_fault;
use crate::aws::{Actor, Aws, image, refusal};
use crate::error::Refusal;
use crate::ids::{AccountId, ImageId, KeyArn, Region};
use crate::service_linked_role::ServiceLinkedRole;

/// A key that a launch needs.
#[derive(Debug, Clone)]
pub struct KeyToLaunch {
    /// The key itself.
    pub key: KeyArn,
    /// Whether AWS manages the key: every principal of its account can use it through EC2.
    pub aws_managed: bool,
    /// Why EBS cannot use the key, if so.
    pub fault: Option<String>,
    /// Whether a grant lets the role launch; or AWS's refusal to list the grants.
    pub granted: Result<bool, Refusal>,
}

impl Aws {
    /// Reads the keys of an image's snapshots, with the credentials of the account that launches.
    /// `None` if the account sees no such image.
    pub async fn keys_to_launch(
        &self,
        account: &AccountId,
        region: &Region,
        id: &ImageId,
        role: &ServiceLinkedRole,
    ) -> Result<Option<Vec<KeyToLaunch>>, Refusal> {
        let actor = Actor::own(account);
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        let answer = ec2.describe_images().image_ids(id.as_str()).send().await;
        let images = match answer.map_err(|e| refusal("DescribeImages", &at, id, &e)) {
            Err(refusal) if refusal.code.starts_with("InvalidAMIID.") => return Ok(None),
            other => other?.images.unwrap_or_default(),
        };
        let Some(image) = images.first() else {
            return Ok(None);
        };
        let snapshots = snapshots_of(image);
        let answer = ec2
            .describe_snapshots()
            .set_snapshot_ids(Some(snapshots))
            .send()
            .await;
        let answer = answer.map_err(|e| refusal("DescribeSnapshots", &at, id, &e))?;
        let named = answer.snapshots().iter().filter_map(Snapshot::kms_key_id);
        let keys: Result<BTreeSet<KeyArn>, _> = named.map(KeyArn::parse).collect();
        let keys = keys.map_err(|e| {
            Refusal::ours(
                "DescribeSnapshots",
                &at,
                id,
                "UnreadableAnswer",
                e.to_string(),
            )
        })?;
        let grantee = role.arn(region.partition(), account);
        let mut found = Vec::new();
        for key in keys {
            found.push(self.key_to_launch(&actor, account, key, &grantee).await?);
        }
        Ok(Some(found))
    }

    async fn key_to_launch(
        &self,
        actor: &Actor,
        account: &AccountId,
        key: KeyArn,
        role: &str,
    ) -> Result<KeyToLaunch, Refusal> {
        let region = key.region();
        let asked = self.kms(actor, &region).describe_key().key_id(key.as_str());
        let answer = asked.send().await;
        let answer = answer.map_err(|e| refusal("DescribeKey", &actor.at(&region), &key, &e))?;
        let told = answer.key_metadata();
        let manager = told.and_then(|told| told.key_manager());
        let fault = told.and_then(key_fault);
        let site = KeySite { key: &key, account };
        let listed = self.grants(&site).await;
        let granted = listed.map(|all| all.iter().any(|grant| gives_launch(grant, role)));
        Ok(KeyToLaunch {
            aws_managed: manager == Some(&KeyManagerType::Aws),
            fault: fault.map(|fault| fault.of(&key)),
            granted,
            key,
        })
    }
}

fn snapshots_of(image: &Image) -> Vec<String> {
    let snapshots = image::facts(image).snapshots().into_iter();
    snapshots.map(|id| id.to_string()).collect()
}
