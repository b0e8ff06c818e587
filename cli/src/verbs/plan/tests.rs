use std::collections::BTreeMap;

use amiferry::ids::{AccountId, ImageId, Region, SnapshotId};
use amiferry::request::Defaults;
use amiferry::source::{Device, ImageFacts, Mapping, SourceSnapshot};
use serde_json::json;

use super::*;

fn request(mode: &str) -> Request {
    let defaults = Defaults {
        region: Region::parse("us-west-2").expect("a Region"),
        account: None,
    };
    let words = json!({"SourceImageId": "ami-00000000", "Mode": mode,
        "TargetAccountIds": ["222222222222", "333333333333", "444444444444"]});
    Request::parse(&words, &defaults).expect("a request")
}

fn finding(level: &str, check: &str, account: &str) -> Value {
    json!({"Level": level, "Check": check, "AccountId": account, "Region": "us-west-2",
        "Reason": "why", "Remedy": "what to do"})
}

fn signs(plan: &Value) -> Vec<&str> {
    let targets = plan["Targets"].as_array().expect("targets").iter();
    targets
        .map(|target| target["Change"].as_str().expect("a sign"))
        .collect()
}

#[test]
fn a_target_is_copied_to_unless_it_has_a_copy_or_something_stands_in_the_way() {
    let findings = [
        finding("Note", "AlreadyThere", "222222222222"),
        finding("Error", "AssumeRole", "333333333333"),
        finding("Warning", "Quota", "444444444444"),
    ];
    let reply = json!({"Status": "NotReady", "Findings": findings});
    let plan = planned(&request("Copy"), &[], &reply);
    assert_eq!(signs(&plan), ["=", "!", "+"]);
    assert_eq!(
        summary(&plan),
        "Plan: 1 to copy, 1 there already, 1 blocked"
    );
    assert_eq!(code(&plan, true), 1);
}

#[test]
fn an_error_of_the_source_blocks_every_target() {
    let findings = [finding("Error", "Source", "111111111111")];
    let reply = json!({"Status": "NotReady", "Findings": findings});
    let plan = planned(&request("Copy"), &[], &reply);
    assert_eq!(signs(&plan), ["!", "!", "!"]);
    assert_eq!(plan["Findings"][0]["Check"], "Source");
}

#[test]
fn a_detailed_exit_code_tells_changes_from_none() {
    let ready = |findings: &[Value]| json!({"Status": "Ready", "Findings": findings});
    let there = |account| finding("Note", "AlreadyThere", account);
    let all = ["222222222222", "333333333333", "444444444444"].map(there);
    let none = planned(&request("Copy"), &[], &ready(&all));
    assert_eq!((code(&none, true), code(&none, false)), (0, 0));
    let some = planned(&request("Copy"), &[], &ready(&all[..2]));
    assert_eq!((code(&some, true), code(&some, false)), (2, 0));
    let share = planned(&request("Share"), &["arn:o".to_owned()], &ready(&[]));
    assert_eq!(signs(&share), ["~", "~", "~"]);
    assert_eq!(share["Permissions"], 4);
    assert_eq!(code(&share, true), 2);
}

/// Returns an image with two snapshots, of which EC2 shows the data of one.
fn image() -> Source {
    let snapshot = |id: &str, full_bytes| SourceSnapshot {
        id: SnapshotId::parse(id).expect("an ID"),
        owner: AccountId::parse("111111111111").expect("an account"),
        state: "completed".to_owned(),
        encrypted: true,
        key: None,
        archived: false,
        full_bytes,
        description: None,
        tags: BTreeMap::new(),
    };
    let data = SnapshotId::parse("snap-00000002").expect("an ID");
    let mapping = Mapping {
        device_name: "/dev/sdf".to_owned(),
        device: Device::Ebs {
            snapshot: Some(data),
            delete_on_termination: None,
            volume_type: None,
            size: Some(20),
            iops: None,
            throughput: None,
            encrypted: true,
        },
    };
    Source {
        id: ImageId::parse("ami-00000000").expect("an ID"),
        owner: AccountId::parse("111111111111").expect("an account"),
        image: ImageFacts {
            mappings: vec![mapping],
            ..ImageFacts::default()
        },
        snapshots: vec![
            snapshot("snap-00000001", Some(4 << 30)),
            snapshot("snap-00000002", None),
        ],
        aws_managed_keys: Vec::new(),
        unusable_keys: Vec::new(),
    }
}

const ASSUMED: Assumptions = Assumptions {
    copy_rate: 64.0,
    transfer_price: 0.02,
    storage_price: 0.05,
};

#[test]
fn an_estimate_counts_the_longest_copy_and_what_crosses_regions() {
    let size = Size::of(&image()).expect("sizes");
    let estimate = estimate(size, 3, 2, None, ASSUMED);
    assert_eq!(estimate["GiB"], 72.0);
    assert_eq!(estimate["GiBIsUpperBound"], true);
    assert_eq!(estimate["GiBBetweenRegions"], 48.0);
    // 20 GiB at 64 MiB/s are 320 seconds.
    assert_eq!(estimate["Minutes"], 8.0);
    assert_eq!(estimate["TransferUSD"], 0.96);
    assert_eq!(estimate["StorageUSDPerMonth"], 3.6);
    let lines = estimate::lines(&estimate).join("\n");
    assert!(
        lines.starts_with("Time: at most 8 min, if 64 MiB/s"),
        "{lines}"
    );
    assert!(lines.contains("0.96 USD to carry 48 GiB"), "{lines}");
    assert!(lines.contains("--transfer-price"), "{lines}");
}

#[test]
fn an_estimate_keeps_to_the_minutes_that_the_request_names() {
    let size = Size::of(&image()).expect("sizes");
    let timed = estimate(size, 1, 0, Some(120), ASSUMED);
    assert_eq!(timed["Minutes"], 122.0);
    let lines = estimate::lines(&timed).join("\n");
    assert!(lines.contains("at most 2 h 2 min, if EC2 ends"), "{lines}");
    assert!(lines.contains("without the fee"), "{lines}");
    let nothing = estimate(size, 0, 0, None, ASSUMED);
    assert_eq!(nothing["Minutes"], 0.0);
    assert_eq!(estimate::lines(&nothing), Vec::<String>::new());
}

#[test]
fn an_image_without_any_size_has_no_estimate() {
    let mut image = image();
    image.image.mappings.clear();
    assert!(Size::of(&image).is_none());
}
