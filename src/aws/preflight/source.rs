//! Whether the function may open the source, and what of the source could stand in the way.

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};

use super::{Answer, answer};
use crate::aws::key::key_region;
use crate::aws::{Aws, opening, refusal};
use crate::cause::Cause;
use crate::command::grant_prefix;
use crate::error::{Error, Refusal};
use crate::policy::Caller;
use crate::preflight::{Finding, Level};
use crate::request::KeyAccess;
use crate::source::Source;
use crate::state::State;

/// KMS says so of a grantee that does not exist.
const NO_PRINCIPAL: &str = "InvalidArnException";
/// Targets whose grant is asked about, where the roles of those before do not exist.
const MOST_GRANTS: usize = 5;

impl Aws {
    pub(super) async fn preflight_source(&self, state: &State, source: &Source) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lasting = state.order.share.as_ref();
        if lasting.is_none_or(|share| share.snapshots) {
            findings.extend(self.preflight_snapshots(state, source).await);
        }
        if lasting.is_some() {
            findings.extend(self.preflight_image(state).await);
        }
        findings.extend(self.preflight_ledger(state).await);
        findings.extend(self.preflight_staging(state, source).await);
        match state.order.key_access {
            KeyAccess::Grant => {
                let refused_already = |key: &String| {
                    source.aws_managed_keys.contains(key)
                        || source.unusable_keys.iter().any(|(arn, _)| arn == key)
                };
                let keys = state.opened_keys();
                for key in keys.iter().filter(|key| !refused_already(key)) {
                    let said = self.preflight_grants(state, key).await;
                    findings.extend(refused("SourceKey", state, said));
                }
            }
            KeyAccess::Policy => findings.extend(self.preflight_policies(state).await),
            KeyAccess::None => {}
        }
        findings
    }

    async fn preflight_snapshots(&self, state: &State, source: &Source) -> Option<Finding> {
        let (actor, region) = (Self::own(state), &state.source.region);
        let from = source.snapshots.first()?;
        let account = state.targets.first()?.account_id.to_string();
        let said = self
            .ec2(&actor, region)
            .modify_snapshot_attribute()
            .dry_run(true)
            .snapshot_id(from.id.as_str())
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .operation_type(OperationType::Add)
            .user_ids(account)
            .send()
            .await;
        let said = said.map(drop);
        let said =
            said.map_err(|e| refusal("ModifySnapshotAttribute", &actor.at(region), &from.id, &e));
        refused("ShareSnapshots", state, said)
    }

    /// The copy in the source account under a key that can be shared, where the request asks for it.
    async fn preflight_staging(&self, state: &State, source: &Source) -> Option<Finding> {
        let key = state.order.reencrypt_key.as_ref()?;
        let under = source.under(&state.source.managed_keys);
        let (from, _) = source.snapshots.iter().zip(under).find(|(_, u)| *u)?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let said = self
            .ec2(&actor, region)
            .copy_snapshot()
            .dry_run(true)
            .source_region(region.as_str())
            .source_snapshot_id(from.id.as_str())
            .destination_region(region.as_str())
            .encrypted(true)
            .kms_key_id(key.as_str())
            .tag_specifications(Self::tags_of_staged(state, &from.id))
            .send()
            .await;
        let said = said.map(drop);
        let said = said.map_err(|e| refusal("CopySnapshot", &actor.at(region), &from.id, &e));
        let Answer::Refused(refusal) = answer(said) else {
            return None;
        };
        let remedy = Cause::staging_remedy(state);
        Some(of_refusal("Staging", state, &refusal, remedy))
    }

    async fn preflight_image(&self, state: &State) -> Option<Finding> {
        let (actor, region) = (Self::own(state), &state.source.region);
        let image = &state.source.image_id;
        let account = state.targets.first()?.account_id.to_string();
        let said = self
            .ec2(&actor, region)
            .modify_image_attribute()
            .dry_run(true)
            .image_id(image.as_str())
            .attribute("launchPermission")
            .operation_type(OperationType::Add)
            .user_ids(account)
            .send()
            .await;
        let said = said.map(drop);
        let said = said.map_err(|e| refusal("ModifyImageAttribute", &actor.at(region), image, &e));
        refused("ShareImage", state, said)
    }

    /// Whether the ledger can be read: without it nothing is opened.
    async fn preflight_ledger(&self, state: &State) -> Option<Finding> {
        let refusal = self.run_record(&state.run).await.err()?;
        let remedy = "Set AMIFERRY_BUCKET to the stack's bucket, and allow the function's role s3:GetObject, s3:PutObject and s3:DeleteObject on \
                      its objects and s3:ListBucket on it";
        Some(of_refusal("Ledger", state, &refusal, remedy.to_owned()))
    }

    /// Whether the function may make the grants: KMS judges a dry run as it would the call. A copy role that does not exist is no word
    /// about the grant, and assuming it finds it: the next target is asked about.
    async fn preflight_grants(&self, state: &State, key: &str) -> Result<(), Refusal> {
        for i in 0..state.targets.len().min(MOST_GRANTS) {
            match self.preflight_grant(state, i, key).await {
                Err(refusal) if state.order.share.is_none() && refusal.code == NO_PRINCIPAL => {}
                said => return said,
            }
        }
        Ok(())
    }

    async fn preflight_grant(&self, state: &State, i: usize, key: &str) -> Result<(), Refusal> {
        let (actor, region) = (Self::own(state), key_region(state, key));
        let account = &state.targets[i].account_id;
        let answer = self
            .kms(&actor, &region)
            .create_grant()
            .dry_run(true)
            .key_id(key)
            .grantee_principal(opening::grantee(state, i))
            .set_operations(Some(opening::operations(state)))
            .name(format!("{}{account}", grant_prefix(&state.run)))
            .send()
            .await;
        let said = answer.map(drop);
        said.map_err(|e| refusal("CreateGrant", &actor.at(&region), key, &e))
    }

    /// Whether the policies can be read and hold what is to be put in. Writing has no dry run: IAM is asked instead.
    async fn preflight_policies(&self, state: &State) -> Vec<Finding> {
        let mut findings = Vec::new();
        let opened = state.opened();
        let caller = self.caller().await;
        for key in &opened.source.keys {
            if let Err(refusal) = self.would_admit(&opened, key).await {
                let remedy = match state.targets.first() {
                    Some(target) => Cause::of_sharing(&refusal).remedy(state, target),
                    None => Cause::sharing_remedy(state),
                };
                findings.push(of_refusal("SourceKeyPolicy", state, &refusal, remedy));
                continue;
            }
            findings.extend(self.preflight_put(state, &caller, key).await);
        }
        findings
    }

    async fn preflight_put(
        &self,
        state: &State,
        caller: &Result<Caller, Error>,
        key: &str,
    ) -> Option<Finding> {
        let unknown = |said: String| {
            let remedy = "To have it looked at whether PutKeyPolicy is allowed, allow the function's role iam:SimulatePrincipalPolicy on itself";
            Some(at_source(
                Level::Unknown,
                "SourceKeyPolicy",
                state,
                said,
                remedy,
            ))
        };
        let role = match caller {
            Ok(caller) => caller.principals.first()?,
            Err(error) => return unknown(error.to_string()),
        };
        let (actor, region) = (Self::own(state), key_region(state, key));
        let put = ["kms:PutKeyPolicy"];
        let simulated = self.simulated(&actor, role, key, None, &region, &put);
        match simulated.await {
            Ok(denied) if denied.is_empty() => None,
            Ok(_) => {
                let reason =
                    format!("the policies of {role} do not allow kms:PutKeyPolicy on {key}");
                let target = state.targets.first()?;
                let remedy = Cause::KeyPolicyDenied.remedy(state, target);
                Some(at_source(
                    Level::Error,
                    "SourceKeyPolicy",
                    state,
                    reason,
                    remedy,
                ))
            }
            Err(refusal) => unknown(refusal.to_string()),
        }
    }
}

fn at_source(
    level: Level,
    check: &'static str,
    state: &State,
    reason: String,
    remedy: impl Into<String>,
) -> Finding {
    let (account, region) = (&state.source.account_id, &state.source.region);
    Finding::of_source(level, check, Some(account), region, reason, remedy)
}

fn refused(check: &'static str, state: &State, said: Result<(), Refusal>) -> Option<Finding> {
    let Answer::Refused(refusal) = answer(said) else {
        return None;
    };
    let remedy = Cause::remedy_of_sharing(state, &refusal.to_string());
    Some(of_refusal(check, state, &refusal, remedy))
}

fn of_refusal(check: &'static str, state: &State, refusal: &Refusal, remedy: String) -> Finding {
    let level = if refusal.is_passing() {
        Level::Unknown
    } else {
        Level::Error
    };
    at_source(level, check, state, refusal.to_string(), remedy)
}
