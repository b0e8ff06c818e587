//! Whether the function may open the source, and what of the source could stand in the way.

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};

use super::{Answer, answer};
use crate::aws::stage::tags_of_staged;
use crate::aws::{Actor, Aws, grants, refusal};
use crate::cause::Cause;
use crate::command::grant_prefix;
use crate::error::{Error, Refusal};
use crate::key_policy::Parties;
use crate::policy::Caller;
use crate::preflight::{Finding, Level};
use crate::request::KeyAccess;
use crate::source::Source;
use crate::state::{RunRef, State, TargetState};
use crate::step::{granted_actions, grantee};

/// KMS's code for a grantee that does not exist.
const NO_PRINCIPAL: &str = "InvalidArnException";
/// Targets whose grant is asked about, while the roles of those before do not exist.
const MOST_GRANTS: usize = 5;

impl Aws {
    /// Asks about the calls that open the source. Takes the whole state, because a key policy names
    /// all its targets.
    pub(super) async fn preflight_source(&self, state: &State, source: &Source) -> Vec<Finding> {
        let (run, targets) = (state.run_ref(), &state.targets[..]);
        let mut findings = Vec::new();
        let lasting = run.share();
        if lasting.is_none_or(|share| share.snapshots) {
            findings.extend(self.preflight_snapshots(run, targets, source).await);
        }
        if lasting.is_some() {
            findings.extend(self.preflight_image(run, targets).await);
        }
        findings.extend(self.preflight_ledger(run).await);
        findings.extend(self.preflight_staging(run, source).await);
        match run.order.key_access {
            KeyAccess::Grant => {
                let refused_already = |key: &String| {
                    source.aws_managed_keys.contains(key)
                        || source.unusable_keys.iter().any(|(arn, _)| arn == key)
                };
                let keys = run.opened_keys();
                for key in keys.iter().filter(|key| !refused_already(key)) {
                    let said = self.preflight_grants(run, targets, key).await;
                    findings.extend(refused("SourceKey", run, said));
                }
            }
            KeyAccess::Policy => findings.extend(self.preflight_policies(state).await),
            KeyAccess::None => {}
        }
        findings
    }

    async fn preflight_snapshots(
        &self,
        run: RunRef<'_>,
        targets: &[TargetState],
        source: &Source,
    ) -> Option<Finding> {
        let (actor, region) = (Actor::own(&run.source.account_id), &run.source.region);
        let from = source.snapshots.first()?;
        let account = targets.first()?.account_id.to_string();
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
        refused("ShareSnapshots", run, said)
    }

    /// Asks about the staged copy, where the request asks for one.
    async fn preflight_staging(&self, run: RunRef<'_>, source: &Source) -> Option<Finding> {
        let key = run.order.reencrypt_key.as_ref()?;
        let under = source.under(&run.source.managed_keys);
        let (from, _) = source.snapshots.iter().zip(under).find(|(_, u)| *u)?;
        let (actor, region) = (Actor::own(&run.source.account_id), &run.source.region);
        let said = self
            .ec2(&actor, region)
            .copy_snapshot()
            .dry_run(true)
            .source_region(region.as_str())
            .source_snapshot_id(from.id.as_str())
            .destination_region(region.as_str())
            .encrypted(true)
            .kms_key_id(key.as_str())
            .tag_specifications(tags_of_staged(run, &from.id))
            .send()
            .await;
        let said = said.map(drop);
        let said = said.map_err(|e| refusal("CopySnapshot", &actor.at(region), &from.id, &e));
        let Answer::Refused(refusal) = answer(said) else {
            return None;
        };
        let remedy = Cause::staging_remedy(run);
        Some(of_refusal("Staging", run, &refusal, remedy))
    }

    async fn preflight_image(&self, run: RunRef<'_>, targets: &[TargetState]) -> Option<Finding> {
        let (actor, region) = (Actor::own(&run.source.account_id), &run.source.region);
        let image = &run.source.image_id;
        let account = targets.first()?.account_id.to_string();
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
        refused("ShareImage", run, said)
    }

    /// Whether the ledger can be read: without it nothing is opened.
    async fn preflight_ledger(&self, run: RunRef<'_>) -> Option<Finding> {
        let refusal = self.run_record(run.id).await.err()?;
        let remedy = "Set AMIFERRY_BUCKET to the stack's bucket, and allow the function's role \
                      s3:GetObject, s3:PutObject and s3:DeleteObject on \
                      its objects and s3:ListBucket on it";
        Some(of_refusal("Ledger", run, &refusal, remedy.to_owned()))
    }

    /// Asks whether the function may make the grants. KMS judges a dry run as it would the call. A
    /// copy role that does not exist says nothing about the grant, and assuming it finds it: the
    /// next target is asked about.
    async fn preflight_grants(
        &self,
        run: RunRef<'_>,
        targets: &[TargetState],
        key: &str,
    ) -> Result<(), Refusal> {
        for target in targets.iter().take(MOST_GRANTS) {
            match self.preflight_grant(run, target, key).await {
                Err(refusal) if run.share().is_none() && refusal.code == NO_PRINCIPAL => {}
                said => return said,
            }
        }
        Ok(())
    }

    async fn preflight_grant(
        &self,
        run: RunRef<'_>,
        target: &TargetState,
        key: &str,
    ) -> Result<(), Refusal> {
        let actor = Actor::own(&run.source.account_id);
        let region = run.source.key_region(key);
        let account = &target.account_id;
        let answer = self
            .kms(&actor, &region)
            .create_grant()
            .dry_run(true)
            .key_id(key)
            .grantee_principal(grantee(run, target))
            .set_operations(Some(grants::operations(granted_actions(run))))
            .name(format!("{}{account}", grant_prefix(run.id)))
            .send()
            .await;
        let said = answer.map(drop);
        said.map_err(|e| refusal("CreateGrant", &actor.at(&region), key, &e))
    }

    /// Asks whether the policies can be read and have room for the statements. Writing has no dry
    /// run, so IAM is asked instead.
    async fn preflight_policies(&self, state: &State) -> Vec<Finding> {
        let (run, target) = (state.run_ref(), state.targets.first());
        let mut findings = Vec::new();
        let opened = state.opened();
        let parties = Parties::of(&opened);
        let caller = self.caller().await;
        for key in &opened.source.keys {
            if let Err(refusal) = self.would_admit(&parties, key).await {
                let remedy = match target {
                    Some(target) => Cause::of_sharing(&refusal).remedy(run, target),
                    None => Cause::sharing_remedy(run, state.sharing.refused.as_deref()),
                };
                findings.push(of_refusal("SourceKeyPolicy", run, &refusal, remedy));
                continue;
            }
            findings.extend(self.preflight_put(run, target, &caller, key).await);
        }
        findings
    }

    async fn preflight_put(
        &self,
        run: RunRef<'_>,
        target: Option<&TargetState>,
        caller: &Result<Caller, Error>,
        key: &str,
    ) -> Option<Finding> {
        let unknown = |said: String| {
            let remedy = "To have it looked at whether PutKeyPolicy is allowed, allow the \
                          function's role iam:SimulatePrincipalPolicy on itself";
            Some(at_source(
                Level::Unknown,
                "SourceKeyPolicy",
                run,
                said,
                remedy,
            ))
        };
        let role = match caller {
            Ok(caller) => caller.principals.first()?,
            Err(error) => return unknown(error.to_string()),
        };
        let actor = Actor::own(&run.source.account_id);
        let region = run.source.key_region(key);
        let put = ["kms:PutKeyPolicy"];
        let simulated = self.simulated(&actor, role, key, None, &region, &put);
        match simulated.await {
            Ok(denied) if denied.is_empty() => None,
            Ok(_) => {
                let reason =
                    format!("the policies of {role} do not allow kms:PutKeyPolicy on {key}");
                let remedy = Cause::KeyPolicyDenied.remedy(run, target?);
                Some(at_source(
                    Level::Error,
                    "SourceKeyPolicy",
                    run,
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
    run: RunRef<'_>,
    reason: String,
    remedy: impl Into<String>,
) -> Finding {
    let (account, region) = (&run.source.account_id, &run.source.region);
    Finding::of_source(level, check, Some(account), region, reason, remedy)
}

fn refused(check: &'static str, run: RunRef<'_>, said: Result<(), Refusal>) -> Option<Finding> {
    let Answer::Refused(refusal) = answer(said) else {
        return None;
    };
    let remedy = Cause::remedy_of_sharing(run, &refusal.to_string());
    Some(of_refusal(check, run, &refusal, remedy))
}

fn of_refusal(check: &'static str, run: RunRef<'_>, refusal: &Refusal, remedy: String) -> Finding {
    let level = if refusal.is_passing() {
        Level::Unknown
    } else {
        Level::Error
    };
    at_source(level, check, run, refusal.to_string(), remedy)
}
