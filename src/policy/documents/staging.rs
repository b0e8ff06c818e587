//! The permissions for `ReencryptKmsKeyId`: the run makes copies in the source account, opens and
//! deletes them.

use serde_json::json;

use super::function::only_with_targets;
use super::{Run, USE_BY_EC2, by_ec2, by_role, through_ec2};
use crate::command::tag;
use crate::ids::KeyArn;
use crate::policy::statement::Statement;

pub fn of_function(run: &Run<'_>) -> Vec<Statement> {
    let Some(key) = run.staging_key() else {
        return Vec::new();
    };
    let source = &run.state.source;
    let any = [format!(
        "arn:{}:ec2:{}::snapshot/*",
        run.partition(),
        source.region
    )];
    let mut of_run = json!({"StringEquals": {
        (format!("aws:ResourceTag/{}", tag::SOURCE_IMAGE)): source.image_id.as_str(),
        (format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT)): source.account_id.as_str(),
    }});
    if let Some(accounts) = only_with_targets(run) {
        of_run["ForAllValues:StringEquals"] = accounts;
    }
    let stage = Statement::allow(
        "Stage",
        &[(
            "ec2:CopySnapshot",
            "the copy under a key that can be shared",
        )],
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
        stage.on(any.clone()),
        tags.on(any.clone())
            .when(json!({"StringEquals": {"ec2:CreateAction": "CopySnapshot"}})),
        read.on(any.clone()),
        open.on(any).when(of_run),
    ];
    all.extend(at_keys(run, &key));
    all
}

/// Returns the use of the keys that the copies are read and written under.
fn at_keys(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let source = &run.state.source;
    let look = Statement::allow(
        "ManagedKeys",
        &[("kms:DescribeKey", "seeing that nobody else can use them")],
    );
    let sids = ["KeysOfStaging", "GrantsOfStaging"];
    let by_ec2 = through_ec2(sids, &USE_BY_EC2, by_ec2([source.region.as_str()]));
    let copying = by_ec2.map(|statement| statement.on([key.as_str()]));
    let mut all = vec![look.on(source.managed_keys.clone())];
    all.extend(copying);
    all
}

/// Returns the statements of the `ReencryptKmsKeyId` key. The policy of `aws/ebs` cannot be edited,
/// and lets every principal of its account use it through EC2.
pub fn of_key(run: &Run<'_>, key: &KeyArn) -> Vec<Statement> {
    let caller = run.caller;
    if run.staging_key().as_ref() != Some(key) {
        return Vec::new();
    }
    let condition = by_role(by_ec2([key.region().as_str()]), &caller.principals);
    let sids = ["StagingByEC2", "StagingGrantsByEC2"];
    let own = [run.root(&caller.account)];
    let all = through_ec2(sids, &USE_BY_EC2, condition);
    all.map(|statement| statement.to(own.clone()).on(["*"]))
        .into()
}
