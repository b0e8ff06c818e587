//! The traces of a grant once it is revoked.

use amiferry::error::Refusal;
use aws_sdk_kms::operation::revoke_grant::RevokeGrantError;
use aws_sdk_kms::types::{GrantListEntry, GrantOperation};

use super::Course;
use crate::live_check::copies::Copied;
use crate::live_check::fact::{Fact, Seen};
use crate::live_check::patience::Waiting;
use crate::live_check::scene::Scene;

const CHILD: Fact = Fact {
    name: "child-grants",
    claim: "A grant that the role made by virtue of its own outlives that one's revocation, and \
            the list of the key's grants shows it",
    otherwise: "Nothing is lost: a closing looks for such grants, and finds none",
};
const REVOKED: Fact = Fact {
    name: "revocation",
    claim: "Once the grants are revoked, the role can begin no copy that completes",
    otherwise: "A closed source can still be copied; do not count on the receipts of runs",
};

impl Course<'_> {
    /// Has the role make a grant of its own, revokes what it was made by, and copies again.
    pub(super) async fn granting(&mut self, told: &impl Fn(&str)) -> Result<(), Refusal> {
        told("revoking the grants");
        let seen = self.child().await;
        self.note(CHILD, seen);
        // Nothing may be left, the child neither.
        self.scene.revoke_all().await?;
        let seen = self.revoked().await;
        self.note(REVOKED, seen);
        Ok(())
    }

    async fn child(&self) -> Result<Seen, Refusal> {
        let (scene, region) = (self.scene, self.scene.check.home.as_str());
        let before = scene.grants().await?;
        let made = self
            .role
            .kms(region)
            .create_grant()
            .key_id(&scene.source_key)
            .grantee_principal(scene.check.role_arn())
            .operations(GrantOperation::Decrypt)
            .send()
            .await;
        let made = match made {
            Ok(made) => made.grant_id.unwrap_or_default(),
            Err(e) => {
                let refusal = self
                    .role
                    .refused("CreateGrant", region, &scene.source_key, &e);
                return Ok(Seen::unknown(format!("the role made none: {refusal}")));
            }
        };
        for parent in before.iter().filter_map(GrantListEntry::grant_id) {
            scene.revoke(parent).await?;
        }
        let of = |grants: &[GrantListEntry], id: &str| {
            grants.iter().any(|grant| grant.grant_id() == Some(id))
        };
        let mut waiting = Waiting::at_most(scene.check.patience);
        loop {
            let now = scene.grants().await?;
            let parents = before.iter().filter_map(GrantListEntry::grant_id);
            let gone = !parents.into_iter().any(|parent| of(&now, parent));
            if gone {
                let words = if of(&now, &made) {
                    "it is listed"
                } else {
                    "it is gone"
                };
                let after = waiting.so_far();
                return Ok(Seen::that(
                    of(&now, &made),
                    format!("{words} {after} after the revocation"),
                ));
            }
            if !waiting.goes_on().await {
                return Ok(Seen::unknown("the revoked grants are still listed"));
            }
        }
    }

    async fn revoked(&self) -> Result<Seen, Refusal> {
        let attempt = self.scene.attempt(&self.scene.check.home);
        let ended = |copied: &Copied| !copied.is_completed();
        let (copied, time) = self.scene.copy_until(&self.role, &attempt, ended).await?;
        let words = format!("{}, {time} after the revocation", copied.words());
        Ok(Seen::that(!copied.is_completed(), words))
    }
}

impl Scene {
    /// Lists the grants on the source key.
    pub(super) async fn grants(&self) -> Result<Vec<GrantListEntry>, Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let listing = source.kms(region).list_grants().key_id(&self.source_key);
        let mut pages = listing.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| source.refused("ListGrants", region, &self.source_key, &e));
            all.extend(page?.grants.unwrap_or_default());
        }
        Ok(all)
    }

    async fn revoke_all(&self) -> Result<(), Refusal> {
        for grant in self
            .grants()
            .await?
            .iter()
            .filter_map(GrantListEntry::grant_id)
        {
            self.revoke(grant).await?;
        }
        Ok(())
    }

    async fn revoke(&self, grant: &str) -> Result<(), Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let asked = source.kms(region).revoke_grant().key_id(&self.source_key);
        match asked.grant_id(grant).send().await {
            // A grant that is shown still may be gone.
            Err(e)
                if !e
                    .as_service_error()
                    .is_some_and(RevokeGrantError::is_not_found_exception) =>
            {
                Err(source.refused("RevokeGrant", region, grant, &e))
            }
            _ => Ok(()),
        }
    }
}
