//! Looking at the targets, and asking AWS what it would say, before anything is changed. Every call here reads, or is sent with
//! `DryRun`. What AWS does not let this function look at is told as unknown, never taken for good.

use aws_sdk_ec2::types::{Filter, Image, ResourceType};
use futures::stream::{self, StreamExt};

use super::naming::{self, Holder};
use super::{Actor, Aws, copies, image, refusal, register, tags};
use crate::cause::Cause;
use crate::command::copy_key;
use crate::error::{Refusal, RefusalKind};
use crate::preflight::{Finding, Level, session_policy};
use crate::source::Source;
use crate::state::{State, TargetState};

mod allowed;
mod keys;
mod roles;
mod source;

/// Targets looked at at once.
const AT_ONCE: usize = 16;
/// Copies that EC2 has under way into one account and Region (EBS user guide, copying snapshots).
const CONCURRENT_COPIES: usize = 20;

/// What AWS says of a call with `DryRun`.
pub(super) enum Answer {
    Would,
    /// It cannot tell, because something is not there yet that the run makes first.
    NotYet,
    Refused(Refusal),
}

/// `DryRunOperation` is how EC2 says yes; a call that went through did nothing either.
pub(super) fn answer(said: Result<(), Refusal>) -> Answer {
    match said {
        Ok(()) => Answer::Would,
        Err(refusal) if refusal.code.starts_with("DryRunOperation") => Answer::Would,
        Err(refusal) if refusal.kind() == RefusalKind::NotFound => Answer::NotYet,
        Err(refusal) => Answer::Refused(refusal),
    }
}

impl Aws {
    /// All that is found about the source and the targets. `source` is as it was read.
    pub async fn preflight(&self, state: &State, source: &Source) -> Vec<Finding> {
        let mut findings = self.preflight_source(state, source).await;
        let targets = (0..state.targets.len()).map(|i| self.preflight_target(state, source, i));
        let mut found = stream::iter(targets).buffered(AT_ONCE);
        while let Some(more) = found.next().await {
            findings.extend(more);
        }
        findings
    }

    async fn preflight_target(&self, state: &State, source: &Source, i: usize) -> Vec<Finding> {
        let target = &state.targets[i];
        let lasting = state.order.share.is_some();
        let policy = session_policy(state, &target.account_id);
        let actor = match self.session_with(state, target, policy).await {
            Ok(actor) => actor,
            // A share without service-linked roles needs no role there.
            Err(refusal) if lasting && state.order.service_linked_roles.is_empty() => {
                let reason =
                    format!("whether the account allows the image was not seen: {refusal}");
                let remedy = Cause::of(&refusal).remedy(state, target);
                let finding =
                    Finding::of_target(Level::Unknown, "AllowedImages", target, reason, remedy);
                return vec![finding];
            }
            Err(refusal) => return vec![Finding::refused("AssumeRole", state, target, &refusal)],
        };
        let mut findings = Vec::new();
        if lasting {
            findings.extend(self.preflight_allowed(state, source, target, &actor).await);
        } else {
            findings.extend(self.preflight_copy(state, source, target, &actor).await);
        }
        findings.extend(self.preflight_roles(state, target, &actor).await);
        findings
    }

    async fn preflight_copy(
        &self,
        state: &State,
        source: &Source,
        target: &TargetState,
        actor: &Actor,
    ) -> Vec<Finding> {
        let mut target = target.clone();
        // The policy of aws/ebs lets every principal of its account use it through EC2.
        let named = target.kms_key_id.clone();
        let own_key = (!named.is_aws_ebs()).then_some(named.as_str());
        let mut findings = Vec::new();
        match self.target_key(actor, &target).await {
            Err(refusal) => {
                findings.push(Finding::refused("TargetKey", state, &target, &refusal));
            }
            Ok(arn) => {
                target.kms_key_id = arn;
                findings.extend(self.preflight_keys(state, &target, own_key, actor).await);
            }
        }
        match self.preflight_name(state, source, &target, actor).await {
            // Every other call to EC2 would say the same: the Region is not enabled, or nobody may look.
            Err(refusal) => {
                return vec![Finding::refused("DescribeImages", state, &target, &refusal)];
            }
            Ok(told) => findings.extend(told),
        }
        findings.extend(self.preflight_calls(state, source, &target, actor).await);
        findings.extend(self.preflight_quota(state, &target, actor).await);
        findings
    }

    /// Whether the name is free, or the copy there already.
    async fn preflight_name(
        &self,
        state: &State,
        source: &Source,
        target: &TargetState,
        actor: &Actor,
    ) -> Result<Option<Finding>, Refusal> {
        let ec2 = self.ec2(actor, &target.region);
        let at = actor.at(&target.region);
        let name = naming::name(state, source, target);
        // The tag by which it is found holds the key's ARN.
        if target.kms_key_id.is_key_arn()
            && let Some(image) = naming::own_copy(&ec2, &at, state, target).await?
        {
            return Ok(Some(already_there(state, target, &image)));
        }
        let finding = |level, check, reason: String, remedy: String| {
            Ok(Some(Finding::of_target(
                level, check, target, reason, remedy,
            )))
        };
        match self.holder(&ec2, &at, state, source, target).await? {
            Holder::Nobody | Holder::Former => Ok(None),
            Holder::Ours(image) => Ok(Some(already_there(state, target, &image))),
            Holder::Young => finding(
                Level::Unknown,
                "NameTaken",
                format!(
                    "an image registered a moment ago has the name {name}; its tags may not show yet"
                ),
                "Ask again in five minutes".to_owned(),
            ),
            Holder::Another(other) => finding(
                Level::Error,
                "NameTaken",
                format!("{} has the name {name}", naming::told(&other)),
                Cause::NameTaken.remedy(state, target),
            ),
        }
    }

    /// The two calls that make something, as EC2 would judge them: with their tags, which a policy may demand or forbid.
    async fn preflight_calls(
        &self,
        state: &State,
        source: &Source,
        target: &TargetState,
        actor: &Actor,
    ) -> Vec<Finding> {
        let at = actor.at(&target.region);
        let ec2 = self.ec2(actor, &target.region);
        let mut findings = Vec::new();
        if let Some(from) = source.snapshots.first() {
            let key = copy_key(&from.id, target);
            let said = ec2
                .copy_snapshot()
                .dry_run(true)
                .source_region(state.source.region.as_str())
                .source_snapshot_id(from.id.as_str())
                .destination_region(target.region.as_str())
                .encrypted(true)
                .kms_key_id(target.kms_key_id.as_str())
                .tag_specifications(tags::of_copy(
                    state,
                    &from.tags,
                    &key,
                    ResourceType::Snapshot,
                ))
                .send()
                .await;
            let said = said.map(drop);
            let said = said.map_err(|e| refusal("CopySnapshot", &at, &from.id, &e));
            findings.extend(would("CopySnapshot", state, target, said));
        }
        let name = naming::name(state, source, target);
        // On the source's own snapshots: the copies are not there yet.
        let said = register::registering(&ec2, state, source, target, &source.image.mappings)
            .dry_run(true)
            .send()
            .await;
        let said = said.map(drop);
        let said = said.map_err(|e| refusal("RegisterImage", &at, &name, &e));
        findings.extend(would("RegisterImage", state, target, said));
        findings
    }

    /// How many copies are under way: with more than EC2 takes at once, the rest waits in line.
    async fn preflight_quota(
        &self,
        state: &State,
        target: &TargetState,
        actor: &Actor,
    ) -> Option<Finding> {
        let ec2 = self.ec2(actor, &target.region);
        let at = actor.at(&target.region);
        let pending = Filter::builder().name("status").values("pending").build();
        let pending = copies::own_snapshots(&ec2, &at, pending).await.ok()?.len();
        let wanted = state.source.snapshots.len();
        (pending + wanted > CONCURRENT_COPIES).then(|| {
            let reason = format!(
                "{pending} snapshots are under way, {wanted} more are wanted, and EC2 copies {CONCURRENT_COPIES} at a time"
            );
            let remedy = "Nothing: they wait in line. If it takes too long, ask for a higher quota of concurrent snapshot copies";
            Finding::of_target(Level::Warning, "Quota", target, reason, remedy)
        })
    }
}

/// An image of the target that a run would find: nothing is copied.
fn already_there(state: &State, target: &TargetState, image: &Image) -> Finding {
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
    let remedy = Cause::ImageDisabled.remedy(state, &target);
    Finding::of_target(Level::Error, "ImageDisabled", &target, reason, remedy)
}

fn would(
    check: &'static str,
    state: &State,
    target: &TargetState,
    said: Result<(), Refusal>,
) -> Option<Finding> {
    match answer(said) {
        Answer::Would | Answer::NotYet => None,
        Answer::Refused(refusal) => Some(Finding::refused(check, state, target, &refusal)),
    }
}

/// Whether AWS did not let us look, which is not to say that anything is wrong.
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
