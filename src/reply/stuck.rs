//! The resources that failed clean-ups leave behind, with the commands that remove them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::{LAUNCH_PREFIX, grant_prefix, tag};
use crate::ids::{AccountId, KeyArn, SnapshotId, TEST_PREFIX};
use crate::key_policy::sid;
use crate::request::KeyAccess;
use crate::state::{State, TargetPhase, TargetState};

pub fn what_is_left(state: &State) -> Value {
    let mut left: Vec<Value> = state
        .targets
        .iter()
        .filter_map(|target| match &target.phase {
            TargetPhase::Stuck { why, left } => Some(in_target(state, target, why, left)),
            _ => None,
        })
        .collect();
    if let Some(said) = &state.sharing.stuck {
        left.push(at_source(state, said));
    }
    Value::Array(left)
}

fn in_target(state: &State, target: &TargetState, why: &str, left: &[String]) -> Value {
    let (account, region) = (target.account_id.as_str(), target.region.as_str());
    let filter = format!(
        "\"Name=tag:{},Values={}\"",
        tag::SOURCE_IMAGE,
        state.source.image_id
    );
    let mut commands = vec![
        format!(
            "aws ec2 describe-images --region {region} --owners self --filters {filter} --query \
             Images[].ImageId"
        ),
        format!(
            "aws ec2 describe-snapshots --region {region} --owner-ids self --filters {filter} \
             --query Snapshots[].SnapshotId"
        ),
    ];
    for id in left {
        commands.push(if id.starts_with("arn:") {
            revoke_grants(region, id, LAUNCH_PREFIX)
        } else if id.starts_with("i-") {
            format!("aws ec2 terminate-instances --region {region} --instance-ids {id}")
        } else if id.starts_with(TEST_PREFIX) {
            format!(
                "aws autoscaling delete-auto-scaling-group --region {region} \
                     --auto-scaling-group-name {id} --force-delete"
            )
        } else if id.starts_with("ami-") {
            format!(
                "aws ec2 deregister-image --region {region} --image-id {id} \
                     --delete-associated-snapshots"
            )
        } else {
            format!("aws ec2 delete-snapshot --region {region} --snapshot-id {id}")
        });
    }
    let what = if left.iter().any(|id| id.starts_with("arn:")) {
        "grants to launch from copies that are gone"
    } else if left
        .iter()
        .any(|id| id.starts_with("i-") || id.starts_with(TEST_PREFIX))
    {
        "the instance of a launch test, which AWS bills until it is terminated"
    } else {
        "snapshots or an AMI that this run made"
    };
    json!({
        "AccountId": account,
        "Region": region,
        "What": what,
        "Reason": why,
        "Commands": commands,
    })
}

fn at_source(state: &State, said: &str) -> Value {
    let region = state.source.region.as_str();
    if state.order.share.is_some() {
        return lasting(state, said);
    }
    let mut commands = Vec::new();
    let shared = (0..state.targets.len()).filter(|&i| state.targets[i].shared);
    for (stage, targets) in state.by_stage(shared.collect()) {
        let opened = state.opened(stage);
        commands.extend(take_back(&opened, &targets));
    }
    commands.extend(delete_staged(state));
    json!({
        "AccountId": state.source.account_id,
        "Region": region,
        "What": "sharing of the source snapshots and keys",
        "Reason": said,
        "Commands": commands,
    })
}

/// Takes back what was opened to these targets, as `opened` has it.
fn take_back(opened: &State, targets: &[usize]) -> Vec<String> {
    let (region, source) = (&opened.source.region, &opened.source);
    let named = targets.iter().map(|&i| &opened.targets[i].account_id);
    let named: BTreeSet<&str> = named.map(AccountId::as_str).collect();
    let accounts: Vec<&str> = named.into_iter().collect();
    let close = |id: &SnapshotId| {
        format!(
            "aws ec2 modify-snapshot-attribute --region {region} --snapshot-id {id} --attribute \
             createVolumePermission --operation-type remove --user-ids {}",
            accounts.join(" ")
        )
    };
    let mut commands: Vec<String> = source.snapshots.iter().map(close).collect();
    let keys = || source.keys.iter();
    commands.extend(keys().map(|key| revoke_own_grants(opened, key)));
    commands.extend(keys().flat_map(|key| edit_policy(opened, key)));
    commands
}

/// Lists the staged copies, which are to be deleted.
fn delete_staged(state: &State) -> Vec<String> {
    if !state.may_have_staged() {
        return Vec::new();
    }
    let (source, stages) = (&state.source, state.run_ref().stages());
    let mut commands = Vec::new();
    for (n, id) in source.staged.iter().enumerate() {
        let of = stages.get(n / source.snapshots.len().max(1));
        if let (Some(id), Some(stage)) = (id, of)
            && !source.snapshots.contains(id)
        {
            let region = stage.region;
            commands.push(format!(
                "aws ec2 delete-snapshot --region {region} --snapshot-id {id}"
            ));
        }
    }
    for region in stages.iter().map(|stage| stage.region) {
        commands.push(format!(
            "aws ec2 describe-snapshots --region {region} --owner-ids self --filters \
             \"Name=tag:{},Values={}\" \"Name=tag:{},Values={}\" --query Snapshots[].SnapshotId # \
             then, for each: aws ec2 delete-snapshot --region {region} --snapshot-id …",
            tag::RUN,
            state.run,
            tag::SOURCE_ACCOUNT,
            state.source.account_id
        ));
    }
    commands
}

/// Describes a lasting share that could not be taken back: the ledger lists its principals.
fn lasting(state: &State, said: &str) -> Value {
    let (region, image) = (&state.source.region, &state.source.image_id);
    let mut commands = vec![
        format!(
            "aws s3 cp s3://$AMIFERRY_BUCKET/openings/{image}.json - # lists whom run {} holds it \
             open to",
            state.run
        ),
        format!(
            "aws ec2 modify-image-attribute --region {region} --image-id {image} --attribute \
             launchPermission --operation-type remove --user-ids … --organization-arns … \
             --organizational-unit-arns …"
        ),
    ];
    for id in &state.source.snapshots {
        commands.push(format!(
            "aws ec2 modify-snapshot-attribute --region {region} --snapshot-id {id} --attribute \
             createVolumePermission --operation-type remove --user-ids …"
        ));
    }
    commands.extend(
        state
            .source
            .keys
            .iter()
            .map(|key| revoke_own_grants(state, key)),
    );
    commands.extend(
        state
            .source
            .keys
            .iter()
            .flat_map(|key| edit_policy(state, key)),
    );
    json!({
        "AccountId": state.source.account_id,
        "Region": region,
        "What": "sharing of the source image, snapshots and keys",
        "Reason": said,
        "Commands": commands,
    })
}

/// Returns the command for a key policy. A policy is written whole, so a person has to look at it:
/// which statements are ours, and which command removes them.
fn edit_policy(state: &State, key: &KeyArn) -> Vec<String> {
    let (region, sids) = (&state.source.region, sid(&state.run, ""));
    if !is_edited(state) {
        return Vec::new();
    }
    vec![
        format!(
            "aws kms get-key-policy --region {region} --key-id {key} --query Policy --output text \
             > policy.json # if it has statements whose Sid begins with {sids}, remove these and \
             no others"
        ),
        format!(
            "aws kms put-key-policy --region {region} --key-id {key} --policy file://policy.json"
        ),
    ]
}

/// Whether the run may have statements in policies: by its order, or because editing a policy
/// failed.
fn is_edited(state: &State) -> bool {
    let said = state.sharing.stuck.as_deref().unwrap_or_default();
    state.order.key_access == KeyAccess::Policy || said.contains("KeyPolicy")
}

fn revoke_own_grants(state: &State, key: &KeyArn) -> String {
    let region = key.region();
    revoke_grants(region.as_str(), key.as_str(), &grant_prefix(&state.run))
}

fn revoke_grants(region: &str, key: &str, prefix: &str) -> String {
    format!(
        "aws kms list-grants --region {region} --key-id {key} --query \"Grants[?starts_with(Name, \
         '{prefix}')].GrantId\" # then, for each: aws kms revoke-grant --region {region} --key-id \
         {key} --grant-id …"
    )
}
