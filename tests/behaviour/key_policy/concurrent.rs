//! Several who write one policy at a time: runs of ours, and other people.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use amiferry_sandbox::Fault;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::*;

/// Draws delays: the same seed gives the same interleaving.
fn delays(seed: u64, longest: u64) -> impl Fn() -> Duration + Send + Sync + 'static {
    let state = Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    move || {
        let mut x = state.lock().unwrap();
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        Duration::from_millis(*x % longest)
    }
}

async fn together(seed: u64, longest: u64, events: &[Value]) -> Sandbox {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    let delay = delays(seed, longest);
    sandbox.set_fault(move |_| Fault::Delay(delay()));
    let runs = events.iter().map(|event| to_the_end(&sandbox, event));
    for reply in futures::future::join_all(runs).await {
        assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
    }
    sandbox.clear_fault();
    assert_whole(&sandbox, &TWO);
    assert_ended(&sandbox, &before).await;
    sandbox
}

#[tokio::test(start_paused = true)]
async fn a_copy_delivered_up_to_three_times_at_once_restores_the_key_policy() {
    for seed in 0..8 {
        let count = 2 + usize::from(seed % 3 == 0);
        together(seed, 400, &vec![by_policy(&TWO); count]).await;
    }
}

/// Each run has its own statements, and finds out if a slower write has lost them.
#[tokio::test(start_paused = true)]
async fn different_copies_at_once_keep_each_others_statements() {
    for seed in 0..8 {
        let stages = ["one", "other", "third"].iter().map(|stage| {
            let mut event = by_policy(&TWO);
            event["Distribute"]["Tags"] = json!({"stage": stage});
            event
        });
        let events: Vec<Value> = stages.take(2 + usize::from(seed % 2 == 1)).collect();
        together(seed, 700, &events).await;
    }
}

/// A lasting share, delivered twice, and a copy at the same time.
#[tokio::test(start_paused = true)]
async fn a_share_and_a_copy_at_once_leave_exactly_the_shares_statements() {
    for seed in 0..8 {
        let sandbox = Sandbox::new(editing_world(&TWO));
        let before = key_policy(&sandbox).await;
        let delay = delays(seed, 900);
        sandbox.set_fault(move |_| Fault::Delay(delay()));
        let (both, copy) = (share(&[ONE, OTHER], &json!({})), by_policy(&TWO));
        let (one, two, copied) = tokio::join!(
            to_the_end(&sandbox, &both),
            to_the_end(&sandbox, &both),
            to_the_end(&sandbox, &copy)
        );
        for reply in [one, two, copied] {
            assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        }
        assert_eq!(parts(&sandbox), ["Describe", "Use", "Grant"], "seed {seed}");
        assert_eq!(named(&sandbox), [ONE, OTHER], "seed {seed}");
        let end = share(&[ONE, OTHER], &json!({"Unshare": true}));
        let mut other = by_policy(&TWO);
        other["Distribute"]["Name"] = json!("{name}-{image}");
        let (ended, copied) =
            tokio::join!(to_the_end(&sandbox, &end), to_the_end(&sandbox, &other));
        for reply in [ended, copied] {
            assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        }
        sandbox.clear_fault();
        assert_ended(&sandbox, &before).await;
    }
}

/// Changes the policy as another person would.
fn edit(sandbox: &Sandbox, change: impl Fn(&mut Vec<Value>)) {
    let mut policy = sandbox.key_policy(SOURCE_KEY).unwrap();
    change(policy["Statement"].as_array_mut().unwrap());
    let text = policy.to_string();
    assert!(sandbox.edit(|aws| aws.set_key_policy(SOURCE_KEY, &text).unwrap()));
}

fn theirs(n: usize) -> Value {
    json!({"Sid": format!("Theirs{n}"), "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:Tag*",
        "Resource": "*"})
}

/// Somebody edits the policy before each read of the run in turn. The run does not write back what
/// it read before.
#[tokio::test(start_paused = true)]
async fn an_edit_before_any_read_of_the_policy_survives() {
    for n in 0.. {
        let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
        let (world, count) = (sandbox.clone(), AtomicUsize::new(0));
        sandbox.set_fault(move |call| {
            if call.operation == "GetKeyPolicy" && count.fetch_add(1, Ordering::SeqCst) == n {
                edit(&world, |statements| statements.insert(n % 2, theirs(n)));
            }
            Fault::None
        });
        let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
        assert_eq!(reply["Status"], "Succeeded", "at read {n}: {reply}");
        assert_closed(&sandbox);
        sandbox.clear_fault();
        let policy = sandbox.key_policy(SOURCE_KEY).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let reads = calls(&sandbox, "GetKeyPolicy");
        if reads <= n {
            assert!(n > 6, "{n} reads");
            return;
        }
        assert_eq!(statements.len(), 2, "at read {n}: {policy}");
        assert!(statements.contains(&theirs(n)), "at read {n}: {policy}");
    }
}

/// A person edits the policy between the run's first read and its second, while statements are
/// added and while they are removed.
#[tokio::test(start_paused = true)]
async fn an_edit_between_read_and_write_survives() {
    for takes_out in [false, true] {
        let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
        let (world, seen, edited) = (sandbox.clone(), AtomicUsize::new(0), Mutex::new(false));
        sandbox.set_fault(move |call| {
            // The first read before adding statements, or the first after the copies have begun.
            if call.operation == "RegisterImage" {
                seen.store(1, Ordering::SeqCst);
            }
            let now = takes_out == (seen.load(Ordering::SeqCst) == 1);
            let mut edited = edited.lock().unwrap();
            if call.operation == "GetKeyPolicy" && now && !*edited {
                *edited = true;
                let world = world.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    edit(&world, |statements| statements.push(theirs(1)));
                });
            }
            Fault::Delay(Duration::from_millis(100))
        });
        let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        sandbox.clear_fault();
        assert_closed(&sandbox);
        let policy = sandbox.key_policy(SOURCE_KEY).unwrap();
        assert_eq!(policy["Statement"][1], theirs(1), "{takes_out}: {policy}");
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
    }
}

/// Somebody changes the policy before every read of the run, which gives up after a while.
#[tokio::test(start_paused = true)]
async fn a_key_policy_edited_without_end_fails_the_target() {
    let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
    let (world, count) = (sandbox.clone(), AtomicUsize::new(0));
    sandbox.set_fault(move |call| {
        if call.operation == "GetKeyPolicy" {
            let n = count.fetch_add(1, Ordering::SeqCst);
            edit(&world, |statements| {
                statements.truncate(1);
                statements.push(theirs(n));
            });
        }
        Fault::None
    });
    let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let result = target(&reply, (ONE, HOME)).clone();
    assert!(
        result["Reason"]
            .as_str()
            .unwrap()
            .contains("KeyPolicyChanging"),
        "{result}"
    );
    assert_eq!(calls(&sandbox, "PutKeyPolicy"), 0);
    sandbox.clear_fault();
    assert_closed(&sandbox);
}

/// Slower writes of others remove the run's statements while it waits for the policy to work, and
/// put them back after its end.
#[tokio::test(start_paused = true)]
async fn statements_lost_to_a_slower_write_are_put_back() {
    let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
    let before = key_policy(&sandbox).await;
    let (world, without, seen) = (
        sandbox.clone(),
        before.clone(),
        Mutex::new((0, String::new())),
    );
    sandbox.set_fault(move |call| {
        let mut seen = seen.lock().unwrap();
        // At the first probe the run's statements are gone.
        if call.operation == "DescribeKey"
            && call.account == ONE
            && call.params["KeyId"] == SOURCE_KEY
        {
            seen.0 += 1;
            if seen.0 == 1 {
                seen.1 = world.key_policy(SOURCE_KEY).unwrap().to_string();
                world.edit(|aws| aws.set_key_policy(SOURCE_KEY, &without).unwrap());
            }
        }
        // Eight seconds after their removal the statements are back.
        if call.operation == "PutKeyPolicy"
            && !call.params["Policy"].contains("Amiferry")
            && !seen.1.is_empty()
        {
            let (world, with_ours) = (world.clone(), std::mem::take(&mut seen.1));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(8)).await;
                world.edit(|aws| aws.set_key_policy(SOURCE_KEY, &with_ours).unwrap());
            });
        }
        Fault::None
    });
    let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "PutKeyPolicy"), 3, "in, in again, out");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!ours(&sandbox).is_empty(), "they were put back");
    verified(&sandbox).await;
    assert_eq!(calls(&sandbox, "PutKeyPolicy"), 4, "out again");
    sandbox.clear_fault();
    assert_eq!(
        sandbox.key_policy(SOURCE_KEY).unwrap(),
        serde_json::from_str::<Value>(&before).unwrap()
    );
    assert_closed(&sandbox);
}

/// Sweeps fifteen minutes later.
async fn verified(sandbox: &Sandbox) {
    tokio::time::sleep(Duration::from_mins(16)).await;
    call(sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
}

/// A process dies right after it removed its statements, and a slower write of another person puts
/// them back. The verification removes them.
#[tokio::test(start_paused = true)]
async fn statements_put_back_after_a_closing_are_removed_by_its_verification() {
    let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
    let before = key_policy(&sandbox).await;
    let (world, with_ours) = (sandbox.clone(), Mutex::new(String::new()));
    sandbox.set_fault(move |call| {
        let mut with_ours = with_ours.lock().unwrap();
        if call.operation == "CopySnapshot" {
            *with_ours = world.key_policy(SOURCE_KEY).unwrap().to_string();
        }
        if call.operation != "PutKeyPolicy" || with_ours.is_empty() {
            return Fault::None;
        }
        let (world, with_ours) = (world.clone(), std::mem::take(&mut *with_ours));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(8)).await;
            world.edit(|aws| aws.set_key_policy(SOURCE_KEY, &with_ours).unwrap());
        });
        Fault::HangAfter
    });
    let last = crate::resume::killed(&sandbox, &by_policy(&[(ONE, HOME)])).await;
    sandbox.clear_fault();
    assert!(ours(&sandbox).is_empty(), "they are out");
    let reply = to_the_end(&sandbox, &last.expect("it was cut")).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    tokio::time::sleep(Duration::from_secs(20)).await;
    verified(&sandbox).await;
    assert!(ours(&sandbox).is_empty(), "they are out for good");
    assert_closed(&sandbox);
    let left = sandbox.key_policy(SOURCE_KEY).unwrap();
    assert_eq!(left, serde_json::from_str::<Value>(&before).unwrap());
}

/// A statement with the run's name is the run's, though a person changed it.
#[tokio::test(start_paused = true)]
async fn statements_of_a_run_that_others_changed_are_removed_too() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    to_the_end(&sandbox, &share(&[ONE], &json!({}))).await;
    edit(&sandbox, |statements| {
        statements[1]["Action"] = json!("kms:*");
        statements[2]["Principal"] = json!({"AWS": "*"});
        statements.remove(3);
    });
    to_the_end(&sandbox, &share(&[ONE], &json!({}))).await;
    assert_eq!(parts(&sandbox), ["Describe", "Use", "Grant"]);
    assert_eq!(ours(&sandbox)[0].1["Action"], "kms:DescribeKey");
    assert_eq!(accounts_in(&ours(&sandbox)[1].1), [ONE]);
    edit(&sandbox, |statements| {
        statements[1]["Action"] = json!("kms:*");
    });
    to_the_end(&sandbox, &share(&[ONE], &json!({"Unshare": true}))).await;
    let left = sandbox.key_policy(SOURCE_KEY).unwrap();
    assert_eq!(left, serde_json::from_str::<Value>(&before).unwrap());
}

/// A process edits a policy only while it holds the lock in the key's record. The lock of a process
/// that died expires, whatever its clock said.
#[tokio::test(start_paused = true)]
async fn a_key_policy_is_not_written_while_another_process_holds_the_lock() {
    for behind in [0, 400] {
        lock_is_heeded(Duration::from_secs(behind)).await;
    }
}

async fn lock_is_heeded(behind: Duration) {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let now = sandbox.now();
    let record = json!({"Schema": 1, "Revision": 1, "Resource": SOURCE_KEY, "Region": HOME,
        "AccountId": SOURCE, "Before": {},
        "Holders": {}, "Closing": {}, "Closed": {}, "Edited": true,
        "Edit": {"By": "another", "Since": at(now - behind)}});
    let key = format!("openings/{SOURCE_KEY}.json");
    sandbox.edit(|aws| assert!(aws.put_object(BUCKET, &key, record.to_string())));
    let reply = to_the_end(&sandbox, &by_policy(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let ledger = sandbox.ledger();
    let first = ledger.iter().find(|call| call.operation == "PutKeyPolicy");
    let waited = first.expect("it edits").at.duration_since(now);
    assert!(waited.expect("later") >= Duration::from_mins(2));
}

/// A record that says nothing but that a dead process once had the lock would stay for ever.
#[tokio::test(start_paused = true)]
async fn a_record_with_nothing_but_the_lock_of_a_dead_process_is_forgotten() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let record = json!({"Schema": 1, "Revision": 1, "Resource": SOURCE_KEY, "Region": HOME,
        "AccountId": SOURCE, "Before": {},
        "Holders": {}, "Closing": {}, "Closed": {}, "Edited": true,
        "Edit": {"By": "another", "Since": at(sandbox.now())}});
    let key = format!("openings/{SOURCE_KEY}.json");
    sandbox.edit(|aws| assert!(aws.put_object(BUCKET, &key, record.to_string())));
    for (hours, is_there) in [(0, true), (2, false)] {
        tokio::time::sleep(Duration::from_hours(hours)).await;
        call(&sandbox, &json!({"Sweep": {}})).await.expect("sweeps");
        let objects = sandbox.objects(BUCKET);
        assert_eq!(objects.contains_key(&key), is_there, "{hours} hours");
    }
}

/// Formats a time as in the ledger.
fn at(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after it");
    DateTime::from_secs(i64::try_from(since.as_secs()).expect("small"))
        .fmt(Format::DateTime)
        .expect("in range")
}
