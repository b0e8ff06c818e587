//! The main job.

use std::time::Duration;

use amiferry_sandbox::{Limits, Sandbox};
use serde_json::json;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn every_target_gets_a_faithful_ami_and_the_source_is_closed() {
    let sandbox = Sandbox::new(world(&FOUR));
    let reply = to_the_end(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &FOUR);
    assert_closed(&sandbox);
    for place in FOUR {
        let result = target(&reply, place);
        let image = assert_one_image(&sandbox, place);
        assert_eq!(result["ImageId"], image.image_id);
        assert_eq!(result["KmsKeyArn"], key_arn(place));
        assert_eq!(image.name, "golden-copied-from-111111111111");
        assert_eq!(image.tags["stage"], "test");
        let pairs = result["Snapshots"].as_object().unwrap();
        let ids = image.snapshot_ids();
        assert_eq!(
            (pairs[ROOT].as_str(), pairs[DATA].as_str()),
            (Some(ids[0].as_str()), Some(ids[1].as_str()))
        );
    }
    assert_eq!(
        sandbox
            .snapshots("222222222222", HOME)
            .iter()
            .filter(|s| s.tags.contains_key("part"))
            .count(),
        1
    );
}

/// The number of calls is a promise: each may be throttled.
#[tokio::test(start_paused = true)]
async fn a_run_makes_no_call_twice_where_one_suffices() {
    let sandbox = Sandbox::new(world(&FOUR));
    to_the_end(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(calls(&sandbox, "CopySnapshot"), 8);
    assert_eq!(calls(&sandbox, "RegisterImage"), 4);
    assert_eq!(calls(&sandbox, "ModifySnapshotAttribute"), 4);
    // One grant for each account: two of the targets are in the same account.
    assert_eq!(calls(&sandbox, "CreateGrant"), 3);
    assert_eq!(calls(&sandbox, "RevokeGrant"), 3);
    assert_eq!(
        calls(&sandbox, "ModifyImageAttribute"),
        0,
        "copying needs no launch permission"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_distribution_asked_for_again_changes_nothing() {
    let sandbox = Sandbox::new(world(&TWO));
    let first = to_the_end(&sandbox, &distribute(&TWO)).await;
    sandbox.clear_ledger();
    let second = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(first["Result"]["Targets"], second["Result"]["Targets"]);
    for operation in [
        "CopySnapshot",
        "RegisterImage",
        "ModifySnapshotAttribute",
        "CreateGrant",
        "CreateTags",
    ] {
        assert_eq!(calls(&sandbox, operation), 0, "{operation}");
    }
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_target_added_later_is_copied_alone() {
    let sandbox = Sandbox::new(world(&FOUR));
    to_the_end(&sandbox, &distribute(&FOUR[..2])).await;
    sandbox.clear_ledger();
    let reply = to_the_end(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded");
    assert_eq!(calls(&sandbox, "CopySnapshot"), 4);
    assert_whole(&sandbox, &FOUR);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn preexisting_permissions_survive_a_distribution() {
    let sandbox = Sandbox::new(world(&FOUR));
    sandbox.edit(|aws| {
        for snapshot in [ROOT, DATA] {
            assert!(
                aws.share_snapshot(snapshot, "222222222222")
                    && aws.share_snapshot(snapshot, "999999999999")
            );
        }
    });
    let reply = to_the_end(&sandbox, &distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded");
    assert_whole(&sandbox, &FOUR);
    assert_closed_but(&sandbox, &["222222222222", "999999999999"]);
}

#[tokio::test(start_paused = true)]
async fn openings_stay_with_revoke_after_copy_false() {
    let sandbox = Sandbox::new(world(&TWO));
    let mut event = distribute(&TWO);
    event["Distribute"]["RevokeAfterCopy"] = json!(false);
    assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        assert_eq!(snapshot.create_volume_permissions.len(), 2);
        assert!(!snapshot.tags.keys().any(|k| k.starts_with("amiferry:")));
    }
}

/// Two snapshots with a quota of one copy: the run waits for the queue.
#[tokio::test(start_paused = true)]
async fn more_snapshots_than_the_copy_quota_are_copied_in_turn() {
    let place = [("222222222222", HOME)];
    let sandbox = Sandbox::new(world(&place).limits(Limits {
        concurrent_copies: 1,
        ..Limits::default()
    }));
    let reply = to_the_end(&sandbox, &distribute(&place)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let refused = sandbox
        .ledger()
        .iter()
        .filter(|c| matches!(&c.outcome, Some(Err(code)) if code == "ResourceLimitExceeded"))
        .count();
    assert!(refused > 0, "the quota was never met");
    assert_whole(&sandbox, &place);
    assert_closed(&sandbox);
}

/// Grants, tags and new resources show up to five minutes late, as AWS documents.
#[tokio::test(start_paused = true)]
async fn changes_that_show_late_delay_the_run_and_do_not_fail_it() {
    let late = Duration::from_secs(40);
    let slow = world(&TWO)
        .grant_delay(Duration::from_mins(4))
        .read_delay(late)
        .tag_delay(late)
        .registration_delay(late);
    let sandbox = Sandbox::new(slow.limits(Limits {
        empty_pages: true,
        ..Limits::default()
    }));
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// An hour of copying costs a few dozen looks, and no waiting inside the function.
#[tokio::test(start_paused = true)]
async fn a_long_copy_is_polled_a_few_dozen_times() {
    let place = [("222222222222", HOME)];
    let sandbox = Sandbox::new(world(&place).copy_mib_per_second(102_400.0 / 3600.0));
    let begun = sandbox.now();
    let reply = to_the_end(&sandbox, &distribute(&place)).await;
    assert_eq!(reply["Status"], "Succeeded");
    let took = sandbox.now().duration_since(begun).unwrap().as_secs();
    assert!(
        (3600..3600 + 120).contains(&took),
        "took {took} s for a copy of an hour"
    );
    let polls = calls(&sandbox, "DescribeSnapshots");
    assert!(polls < 300, "{polls} looks");
}

#[tokio::test(start_paused = true)]
async fn a_name_template_is_expanded_and_copy_tags_false_copies_no_tags() {
    let sandbox = Sandbox::new(world(&TWO));
    let mut event = distribute(&TWO);
    event["Distribute"]["Name"] = json!("{name}/{image}/{account}/{region}");
    event["Distribute"]["CopyTags"] = json!("false");
    assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
    let image = &sandbox.images("333333333333", "us-east-1")[0];
    assert_eq!(image.name, format!("golden/{AMI}/333333333333/us-east-1"));
    assert!(!image.tags.contains_key("team") && image.tags.contains_key("stage"));
    assert_closed(&sandbox);
}

/// An AMI may be in use, so a later change of the source does not remove it.
#[tokio::test(start_paused = true)]
async fn an_existing_copy_is_kept_when_the_source_has_changed() {
    let mut account = producer();
    account.images[0].imds_support = None;
    let sandbox = Sandbox::new(world_with(account, &TWO));
    assert_eq!(
        to_the_end(&sandbox, &distribute(&TWO)).await["Status"],
        "Succeeded"
    );
    let before = sandbox.images(TWO[0].0, TWO[0].1);
    tokio::time::sleep(Duration::from_mins(10)).await;
    sandbox.edit(|aws| {
        assert!(aws.change_image(AMI, |image| image.imds_support = Some("v2.0".to_owned())));
    });
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    assert!(
        target(&reply, TWO[0])["Reason"]
            .as_str()
            .unwrap()
            .contains("ImdsSupport"),
        "{reply}"
    );
    assert_eq!(sandbox.images(TWO[0].0, TWO[0].1), before);
    assert_eq!(sandbox.snapshots(TWO[0].0, TWO[0].1).len(), 2);
    assert_closed(&sandbox);
}

/// A person deletes the copy of one target, and sends the request again.
#[tokio::test(start_paused = true)]
async fn a_request_sent_again_after_its_run_ended_copies_what_was_deleted() {
    let sandbox = Sandbox::new(world(&TWO));
    to_the_end(&sandbox, &distribute(&TWO)).await;
    delete_copies(&sandbox, TWO[0]);
    let again = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(again["Status"], "Succeeded", "{again}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}
