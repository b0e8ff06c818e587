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

const HERE: &str = "us-west-2";
const AWAY: &str = "us-east-1";

/// Returns the route of one copy in each of these Regions, with more words in the request.
fn route(more: &Value, regions: &[&str]) -> Route {
    let mut words = json!({"SourceImageId": "ami-00000000", "TargetAccountId": "222222222222"});
    for (key, value) in more.as_object().expect("words") {
        words[key] = value.clone();
    }
    let defaults = Defaults {
        region: Region::parse(HERE).expect("a Region"),
        account: None,
    };
    let request = Request::parse(&words, &defaults).expect("a request");
    let targets: Vec<Value> = regions
        .iter()
        .enumerate()
        .map(|(n, region)| json!({"AccountId": format!("22222222222{n}"), "Region": region}))
        .collect();
    let owner = AccountId::parse("111111111111").expect("an account");
    Route::of(&request, &owner, targets.iter())
}

#[test]
fn an_estimate_prices_both_ways_between_regions_where_they_differ() {
    let size = Size::of(&image()).expect("sizes");
    let staged = json!({"StagingKmsKeyIds": {AWAY: "alias/amis"}});
    let regions = [AWAY, AWAY, AWAY, "eu-west-1", HERE];
    for (words, crossings, minutes, other) in [(&json!({}), 4, 8.0, 2), (&staged, 2, 13.0, 4)] {
        let there = route(words, &regions);
        assert_eq!(
            (there.crossings(), there.other_way().crossings()),
            (crossings, other)
        );
        assert_eq!(there.shared_regions(), [AWAY]);
        assert_eq!(estimate(size, &there, None, ASSUMED)["Minutes"], minutes);
    }
    // One copy in each Region crosses once either way, and so do those of the source account.
    assert_eq!(
        route(&json!({}), &[AWAY, "eu-west-1", HERE]).shared_regions(),
        [""; 0]
    );
    let whole = route(&json!({"Strategy": "Image"}), &regions);
    assert_eq!(
        whole.shared_regions(),
        [""; 0],
        "CopyImage cannot be staged"
    );
}

#[test]
fn the_lines_of_an_estimate_name_what_the_other_way_would_cost() {
    let size = Size::of(&image()).expect("sizes");
    let reply = |sign: &str, n: u8| {
        let account = format!("22222222222{n}");
        json!({"AccountId": account, "Region": AWAY, "Change": sign})
    };
    let plan = json!({"Targets": [reply("+", 1), reply("+", 2), reply("=", 3)]});
    let owner = AccountId::parse("111111111111").expect("an account");
    let told = priced(&request("Copy"), &owner, &plan, size, ASSUMED);
    assert_eq!(told["GiBBetweenRegions"], 48.0);
    assert_eq!(told["Staged"]["TransferUSD"], 0.48);
    let lines = estimate::lines(&told).join("\n");
    let expected = "With StagingKmsKeyIds for us-east-1: 0.48 USD to carry 24 GiB between Regions, \
                    in 13 min";
    assert!(lines.ends_with(expected), "{lines}");
}

#[test]
fn an_estimate_counts_the_longest_copy_and_what_crosses_regions() {
    let size = Size::of(&image()).expect("sizes");
    let estimate = estimate(size, &route(&json!({}), &[AWAY, AWAY, HERE]), None, ASSUMED);
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
    let timed = estimate(size, &route(&json!({}), &[HERE]), Some(120), ASSUMED);
    assert_eq!(timed["Minutes"], 122.0);
    let lines = estimate::lines(&timed).join("\n");
    assert!(lines.contains("at most 2 h 2 min, if EC2 ends"), "{lines}");
    assert!(lines.contains("without the fee"), "{lines}");
    let nothing = estimate(size, &route(&json!({}), &[]), None, ASSUMED);
    assert_eq!(nothing["Minutes"], 0.0);
    assert_eq!(estimate::lines(&nothing), Vec::<String>::new());
}

#[test]
fn an_image_without_any_size_has_no_estimate() {
    let mut image = image();
    image.image.mappings.clear();
    assert!(Size::of(&image).is_none());
}
