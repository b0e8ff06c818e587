//! `promote` and `rollback`, from a dry run to the way back.

use crate::stage::Stage;

const TARGETS: [&str; 2] = ["--target-account-ids", "222222222222,333333333333"];

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_no_target_can_make_names_the_reason_for_each() {
    let stage = Stage::at_speed(500.0).await;
    let moved = ["promote", "--from", "/golden/dev", "--to", "/golden/prod"];
    let moved: Vec<&str> = moved.iter().chain(&TARGETS).copied().collect();
    let refused = stage.run(&moved).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for account in ["222222222222", "333333333333"] {
        let mut lines = refused.stdout.lines();
        let line = lines.find(|line| line.starts_with(account));
        let line = line.unwrap_or_else(|| panic!("{account}: {refused:?}"));
        assert!(
            line.contains("Failed") && line.contains("GetParameterHistory"),
            "{line}"
        );
    }
    assert_eq!(stage.calls("PutParameter"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_move_is_refused_before_any_call() {
    let stage = Stage::at_speed(500.0).await;
    let back = ["rollback", "--parameter", "/golden/prod", "--apply"];
    let back: Vec<&str> = back.iter().chain(&TARGETS).copied().collect();
    let refused = stage.run(&back).await;
    assert_eq!(refused.code, Some(252), "{refused:?}");
    let words = "Rollback.SourceImageId: is required";
    assert!(refused.stderr.contains(words), "{refused:?}");
    assert_eq!(stage.calls("AssumeRole"), 0);
}
