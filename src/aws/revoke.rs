//! Closing the source again: what the mark on the snapshots says was added, and the grants that bear the run's name. The
//! mark goes last, so that a revocation cut short is found and finished.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, Tag};
use aws_sdk_kms::types::GrantListEntry;

use super::key::key_region;
use super::{Aws, mark, refusal};
use crate::command::{Outcome, grant_prefix, sharing_tag};
use crate::error::{Refusal, RefusalKind};
use crate::ids::SnapshotId;
use crate::request::KeyAccess;
use crate::state::State;

impl Aws {
    pub(super) async fn revoke(&self, state: &State) -> Outcome {
        let tags = match self.source_snapshot_tags(state).await {
            Ok(tags) => tags,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let name = sharing_tag(&state.run);
        let mut left = Vec::new();
        let mut closed = Vec::new();
        for (id, tags) in state.source.snapshots.iter().zip(&tags) {
            let Some(tags) = tags else { continue };
            // Without a mark, either nothing was opened or another process of this run closed it; what the state
            // remembers of before decides then.
            let remembered = || {
                state
                    .sharing
                    .prior
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            };
            let prior = match mark::read(&name, tags) {
                Some(prior) => prior,
                None if state.sharing.at > 0 => remembered(),
                None => continue,
            };
            match self.close(state, id, &prior).await {
                Ok(()) => closed.push((id, tags)),
                Err(refusal) => left.push((id.to_string(), refusal)),
            }
        }
        if state.order.revoke_after_copy && state.order.key_access == KeyAccess::Grant {
            for key in &state.source.keys {
                if let Err(refusal) = self.revoke_grants(state, key, |_| true).await {
                    left.push((key.clone(), refusal));
                }
            }
        }
        if left.is_empty()
            && let Err(refusal) = self.unmark(state, &name, &closed).await
        {
            left.push((state.source.image_id.to_string(), refusal));
        }
        if left.is_empty() {
            Outcome::Done
        } else {
            Outcome::Left(left)
        }
    }

    /// Removes from one snapshot the run's accounts that were not there before.
    async fn close(
        &self,
        state: &State,
        id: &SnapshotId,
        prior: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        if !state.order.revoke_after_copy {
            return Ok(());
        }
        let permitted = match self.permitted_accounts(state, id).await {
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(()),
            other => other?,
        };
        let ours: BTreeSet<&str> = state
            .targets
            .iter()
            .map(|t| t.account_id.as_str())
            .collect();
        let remove: Vec<String> = permitted
            .into_iter()
            .filter(|a| ours.contains(a.as_str()) && !prior.contains(a))
            .collect();
        self.modify(state, id, OperationType::Remove, remove).await
    }

    /// The names of the grants on one key.
    pub(super) async fn grant_names(
        &self,
        state: &State,
        key: &str,
    ) -> Result<Vec<String>, Refusal> {
        let grants = self.grants(state, key).await?;
        Ok(grants.into_iter().filter_map(|grant| grant.name).collect())
    }

    async fn grants(&self, state: &State, key: &str) -> Result<Vec<GrantListEntry>, Refusal> {
        let actor = Self::own(state);
        let region = key_region(state, key);
        let kms = self.kms(&actor, &region);
        let mut pages = kms.list_grants().key_id(key).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("ListGrants", &actor.at(&region), key, &e))?;
            all.extend(page.grants.unwrap_or_default());
        }
        Ok(all)
    }

    /// Revokes the grants of this run on one key, for the accounts that `is_gone` says. Tells how many were kept.
    pub(super) async fn revoke_grants(
        &self,
        state: &State,
        key: &str,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<usize, Refusal> {
        let actor = Self::own(state);
        let region = key_region(state, key);
        let at = actor.at(&region);
        let kms = self.kms(&actor, &region);
        let prefix = grant_prefix(&state.run);
        let (mut ours, mut kept) = (Vec::new(), 0);
        for grant in self.grants(state, key).await? {
            let account = grant.name().and_then(|name| name.strip_prefix(&prefix));
            match account {
                Some(account) if is_gone(account) => {
                    ours.extend(grant.grant_id().map(str::to_owned));
                }
                Some(_) => kept += 1,
                None => {}
            }
        }
        for grant in ours {
            let answer = kms.revoke_grant().key_id(key).grant_id(&grant).send().await;
            match answer
                .map_err(|e| refusal("RevokeGrant", &at, format!("{key} grant {grant}"), &e))
            {
                Err(refusal) if refusal.kind() != RefusalKind::NotFound => return Err(refusal),
                _ => {}
            }
        }
        Ok(kept)
    }

    /// Takes the mark off the snapshots that have it.
    async fn unmark(
        &self,
        state: &State,
        name: &str,
        closed: &[(&SnapshotId, &BTreeMap<String, String>)],
    ) -> Result<(), Refusal> {
        let keys: BTreeSet<&String> = closed
            .iter()
            .flat_map(|(_, tags)| mark::keys(name, tags))
            .collect();
        let actor = Self::own(state);
        let region = &state.source.region;
        let Some((first, _)) = closed.first().filter(|_| !keys.is_empty()) else {
            return Ok(());
        };
        let marks = keys
            .into_iter()
            .map(|key| Tag::builder().key(key).build())
            .collect();
        let resources = closed.iter().map(|(id, _)| id.to_string()).collect();
        let answer = self
            .ec2(&actor, region)
            .delete_tags()
            .set_resources(Some(resources))
            .set_tags(Some(marks))
            .send()
            .await;
        answer.map_err(|e| refusal("DeleteTags", &actor.at(region), first, &e))?;
        Ok(())
    }
}
