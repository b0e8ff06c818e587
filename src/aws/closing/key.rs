//! Closing a key: takes away the run's grants, its statements in the key's policy, and the grants
//! that the targets' own principals made by virtue of the run's.

use std::collections::BTreeSet;

use aws_sdk_kms::types::GrantListEntry;

use super::super::Aws;
use super::super::grants::{KeySite, account_in_run, child_grants, may_come_of_ours};
use super::Left;
use crate::error::Refusal;
use crate::ids::KeyArn;
use crate::ledger::{Attempt, Kind, Principals, Record, Run, Seen, Site};
use crate::state::SHOWN_WITHIN;

impl Aws {
    /// Takes away on a key what the record as written allows. Also returns when all of the run's
    /// grants will have shown (Unix seconds), unless they have.
    pub(super) async fn take_away_key(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        key: &KeyArn,
        record: &Record,
    ) -> Result<(Seen, Option<i64>), Left> {
        let of_key = |refusal: Refusal| vec![(key.to_string(), refusal)];
        let take = record.to_take_away_of_run(attempt);
        let mut seen = Seen {
            at: self.now(),
            ..Seen::default()
        };
        if take.is_empty() {
            return Ok((seen, None));
        }
        let mut again_at = None;
        if run.grants {
            let account = &site.account;
            let key_site = KeySite { key, account };
            let listed = self.grants(&key_site).await.map_err(of_key)?;
            let revoked = self.revoke_of_run(&key_site, &listed, &take, run);
            let revoked = revoked.await.map_err(of_key)?;
            let closing = &record.closing[attempt];
            let alone = record.of_nobody_else(&take);
            let children = child_grants(&listed, &alone, closing.opened, &run.run);
            // An instance may live by a child grant. Where the key is open to members of an
            // organization, the grant may stem from that.
            let spared = run.kind == Kind::Share || record.holds_audience();
            seen.child_grants = self
                .revoke_children(&key_site, children, spared)
                .await
                .map_err(of_key)?;
            // ListGrants may not show a new grant yet.
            let shown = closing.latest.saturating_add(SHOWN_WITHIN);
            let missing = take.accounts().any(|who| !revoked.contains(who));
            again_at = Some(shown).filter(|shown| missing && self.now() < *shown);
        }
        if record.edited {
            self.remove_statements(run, key, &take)
                .await
                .map_err(of_key)?;
        }
        seen.at = self.now();
        Ok((seen, again_at))
    }

    /// Reads a key again 15 minutes after its closing, and takes away what nobody holds. A child
    /// grant is reported, and stays.
    pub(in super::super) async fn verify_key(
        &self,
        run: &Run,
        attempt: &Attempt,
        site: &Site,
        key: &KeyArn,
        record: &Record,
    ) -> Result<Seen, Refusal> {
        let take = record.to_take_away_of_run(attempt);
        let mut seen = Seen::default();
        if run.grants {
            let account = &site.account;
            let key_site = KeySite { key, account };
            let listed = self.grants(&key_site).await?;
            seen.open = self.revoke_of_run(&key_site, &listed, &take, run).await?;
            let alone = record.of_nobody_else(&take);
            let children = child_grants(&listed, &alone, run.since, &run.run).into_iter();
            seen.child_grants = children.map(told).collect();
        }
        if record.edited && self.remove_statements(run, key, &take).await? {
            seen.open.extend(take.iter().cloned());
        }
        Ok(seen)
    }

    /// Revokes the listed grants of the run to these accounts. Returns the accounts that had one.
    async fn revoke_of_run(
        &self,
        site: &KeySite<'_>,
        listed: &[GrantListEntry],
        take: &Principals,
        run: &Run,
    ) -> Result<BTreeSet<String>, Refusal> {
        let mut had_one = BTreeSet::new();
        for grant in listed {
            let account = account_in_run(grant, &run.run).filter(|a| take.contains(a));
            if let (Some(account), Some(id)) = (account, grant.grant_id()) {
                self.revoke_grant(site, id).await?;
                had_one.insert(account.to_owned());
            }
        }
        Ok(had_one)
    }

    /// Revokes grants that the targets' own principals made, if the key's owner may. Returns the
    /// fate of each grant, in words.
    async fn revoke_children(
        &self,
        site: &KeySite<'_>,
        children: Vec<&GrantListEntry>,
        spared: bool,
    ) -> Result<BTreeSet<String>, Refusal> {
        let mut became = BTreeSet::new();
        for grant in children {
            let Some(id) = grant.grant_id() else { continue };
            let what = if spared || !may_come_of_ours(grant) {
                "left: it need not come of this run's grant".to_owned()
            } else {
                match self.revoke_grant(site, id).await {
                    Ok(()) => "revoked".to_owned(),
                    Err(refusal) if refusal.is_passing() => return Err(refusal),
                    Err(refusal) => format!("not revoked: {refusal}"),
                }
            };
            became.insert(format!("{}: {what}", told(grant)));
        }
        Ok(became)
    }
}

/// Describes a grant in words.
fn told(grant: &GrantListEntry) -> String {
    let word = |word: Option<&str>| word.unwrap_or_default().to_owned();
    let (id, issuer) = (word(grant.grant_id()), word(grant.issuing_account()));
    format!(
        "grant {id} by {issuer} to {}",
        word(grant.grantee_principal())
    )
}
