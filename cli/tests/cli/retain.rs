//! `retain`: the table of old copies, and what a wrong rule is told.

use crate::stage::{IMAGE, Stage, TARGETS};

const RULE: [&str; 7] = [
    "retain",
    "--lineage",
    "golden-*",
    "--keep-newest",
    "1",
    "--target-account-ids",
    "222222222222,333333333333",
];

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_a_rule_keeps_are_listed_with_the_reason() {
    let stage = Stage::at_speed(500.0).await;
    let none = stage.run(&RULE).await;
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(0), "No copies match the lineage.\n")
    );
    let request: Vec<&str> = ["distribute", "--local", "--quiet", "--image", IMAGE]
        .iter()
        .chain(&TARGETS)
        .copied()
        .collect();
    let done = stage.run(&request).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let listed = stage.run(&RULE).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[0].starts_with("ACCOUNT"), "{listed:?}");
    assert!(lines[1].starts_with("222222222222"), "{listed:?}");
    assert!(lines[1].contains("Keep  one of the newest 1"), "{listed:?}");
    let mut json = RULE.to_vec();
    json.extend(["--output", "json"]);
    let reply = stage.run(&json).await.json();
    assert_eq!(reply["Applied"], false, "{reply}");
    assert_eq!(stage.calls("DeregisterImage"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_keeps_nothing_is_refused_before_any_call() {
    let stage = Stage::at_speed(500.0).await;
    let refused = stage
        .run(&["retain", "--lineage", "golden-*", "--apply"])
        .await;
    assert_eq!(refused.code, Some(252), "{refused:?}");
    assert!(
        refused.stderr.contains("Targets: is required"),
        "{refused:?}"
    );
    let mut everything = RULE.to_vec();
    everything[2] = "*";
    let refused = stage.run(&everything).await;
    assert_eq!(refused.code, Some(252), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("Retain.Lineage: matches every name"),
        "{refused:?}"
    );
    assert_eq!(stage.calls("AssumeRole"), 0);
}
