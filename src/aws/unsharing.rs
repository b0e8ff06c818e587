//! Ending a lasting share: the records say to whom the run holds the source open, and closing works
//! as [`super::closing`] does.

use std::collections::BTreeSet;

use super::Aws;
use super::closing::revoked;
use super::grants::{KeySite, name_in_run};
use crate::command::{Left, Revoked};
use crate::error::Refusal;
use crate::ids::KeyArn;
use crate::key_policy::Parties;
use crate::ledger::{Principals, Resource, Run, Site, short_name};
use crate::request::KeyAccess;
use crate::state::{RunRef, Share, State};
use crate::step::Ends;

impl Aws {
    /// Closes a lasting share to the principals with whom it ends. Takes the whole state: the
    /// request lists all its targets, and the principals that it does not list lose the share.
    ///
    /// Statements that others undid are put back only where the keys are `known` to be the image's:
    /// a state may come from anybody who may call, and closing opens nothing on its word.
    pub(super) async fn take_back(
        &self,
        state: &State,
        share: &Share,
        known: bool,
    ) -> Result<Revoked, Refusal> {
        let ends = Ends::of(state, share);
        let run = self.run_record(&state.run).await?;
        let run = run.unwrap_or_else(|| state.as_run());
        let (mut left, mut receipts, mut again_at) = (Left::new(), Vec::new(), None);
        let named = state.as_run().resources;
        for site in sites(&run, named) {
            match self.close_gone(&run, &site, &ends).await {
                Ok(closed) => {
                    for one in closed {
                        again_at = again_at.max(one.again_at);
                        receipts.push(one.receipt);
                    }
                }
                Err(of_site) => left.extend(of_site),
            }
        }
        if let Err(refusal) = self.add_receipts(&run.run, receipts).await {
            left.push((format!("run {}", run.run), refusal));
        }
        let parties = Parties::of(state);
        for key in &state.source.keys {
            let settled = self.settle_key(&run, parties, share, &ends, key, known);
            if let Err(refusal) = settled.await {
                left.push((key.to_string(), refusal));
            }
        }
        Ok(revoked(left, again_at))
    }

    /// Closes one resource to the principals that the run holds it open to, and whose share ends.
    async fn close_gone(
        &self,
        run: &Run,
        site: &Site,
        ends: &Ends<'_>,
    ) -> Result<Vec<super::closing::ClosedResource>, Left> {
        let of_site = |refusal: Refusal| vec![(site.resource.name().to_owned(), refusal)];
        let record = self
            .opening_record(site.resource.name())
            .await
            .map_err(of_site)?;
        let Some(record) = record else {
            return Ok(Vec::new());
        };
        let own = ends.attempt();
        let superseded = run.attempt > own.number;
        let gone: Principals = record.held_by_run(&run.run).filter(|who| {
            // A later request lists its own principals.
            if superseded && run.lists(who) {
                return false;
            }
            let who = short_name(who);
            match site.resource {
                Resource::Image(_) => ends.on_image(who),
                Resource::Snapshot(_) => ends.on_snapshots(who),
                Resource::Key(_) => ends.on_keys(who),
            }
        });
        let mut closed = Vec::new();
        for attempt in record.attempts_of(&run.run, false) {
            if run.attempt != 0 && attempt.number > own.number {
                continue;
            }
            closed.extend(
                self.close_resource(run, &attempt, site, Some(&gone), false)
                    .await?,
            );
        }
        Ok(closed)
    }

    /// Settles a key for the principals that stay: takes away the run's access in a way that the
    /// request does not name any more. Such access is a grant to a role that is off its list,
    /// grants beside statements, or statements beside grants.
    async fn settle_key(
        &self,
        run: &Run,
        parties: Parties<'_>,
        share: &Share,
        ends: &Ends<'_>,
        key: &KeyArn,
        known: bool,
    ) -> Result<(), Refusal> {
        let other_way = parties.run().order.key_access != KeyAccess::Grant;
        if run.grants && (share.only || other_way) {
            self.revoke_gone(parties.run(), share, ends, key).await?;
        }
        let record = self.opening_record(key.as_str()).await?;
        if let Some(record) = record.filter(|record| record.edited) {
            let own = ends.attempt();
            let is_gone = |who: &str| {
                ends.by_key_access(KeyAccess::Policy, who) && !record.held_later(&own, who)
            };
            self.settle_share(&parties, key, &is_gone, known).await?;
        }
        Ok(())
    }

    async fn revoke_gone(
        &self,
        of: RunRef<'_>,
        share: &Share,
        ends: &Ends<'_>,
        key: &KeyArn,
    ) -> Result<(), Refusal> {
        let roles = &of.order.service_linked_roles;
        let asked_for = |word: &str| roles.iter().any(|role| role.in_grant_name() == word);
        let is_gone = |name: &str| match name.split_once('/') {
            None => ends.by_key_access(KeyAccess::Grant, name),
            // A grant that a target made for a service-linked role. Only a request that is the
            // whole list takes it from principals that stay.
            Some((who, role)) => ends.by_launch_grants(who) || (share.only && !asked_for(role)),
        };
        let site = KeySite {
            key,
            account: &of.source.account_id,
        };
        for grant in self.grants(&site).await? {
            if name_in_run(&grant, of.id).is_some_and(is_gone)
                && let Some(id) = grant.grant_id()
            {
                self.revoke_grant(&site, id).await?;
            }
        }
        Ok(())
    }
}

/// Returns every resource that the run may hold: as the ledger has it, and as the state names it.
fn sites(run: &Run, named: BTreeSet<String>) -> Vec<Site> {
    let mut run = run.clone();
    run.resources.extend(named);
    let mut seen = BTreeSet::new();
    let sites = run.sites().into_iter();
    sites
        .filter(|site| seen.insert(site.resource.clone()))
        .collect()
}
