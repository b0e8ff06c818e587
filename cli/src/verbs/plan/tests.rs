use amiferry::ids::Region;
use amiferry::request::Defaults;
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
    let plan = planned(&request("Copy"), None, &[], &reply);
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
    let plan = planned(&request("Copy"), None, &[], &reply);
    assert_eq!(signs(&plan), ["!", "!", "!"]);
    assert_eq!(plan["Findings"][0]["Check"], "Source");
}

#[test]
fn a_detailed_exit_code_tells_changes_from_none() {
    let ready = |findings: &[Value]| json!({"Status": "Ready", "Findings": findings});
    let there = |account| finding("Note", "AlreadyThere", account);
    let all = ["222222222222", "333333333333", "444444444444"].map(there);
    let none = planned(&request("Copy"), None, &[], &ready(&all));
    assert_eq!((code(&none, true), code(&none, false)), (0, 0));
    let some = planned(&request("Copy"), None, &[], &ready(&all[..2]));
    assert_eq!((code(&some, true), code(&some, false)), (2, 0));
    let share = planned(&request("Share"), None, &["arn:o".to_owned()], &ready(&[]));
    assert_eq!(signs(&share), ["~", "~", "~"]);
    assert_eq!(share["Permissions"], 4);
    assert_eq!(code(&share, true), 2);
}
