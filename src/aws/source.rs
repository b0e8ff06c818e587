//! Reading the source image, before a run and at the begin of each call that goes on with it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Snapshot, StorageTier};
use aws_sdk_kms::types::KeyManagerType;

use super::key::key_fault;
use super::{Actor, Aws, Place, image, refusal, tags};
use crate::error::Error;
use crate::ids::{AccountId, ImageId, KeyArn, Region, SnapshotId};
use crate::source::{Source, SourceSnapshot};

impl Aws {
    /// Reads the image with all facts that a copy needs. `SourceNotFound` if this account owns no
    /// such image.
    pub async fn read_source(&self, id: &ImageId, region: &Region) -> Result<Source, Error> {
        // Only the image's owner names the account.
        let actor = Actor {
            account: "the source account".to_owned(),
            credentials: None,
        };
        let ec2 = self.ec2(&actor, region);
        let found = image::own_image(&ec2, &actor.at(region), id)
            .await
            .map_err(Error::from_refusal)?;
        let Some(found) = found else {
            return Err(self.not_ours(&actor, id, region).await);
        };
        let owner = found
            .owner_id()
            .and_then(|owner| AccountId::parse(owner).ok());
        let owner = owner
            .ok_or_else(|| Error::Internal(format!("DescribeImages told no owner of {id}")))?;
        let at = Place {
            account: owner.to_string(),
            region: region.to_string(),
        };
        let mut facts = image::facts(&found);
        image::uefi_data(&ec2, &at, id, &mut facts)
            .await
            .map_err(Error::from_refusal)?;
        let ids = facts.snapshots();
        let snapshots = if ids.is_empty() {
            Vec::new()
        } else {
            source_snapshots(&ec2, &at, &ids, id).await?
        };
        Ok(Source {
            id: id.clone(),
            owner,
            image: facts,
            snapshots,
            aws_managed_keys: Vec::new(),
            unusable_keys: Vec::new(),
        })
    }

    /// Asks KMS which of the source's keys are AWS-managed, which can never be shared, and which
    /// nobody can use at present.
    pub async fn read_keys(&self, source: &mut Source, region: &Region) -> Result<(), Error> {
        let actor = Actor {
            account: source.owner.to_string(),
            credentials: None,
        };
        for key in source.keys() {
            let answer = self
                .kms(&actor, region)
                .describe_key()
                .key_id(key.as_str())
                .send()
                .await;
            let answer = answer.map_err(|e| {
                Error::from_refusal(refusal("DescribeKey", &actor.at(region), &key, &e))
            })?;
            let Some(told) = answer.key_metadata() else {
                continue;
            };
            if let Some(fault) = key_fault(told) {
                source.unusable_keys.push((key.clone(), fault));
            }
            if told.key_manager() == Some(&KeyManagerType::Aws) {
                source.aws_managed_keys.push(key);
            }
        }
        Ok(())
    }

    /// Returns the error for an image of another account, with its owner where that can be seen.
    async fn not_ours(&self, actor: &Actor, id: &ImageId, region: &Region) -> Error {
        let answer = self
            .ec2(actor, region)
            .describe_images()
            .image_ids(id.as_str())
            .send()
            .await;
        let owner = answer.ok().and_then(|a| {
            a.images()
                .first()
                .and_then(|i| i.owner_id().map(str::to_owned))
        });
        match owner {
            Some(owner) => Error::SourceNotFound(format!(
                "{id} in {region} belongs to account {owner}; only the owner can share an image's \
                 snapshots: copy it into this account, or run the function there"
            )),
            None => Error::SourceNotFound(format!(
                "there is no {id} in {region} in this account; check the ID, and SourceRegion"
            )),
        }
    }
}

async fn source_snapshots(
    ec2: &aws_sdk_ec2::Client,
    at: &Place,
    ids: &[SnapshotId],
    image: &ImageId,
) -> Result<Vec<SourceSnapshot>, Error> {
    let names = ids.iter().map(ToString::to_string).collect();
    let answer = ec2
        .describe_snapshots()
        .set_snapshot_ids(Some(names))
        .send()
        .await;
    let answer =
        answer.map_err(|e| Error::from_refusal(refusal("DescribeSnapshots", at, image, &e)))?;
    ids.iter()
        .map(|id| {
            let gone = || Error::SourceNotFound(format!("snapshot {id} of {image} is gone"));
            let mut snapshots = answer.snapshots().iter();
            let there = snapshots.find(|s| s.snapshot_id() == Some(id.as_str()));
            let there = there.ok_or_else(gone)?;
            let key = there.kms_key_id().map(KeyArn::parse).transpose();
            let unreadable =
                |e| Error::Internal(format!("the KmsKeyId of {id} is unreadable: {e}"));
            let key = key.map_err(unreadable)?;
            source_snapshot(id, there, key).ok_or_else(gone)
        })
        .collect()
}

fn source_snapshot(
    id: &SnapshotId,
    snapshot: &Snapshot,
    key: Option<KeyArn>,
) -> Option<SourceSnapshot> {
    Some(SourceSnapshot {
        id: id.clone(),
        owner: AccountId::parse(snapshot.owner_id()?).ok()?,
        state: snapshot
            .state()
            .map_or_else(String::new, |s| s.as_str().to_owned()),
        encrypted: snapshot.encrypted().unwrap_or(false),
        key,
        archived: snapshot.storage_tier() == Some(&StorageTier::Archive),
        full_bytes: snapshot.full_snapshot_size_in_bytes(),
        description: snapshot
            .description()
            .filter(|d| !d.is_empty())
            .map(str::to_owned),
        tags: tags::to_map(snapshot.tags()),
    })
}

impl Aws {
    /// Reads the name and the tags of an image of this account; `None` if there is no such image.
    pub async fn name_and_tags_of(
        &self,
        id: &ImageId,
        region: &Region,
    ) -> Result<Option<(String, BTreeMap<String, String>)>, Error> {
        let actor = Actor {
            account: "the source account".to_owned(),
            credentials: None,
        };
        let found = image::own_image(&self.ec2(&actor, region), &actor.at(region), id).await;
        let found = found.map_err(Error::from_refusal)?;
        Ok(found.map(|image| {
            let name = image.name().unwrap_or_default().to_owned();
            (name, tags::to_map(image.tags()))
        }))
    }
}
