//! Looking at the targets, and asking AWS what it would say, before anything is changed. Every call
//! here reads, or is sent with `DryRun`. What AWS does not let this function look at is told as
//! unknown, never taken for good.

use aws_sdk_ec2::types::{Filter, Image, ResourceType};
use futures::stream::{self, StreamExt};

use super::naming::{self, Holder};
use super::visit::Visit;
use super::{Aws, copies, image, refusal, register, tags, whole_image};
use crate::cause::Cause;
use crate::command::copy_key;
use crate::error::{Refusal, RefusalKind};
use crate::preflight::{Finding, Level, session_policy};
use crate::source::Source;
use crate::state::{RunRef, State, TargetState};

mod allowed;
mod keys;
mod roles;
mod source;

/// Targets looked at at once.
const AT_ONCE: usize = 16;
/// Concurrent copies into one account and Region (EBS user guide, copying snapshots).
const CONCURRENT_COPIES: usize = 20;

/// AWS's answer to a call with `DryRun`.
pub(super) enum Answer {
    Would,
    /// AWS cannot judge the call: it needs something that the run makes first.
    NotYet,
    Refused(Refusal),
}

/// Sorts an answer. EC2's yes is `DryRunOperation`; a call that went through did nothing either.
pub(super) fn answer(said: Result<(), Refusal>) -> Answer {
    match said {
        Ok(()) => Answer::Would,
        Err(refusal) if refusal.code.starts_with("DryRunOperation") => Answer::Would,
        Err(refusal) if refusal.kind() == RefusalKind::NotFound => Answer::NotYet,
        Err(refusal) => Answer::Refused(refusal),
    }
}

impl Aws {
    /// Finds what would stand in the way of a run. `source` is as it was read.
    ///
    /// Takes the whole state: its targets are looked at one by one, and a key policy names them
    /// all.
    pub async fn preflight(&self, state: &State, source: &Source) -> Vec<Finding> {
        let run = state.run_ref();
        let mut findings = self.preflight_source(state, source).await;
        let all = 0..state.targets.len();
        let looking = all.map(|i| self.preflight_target(run, source, &state.targets[i]));
        let mut found = stream::iter(looking).buffered(AT_ONCE);
        while let Some(more) = found.next().await {
            findings.extend(more);
        }
        findings
    }

    async fn preflight_target(
        &self,
        run: RunRef<'_>,
        source: &Source,
        target: &TargetState,
    ) -> Vec<Finding> {
        let lasting = run.share().is_some();
        let policy = session_policy(run.source, &target.account_id);
        let actor = match self.session_with(run, target, policy).await {
            Ok(actor) => actor,
            // A share without service-linked roles needs no role there.
            Err(refusal) if lasting && run.order.service_linked_roles.is_empty() => {
                let reason =
                    format!("whether the account allows the image was not seen: {refusal}");
                let remedy = Cause::of(&refusal).remedy(run, target);
                let finding =
                    Finding::of_target(Level::Unknown, "AllowedImages", target, reason, remedy);
                return vec![finding];
            }
            Err(refusal) => return vec![Finding::refused("AssumeRole", run, target, &refusal)],
        };
        let visit = self.visit_as(run, target, actor);
        let mut findings = Vec::new();
        if lasting {
            findings.extend(self.preflight_allowed(&visit, source).await);
        } else {
            findings.extend(self.preflight_copy(&visit, source).await);
        }
        findings.extend(self.preflight_roles(&visit).await);
        findings
    }

    async fn preflight_copy(&self, visit: &Visit<'_>, source: &Source) -> Vec<Finding> {
        let run = visit.run;
        let mut target = visit.target.clone();
        // The policy of aws/ebs lets every principal of its account use it through EC2.
        let named = target.kms_key_id.clone();
        let own_key = (!named.is_aws_ebs()).then_some(named.as_str());
        let mut findings = Vec::new();
        match self.target_key(&visit.actor, &target).await {
            Err(refusal) => {
                findings.push(Finding::refused("TargetKey", run, &target, &refusal));
            }
            Ok(arn) => {
                target.kms_key_id = arn.into();
                let visit = visit.with(&target);
                findings.extend(self.preflight_keys(&visit, own_key).await);
            }
        }
        let visit = &visit.with(&target);
        match self.preflight_name(visit, source).await {
            // Every other call to EC2 would say the same: the Region is not enabled, or nobody may
            // look.
            Err(refusal) => {
                return vec![Finding::refused("DescribeImages", run, &target, &refusal)];
            }
            Ok(told) => findings.extend(told),
        }
        if run.order.copies_image {
            if !run.is_own(&target) {
                findings.extend(self.preflight_allowed(visit, source).await);
            }
            findings.extend(preflight_copy_image(visit, source).await);
        } else {
            findings.extend(self.preflight_calls(visit, source).await);
            findings.extend(self.preflight_quota(visit).await);
        }
        findings
    }

    /// Whether the name is free, or the copy there already.
    async fn preflight_name(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Result<Option<Finding>, Refusal> {
        let (run, target) = (visit.run, visit.target);
        let name = naming::name(run, source, target);
        // The tag of a target's image holds the key's ARN.
        if target.kms_key_id.arn().is_some()
            && let Some(image) = naming::own_copy(visit).await?
        {
            return Ok(Some(already_there(run, target, &image)));
        }
        let finding = |level, check, reason: String, remedy: String| {
            Ok(Some(Finding::of_target(
                level, check, target, reason, remedy,
            )))
        };
        match self.holder(visit, source).await? {
            Holder::Nobody | Holder::Former => Ok(None),
            Holder::Ours(image) => Ok(Some(already_there(run, target, &image))),
            Holder::Young => finding(
                Level::Unknown,
                "NameTaken",
                format!(
                    "an image registered a moment ago has the name {name}; its tags may not show \
                     yet"
                ),
                "Ask again in five minutes".to_owned(),
            ),
            Holder::Another(other) => finding(
                Level::Error,
                "NameTaken",
                format!("{} has the name {name}", naming::told(&other)),
                Cause::NameTaken.remedy(run, target),
            ),
        }
    }

    /// Asks EC2 about the two calls that make something, with their tags: a policy may demand or
    /// forbid tags.
    async fn preflight_calls(&self, visit: &Visit<'_>, source: &Source) -> Vec<Finding> {
        let (run, target, at) = (visit.run, visit.target, &visit.at);
        let mut findings = Vec::new();
        if let Some(from) = source.snapshots.first() {
            let key = copy_key(&from.id, target);
            let tags = tags::of_copy(run, &from.tags, &key, ResourceType::Snapshot);
            let said = visit
                .ec2
                .copy_snapshot()
                .dry_run(true)
                .source_region(run.copied_from(target).as_str())
                .source_snapshot_id(from.id.as_str())
                .destination_region(target.region.as_str())
                .encrypted(true)
                .kms_key_id(target.kms_key_id.as_str())
                .tag_specifications(tags)
                .send()
                .await;
            let said = said.map(drop);
            let said = said.map_err(|e| refusal("CopySnapshot", at, &from.id, &e));
            findings.extend(would("CopySnapshot", run, target, said));
        }
        let name = naming::name(run, source, target);
        // On the source's own snapshots: the copies are not there yet.
        let said = register::registering(visit, source, &source.image.mappings)
            .dry_run(true)
            .send()
            .await;
        let said = said.map(drop);
        let said = said.map_err(|e| refusal("RegisterImage", at, &name, &e));
        findings.extend(would("RegisterImage", run, target, said));
        findings
    }

    /// Counts the copies under way. EC2 takes so many at once; the rest wait in line.
    async fn preflight_quota(&self, visit: &Visit<'_>) -> Option<Finding> {
        let pending = Filter::builder().name("status").values("pending").build();
        let pending = copies::own_snapshots(&visit.ec2, &visit.at, pending).await;
        let (pending, wanted) = (pending.ok()?.len(), visit.run.source.snapshots.len());
        (pending + wanted > CONCURRENT_COPIES).then(|| {
            let reason = format!(
                "{pending} snapshots are under way, {wanted} more are wanted, and EC2 copies \
                 {CONCURRENT_COPIES} at a time"
            );
            let remedy = "Nothing: they wait in line. If it takes too long, ask for a higher quota \
                          of concurrent snapshot copies";
            Finding::of_target(Level::Warning, "Quota", visit.target, reason, remedy)
        })
    }
}

/// Asks EC2 about the call that copies the image, with its tags. The image does not show before it
/// is opened.
async fn preflight_copy_image(visit: &Visit<'_>, source: &Source) -> Option<Finding> {
    let (run, target, at) = (visit.run, visit.target, &visit.at);
    let name = naming::name(run, source, target);
    let asked = whole_image::copying(visit, source, &name).dry_run(true);
    let said = asked.send().await.map(drop);
    let said = said.map_err(|e| refusal("CopyImage", at, &source.id, &e));
    would("CopyImage", run, target, said)
}

/// Returns the finding about an image that a run would find: nothing is copied.
fn already_there(run: RunRef<'_>, target: &TargetState, image: &Image) -> Finding {
    let id = image.image_id().unwrap_or("an image");
    if !naming::is_disabled(image) {
        let reason = format!("{id} is a copy of this image already: nothing will be copied");
        return Finding::of_target(Level::Note, "AlreadyThere", target, reason, "Nothing");
    }
    let reason = format!("{id} is a copy of this image already, and is disabled");
    let target = TargetState {
        image_id: image::id_of(image),
        ..target.clone()
    };
    let remedy = Cause::ImageDisabled.remedy(run, &target);
    Finding::of_target(Level::Error, "ImageDisabled", &target, reason, remedy)
}

fn would(
    check: &'static str,
    run: RunRef<'_>,
    target: &TargetState,
    said: Result<(), Refusal>,
) -> Option<Finding> {
    match answer(said) {
        Answer::Would | Answer::NotYet => None,
        Answer::Refused(refusal) => Some(Finding::refused(check, run, target, &refusal)),
    }
}

/// Returns the finding that AWS did not let this function look. Nothing need be wrong.
pub(super) fn unseen(
    check: &'static str,
    target: &TargetState,
    refusal: &Refusal,
    action: &str,
) -> Finding {
    let reason = refusal.to_string();
    let remedy = format!(
        "To have this looked at, allow {} {action} in account {}",
        target.role_name, target.account_id
    );
    Finding::of_target(Level::Unknown, check, target, reason, remedy)
}
