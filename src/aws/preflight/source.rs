//! Whether the function may open the source, and what of the source could stand in the way.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};
use futures::future::join_all;

use super::{Answer, answer};
use crate::aws::permission::BATCH;
use crate::aws::stage::tags_of_staged;
use crate::aws::{Actor, Aws, grants, refusal};
use crate::cause::Cause;
use crate::command::grant_prefix;
use crate::error::{Error, Refusal};
use crate::ids::KeyArn;
use crate::key_policy::Parties;
use crate::policy::Caller;
use crate::preflight::{Finding, Level};
use crate::request::KeyAccess;
use crate::source::Source;
use crate::state::{RunRef, Stage, State, TargetState};
use crate::step::{granted_actions, grantee};

/// KMS's code for a grantee that does not exist.
const NO_PRINCIPAL: &str = "InvalidArnException";
/// Grants that are asked about at once: KMS takes 50 calls a second from all of the account.
const GRANTS_AT_ONCE: usize = 2;

impl Aws {
    /// Asks about the calls that open the source. Takes the whole state, because a key policy names
    /// all its targets.
    pub(super) async fn preflight_source(&self, state: &State, source: &Source) -> Vec<Finding> {
        let (run, targets) = (state.run_ref(), &state.targets[..]);
        let of = |stage: Option<usize>| -> Vec<TargetState> {
            let of_stage = |target: &&TargetState| run.stage_of(target) == stage;
            targets.iter().filter(of_stage).cloned().collect()
        };
        let mut findings = Vec::new();
        let lasting = run.share();
        if lasting.is_none_or(|share| share.snapshots) {
            // Staged copies are not there yet; those beside the source are opened as it is.
            let mut near = of(None);
            near.extend(run.home_stage().into_iter().flat_map(|home| of(Some(home))));
            findings.extend(self.preflight_snapshots(run, &near, source).await);
        }
        if lasting.is_some() {
            findings.extend(self.preflight_image(run, targets).await);
        }
        findings.extend(self.preflight_ledger(run).await);
        for stage in run.stages() {
            findings.extend(self.preflight_staging(run, source, stage).await);
        }
        match run.order.key_access {
            KeyAccess::Grant => {
                let refused_already = |key: &KeyArn| {
                    source.aws_managed_keys.contains(key)
                        || source.unusable_keys.iter().any(|(arn, _)| arn == key)
                };
                let stages = [None].into_iter().chain((0..run.stages().len()).map(Some));
                for stage in stages {
                    let (keys, of_stage) = (run.opened_keys(stage), of(stage));
                    for key in keys.iter().filter(|key| !refused_already(key)) {
                        findings.extend(self.preflight_grants(run, &of_stage, key).await);
                    }
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
        for some in other_accounts(run, targets).chunks(BATCH) {
            let said = self
                .ec2(&actor, region)
                .modify_snapshot_attribute()
                .dry_run(true)
                .snapshot_id(from.id.as_str())
                .attribute(SnapshotAttributeName::CreateVolumePermission)
                .operation_type(OperationType::Add)
                .set_user_ids(Some(some.to_vec()))
                .send()
                .await;
            let said = said
                .map(drop)
                .map_err(|e| refusal("ModifySnapshotAttribute", &actor.at(region), &from.id, &e));
            if let Some(found) = refused("ShareSnapshots", run, said) {
                return Some(found);
            }
        }
        None
    }

    /// Asks about a staged copy.
    async fn preflight_staging(
        &self,
        run: RunRef<'_>,
        source: &Source,
        stage: Stage<'_>,
    ) -> Option<Finding> {
        let Stage { region, key } = stage;
        let under = source.under(&run.source.managed_keys);
        let away = *region != run.source.region;
        let mut snapshots = source.snapshots.iter().zip(under);
        let (from, _) = snapshots.find(|(_, managed)| away || *managed)?;
        let actor = Actor::own(&run.source.account_id);
        let said = self
            .ec2(&actor, region)
            .copy_snapshot()
            .dry_run(true)
            .source_region(run.source.region.as_str())
            .source_snapshot_id(from.id.as_str())
            .destination_region(region.as_str())
            .encrypted(true)
            .kms_key_id(key.as_str())
            .tag_specifications(tags_of_staged(run, &from.id, stage))
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
        for some in other_accounts(run, targets).chunks(BATCH) {
            let said = self
                .ec2(&actor, region)
                .modify_image_attribute()
                .dry_run(true)
                .image_id(image.as_str())
                .attribute("launchPermission")
                .operation_type(OperationType::Add)
                .set_user_ids(Some(some.to_vec()))
                .send()
                .await;
            let said = said
                .map(drop)
                .map_err(|e| refusal("ModifyImageAttribute", &actor.at(region), image, &e));
            if let Some(found) = refused("ShareImage", run, said) {
                return Some(found);
            }
        }
        None
    }

    /// Whether the ledger can be read: without it nothing is opened.
    async fn preflight_ledger(&self, run: RunRef<'_>) -> Option<Finding> {
        let refusal = self.run_record(run.id).await.err()?;
        let remedy = "Set AMIFERRY_BUCKET to the stack's bucket, and allow the function's role \
                      s3:GetObject, s3:PutObject and s3:DeleteObject on \
                      its objects and s3:ListBucket on it";
        Some(of_refusal("Ledger", run, &refusal, remedy.to_owned()))
    }

    /// Asks whether the function may make the grants, one for each account: a policy may name the
    /// grantees. KMS judges a dry run as it would the call. A copy role that does not exist says
    /// nothing about the grant, and assuming it finds it.
    async fn preflight_grants(
        &self,
        run: RunRef<'_>,
        targets: &[TargetState],
        key: &KeyArn,
    ) -> Vec<Finding> {
        let grantees: BTreeMap<String, &TargetState> = targets
            .iter()
            .filter(|target| target.account_id != run.source.account_id)
            .map(|target| (grantee(run, target), target))
            .collect();
        let grantees: Vec<&TargetState> = grantees.into_values().collect();
        let mut answers = Vec::new();
        for some in grantees.chunks(GRANTS_AT_ONCE) {
            let asking = some
                .iter()
                .map(|target| self.preflight_grant(run, target, key));
            answers.extend(some.iter().copied().zip(join_all(asking).await));
        }
        let known = answers
            .into_iter()
            .filter_map(|(target, said)| match answer(said) {
                Answer::Refused(refusal)
                    if run.share().is_none() && refusal.code == NO_PRINCIPAL =>
                {
                    None
                }
                Answer::Refused(refusal) => Some((target, Some(refusal))),
                Answer::Would | Answer::NotYet => Some((target, None)),
            });
        let (refused, made): (Vec<_>, Vec<_>) = known.partition(|(_, said)| said.is_some());
        let refused = refused
            .into_iter()
            .filter_map(|(target, said)| Some((target, said?)));
        let told = refused.map(|(target, refusal)| {
            let remedy = Cause::remedy_of_sharing(run, &refusal.to_string());
            if made.is_empty() {
                return of_refusal("SourceKey", run, &refusal, remedy);
            }
            let reason = refusal.to_string();
            Finding::of_target(Level::of(&refusal), "SourceKey", target, reason, remedy)
        });
        // Where the function may make none, the first refusal speaks for all.
        told.take(if made.is_empty() { 1 } else { usize::MAX })
            .collect()
    }

    async fn preflight_grant(
        &self,
        run: RunRef<'_>,
        target: &TargetState,
        key: &KeyArn,
    ) -> Result<(), Refusal> {
        let actor = Actor::own(&run.source.account_id);
        let region = key.region();
        let account = &target.account_id;
        let answer = self
            .kms(&actor, &region)
            .create_grant()
            .dry_run(true)
            .key_id(key.as_str())
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
        let opened = state.opened(run.home_stage());
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
        key: &KeyArn,
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
        let region = key.region();
        let put = ["kms:PutKeyPolicy"];
        let simulated = self.simulated(&actor, role, key.as_str(), None, &region, &put);
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
    at_source(Level::of(refusal), check, run, refusal.to_string(), remedy)
}

/// Returns the accounts that the source is to be opened to, each once.
fn other_accounts(run: RunRef<'_>, targets: &[TargetState]) -> Vec<String> {
    let accounts = targets.iter().map(|target| &target.account_id);
    let others: BTreeSet<String> = accounts
        .filter(|account| **account != run.source.account_id)
        .map(ToString::to_string)
        .collect();
    others.into_iter().collect()
}
