//! Staged copies at the end of a run, and the snapshots that only look like one.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_staged_copy_that_cannot_be_deleted_is_listed_with_its_command() {
    let sandbox = Sandbox::new(staged_world(1, &TWO));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DeleteSnapshot" if call.account == SOURCE => refuse(403, "UnauthorizedOperation"),
        _ => Fault::None,
    });
    let reply = to_the_end(&sandbox, &wish(&TWO)).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    assert_whole(&sandbox, &TWO);
    let left: Vec<_> = sandbox
        .snapshots(SOURCE, HOME)
        .into_iter()
        .filter(|s| s.snapshot_id != ROOT && s.snapshot_id != DATA)
        .collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].create_volume_permissions.is_empty());
    let stuck = &reply["Result"]["Stuck"][0];
    assert_eq!(stuck["AccountId"], SOURCE);
    let command = format!(
        "aws ec2 delete-snapshot --region {HOME} --snapshot-id {}",
        left[0].snapshot_id
    );
    assert!(stuck["Commands"].to_string().contains(&command), "{stuck}");
    // The ledger still names the run, so the sweeper tries again.
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_hours(51)).await;
    let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_eq!(swept["Closed"].as_array().unwrap().len(), 1, "{swept}");
    assert_unstaged(&sandbox, "swept");
}

/// The run died while it staged, or after it had opened its staged copies.
#[tokio::test(start_paused = true)]
async fn staged_copies_of_a_dead_run_are_deleted_by_the_sweeper() {
    for dies_at in ["CopySnapshot of staging", "CopySnapshot"] {
        let sandbox = Sandbox::new(staged_world(1, &TWO));
        sandbox.set_fault(
            move |call| match (call.operation.as_str(), call.account == SOURCE) {
                ("CopySnapshot", true) if dies_at != "CopySnapshot" => Fault::HangAfter,
                ("CopySnapshot", false) => Fault::HangBefore,
                _ => Fault::None,
            },
        );
        let event = wish(&TWO);
        let driving = tokio::time::timeout(Duration::from_mins(5), to_the_end(&sandbox, &event));
        tokio::select! {
            biased;
            () = sandbox.hung() => {}
            _ = driving => panic!("{dies_at}: it hangs"),
        }
        sandbox.clear_fault();
        let young = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(
            young["Alive"].as_array().unwrap().len(),
            1,
            "{dies_at}: {young}"
        );
        tokio::time::sleep(Duration::from_hours(51)).await;
        let old = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(
            old["Closed"].as_array().unwrap().len(),
            1,
            "{dies_at}: {old}"
        );
        assert_unstaged(&sandbox, dies_at);
    }
}

/// A backup may copy a staged copy with some of its tags.
#[tokio::test(start_paused = true)]
async fn a_snapshot_with_only_the_tag_of_the_run_survives_the_end_of_staging() {
    let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(250.0));
    let reply = call(&sandbox, &wish(&TWO)).await.expect("begins");
    let run = reply["State"]["Run"].as_str().expect("a run");
    let theirs = "snap-0fffffffffffffff1";
    let tagged = amiferry_sandbox::Snapshot::new(HOME, theirs, 1).tag("amiferry:run", run);
    sandbox
        .edit(|aws| aws.add_snapshot(SOURCE, tagged))
        .expect("fits");
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert!(sandbox.edit(|aws| aws.snapshot(theirs)).is_some());
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_verification_of_an_attempt_keeps_staged_copies_of_the_next() {
    let sandbox = Sandbox::new(staged_world(1, &TWO));
    to_the_end(&sandbox, &wish(&TWO)).await;
    delete_copies(&sandbox, TWO[0]);
    tokio::time::sleep(Duration::from_mins(15)).await;
    let reply = short_call(&sandbox, &wish(&TWO)).await;
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3, "{reply}");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_ne!(swept["Verified"], json!([]));
    assert_eq!(sandbox.snapshots(SOURCE, HOME).len(), 3);
    let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_unstaged(&sandbox, "attempted twice");
}

/// No listing showed the staged copy when its attempt ended. The verification deletes it, even
/// after a later attempt that staged nothing.
#[tokio::test(start_paused = true)]
async fn a_staged_copy_that_showed_late_is_deleted_by_the_verification() {
    let late = LateReads {
        listings: Duration::from_mins(1),
        ..LateReads::default()
    };
    let sandbox = Sandbox::new(staged_world(1, &TWO).late_reads(late));
    sandbox.set_fault(
        |call| match (call.account.as_str(), call.operation.as_str()) {
            (SOURCE, "CopySnapshot") => Fault::ResetAfter,
            _ => Fault::None,
        },
    );
    let begun = short_call(&sandbox, &wish(&TWO)).await;
    assert_eq!(begun["Status"], "Continue");
    assert!(sandbox.snapshots(SOURCE, HOME).len() > 2);
    sandbox.set_fault(|call| match call.operation.as_str() {
        "AssumeRole" | "CopySnapshot" => refuse(403, "AccessDenied"),
        _ => Fault::None,
    });
    for _ in 0..2 {
        let reply = to_the_end(&sandbox, &wish(&TWO)).await;
        assert_eq!(reply["Status"], "Failed", "{reply}");
    }
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_mins(17)).await;
    call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
    assert_unstaged(&sandbox, "verified");
}
