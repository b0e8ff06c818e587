use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::ids::{AccountId, ImageId, Region};
use crate::request::Defaults;
use crate::source::tests::example;

fn request(extra: &serde_json::Value) -> Request {
    let mut value = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718",
        "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]});
    value
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    Request::parse(
        &value,
        &Defaults {
            region: Region::parse("us-west-2").unwrap(),
            account: None,
        },
    )
    .unwrap()
}

#[test]
fn the_plan_reads_as_a_dry_run() {
    let state = distribute(&request(&json!({})), &example(), "0123456789abcdef", 0).unwrap();
    assert_eq!(
        Plan(&state).to_string(),
        "Copy ami-0a1b2c3d4e5f60718 (2 snapshots) from 111111111111 us-west-2\n  to 222222222222 \
         us-west-2 as AmiCopyRole under alias/amis\n\
         Meanwhile shared: 2 snapshots and 1 grant for each account in need; revoked afterwards"
    );
    let roles = json!({"ServiceLinkedRoles": ["spot.amazonaws.com", "autoscaling.amazonaws.com_x"],
        "CreateServiceLinkedRoles": true});
    let state = distribute(&request(&roles), &example(), "0123456789abcdef", 0).unwrap();
    assert!(
        Plan(&state).to_string().ends_with(
            "\nTo launch by it: AWSServiceRoleForEC2Spot, AWSServiceRoleForAutoScaling_x, made \
             where they do not exist"
        ),
        "{}",
        Plan(&state)
    );
}

#[test]
fn the_plan_lists_the_parts_of_a_publication_in_their_order() {
    let publish = json!({"Publish": {"Parameter": "/golden/{account}",
        "LaunchTemplateName": "web", "SetDefaultVersion": true, "DeprecateAfterDays": 90,
        "DeregistrationProtection": "WithCooldown", "FastSnapshotRestore": ["usw2-az1"],
        "LaunchPermissions": {"AccountIds": ["333333333333"]},
        "LaunchTest": {"InstanceType": "t3.micro"}}});
    let state = distribute(&request(&publish), &example(), "0123456789abcdef", 0).unwrap();
    let words = Plan(&state).to_string();
    let parts = "\nThen in each target\n  a launch test (t3.micro)\n  deprecated after 90 days\n  \
                 protected from deregistration, with a cooldown\n  fast snapshot restore in \
                 usw2-az1\n  may launch from it, until taken back: 333333333333\n  a new version \
                 of launch template web, as its default\n  parameter /golden/{account} set to it";
    assert!(words.ends_with(parts), "{words}");
    let publish = json!({"Publish": {"LaunchTest": {}, "DeprecateAt": "2027-01-01T00:00:00Z"}});
    let state = distribute(&request(&publish), &example(), "0123456789abcdef", 0).unwrap();
    let words = Plan(&state).to_string();
    let parts = "\n  a launch test\n  deprecated at 2027-01-01T00:00:00Z";
    assert!(words.ends_with(parts), "{words}");
}

#[test]
fn a_plan_for_the_source_account_alone_shares_nothing() {
    let own = json!({"Targets": [{"AccountId": "111111111111", "Region": "us-east-1"}]});
    let state = distribute(&request(&own), &example(), "0123456789abcdef", 0).unwrap();
    let words = Plan(&state).to_string();
    let nothing = "\nNothing is shared: the account copies what is its own";
    assert!(words.ends_with(nothing), "{words}");
}

#[test]
fn a_share_with_the_source_account_and_a_foreign_hint_are_refused() {
    let targets = json!([{"AccountId": "222222222222"}, {"AccountId": "111111111111"}]);
    let own = request(&json!({"Mode": "Share", "Targets": targets}));
    let message = share(&own, &example(), Vec::new(), false, "0123456789abcdef", 0)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("Targets[1].AccountId: 111111111111 is the source account itself"),
        "{message}"
    );
    let hint = request(&json!({"SourceSnapshotId": "snap-00000000000000000"}));
    let message = distribute(&hint, &example(), "0123456789abcdef", 0)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("SourceSnapshotId: snap-00000000000000000 does not belong to"),
        "{message}"
    );
}

#[test]
fn tags_too_long_for_a_state_are_refused_by_name() {
    let tags: BTreeMap<String, String> = (0..40)
        .map(|n| (format!("tag-{n}"), "v".repeat(256)))
        .collect();
    let message = distribute(
        &request(&json!({ "Tags": tags })),
        &example(),
        "0123456789abcdef",
        0,
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.starts_with("Tags: makes the step state too large"),
        "{message}"
    );
}

#[test]
fn a_withdrawal_is_planned_without_the_image() {
    let source = SourceRef {
        image_id: ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap(),
        region: Region::parse("us-west-2").unwrap(),
        account_id: AccountId::parse("111111111111").unwrap(),
        snapshots: Vec::new(),
        keys: Vec::new(),
        managed_keys: Vec::new(),
        staged: Vec::new(),
    };
    let state = withdraw(&request(&json!({})), source, false, "0123456789abcdef", 0);
    assert_eq!(
        State::open(&serde_json::to_value(&state).unwrap()).unwrap(),
        state
    );
}
