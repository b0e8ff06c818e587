//! Grants on the source keys: made for copy roles and accounts, listed, and revoked by the name of
//! their run. A child grant, which another account's principal made by virtue of such a grant,
//! outlives it: child grants are found by their issuer.

use aws_sdk_kms::types::{GrantListEntry, GrantOperation};
use aws_smithy_types::DateTime;

use super::{Actor, Aws, refusal};
use crate::command::grant_prefix;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{AccountId, KeyArn};
use crate::kms::{self, Arn};
use crate::ledger::Principals;

/// Returns these actions as a grant's operations.
pub fn operations(actions: &[&str]) -> Vec<GrantOperation> {
    let names = actions.iter().map(|action| kms::operation(action));
    names.map(GrantOperation::from).collect()
}

/// A source key, with the account of the calls about its grants.
pub struct KeySite<'a> {
    pub key: &'a KeyArn,
    pub account: &'a AccountId,
}

impl Aws {
    pub(super) async fn make_grant(
        &self,
        site: &KeySite<'_>,
        grantee: &str,
        name: String,
        actions: &[&str],
    ) -> Result<(), Refusal> {
        let (actor, region) = (Actor::own(site.account), site.key.region());
        self.kms(&actor, &region)
            .create_grant()
            .key_id(site.key.as_str())
            .grantee_principal(grantee)
            .set_operations(Some(operations(actions)))
            .name(name)
            .send()
            .await
            .map_err(|e| refusal("CreateGrant", &actor.at(&region), site.key, &e))?;
        Ok(())
    }

    /// Lists all grants on a key. KMS may show them a minute late. A key that is gone has none.
    pub(super) async fn grants(&self, site: &KeySite<'_>) -> Result<Vec<GrantListEntry>, Refusal> {
        let (actor, region) = (Actor::own(site.account), site.key.region());
        let listing = self.kms(&actor, &region).list_grants();
        let mut pages = listing.key_id(site.key.as_str()).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("ListGrants", &actor.at(&region), site.key, &e));
            let page = match page {
                Err(refusal) if refusal.kind() == RefusalKind::NotFound => return Ok(Vec::new()),
                other => other?,
            };
            all.extend(page.grants.unwrap_or_default());
        }
        Ok(all)
    }

    /// Revokes one grant. A grant that is gone counts as revoked.
    pub(super) async fn revoke_grant(
        &self,
        site: &KeySite<'_>,
        grant: &str,
    ) -> Result<(), Refusal> {
        let (actor, region) = (Actor::own(site.account), site.key.region());
        let answer = self
            .kms(&actor, &region)
            .revoke_grant()
            .key_id(site.key.as_str())
            .grant_id(grant)
            .send()
            .await;
        let what = format!("{} grant {grant}", site.key);
        match answer.map_err(|e| refusal("RevokeGrant", &actor.at(&region), what, &e)) {
            Err(refusal) if refusal.kind() != RefusalKind::NotFound => Err(refusal),
            _ => Ok(()),
        }
    }
}

/// Returns the name of a grant behind the run's prefix: an account, or an account, a slash and its
/// role. `None` for a grant of no run or another run.
pub fn name_in_run<'a>(grant: &'a GrantListEntry, run: &str) -> Option<&'a str> {
    grant.name()?.strip_prefix(grant_prefix(run).as_str())
}

/// Returns the account of a grant of this run.
pub fn account_in_run<'a>(grant: &'a GrantListEntry, run: &str) -> Option<&'a str> {
    name_in_run(grant, run)?.split('/').next()
}

/// Returns the grants that principals of these accounts made themselves, since a time (Unix
/// seconds), and not by this function's order.
///
/// EC2 makes such grants for a copy or a volume and retires them. Another principal with a grant
/// for CreateGrant may have made others.
pub fn child_grants<'a>(
    grants: &'a [GrantListEntry],
    of: &Principals,
    since: i64,
    run: &str,
) -> Vec<&'a GrantListEntry> {
    let issuer = |grant: &GrantListEntry| {
        let issuer = grant.issuing_account().unwrap_or_default();
        Arn::parse(issuer)
            .map_or(issuer, |arn| arn.account)
            .to_owned()
    };
    let made = |grant: &GrantListEntry| grant.creation_date().map_or(i64::MAX, DateTime::secs);
    grants
        .iter()
        .filter(|grant| of.contains(&issuer(grant)) && made(grant) >= since)
        .filter(|grant| name_in_run(grant, run).is_none())
        // Grants of other runs go with those runs.
        .filter(|grant| {
            !grant
                .name()
                .is_some_and(|name| name.starts_with("amiferry-"))
        })
        .collect()
}

/// Whether a grant can stem from a run's grant: it allows no more than that one. A grant to EC2's
/// own infrastructure is for a volume, and ends with it.
pub fn may_come_of_ours(grant: &GrantListEntry) -> bool {
    let grantee = grant.grantee_principal().unwrap_or_default();
    let ours = operations(&kms::COPYING);
    grant.operations().iter().all(|o| ours.contains(o))
        && !grantee.contains("assumed-role/aws:ec2-infrastructure/")
}
