//! Grants to launch that nobody needs any more: those named by us on a key of a target under which
//! no copy stands, or for a role that an update took off the list.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, Snapshot};
use serde_json::json;

use crate::aws::visit::Visit;
use crate::aws::{Aws, copies, refusal};
use crate::command::{Granted, LAUNCH_PREFIX, launch_grant_name, tag};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{KeyArn, SnapshotId};
use crate::ledger::needs_launch;

impl Aws {
    /// The keys under which these copies and further ones of this target may be. Asked before the
    /// copies go, because they tell it best: an alias may have moved since.
    pub(in crate::aws) async fn keys_of(
        &self,
        visit: &Visit<'_>,
        copies: &[Snapshot],
    ) -> Result<BTreeSet<KeyArn>, Refusal> {
        let target = visit.target;
        if !visit.run.order.has_launch_grants() {
            return Ok(BTreeSet::new());
        }
        let mut keys: BTreeSet<KeyArn> = copies
            .iter()
            .filter_map(|copy| KeyArn::parse(copy.kms_key_id()?).ok())
            .filter(|key| key.account() == target.account_id)
            .collect();
        if let Some(key) = target.kms_key_id.arn() {
            keys.insert(key);
            return Ok(keys);
        }
        match self.target_key(&visit.actor, target).await {
            Ok(key) => drop(keys.insert(key)),
            Err(refusal) if refusal.is_passing() => return Err(refusal),
            // Gone, or no longer for this role to see.
            Err(_) => {}
        }
        Ok(keys)
    }

    /// Revokes them on these keys, but where a copy stands other than those just deleted, which may
    /// still be listed. Returns the keys that are left with a grant.
    pub(in crate::aws) async fn revoke_unneeded(
        &self,
        visit: &Visit<'_>,
        keys: BTreeSet<KeyArn>,
        deleted: &[SnapshotId],
    ) -> Result<Vec<(String, Refusal)>, Refusal> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ours = Filter::builder().name("tag-key").values(tag::KEY).build();
        let listed = copies::own_snapshots(&visit.ec2, &visit.at, ours).await?;
        let stand: BTreeSet<&str> = listed
            .iter()
            .filter(|copy| {
                let id = copy.snapshot_id().unwrap_or_default();
                !deleted.iter().any(|gone| gone.as_str() == id)
            })
            .filter_map(Snapshot::kms_key_id)
            .collect();
        let mut left = Vec::new();
        for key in keys {
            if stand.contains(key.as_str()) {
                continue;
            }
            let any = |name: &str| name.starts_with(LAUNCH_PREFIX);
            match self.revoke_launch_grants(visit, key.as_str(), &any).await {
                Err(refusal) if refusal.is_passing() => return Err(refusal),
                Err(refusal) if no_grants_of_ours(&refusal) => {}
                Err(refusal) => left.push((key.into(), refusal)),
                Ok(()) => {}
            }
        }
        Ok(left)
    }

    /// Revokes the grants on a target's own key of the roles that an update took off the list, but
    /// where another run asks for them or may: copies of a run that the ledger does not have may be
    /// in use.
    pub(super) async fn end_launches(&self, visit: &Visit<'_>) -> Result<Granted, Refusal> {
        let (run, target) = (visit.run, visit.target);
        if run.share().is_some() || run.order.ended_roles.is_empty() {
            return Ok(Granted::Done(Vec::new()));
        }
        let key = target.kms_key_id.as_str();
        let runs = self.all_runs().await?;
        let ours = Filter::builder().name("tag-key").values(tag::KEY).build();
        let copies = copies::own_snapshots(&visit.ec2, &visit.at, ours).await?;
        let under = copies.iter().filter(|copy| copy.kms_key_id() == Some(key));
        let makers: Vec<&str> = under.map(made_by).collect();
        let place = (target.account_id.as_str(), target.region.as_str());
        let mut kept = Vec::new();
        for role in &run.order.ended_roles {
            let by = needs_launch(runs, run.id, &json!(role), place, &makers);
            if let Some(by) = by {
                let role = role.role_name();
                kept.push(format!(
                    "the grant for {role} on {key} stays: run {by} counts on it"
                ));
                continue;
            }
            let name = launch_grant_name(run, target, role);
            let its = |other: &str| other == name;
            self.revoke_launch_grants(visit, key, &its).await?;
        }
        Ok(Granted::Done(kept))
    }

    async fn revoke_launch_grants(
        &self,
        visit: &Visit<'_>,
        key: &str,
        is_named: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), Refusal> {
        let (kms, at) = (self.kms(&visit.actor, &visit.target.region), &visit.at);
        let mut pages = kms.list_grants().key_id(key).into_paginator().send();
        let mut ours = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("ListGrants", at, key, &e))?;
            let grants = page.grants.into_iter().flatten();
            let named = grants.filter(|g| g.name().is_some_and(is_named));
            ours.extend(named.filter_map(|grant| grant.grant_id));
        }
        for grant in ours {
            let answer = kms.revoke_grant().key_id(key).grant_id(&grant).send().await;
            let what = format!("{key} grant {grant}");
            match answer.map_err(|e| refusal("RevokeGrant", at, what, &e)) {
                Err(refusal) if refusal.kind() != RefusalKind::NotFound => return Err(refusal),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The run that a snapshot says it was made by; empty if it does not say.
fn made_by(copy: &Snapshot) -> &str {
    let mut tags = copy.tags().iter();
    let run = tags.find(|tag| tag.key() == Some(tag::RUN));
    run.and_then(|tag| tag.value()).unwrap_or_default()
}

/// No key, no grants; and who may not list them has made none, because making begins with listing.
fn no_grants_of_ours(refusal: &Refusal) -> bool {
    refusal.operation == "ListGrants"
        && matches!(refusal.kind(), RefusalKind::NotFound | RefusalKind::Denied)
}
