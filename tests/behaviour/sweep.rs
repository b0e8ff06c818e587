//! The sweeper: what outlived its run is closed, what lives is left alone.

use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

/// A run that died right after it had opened the source.
async fn dead(sandbox: &Sandbox) {
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangBefore,
        _ => Fault::None,
    });
    let begun =
        tokio::time::timeout(Duration::from_mins(1), call(sandbox, &distribute(&TWO))).await;
    assert!(begun.is_err(), "it hangs");
    sandbox.clear_fault();
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
}

async fn sweep(sandbox: &Sandbox) -> Value {
    call(sandbox, &json!({"Sweep": {}})).await.expect("sweeps")
}

#[tokio::test(start_paused = true)]
async fn a_run_that_no_copy_can_outlast_is_closed() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    // One that was allowed before stays.
    sandbox.edit(|aws| [ROOT, DATA].map(|id| assert!(aws.share_snapshot(id, "999999999999"))));
    dead(&sandbox).await;
    let young = sweep(&sandbox).await;
    assert_eq!(
        (
            young["Closed"].as_array().unwrap().len(),
            young["Alive"].as_array().unwrap().len()
        ),
        (0, 1)
    );
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 2);
    tokio::time::sleep(Duration::from_hours(51)).await;
    let old = sweep(&sandbox).await;
    assert_eq!(old["Closed"].as_array().unwrap().len(), 1, "{old}");
    assert_closed_but(&sandbox, &["999999999999"]);
    assert_eq!(sweep(&sandbox).await, json!({"Closed": [], "Alive": []}));
}

/// A process wrote whom it needs while another of its run took the mark off, and died.
#[tokio::test(start_paused = true)]
async fn what_lies_beside_no_mark_is_taken_off() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    let tag = |key: &str| {
        let key = key.to_owned();
        sandbox.edit(|aws| {
            aws.change_snapshot(DATA, |s| {
                drop(s.tags.insert(key, "+222222222222".to_owned()));
            })
        })
    };
    assert!(tag("amiferry:sharing:0123456789abcdef:+12345678"));
    assert!(tag("owner"));
    let marked = |id: &str| {
        let snapshots = sandbox.snapshots(SOURCE, HOME);
        let found = snapshots.into_iter().find(|s| s.snapshot_id == id);
        found.expect("there").tags.into_keys().collect::<Vec<_>>()
    };
    let before = marked(DATA);
    for _ in 0..2 {
        assert_eq!(sweep(&sandbox).await["Alive"].as_array().unwrap().len(), 1);
        let mut left = before.clone();
        left.retain(|key| !key.contains("0123456789abcdef"));
        assert_eq!((left.len(), marked(DATA)), (before.len() - 1, left));
    }
}

/// Without grants to tell whom the run let in, the mark tells who was there before.
#[tokio::test(start_paused = true)]
async fn an_unencrypted_source_is_closed_too() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            aws.change_snapshot(id, |s| {
                s.encrypted = false;
                s.kms_key_arn = None;
            });
        }
        assert!(
            aws.share_snapshot(ROOT, "999999999999") && aws.share_snapshot(DATA, "999999999999")
        );
    });
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangBefore,
        _ => Fault::None,
    });
    drop(tokio::time::timeout(Duration::from_mins(1), call(&sandbox, &distribute(&TWO))).await);
    sandbox.clear_fault();
    tokio::time::sleep(Duration::from_hours(51)).await;
    assert_eq!(sweep(&sandbox).await["Closed"].as_array().unwrap().len(), 1);
    assert_closed_but(&sandbox, &["999999999999"]);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_share_is_not_swept() {
    let sandbox = Sandbox::new(world(&TWO));
    let share = json!({"Distribute": {"SourceImageId": AMI, "Mode": "Share", "ShareSnapshots": true, "TargetAccountIds": "222222222222"}});
    to_the_end(&sandbox, &share).await;
    tokio::time::sleep(Duration::from_hours(100)).await;
    assert_eq!(sweep(&sandbox).await, json!({"Closed": [], "Alive": []}));
    assert_eq!(sandbox.grants(SOURCE_KEY).len(), 1);
}

/// What cannot be closed is an error, so that it reaches the dead letters and a person, with the commands.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_closed_is_told() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    tokio::time::sleep(Duration::from_hours(51)).await;
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RevokeGrant" => Fault::Refuse {
            status: 400,
            code: "AccessDeniedException".to_owned(),
            message: "not authorized".to_owned(),
        },
        _ => Fault::None,
    });
    let error = call(&sandbox, &json!({"Sweep": {}}))
        .await
        .expect_err("stuck");
    assert!(
        error.to_string().contains("aws kms revoke-grant"),
        "{error}"
    );
}

/// A run that was ending had released whom it let in, and died; somebody let in another since.
#[tokio::test(start_paused = true)]
async fn a_run_that_died_ending_takes_nobody_elses() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    let grants = sandbox.grants(SOURCE_KEY);
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            assert!(aws.share_snapshot(id, "999999999999"));
            aws.change_snapshot(id, |s| {
                let key = s.tags.keys().find(|key| key.contains(":+")).cloned();
                let key = key.expect("whom it needs");
                drop(s.tags.remove(&key));
                let main = key.split(":+").next().unwrap_or_default().to_owned();
                let value = s.tags.get_mut(&main).expect("the mark");
                value.push_str(",released=222222222222,released=333333333333");
            });
        }
        for grant in &grants {
            assert!(aws.revoke_grant(SOURCE_KEY, &grant.grant_id));
        }
    });
    tokio::time::sleep(Duration::from_hours(51)).await;
    assert_eq!(sweep(&sandbox).await["Closed"].as_array().unwrap().len(), 1);
    assert_closed_but(&sandbox, &["999999999999"]);
}

/// One run whose accounts cannot be told keeps nobody from closing the others; it is told.
#[tokio::test(start_paused = true)]
async fn one_run_that_cannot_be_closed_does_not_stop_the_sweep() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    dead(&sandbox).await;
    let key = "arn:aws:kms:us-west-2:111111111111:key/99999999-aaaa-bbbb-cccc-000000000009";
    sandbox.edit(|aws| {
        let strange = amiferry_sandbox::Snapshot::new(HOME, "snap-00000000000000abc", 1)
            .tag("amiferry:sharing:0000000000000001", "since=1")
            .tag("amiferry:sharing:0000000000000001:+12345678", "+*");
        aws.add_snapshot(SOURCE, strange).expect("fits");
        aws.change_snapshot("snap-00000000000000abc", |s| {
            s.kms_key_arn = Some(key.to_owned());
        });
    });
    sandbox.set_fault(move |call| {
        let of_key = call.params.values().any(|value| value == key);
        if call.operation == "ListGrants" && of_key {
            Fault::Refuse {
                status: 400,
                code: "AccessDeniedException".to_owned(),
                message: "not authorized".to_owned(),
            }
        } else {
            Fault::None
        }
    });
    tokio::time::sleep(Duration::from_hours(51)).await;
    let error = call(&sandbox, &json!({"Sweep": {}})).await;
    let said = error.expect_err("one is left").to_string();
    assert!(said.contains("0000000000000001"), "{said}");
    assert!(!said.contains("aws kms"), "{said}");
    let open = sandbox.snapshots(SOURCE, HOME);
    assert!(open.iter().all(|s| s.create_volume_permissions.is_empty()));
    assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new());
}
