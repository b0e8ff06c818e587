//! What `ReencryptKmsKeyId` takes: copies in the source account, which the run makes, opens and deletes.

use serde_json::json;

use super::{BY_EC2, Run, by_ec2, by_role, region_of};
use crate::command::tag;
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
    let of_run = json!({"StringEquals": {
        (format!("aws:ResourceTag/{}", tag::SOURCE_IMAGE)): source.image_id.as_str(),
        (format!("aws:ResourceTag/{}", tag::SOURCE_ACCOUNT)): source.account_id.as_str(),
    }});
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
                "ec2:DescribeSnapshotAttribute",
                "who may use them already: that stays",
            ),
            (
                "ec2:ModifySnapshotAttribute",
                "sharing them, and ending that",
            ),
            ("ec2:CreateTags", "noting whom the run needs"),
            ("ec2:DeleteSnapshot", "none is left in the source account"),
        ],
    );
    let look = Statement::allow(
        "ManagedKeys",
        &[("kms:DescribeKey", "seeing that nobody else can use them")],
    );
    let by_ec2 = by_ec2([source.region.as_str()]);
    vec![
        stage.on(any.clone()),
        tags.on(any.clone())
            .when(json!({"StringEquals": {"ec2:CreateAction": "CopySnapshot"}})),
        open.on(any).when(of_run),
        look.on(source.managed_keys.clone()),
        Statement::allow("KeysOfStaging", &BY_EC2)
            .on([key.to_string()])
            .when(by_ec2),
    ]
}

/// The policy of `aws/ebs` lets every principal of its account use it through EC2; only the other key has one to edit.
pub fn of_key(run: &Run<'_>, key: &str) -> Option<Statement> {
    let caller = run.caller;
    let staging = run.staging_key().is_some_and(|k| k.as_str() == key);
    staging.then(|| {
        Statement::allow("StagingByEC2", &BY_EC2)
            .to([run.root(&caller.account)])
            .on(["*"])
            .when(by_role(by_ec2([region_of(key)]), &caller.principals))
    })
}
