//! Closing the source again: what the mark on the snapshots says was added, the grants that bear the run's name, and what the run
//! copied in the source account itself. The mark goes last, so that a revocation cut short is found and finished.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::OperationType;
use aws_sdk_kms::types::GrantListEntry;

use super::key::key_region;
use super::key_policy::{by_policy, is_noted, is_own};
use super::mark::{self, CopyMark, Marks, Needs};
use super::{Aws, copies, refusal, tags};
use crate::command::{Outcome, grant_prefix, sharing_tag};
use crate::error::{Refusal, RefusalKind};
use crate::ids::SnapshotId;
use crate::key_policy::Access;
use crate::request::KeyAccess;
use crate::state::State;

/// Seconds after which a tag just written is seen by everybody who reads.
pub const SEEN_BY_ALL: i64 = 15;

/// How far one thing is closed.
#[derive(Debug)]
pub enum Closed {
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
        let marked = |tags: &BTreeMap<String, String>| tags.contains_key(&sharing_tag(&state.run));
        if state.sharing.closed && !tags.iter().flatten().any(marked) {
            return Outcome::Done;
        }
        match self.closed_already(state, &tags).await {
            Ok(true) => return Outcome::Done,
            Ok(false) => {}
            Err(refusal) => return Outcome::Refused(refusal),
        }
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
        let noted = is_noted(state, tags.iter().flatten());
        let opened = state.sharing.at != 0 || noted || !closed.is_empty();
        let mut settling = None;
        if state.order.revoke_after_copy {
            left.extend(self.revoke_all_grants(state, opened).await);
            let keys = state.source.keys.iter().any(|key| is_own(state, key));
            if keys && (noted || (by_policy(state) && state.sharing.at != 0)) {
                match self.settle(state, noted, &|_| Access::default()).await {
                    Ok(changed) => settling = Some(changed).filter(|c| *c || !self.settled(state)),
                    Err(refusals) => left.extend(refusals),
                }
            }
        }
        if let (true, Some(changed)) = (left.is_empty(), settling) {
            return Outcome::Settling { changed };
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
        if left.is_empty() {
            let unmarked = async {
                self.unmark(state, &name, &closed).await?;
                self.close_after_unmarking(state, &closed).await
            };
            if let Err(refusal) = unmarked.await {
                left.push((state.source.image_id.to_string(), refusal));
            }
        }
        if left.is_empty()
            && noted
            && let Err(refusal) = self.forget_policy(state).await
        {
            left.push((state.source.image_id.to_string(), refusal));
        }
        match (left.is_empty(), earlier.is_empty()) {
            (true, true) if !state.sharing.closed => Outcome::Done,
            (false, true) => Outcome::Left(left),
            _ => Outcome::Closed {
                earlier: earlier.into_iter().collect(),
                left,
            },
        }
    }

    /// Whether another process of this run has closed the source: there is neither a mark of the run nor a grant. Whoever is let in
    /// now was let in since, by somebody else; a state of long ago does not know. Without grants only the mark could tell, and
    /// that somebody may have deleted: then what the state remembers is closed.
    async fn closed_already(
        &self,
        state: &State,
        tags: &[Option<BTreeMap<String, String>>],
    ) -> Result<bool, Refusal> {
        let marked = |tags: &BTreeMap<String, String>| tags.contains_key(&sharing_tag(&state.run));
        let with_grants =
            state.order.key_access == KeyAccess::Grant && !state.source.keys.is_empty();
        // A mark, or a grant, of a moment ago may not show yet.
        let seen = self.now() - state.sharing.at >= SEEN_BY_ALL;
        if !seen || !with_grants || tags.iter().flatten().any(marked) {
            return Ok(false);
        }
        let prefix = grant_prefix(&state.run);
        for key in &state.source.keys {
            let names = self.grant_names(state, key).await?;
            if names.iter().any(|name| name.starts_with(&prefix)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Another process of this run may have opened the source while this one closed it, and its mark is gone now with ours: the
    /// one that ended first would not have closed it, the other would take it for closed.
    async fn close_after_unmarking(
        &self,
        state: &State,
        closed: &[(&SnapshotId, &BTreeMap<String, String>)],
    ) -> Result<(), Refusal> {
        for (id, tags) in closed {
            let marks = Marks::read(tags);
            if !state.order.revoke_after_copy || !marks.copies.contains_key(&state.run) {
                continue;
            }
            let permitted = match self.permitted_accounts(state, id).await {
                Err(refusal) if refusal.kind() == RefusalKind::NotFound => continue,
                other => other?,
            };
            let (_, remove) = to_close(state, &marks, permitted);
            if remove.is_empty() {
                continue;
            }
            // Or another run has opened it meanwhile.
            let now = self.snapshot_tags(state, id).await?;
            let now = Marks::read(&now);
            let of_nobody = |a: &String| !now.needed_by_others(&state.run, a);
            let remove = remove.into_iter().filter(of_nobody).collect();
            self.modify(state, id, OperationType::Remove, remove)
                .await?;
        }
        Ok(())
    }

    /// The grants of the run on all keys. One that was begun anew with another KeyAccess may have made some before; with None nothing is
    /// known of the keys, not even that this function may ask for their grants.
    async fn revoke_all_grants(&self, state: &State, opened: bool) -> Vec<(String, Refusal)> {
        let mut left = Vec::new();
        for key in &state.source.keys {
            let arranged = state.order.key_access == KeyAccess::None;
            if arranged && !(opened && is_own(state, key)) {
                continue;
            }
            match self.revoke_grants(state, key, |_| true).await {
                Err(refusal) if arranged && refusal.kind() == RefusalKind::Denied => {}
                Err(refusal) => left.push((key.clone(), refusal)),
                Ok(_) => {}
            }
        }
        left
    }

    /// Whether the policies have been seen as they are to be for long enough that nobody writes one any more that was read before.
    pub(super) fn settled(&self, state: &State) -> bool {
        let since = state.sharing.policies_clean_since;
        since != 0 && self.now() - since >= SEEN_BY_ALL
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
        let (needed, remove) = to_close(state, marks, permitted);
        self.modify(state, id, OperationType::Remove, remove)
            .await?;
        match marks.copies.get(&state.run) {
            Some(mark) if !needed.is_empty() => {
                self.leave(state, id, tags, (marks, mark), &needed).await
            }
            _ => Ok(Closed::Wholly),
        }
    }

    /// Leaves accounts to the other run that needs them: it closes them when it ends. Should it end at this moment, each of the
    /// two must not leave them to the other. So this run first says that it needs nobody, and whom it had let in, and looks again a little later.
    async fn leave(
        &self,
        state: &State,
        id: &SnapshotId,
        tags: &BTreeMap<String, String>,
        (marks, mark): (&Marks, &CopyMark),
        needed: &[String],
    ) -> Result<Closed, Refusal> {
        let told = mark.needs.is_none() && self.now() - mark.since >= SEEN_BY_ALL;
        let unlisted = marks.to_hand_over(&state.run, needed);
        if told && unlisted.is_empty() {
            return Ok(Closed::Wholly);
        }
        if told || !mark.needs.is_none() {
            let ended = CopyMark {
                needs: Needs::none(),
                released: mark.needs.and(&mark.released),
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
        if told {
            // Who needs too many to list them knows nothing of these: they are written down beside its mark, once this run's own says since
            // when to wait.
            let actor = Self::own(state);
            let region = &state.source.region;
            let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
            tags::write(&ec2, &at, vec![id.to_string()], unlisted).await?;
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
            let page = page.map_err(|e| refusal("ListGrants", &actor.at(&region), key, &e));
            // A key that is gone has no grants any more.
            let page = match page {
                Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
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
            .flat_map(|(_, tags)| {
                let mut keys = mark::keys(name, tags);
                keys.extend(mark::void_of_nothing(&state.run, tags));
                keys
            })
            .collect();
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        let resources = closed.iter().map(|(id, _)| id.to_string()).collect();
        tags::delete(&ec2, &actor.at(region), resources, keys).await
    }
}

/// Of those permitted on one snapshot, the run's accounts that were not there before: those that another run needs, and those to
/// remove.
fn to_close(
    state: &State,
    marks: &Marks,
    permitted: BTreeSet<String>,
) -> (Vec<String>, Vec<String>) {
    // Without a mark, what the state remembers of before decides.
    let was_there = |account: &String| match marks.copies.get(&state.run) {
        Some(mark) => mark.before.contains(account),
        None => state.sharing.prior.iter().any(|p| p.as_str() == account),
    };
    // Its mark goes with its end: whom another process of the run let in, for other targets, nobody would shut out.
    let listed = marks.copies.get(&state.run).map(CopyMark::listed);
    let listed = listed.unwrap_or_default();
    let targets = state.targets.iter().map(|t| t.account_id.as_str());
    let ours: BTreeSet<&str> = targets.chain(listed).collect();
    permitted
        .into_iter()
        .filter(|a| ours.contains(a.as_str()) && !was_there(a))
        .partition(|a| marks.needed_by_others(&state.run, a))
}
