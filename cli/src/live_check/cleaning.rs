//! Removes everything that a check made, found by its tag and its name. So the same serves a check
//! whose process died.

use std::fmt::Display;

use amiferry::error::{Refusal, RefusalKind};
use aws_sdk_ec2::types::Filter;
use aws_sdk_kms::types::KeyState;

use super::party::Party;
use super::patience::Waiting;
use super::scene::{Check, ROLE_POLICY, TAG};

/// Days until KMS deletes a key; KMS takes no fewer.
const KEY_DAYS: i32 = 7;
/// Lists may not show yet what was just made: so many looks in a row must find nothing.
const EMPTY_LOOKS: u32 = 3;

/// The end of the things that a check made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The things that were removed.
    pub removed: Vec<String>,
    /// The things that are left, with AWS's reason.
    pub left: Vec<String>,
}

impl Cleaned {
    /// Notes the end of a removal. What is not there any more needs none.
    fn note(&mut self, what: impl Display, removed: Result<(), Refusal>) {
        match removed {
            Ok(()) => self.removed.push(what.to_string()),
            Err(refusal) if is_gone(&refusal) => {}
            Err(refusal) => self.left.push(format!("{what}: {refusal}")),
        }
    }

    /// Notes a list that could not be read: nobody knows what it has.
    fn unread<T>(&mut self, listed: Result<Vec<T>, Refusal>) -> Vec<T> {
        listed.unwrap_or_else(|refusal| {
            self.left.push(refusal.to_string());
            Vec::new()
        })
    }
}

impl Check {
    /// Removes everything, and looks until nothing is found any more or the patience is over.
    pub async fn clean_up(&self) -> Cleaned {
        let mut whole = Cleaned::default();
        let mut empty = 0;
        let mut waiting = Waiting::at_most(self.patience);
        loop {
            let mut look = Cleaned::default();
            self.look(&mut look).await;
            let found = !look.removed.is_empty() || !look.left.is_empty();
            empty = if found { 0 } else { empty + 1 };
            whole.removed.extend(look.removed);
            whole.left = look.left;
            if empty == EMPTY_LOOKS || !waiting.goes_on().await {
                return whole;
            }
        }
    }

    async fn look(&self, look: &mut Cleaned) {
        let places = [
            (&self.source, &self.home),
            (&self.target, &self.home),
            (&self.target, &self.other),
        ];
        for (party, region) in places {
            self.images(party, region, look).await;
            self.snapshots(party, region, look).await;
            self.keys(party, region, look).await;
        }
        self.volumes(look).await;
        self.role(look).await;
        self.bucket(look).await;
    }

    /// Returns the filter for everything with this check's tag.
    fn tagged(&self) -> Filter {
        let filter = Filter::builder().name(format!("tag:{TAG}"));
        filter.values(&self.id).build()
    }

    async fn images(&self, party: &Party, region: &str, look: &mut Cleaned) {
        let ec2 = party.ec2(region);
        let asked = ec2.describe_images().owners("self").include_disabled(true);
        let shown = asked.filters(self.tagged()).send().await;
        let shown = shown.map(|shown| shown.images.unwrap_or_default());
        let shown = shown.map_err(|e| party.refused("DescribeImages", region, TAG, &e));
        for id in look
            .unread(shown)
            .into_iter()
            .filter_map(|one| one.image_id)
        {
            let ended = ec2.deregister_image().image_id(&id).send().await;
            let ended = ended.map_err(|e| party.refused("DeregisterImage", region, &id, &e));
            look.note(&id, ended.map(drop));
        }
    }

    async fn snapshots(&self, party: &Party, region: &str, look: &mut Cleaned) {
        let ec2 = party.ec2(region);
        let asked = ec2.describe_snapshots().owner_ids("self");
        let shown = asked.filters(self.tagged()).send().await;
        let shown = shown.map(|shown| shown.snapshots.unwrap_or_default());
        let shown = shown.map_err(|e| party.refused("DescribeSnapshots", region, TAG, &e));
        let ids = look.unread(shown).into_iter();
        for id in ids.filter_map(|one| one.snapshot_id) {
            let ended = ec2.delete_snapshot().snapshot_id(&id).send().await;
            let ended = ended.map_err(|e| party.refused("DeleteSnapshot", region, &id, &e));
            look.note(&id, ended.map(drop));
        }
    }

    async fn volumes(&self, look: &mut Cleaned) {
        let (party, region) = (&self.source, self.home.as_str());
        let ec2 = party.ec2(region);
        let shown = ec2.describe_volumes().filters(self.tagged()).send().await;
        let shown = shown.map(|shown| shown.volumes.unwrap_or_default());
        let shown = shown.map_err(|e| party.refused("DescribeVolumes", region, TAG, &e));
        for id in look
            .unread(shown)
            .into_iter()
            .filter_map(|one| one.volume_id)
        {
            let ended = ec2.delete_volume().volume_id(&id).send().await;
            let ended = ended.map_err(|e| party.refused("DeleteVolume", region, &id, &e));
            look.note(&id, ended.map(drop));
        }
    }

    async fn keys(&self, party: &Party, region: &str, look: &mut Cleaned) {
        let own = self.own_keys(party, region).await;
        for key in look.unread(own) {
            let ended = party
                .kms(region)
                .schedule_key_deletion()
                .key_id(&key)
                .pending_window_in_days(KEY_DAYS)
                .send()
                .await;
            let ended = ended.map_err(|e| party.refused("ScheduleKeyDeletion", region, &key, &e));
            look.note(format!("key {key}, in {KEY_DAYS} days"), ended.map(drop));
        }
    }

    /// Lists the keys of this check that are not being deleted. Keys that the caller may not look
    /// at are none of them.
    async fn own_keys(&self, party: &Party, region: &str) -> Result<Vec<String>, Refusal> {
        let kms = party.kms(region);
        let mut pages = kms.list_keys().into_paginator().send();
        let mut own = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| party.refused("ListKeys", region, "", &e))?;
            for key in page.keys.unwrap_or_default() {
                let id = key.key_id.unwrap_or_default();
                let Ok(tags) = kms.list_resource_tags().key_id(&id).send().await else {
                    continue;
                };
                let ours = |tag: &aws_sdk_kms::types::Tag| {
                    tag.tag_key() == TAG && tag.tag_value() == self.id
                };
                if tags.tags().iter().any(ours) && is_in_use(&kms, &id).await {
                    own.push(id);
                }
            }
        }
        Ok(own)
    }

    async fn role(&self, look: &mut Cleaned) {
        let (party, region) = (&self.target, self.home.as_str());
        let (iam, name) = (party.iam(region), self.name());
        let emptied = iam
            .delete_role_policy()
            .role_name(&name)
            .policy_name(ROLE_POLICY);
        let emptied = emptied.send().await.map(drop);
        let emptied = emptied.map_err(|e| party.refused("DeleteRolePolicy", region, &name, &e));
        look.note(format!("policy of role {name}"), emptied);
        let ended = iam.delete_role().role_name(&name).send().await.map(drop);
        let ended = ended.map_err(|e| party.refused("DeleteRole", region, &name, &e));
        look.note(format!("role {name}"), ended);
    }

    async fn bucket(&self, look: &mut Cleaned) {
        let (party, region) = (&self.source, self.home.as_str());
        let (s3, name) = (party.s3(region), self.name());
        let mut pages = s3.list_objects_v2().bucket(&name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map(|page| page.contents.unwrap_or_default());
            let page = page.map_err(|e| party.refused("ListObjectsV2", region, &name, &e));
            if page.as_ref().is_err_and(is_gone) {
                return;
            }
            for key in look
                .unread(page)
                .into_iter()
                .filter_map(|object| object.key)
            {
                let ended = s3.delete_object().bucket(&name).key(&key).send().await;
                let ended = ended.map_err(|e| party.refused("DeleteObject", region, &key, &e));
                if let Err(refusal) = ended {
                    look.left.push(refusal.to_string());
                }
            }
        }
        let ended = s3.delete_bucket().bucket(&name).send().await.map(drop);
        let ended = ended.map_err(|e| party.refused("DeleteBucket", region, &name, &e));
        look.note(format!("bucket {name}"), ended);
    }
}

/// Whether the thing is not there; IAM and S3 have codes of their own for that.
fn is_gone(refusal: &Refusal) -> bool {
    refusal.kind() == RefusalKind::NotFound || refusal.code.starts_with("NoSuch")
}

async fn is_in_use(kms: &aws_sdk_kms::Client, id: &str) -> bool {
    let shown = kms.describe_key().key_id(id).send().await;
    let state = shown.ok().and_then(|shown| shown.key_metadata?.key_state);
    state.is_some_and(|state| state != KeyState::PendingDeletion)
}
