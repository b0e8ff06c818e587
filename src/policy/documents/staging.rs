//! The permissions for `ReencryptKmsKeyId` and `StagingKmsKeyIds`: the run makes copies in the
//! source account, opens and deletes them.

use std::collections::BTreeSet;

use serde_json::json;

use super::function::only_with_targets;
use super::{Run, USE_BY_EC2, by_ec2, by_role, through_ec2};
use crate::command::tag;
use crate::ids::KeyArn;
use crate::policy::statement::Statement;
use crate::state::Stage;

pub fn of_function(run: &Run<'_>) -> Vec<Statement> {
    let stages = run.state.run_ref().stages();
    if stages.is_empty() {
        return Vec::new();
    }
    let source = &run.state.source;
    let snapshots = |region: &str| format!("arn:{}:ec2:{region}::snapshot/*", run.partition());
    let any: BTreeSet<String> = stages
        .iter()
        .map(|stage| snapshots(stage.region.as_str()))
        .collect();
    let mut copied = any.clone();
    if stages.iter().any(|stage| *stage.region != source.region) {
        copied.insert(snapshots(source.region.as_str()));
    }
    let mut of_run = json!({"StringEquals": {
        (format!("aws:ResourceTag/{}", tag::SOURCE_IMAGE)): source.image_id.as_str(),
        (format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT)): source.account_id.as_str(),
    }});
    if let Some(accounts) = only_with_targets(run) {
        of_run["ForAllValues:StringEquals"] = accounts;
    }
    let stage = Statement::allow(
        "Stage",
        &[("ec2:CopySnapshot", "the copy that others copy from")],
    );
    let tags = Statement::allow(
        "TagWhatIsStaged",
        &[("ec2:CreateTags", "no copy is ever without its tags")],
    );
    let open = Statement::allow(
        "ShareAndUnstage",
        &[
            (
                "ec2:ModifySnapshotAttribute",
                "sharing them, and ending that",
            ),
            ("ec2:DeleteSnapshot", "none is left in the source account"),
        ],
    );
    // A verification reads the copies after they and their tags are deleted.
    let read = Statement::allow(
        "ReadStaged",
        &[(
            "ec2:DescribeSnapshotAttribute",
            "who may use them; seeing that they are gone",
        )],
    );
    let mut all = vec![
        stage.on(copied),
        tags.on(any.clone())
            .when(json!({"StringEquals": {"ec2:CreateAction": "CopySnapshot"}})),
        read.on(any.clone()),
        open.on(any).when(of_run),
    ];
    all.extend(at_keys(run, &stages));
    all
}

/// Returns the use of the keys that the copies are read and written under.
fn at_keys(run: &Run<'_>, stages: &[Stage<'_>]) -> Vec<Statement> {
    let source = &run.state.source;
    let mut all = Vec::new();
    if !source.managed_keys.is_empty() {
        let look = Statement::allow(
            "ManagedKeys",
            &[("kms:DescribeKey", "seeing that nobody else can use them")],
        );
        all.push(look.on(source.managed_keys.clone()));
    }
    let sids = ["KeysOfStaging", "GrantsOfStaging"];
    let by_ec2 = through_ec2(sids, &USE_BY_EC2, by_ec2(regions(run)));
    let mut keys: BTreeSet<String> = stages
        .iter()
        .filter_map(|stage| stage.key.arn())
        .map(String::from)
        .collect();
    keys.extend(read_from(run).iter().map(ToString::to_string));
    all.extend(by_ec2.map(|statement| statement.on(keys.clone())));
    all
}

/// Returns the source keys under which the copies for other Regions are read. AWS-managed ones
/// need no permission.
fn read_from<'a>(run: &Run<'a>) -> &'a [KeyArn] {
    if run.state.order.staging_keys.is_empty() {
        &[]
    } else {
        run.read_keys
    }
}

/// Returns the Regions whose EC2 uses the keys. AWS does not document whether that is the Region of
/// the key or of the copy.
fn regions<'a>(run: &'a Run<'_>) -> BTreeSet<&'a str> {
    let stages = run.state.run_ref().stages();
    let mut regions: BTreeSet<&str> = stages.iter().map(|stage| stage.region.as_str()).collect();
    if !run.state.order.staging_keys.is_empty() {
        regions.insert(run.state.source.region.as_str());
    }
    regions
}

/// Returns the statements of a key that staged copies are read or written under. The policy of
/// `aws/ebs` cannot be edited, and lets every principal of its account use it through EC2.
pub fn of_key(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let caller = run.caller;
    let stages = run.state.run_ref().stages();
    let written = stages
        .iter()
        .any(|stage| stage.key.arn().as_ref() == Some(key));
    if !written && !read_from(run).contains(key) {
        return Vec::new();
    }
    let condition = by_role(by_ec2(regions(run)), &caller.principals);
    let sids = ["StagingByEC2", "StagingGrantsByEC2"];
    let own = [run.root(&caller.account)];
    let all = through_ec2(sids, &USE_BY_EC2, condition);
    all.map(|statement| statement.to(own.clone()).on(["*"]))
        .into()
}
