//! Letting service-linked roles launch: a grant for each on the key that the image's snapshots are
//! encrypted under, made by the target's session, because KMS wants it made in the account whose
//! role it is for (EC2 Auto Scaling user guide, required KMS key policy). On the target's own key
//! after a copy, on each source key after a share.
//!
//! An equal grant is looked for first, whoever made it. Only the owner of a key may list its
//! grants: the target its own, the function those of the source.

use aws_sdk_kms::types::{GrantConstraints, GrantListEntry, KeyManagerType};
use futures::future::join_all;

use super::visit::Visit;
use super::{Actor, Aws, grants, refusal};
use crate::command::{Granted, grant_prefix, launch_grant_name};
use crate::error::Refusal;
use crate::ids::Region;
use crate::kms::LAUNCHING;
use crate::service_linked_role::ServiceLinkedRole;

mod keys;
mod role;
mod unneeded;

pub use keys::KeyToLaunch;

/// One wanted grant.
struct Wish<'a> {
    role: &'a ServiceLinkedRole,
    key: &'a str,
    region: Region,
}

/// The result of one wanted grant.
enum Made {
    There,
    /// KMS knows no such role.
    Unknown(Refusal),
    Refused(Refusal),
}

impl Aws {
    /// Makes the grants that the service-linked roles need in a target, and revokes those of roles
    /// that an update took off the list.
    pub(super) async fn let_launch(&self, visit: &Visit<'_>) -> Result<Granted, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let keys: Vec<(&str, Region)> = if run.share().is_some() {
            let source = run.source.keys.iter();
            source.map(|key| (key.as_str(), key.region())).collect()
        } else {
            let key = target.kms_key_id.as_str();
            if self
                .is_aws_managed(&visit.actor, &target.region, key)
                .await?
            {
                // The policy of that key lets every principal of the account use it through EC2.
                return Ok(Granted::Done(Vec::new()));
            }
            vec![(key, target.region.clone())]
        };
        let wishes = wishes(&run.order.service_linked_roles, &keys);
        let granting = wishes.iter().map(|wish| self.grant_launch(visit, wish));
        let made = join_all(granting).await;
        let mut unknown: Vec<(&ServiceLinkedRole, Refusal)> = Vec::new();
        let mut passing = None;
        for (wish, made) in wishes.iter().zip(made) {
            match made {
                Made::There => {}
                Made::Unknown(refusal) => {
                    if !unknown.iter().any(|(role, _)| *role == wish.role) {
                        unknown.push((wish.role, refusal));
                    }
                }
                Made::Refused(refusal) if refusal.is_passing() => passing = Some(refusal),
                Made::Refused(refusal) => return Err(refusal),
            }
        }
        if let Some((_, first)) = unknown.first() {
            let (first, roles) = (first.clone(), unknown.iter().map(|(role, _)| *role));
            return self.make_roles(visit, roles.collect(), first).await;
        }
        match passing {
            Some(refusal) => Err(refusal),
            None => self.end_launches(visit).await,
        }
    }

    async fn is_aws_managed(
        &self,
        actor: &Actor,
        region: &Region,
        key: &str,
    ) -> Result<bool, Refusal> {
        let answer = self
            .kms(actor, region)
            .describe_key()
            .key_id(key)
            .send()
            .await;
        let answer = answer.map_err(|e| refusal("DescribeKey", &actor.at(region), key, &e))?;
        let manager = answer.key_metadata().and_then(|key| key.key_manager());
        Ok(manager == Some(&KeyManagerType::Aws))
    }

    async fn grant_launch(&self, visit: &Visit<'_>, wish: &Wish<'_>) -> Made {
        let (target, actor) = (visit.target, &visit.actor);
        let grantee = wish.role.arn(target.region.partition(), &target.account_id);
        match self.has_grant(visit, wish, &grantee).await {
            Ok(true) => return Made::There,
            Ok(false) => {}
            Err(refusal) => return Made::Refused(refusal),
        }
        let answer = self
            .kms(actor, &wish.region)
            .create_grant()
            .key_id(wish.key)
            .grantee_principal(&grantee)
            .set_operations(Some(grants::operations(&LAUNCHING)))
            .name(launch_grant_name(visit.run, target, wish.role))
            .send()
            .await;
        let what = format!("{} for {}", wish.key, wish.role.role_name());
        let at = actor.at(&wish.region);
        match answer.map_err(|e| refusal("CreateGrant", &at, what, &e)) {
            Ok(_) => Made::There,
            // Of the two ARNs, the key's has been used before.
            Err(refusal) if refusal.code == "InvalidArnException" => Made::Unknown(refusal),
            Err(refusal) => Made::Refused(refusal),
        }
    }

    /// Whether a grant that is there already gives the role all that it needs.
    async fn has_grant(
        &self,
        visit: &Visit<'_>,
        wish: &Wish<'_>,
        grantee: &str,
    ) -> Result<bool, Refusal> {
        let own = Actor::own(&visit.run.source.account_id);
        let lister = match visit.run.share() {
            Some(_) => &own,
            None => &visit.actor,
        };
        let mut pages = self
            .kms(lister, &wish.region)
            .list_grants()
            .key_id(wish.key)
            .grantee_principal(grantee)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let at = lister.at(&wish.region);
            let page = page.map_err(|e| refusal("ListGrants", &at, wish.key, &e))?;
            let mut grants = page.grants.into_iter().flatten();
            if grants.any(|grant| suffices(&grant, grantee, visit.run.id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Pairs each role with each key.
fn wishes<'a>(roles: &'a [ServiceLinkedRole], keys: &[(&'a str, Region)]) -> Vec<Wish<'a>> {
    let of_role = |role: &'a ServiceLinkedRole| {
        keys.iter().map(move |(key, region)| Wish {
            role,
            key,
            region: region.clone(),
        })
    };
    roles.iter().flat_map(of_role).collect()
}

/// Whether a grant lets its grantee launch, for as long as this run wants it: that of another run's
/// share goes with that.
fn suffices(grant: &GrantListEntry, grantee: &str, run: &str) -> bool {
    let name = grant.name().unwrap_or_default();
    let of_a_share = name.starts_with("amiferry-") && name.contains('/');
    gives_launch(grant, grantee) && (!of_a_share || name.starts_with(&grant_prefix(run)))
}

/// Whether a grant lets its grantee launch, without conditions.
fn gives_launch(grant: &GrantListEntry, grantee: &str) -> bool {
    let free = |constraints: &GrantConstraints| {
        constraints.encryption_context_equals().is_none()
            && constraints.encryption_context_subset().is_none()
            && constraints.source_arn().is_none()
    };
    grant.grantee_principal() == Some(grantee)
        && grants::operations(&LAUNCHING)
            .iter()
            .all(|needed| grant.operations().contains(needed))
        && grant.constraints().is_none_or(free)
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::GrantOperation;

    use super::*;

    const GRANTEE: &str = "arn:aws:iam::222222222222:role/aws-service-role/spot.amazonaws.com/\
                           AWSServiceRoleForEC2Spot";

    fn all() -> Vec<GrantOperation> {
        grants::operations(&LAUNCHING)
    }

    fn grant(name: &str, operations: &[GrantOperation]) -> GrantListEntry {
        GrantListEntry::builder()
            .name(name)
            .grantee_principal(GRANTEE)
            .set_operations(Some(operations.to_vec()))
            .build()
    }

    #[test]
    fn a_grant_suffices_whoever_made_it_if_it_allows_all_without_a_condition() {
        let run = "0123456789abcdef";
        let good = grant("", &all());
        assert!(suffices(&good, GRANTEE, run));
        assert!(suffices(&grant("by-hand", &all()), GRANTEE, run));
        assert!(!suffices(&good, "arn:aws:iam::222222222222:root", run));
        for left_out in 0..LAUNCHING.len() {
            let mut operations = all();
            let without = operations.remove(left_out);
            assert!(
                !suffices(&grant("", &operations), GRANTEE, run),
                "{without:?}"
            );
        }
        let mut bound = good.clone();
        bound.constraints = Some(GrantConstraints::builder().build());
        assert!(suffices(&bound, GRANTEE, run), "nothing is asked");
        let context = GrantConstraints::builder().encryption_context_subset("aws:ebs:id", "vol-1");
        bound.constraints = Some(context.build());
        assert!(!suffices(&bound, GRANTEE, run));
    }

    #[test]
    fn another_runs_share_ends_with_that_run() {
        let run = "0123456789abcdef";
        let of = |run: &str| grant(&format!("amiferry-{run}-222222222222/x"), &all());
        assert!(suffices(&of(run), GRANTEE, run));
        assert!(!suffices(&of("fedcba9876543210"), GRANTEE, run));
        assert!(suffices(&grant("amiferry-launch-x", &all()), GRANTEE, run));
    }
}
