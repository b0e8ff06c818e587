//! `{"Retain": …}`: what is kept of a lineage's copies in each target, and what goes. Nothing is
//! changed without `Apply`.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tracing::info;

use super::{Handler, Invocation, PATIENCE, budget, in_time, targets_of, too_slow};
use crate::aws::{Aws, OldCopies};
use crate::error::{Error, Refusal};
use crate::ids::AccountId;
use crate::plan;
use crate::request::Retain;
use crate::retention::{Decision, OldCopy, decide, kept_by_rule};
use crate::state::TargetState;

/// Targets that are looked at once.
const AT_ONCE: usize = 20;

impl Handler {
    pub(super) async fn retain(
        &self,
        aws: &Aws,
        words: &Value,
        invocation: &Invocation,
    ) -> Result<Value, Error> {
        let rule = Retain::parse(words, &self.region()?)?;
        self.settings.needed_bucket()?;
        let owner = self.owner(aws, invocation).await?;
        let budget = budget(aws, invocation, PATIENCE)?;
        let retaining = in_time(aws, &budget, retain_all(aws, rule, &owner));
        retaining.await.unwrap_or_else(|| Err(too_slow()))
    }
}

async fn retain_all(aws: &Aws, rule: Retain, owner: &AccountId) -> Result<Value, Error> {
    let targets = targets_of(aws, rule.places.clone(), owner).await?;
    // A copy that a custom resource counts on must not go because the ledger could not be read.
    aws.all_runs().await.map_err(Error::from_refusal)?;
    let targets: Vec<TargetState> = targets.iter().map(plan::to_look_at).collect();
    let rule = &rule;
    let retaining = targets.into_iter().map(|target| async move {
        let retained = retain_in(aws, rule, &target, owner).await;
        retained.unwrap_or_else(|refusal| refused(&target, &refusal))
    });
    let retaining: Vec<_> = retaining.collect();
    let told: Vec<Value> = stream::iter(retaining).buffered(AT_ONCE).collect().await;
    let failed = |target: &&Value| target["Status"] != "Succeeded";
    let status = match told.iter().filter(failed).count() {
        0 => "Succeeded",
        all if all == told.len() => "Failed",
        _ => "PartiallySucceeded",
    };
    Ok(json!({
        "Status": status,
        "Lineage": rule.lineage.to_string(),
        "Applied": rule.apply,
        "Targets": told,
    }))
}

/// Decides about the copies of one target, and takes the steps that are due.
async fn retain_in(
    aws: &Aws,
    rule: &Retain,
    target: &TargetState,
    owner: &AccountId,
) -> Result<Value, Refusal> {
    let now = aws.now();
    let beyond = |copies: &[OldCopy]| {
        let kept = kept_by_rule(rule, copies, now);
        kept.iter().map(Option::is_none).collect()
    };
    let there = aws.old_copies(rule, target, owner, beyond).await?;
    let kept = kept_by_rule(rule, &there.copies, now);
    let mut told = Vec::new();
    let mut all_done = true;
    for (copy, kept) in there.copies.iter().zip(kept) {
        let decision = decide(rule, copy, kept, now);
        let mut image = of_copy(copy, &decision);
        if rule.apply && !matches!(decision, Decision::Keep(_) | Decision::Wait { .. }) {
            let (done, said) = taken(&there, copy, &decision, now).await;
            all_done &= done;
            image["Done"] = json!(done);
            if let Some(said) = said {
                image["Reason"] = json!(said);
            }
            let (account, region) = (there.account(), target.region.as_str());
            let (step, image) = (decision.as_str(), copy.id.as_str());
            info!(account, region, image, step, done, "retention");
        }
        told.push(image);
    }
    let mut told = json!({
        "AccountId": target.account_id,
        "Region": target.region,
        "Status": if all_done { "Succeeded" } else { "Failed" },
        "Images": told,
    });
    let retired = there.retired_keys.iter();
    let retired: Vec<Value> = retired
        .map(|(key, (state, images))| {
            json!({"KmsKeyArn": key, "KeyState": state, "ImageIds": images})
        })
        .collect();
    if !retired.is_empty() {
        told["RetiredKeys"] = json!(retired);
    }
    Ok(told)
}

/// Takes one step. Returns whether it is done, and AWS's words if it is not.
async fn taken(
    there: &OldCopies,
    copy: &OldCopy,
    decision: &Decision,
    now: i64,
) -> (bool, Option<String>) {
    match there.take_step(copy, decision, now).await {
        Ok(left) if left.is_empty() => (true, None),
        Ok(left) => (
            false,
            Some(format!("snapshots are left: {}", left.join(", "))),
        ),
        Err(refusal) => (false, Some(refusal.to_string())),
    }
}

fn of_copy(copy: &OldCopy, decision: &Decision) -> Value {
    let time = |at: i64| {
        let text = DateTime::from_secs(at).fmt(Format::DateTime);
        text.unwrap_or_default()
    };
    let mut told = json!({
        "ImageId": copy.id,
        "Name": copy.name,
        "CreatedAt": time(copy.created),
        "State": copy.state,
        "Decision": decision.as_str(),
        "Reason": "beyond the rule, and nothing uses it",
    });
    match decision {
        Decision::Keep(why) => told["Reason"] = json!(why),
        Decision::Wait { next, due } => {
            told["Next"] = json!(next);
            told["Due"] = json!(time(*due));
        }
        Decision::Deprecate | Decision::Disable | Decision::Deregister => {}
    }
    told
}

fn refused(target: &TargetState, refusal: &Refusal) -> Value {
    let (account, region) = (&target.account_id, &target.region);
    let role = &target.role_name;
    json!({
        "AccountId": account,
        "Region": region,
        "Status": "Failed",
        "Reason": refusal.to_string(),
        "Remedy": format!(
            "In account {account}: let {role} be assumed by the function, and set the parameter \
             Retention of templates/target-role.yaml to true"
        ),
        "Images": [],
    })
}
