//! `StagingKmsKeyIds`: an image is copied once into a Region of many targets, in the source
//! account, and nothing of that is left there.

use super::*;
use crate::resume::cut_at_each_call;

pub const AWAY: &str = "us-east-1";
/// Two targets that copy from a staged copy, and one that copies from the source.
const PLACES: [Place; 3] = [
    ("222222222222", AWAY),
    ("333333333333", AWAY),
    ("444444444444", HOME),
];

pub fn staging_key() -> String {
    format!("arn:aws:kms:{AWAY}:{SOURCE}:key/11111111-aaaa-bbbb-cccc-000000000003")
}

/// Returns the source account with a key away from home, and the documented permissions.
pub fn with_staging(mut account: Account) -> Account {
    account.roles[0].policies.push(documented("StageElsewhere"));
    let id = staging_key();
    let id = id.rsplit('/').next().expect("an ID");
    account.key(Key::new(AWAY, id).alias(SHARED_KEY))
}

/// Lets the copy role of an account read keys and snapshots away from home too: its policies name
/// them by their Region.
pub fn reads_away(target: &mut Account) {
    let role = &mut target.roles[0];
    let (home, away) = (format!("{HOME}:{SOURCE}"), format!("{AWAY}:{SOURCE}"));
    let policies = role.policies.iter();
    let more: Vec<String> = policies
        .map(|policy| policy.replace(&home, &away))
        .collect();
    role.policies.extend(more);
}

fn world_of(source: Account) -> World {
    let mut world = world_with(with_staging(source), &PLACES);
    world.accounts[1..].iter_mut().for_each(reads_away);
    world
}

fn slow() -> World {
    world_of(producer()).copy_mib_per_second(1024.0)
}

fn wish() -> Value {
    let mut event = distribute(&PLACES);
    event["Distribute"]["StagingKmsKeyIds"] = json!({AWAY: SHARED_KEY});
    event
}

/// Returns the copies that the function's own role made.
fn staged_copies(sandbox: &Sandbox) -> usize {
    super::staged_copies(sandbox)
}

fn assert_unstaged(sandbox: &Sandbox) {
    assert_eq!(sandbox.snapshots(SOURCE, AWAY), Vec::new());
    assert_eq!(sandbox.grants(&staging_key()), Vec::new());
    assert_closed(sandbox);
}

fn assert_done(sandbox: &Sandbox) {
    assert_whole(sandbox, &PLACES);
    assert_unstaged(sandbox);
}

/// Returns the calls of an operation in a Region, by the account of the caller.
fn calls_in(sandbox: &Sandbox, operation: &str, region: &str) -> Vec<amiferry_sandbox::Call> {
    let mut calls = sandbox.ledger();
    calls.retain(|call| call.operation == operation && call.region == region);
    calls
}

#[tokio::test(start_paused = true)]
async fn the_targets_of_a_region_copy_from_one_staged_copy() {
    let sandbox = Sandbox::new(world_of(producer()));
    let reply = to_the_end(&sandbox, &wish()).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_done(&sandbox);
    assert_eq!(staged_copies(&sandbox), 2, "one of each snapshot");
    let from = |call: &amiferry_sandbox::Call| {
        (call.account != SOURCE).then(|| call.params["SourceRegion"].clone())
    };
    let away: Vec<String> = calls_in(&sandbox, "CopySnapshot", AWAY)
        .iter()
        .filter_map(from)
        .collect();
    assert_eq!(
        away, [AWAY; 4],
        "nothing of the targets crosses between Regions"
    );
    let home: Vec<String> = calls_in(&sandbox, "CopySnapshot", HOME)
        .iter()
        .filter_map(from)
        .collect();
    assert_eq!(home, [HOME; 2]);
    // The originals are opened to those alone that copy them.
    for call in calls_in(&sandbox, "ModifySnapshotAttribute", HOME) {
        let said = format!("{:?}", call.params);
        assert!(
            said.contains("444444444444") && !said.contains("222222222222"),
            "{said}"
        );
    }
    let receipt = reply["Result"]["Receipt"].to_string();
    assert!(receipt.contains(&staging_key()), "{receipt}");
    // The same request again finds every image, and stages nothing.
    let again = to_the_end(&sandbox, &wish()).await;
    assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
    assert_eq!(staged_copies(&sandbox), 2);
    assert_done(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_copies_from_the_source_waits_for_no_staged_copy() {
    let sandbox = Sandbox::new(slow());
    let reply = to_the_end(&sandbox, &wish()).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_done(&sandbox);
    let began = |region: &str, staged: bool| {
        let calls = calls_in(&sandbox, "CopySnapshot", region).into_iter();
        let mut calls = calls.filter(|call| (call.account == SOURCE) == staged);
        calls.next().expect("a copy").at
    };
    let copied = began(HOME, false);
    let waited = began(AWAY, false).duration_since(copied);
    let waited = waited.unwrap_or_default();
    assert!(waited > Duration::from_mins(1), "{waited:?}");
    let staged = began(AWAY, true).duration_since(copied).unwrap_or_default();
    assert!(staged < Duration::from_secs(20), "side by side: {staged:?}");
}

#[tokio::test(start_paused = true)]
async fn an_execution_stages_once_for_all_targets_of_a_region() {
    let sandbox = Sandbox::new(slow());
    let reply = execute(&sandbox, &wish()).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(staged_copies(&sandbox), 2);
    assert_done(&sandbox);
}

/// The State goes on after the one, and the event is sent again after the other.
#[tokio::test(start_paused = true)]
async fn a_run_staged_elsewhere_and_killed_at_any_call_goes_on() {
    let (after, before) = (Fault::HangAfter, Fault::HangBefore);
    let goes_on = cut_at_each_call(&after, &wish(), slow, Value::clone, assert_done).await;
    let repeats = cut_at_each_call(&before, &wish(), slow, |_| Value::Null, assert_done).await;
    assert!(goes_on > 60 && repeats > 60, "{goes_on} {repeats}");
}

#[tokio::test(start_paused = true)]
async fn a_run_staged_elsewhere_with_an_unanswered_call_anywhere_succeeds() {
    for n in 0.. {
        let sandbox = Sandbox::new(world_of(producer()));
        hang(&sandbox, n, Fault::ResetAfter);
        let reply = to_the_end(&sandbox, &wish()).await;
        assert_eq!(reply["Status"], "Succeeded", "at {n}: {reply}");
        assert_done(&sandbox);
        if n > sandbox.ledger().len() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_staged_elsewhere_and_delivered_twice_leaves_no_staged_copy() {
    for seed in 1..12_u64 {
        let sandbox = Sandbox::new(world_of(producer()));
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        sandbox.set_fault(move |_| {
            Fault::Delay(Duration::from_millis(random.lock().unwrap().u64(0..900)))
        });
        let event = wish();
        let (one, other) = tokio::join!(to_the_end(&sandbox, &event), to_the_end(&sandbox, &event));
        assert_eq!(
            (&one["Status"], &other["Status"]),
            (&json!("Succeeded"), &json!("Succeeded")),
            "seed {seed}: {one} {other}"
        );
        assert_done(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn staged_copies_of_a_dead_run_are_closed_and_deleted_by_the_sweeper() {
    // At the first call of a target, and at the second one of staging.
    for (owned, n, snapshots) in [(false, 0, 2), (true, 1, 1)] {
        let sandbox = Sandbox::new(world_of(producer()));
        let count = std::sync::atomic::AtomicUsize::new(0);
        sandbox.set_fault(move |call| {
            let copies = call.operation == "CopySnapshot" && call.region == AWAY;
            let one = copies && (call.account == SOURCE) == owned;
            if one && count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == n {
                Fault::HangBefore
            } else {
                Fault::None
            }
        });
        killed(&sandbox, &wish()).await.expect("it is killed");
        sandbox.clear_fault();
        let grants = if owned { 0 } else { 2 };
        assert_eq!(sandbox.grants(&staging_key()).len(), grants);
        assert_eq!(sandbox.snapshots(SOURCE, AWAY).len(), snapshots);
        tokio::time::sleep(Duration::from_hours(51)).await;
        let swept = call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        assert_eq!(swept["Closed"].as_array().map(Vec::len), Some(1), "{swept}");
        assert_unstaged(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_under_aws_ebs_needs_no_key_at_home_where_all_targets_are_away() {
    let sandbox = Sandbox::new(world_of(under_aws_ebs(1)));
    let away = &PLACES[..2];
    let mut event = distribute(away);
    event["Distribute"]["StagingKmsKeyIds"] = json!({AWAY: SHARED_KEY});
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, away);
    assert_unstaged(&sandbox);
    // A target at home needs a key there.
    let sandbox = Sandbox::new(world_of(under_aws_ebs(1)));
    let refused = call(&sandbox, &wish()).await.unwrap_err().to_string();
    assert!(refused.contains("ReencryptKmsKeyId"), "{refused}");
    let mut event = wish();
    event["Distribute"]["ReencryptKmsKeyId"] = json!(SHARED_KEY);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_done(&sandbox);
    assert_eq!(staged_copies(&sandbox), 3, "one at home, two away");
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_staged_copies_that_cannot_be_met_is_refused_by_name() {
    let refused = async |change: &dyn Fn(&mut Value)| {
        let sandbox = Sandbox::new(world_of(producer()));
        let mut event = wish();
        change(&mut event["Distribute"]);
        let said = call(&sandbox, &event).await.expect_err("refused");
        assert_eq!(said.error_type(), "InvalidRequest");
        assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
        said.to_string()
    };
    let with = |region: &'static str, key: &'static str| {
        move |request: &mut Value| request["StagingKmsKeyIds"] = json!({ region: key })
    };
    for (region, key, expected) in [
        (AWAY, "alias/nobody", "there is no alias/nobody"),
        (AWAY, "alias/aws/ebs", "AWS-managed"),
        (AWAY, "alias", "StagingKmsKeyIds.us-east-1: "),
        (HOME, SHARED_KEY, "is SourceRegion"),
        ("us-east", SHARED_KEY, "StagingKmsKeyIds.us-east: "),
        ("cn-north-1", SHARED_KEY, "partition"),
        (
            AWAY,
            "arn:aws:kms:eu-west-1:111111111111:key/11111111-aaaa-bbbb-cccc-000000000003",
            "is not in account 111111111111 in us-east-1",
        ),
    ] {
        let said = refused(&with(region, key)).await;
        assert!(
            said.contains(&format!("StagingKmsKeyIds.{region}")) && said.contains(expected),
            "{region} {key}: {said}"
        );
    }
    let said = refused(&|request| request["KeyAccess"] = json!("Policy")).await;
    assert!(
        said.starts_with("StagingKmsKeyIds: goes with KeyAccess Grant"),
        "{said}"
    );
    let said = refused(&|request| request["Strategy"] = json!("Image")).await;
    assert!(
        said.starts_with("StagingKmsKeyIds: goes with copies of snapshots"),
        "{said}"
    );
}

/// The ledger knows which Regions and keys the run was accepted with.
#[tokio::test(start_paused = true)]
async fn a_state_with_other_staging_keys_opens_nothing() {
    let id = "11111111-aaaa-bbbb-cccc-00000000000e";
    let source = producer().key(Key::new(AWAY, id));
    let sandbox = Sandbox::new(world_of(source).copy_mib_per_second(1024.0));
    let mut state = call(&sandbox, &wish()).await.expect("begins")["State"].clone();
    let other = format!("arn:aws:kms:{AWAY}:{SOURCE}:key/{id}");
    state["Order"]["StagingKeys"][AWAY] = json!(other);
    let reply = to_the_end(&sandbox, &json!({ "State": state })).await;
    assert_eq!(target(&reply, PLACES[0])["Cause"], "AttemptOver", "{reply}");
    assert_eq!(sandbox.grants(&other), Vec::new());
    assert_unstaged(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_region_without_other_accounts_is_not_staged() {
    let sandbox = Sandbox::new(world_of(producer()));
    let home = &PLACES[2..];
    let mut event = distribute(home);
    event["Distribute"]["StagingKmsKeyIds"] = json!({AWAY: SHARED_KEY});
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(staged_copies(&sandbox), 0);
    assert_whole(&sandbox, home);
    assert_unstaged(&sandbox);
}

/// A run that may not share or look at its staged copies ends, and the targets at home have theirs.
#[tokio::test(start_paused = true)]
async fn a_run_that_may_not_share_its_staged_copies_ends() {
    for action in [
        "ec2:ModifySnapshotAttribute",
        "ec2:DescribeSnapshotAttribute",
    ] {
        let mut world = world_of(producer());
        let policy = world.accounts[0].roles[0].policies.pop().expect("a policy");
        let denied = policy.replace(action, "ec2:DescribeVpcs");
        world.accounts[0].roles[0].policies.push(denied);
        let sandbox = Sandbox::new(world);
        let reply = to_the_end(&sandbox, &wish()).await;
        assert_eq!(
            target(&reply, PLACES[0])["Cause"],
            "SharingFailed",
            "{action}: {reply}"
        );
        assert_eq!(
            target(&reply, PLACES[2])["Status"],
            "Succeeded",
            "{action}: {reply}"
        );
        assert_nothing(&sandbox, &PLACES[..2]);
        assert_whole(&sandbox, &PLACES[2..]);
        assert_unstaged(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_preflight_asks_about_the_staged_copies() {
    let sandbox = Sandbox::new(world_of(producer()));
    let ask = async |event: &Value| {
        let event = json!({"Preflight": event["Distribute"]});
        call(&sandbox, &event).await.expect("a reply")
    };
    let reply = ask(&wish()).await;
    let level = |finding: &Value| finding["Level"].as_str().map(str::to_owned);
    let findings = reply["Findings"].as_array().expect("findings");
    let wrong: Vec<&Value> = findings
        .iter()
        .filter(|finding| level(finding).as_deref() == Some("Error"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(
        reply["Plan"]
            .to_string()
            .contains("all snapshots, once for the targets in us-east-1"),
        "{}",
        reply["Plan"]
    );
    let mut world = world_of(producer());
    world.accounts[0].roles[0].policies.pop();
    let sandbox = Sandbox::new(world);
    let event = json!({"Preflight": wish()["Distribute"]});
    let reply = call(&sandbox, &event).await.expect("a reply");
    let said = reply["Findings"].to_string();
    assert!(
        said.contains("\"Staging\"") || said.contains("StagingKmsKeyIds"),
        "{said}"
    );
    assert!(
        said.contains("docs/permissions.md lists for StagingKmsKeyIds") || said.contains("may use"),
        "{said}"
    );
}
