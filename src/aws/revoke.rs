//! Closing the source again: what the mark on the snapshots says was added, the grants that bear the run's name, and what the run
//! copied in the source account itself. The mark goes last, so that a revocation cut short is found and finished.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, Tag};
use aws_sdk_kms::types::GrantListEntry;

use super::key::key_region;
use super::mark::{self, CopyMark, Marks, Needs};
use super::{Aws, copies, refusal};
use crate::command::{Outcome, grant_prefix, sharing_tag};
use crate::error::{Refusal, RefusalKind};
use crate::ids::SnapshotId;
use crate::request::KeyAccess;
use crate::state::State;

/// Seconds after which a tag just written is seen by everybody who reads.
const SEEN_BY_ALL: i64 = 15;

/// How far one snapshot is closed.
enum Closed {
    Wholly,
    /// Not yet: why.
    Later(String),
}

impl Aws {
    /// `staged` are copies in the source account: those of the snapshots that are to be deleted once they are closed.
    pub(super) async fn revoke(&self, state: &State, staged: &[SnapshotId]) -> Outcome {
        let tags = match self.source_snapshot_tags(state).await {
            Ok(tags) => tags,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let (mut left, mut closed, mut later) = (Vec::new(), Vec::new(), None);
        let mut earlier = BTreeSet::new();
        for (id, tags) in state.source.snapshots.iter().zip(&tags) {
            let Some(tags) = tags else { continue };
            let marks = Marks::read(tags);
            let own = marks.copies.get(&state.run);
            if own.is_none() && state.sharing.at == 0 {
                continue;
            }
            if let (Some(mark), 0) = (own, state.sharing.at) {
                let accounts = state.targets.iter().map(|t| &t.account_id);
                earlier.extend(accounts.filter(|a| mark.needs.has(a.as_str())).cloned());
            }
            match self.close(state, id, tags, &marks).await {
                Ok(Closed::Wholly) => closed.push((id, tags)),
                Ok(Closed::Later(why)) => later = Some(why),
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
            && let Some(why) = later
        {
            return Outcome::NotYet(why);
        }
        if left.is_empty() && !staged.is_empty() {
            let actor = Self::own(state);
            let region = &state.source.region;
            let ec2 = self.ec2(&actor, region);
            let deleted = copies::delete(&ec2, &actor.at(region), staged).await;
            left.extend(deleted.left);
            closed.retain(|(id, _)| !deleted.gone.contains(id));
        }
        let name = sharing_tag(&state.run);
        if left.is_empty()
            && let Err(refusal) = self.unmark(state, &name, &closed).await
        {
            left.push((state.source.image_id.to_string(), refusal));
        }
        if !left.is_empty() {
            Outcome::Left(left)
        } else if earlier.is_empty() {
            Outcome::Done
        } else {
            Outcome::Closed {
                earlier: earlier.into_iter().collect(),
            }
        }
    }

    /// Removes from one snapshot the run's accounts that were not there before and that no other run needs.
    async fn close(
        &self,
        state: &State,
        id: &SnapshotId,
        tags: &BTreeMap<String, String>,
        marks: &Marks,
    ) -> Result<Closed, Refusal> {
        if !state.order.revoke_after_copy {
            return Ok(Closed::Wholly);
        }
        let permitted = match self.permitted_accounts(state, id).await {
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(Closed::Wholly),
            other => other?,
        };
        let own = marks.copies.get(&state.run);
        // Without a mark another process of this run closed it; what the state remembers of before decides then.
        let was_there = |account: &String| match own {
            Some(mark) => mark.before.contains(account),
            None => state.sharing.prior.iter().any(|p| p.as_str() == account),
        };
        let ours: BTreeSet<&str> = state
            .targets
            .iter()
            .map(|t| t.account_id.as_str())
            .collect();
        let (needed, remove): (Vec<String>, Vec<String>) = permitted
            .into_iter()
            .filter(|a| ours.contains(a.as_str()) && !was_there(a))
            .partition(|a| marks.needed_by_others(&state.run, a));
        self.modify(state, id, OperationType::Remove, remove)
            .await?;
        match own {
            Some(mark) if !needed.is_empty() => self.leave(state, id, tags, mark).await,
            _ => Ok(Closed::Wholly),
        }
    }

    /// Leaves accounts to the other run that needs them: it closes them when it ends. Should it end at this moment, each of the
    /// two must not leave them to the other. So this run first says that it needs nobody, and looks again a little later.
    async fn leave(
        &self,
        state: &State,
        id: &SnapshotId,
        tags: &BTreeMap<String, String>,
        mark: &CopyMark,
    ) -> Result<Closed, Refusal> {
        if mark.needs.is_none() && self.now() - mark.since >= SEEN_BY_ALL {
            return Ok(Closed::Wholly);
        }
        if !mark.needs.is_none() {
            let ended = CopyMark {
                needs: Needs::of(BTreeSet::new()),
                since: self.now(),
                ..mark.clone()
            };
            let mut all_tags = vec![None; state.source.snapshots.len()];
            let place = state.source.snapshots.iter().position(|s| s == id);
            if let Some(place) = place {
                all_tags[place] = Some(tags.clone());
            }
            let all_marks = vec![ended; all_tags.len()];
            self.write_marks(state, &all_tags, &all_marks).await?;
        }
        Ok(Closed::Later(format!(
            "another run needs accounts of this one on {id}"
        )))
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

    /// Revokes the grants of this run on one key that `is_gone` says, by their names behind the run's prefix: an account, or an account, a
    /// slash and its role. Tells how many were kept.
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
            let of_run = grant.name().and_then(|name| name.strip_prefix(&prefix));
            match of_run {
                Some(name) if is_gone(name) => {
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
