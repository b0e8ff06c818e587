use serde_json::json;

use super::*;

fn defaults() -> Defaults {
    Defaults {
        region: Region::parse("us-west-2").unwrap(),
        account: Some(AccountId::parse("111111111111").unwrap()),
    }
}

const IMAGE: &str = "ami-0a1b2c3d4e5f60718";
const KEY: &str = "arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Returns the message of a request that must be refused.
fn refused(value: &Value) -> String {
    let error = Request::parse(value, &defaults()).unwrap_err();
    assert_eq!(error.error_type(), "InvalidRequest");
    error.to_string()
}

#[test]
fn the_shortest_request_gets_the_documented_defaults() {
    let request = Request::parse(
        &json!({"SourceImageId": IMAGE, "Targets": [{"AccountId": "222222222222"}]}),
        &defaults(),
    )
    .unwrap();
    assert_eq!(request.source_region.as_str(), "us-west-2");
    assert_eq!(request.targets[0].role.as_str(), "AmiCopyRole");
    assert_eq!(request.targets[0].key, KeyRef::aws_ebs());
    assert_eq!(
        request.name.to_string(),
        "{name}-copied-from-{source_account}"
    );
    assert!(request.copy_tags && request.revoke_after_copy && request.wait);
    assert_eq!(request.on_delete, OnDelete::Retain);
    assert_eq!(request.key_access, KeyAccess::Grant);
}

#[test]
fn cloudformation_strings_mean_the_same_as_typed_values() {
    let typed = json!({"SourceImageId": IMAGE,
        "TargetAccountIds": ["222222222222", "333333333333"],
        "TargetKmsKeyIds": [KEY, "alias/amis"],
        "CopyTags": false, "CopyCompletionMinutes": 30, "Wait": false});
    let strings = json!({"ServiceToken": "arn:x", "AmiId": IMAGE,
        "TargetAccountIds": "222222222222, 333333333333",
        "TargetKmsKeyIds": format!("{KEY},alias/amis"), "CopyTags": "false",
        "CopyCompletionMinutes": "30", "Wait": "false", "SourceSnapshotId": ""});
    assert_eq!(
        Request::parse(&typed, &defaults()).unwrap(),
        Request::parse(&strings, &defaults()).unwrap()
    );
}

#[test]
fn parallel_lists_give_a_target_in_each_region() {
    let request = json!({"AmiId": IMAGE, "TargetAccountIds": ["222222222222", "333333333333"],
        "TargetKmsKeyIds": ["alias/a", "alias/b"],
        "TargetRegions": "us-east-1,eu-west-1"});
    let request = Request::parse(&request, &defaults()).unwrap();
    let places: Vec<String> = request
        .targets
        .iter()
        .map(|t| format!("{}/{}/{}", t.account, t.region, t.key))
        .collect();
    assert_eq!(
        places,
        [
            "222222222222/us-east-1/alias/a",
            "222222222222/eu-west-1/alias/a",
            "333333333333/us-east-1/alias/b",
            "333333333333/eu-west-1/alias/b"
        ]
    );
}

/// Every mistake names the key at fault and the accepted form.
#[test]
fn each_mistake_is_refused_with_its_key_and_the_accepted_form() {
    let words = include_str!("mistakes.txt")
        .replace("{...", "{IMAGE, TARGETS")
        .replace("{IMAGE", &format!("{{\"SourceImageId\": \"{IMAGE}\""))
        .replace("TARGETS", r#""Targets": [{"AccountId": "222222222222"}]"#)
        .replace(": KEY", &format!(": \"{KEY}\""))
        .replace("[KEY", &format!("[\"{KEY}\""));
    let lines = words.lines().filter(|line| !line.starts_with('#'));
    let mut request = String::new();
    let mut count = 0;
    for line in lines {
        let Some(expected) = line.strip_prefix("    ") else {
            request += line;
            continue;
        };
        let message = refused(&serde_json::from_str(&request).expect(&request));
        assert!(
            message.starts_with(expected),
            "{request}: {message:?} does not begin with {expected:?}"
        );
        request.clear();
        count += 1;
    }
    assert_eq!(count, 58, "each case of mistakes.txt");
}

#[test]
fn a_tag_that_is_too_long_and_a_request_that_is_no_object_are_refused() {
    let long = json!({"SourceImageId": IMAGE, "Targets": [{"AccountId": "222222222222"}],
        "Tags": {"x": "y".repeat(257)}});
    assert!(refused(&long).starts_with("Tags.x: a tag value has at most 256"));
    assert_eq!(
        refused(&json!("text")),
        "Distribute: must be an object with the request's keys"
    );
}

/// Templates send such values to leave a key out, to compute a number, or to have a resource
/// updated.
#[test]
fn values_in_cloudformations_form_are_accepted() {
    let parse = |extra: Value| {
        let mut words = json!({"AmiId": IMAGE, "Targets": [{"AccountId": "222222222222"}],
            "TargetAccountIds": [""], "TargetKmsKeyIds": [" "],
            "TargetRegions": [""], "OrganizationalUnitIds": "", "ServiceLinkedRoles": [""],
            "ExcludeAccountIds": [""]});
        let words_of = words.as_object_mut().unwrap();
        words_of.extend(extra.as_object().unwrap().clone());
        words_of.retain(|_, value| !value.is_null());
        Request::parse(&words, &defaults()).unwrap_or_else(|error| panic!("{words}: {error}"))
    };
    let plain = parse(json!({}));
    assert_eq!((plain.targets.len(), plain.audience), (1, None));
    let lists = json!({"Targets": null, "TargetAccountIds": "222222222222, 333333333333,"});
    let keys = |extra: Value| -> Vec<String> {
        let mut words = lists.clone();
        let more = extra.as_object().unwrap().clone();
        words.as_object_mut().unwrap().extend(more);
        let targets = parse(words).targets;
        targets.iter().map(|t| t.key.to_string()).collect()
    };
    assert_eq!(keys(json!({})), ["alias/aws/ebs", "alias/aws/ebs"]);
    assert_eq!(
        keys(json!({"TargetKmsKeyIds": "alias/amis,"})),
        ["alias/amis", "alias/amis"]
    );
    let tagged = parse(json!({"Tags": [{"Key": "Team", "Value": "a"}, {"Value": 1, "Key": "No"}]}));
    let tags: Vec<(&str, &str)> = tagged
        .tags
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(tags, [("No", "1"), ("Team", "a")]);
    let odd = parse(
        json!({"CopyTags": "FALSE", "CopyCompletionMinutes": "60.0", "Tags": [""],
        "Timestamp": "2026-11-23",
        "UpdateToken": 7, "ForceUpdate": "x", "ServiceTimeout": "60"}),
    );
    assert_eq!(
        (odd.copy_tags, odd.copy_completion_minutes),
        (false, Some(60))
    );
}

/// The property sets of the two sharing resources are accepted unchanged.
#[test]
fn the_properties_of_the_former_sharing_resources_are_accepted() {
    let one = json!({"ServiceToken": "arn:x", "TargetAccountId": "222222222222", "AmiId": IMAGE,
        "SnapshotId": "snap-0123456789abcdef0",
        "Region": "us-west-2"});
    let request = Request::parse_as(Mode::Share, &one, &defaults()).unwrap();
    assert_eq!((request.mode, request.targets.len()), (Mode::Share, 1));
    assert!(request.sharing.snapshots);
    let many = json!({"ServiceToken": "arn:x", "TargetAccountIds": "222222222222,333333333333",
        "OrganizationId": "", "AmiId": IMAGE,
        "Region": "us-west-2"});
    let request = Request::parse_as(Mode::Share, &many, &defaults()).unwrap();
    assert_eq!(request.targets.len(), 2);
    assert!(request.audience.is_none() && !request.sharing.snapshots);
}

#[test]
fn members_join_the_named_targets_without_the_owner() {
    let account = |id: &str| AccountId::parse(id).unwrap();
    let wish = json!({"AmiId": IMAGE, "Targets": [{"AccountId": "222222222222", "KmsKeyId": KEY}],
        "OrganizationId": "o-abcdefghij",
        "TargetKmsKeyIds": "alias/amis", "TargetRegions": "us-west-2,us-east-1"});
    let members = ["111111111111", "222222222222", "333333333333"].map(account);
    let request = Request::parse(&wish, &defaults())
        .unwrap()
        .with_members(&members, &account("111111111111"))
        .unwrap();
    let told: Vec<String> = request
        .targets
        .iter()
        .map(|t| format!("{}/{}/{}", t.account, t.region, t.key))
        .collect();
    assert_eq!(
        told,
        [
            format!("222222222222/us-west-2/{KEY}"),
            "222222222222/us-east-1/alias/amis".to_owned(),
            "333333333333/us-west-2/alias/amis".to_owned(),
            "333333333333/us-east-1/alias/amis".to_owned(),
        ]
    );
}

#[test]
fn a_request_with_too_many_targets_is_refused() {
    let targets: Vec<Value> = (0..=MAX_TARGETS)
        .map(|i| json!({"AccountId": format!("{:012}", 200_000_000_000_u64 + i as u64)}))
        .collect();
    assert!(
        refused(&json!({"SourceImageId": IMAGE, "Targets": targets}))
            .starts_with("Targets: has 10001 targets; at most 10000")
    );
}
