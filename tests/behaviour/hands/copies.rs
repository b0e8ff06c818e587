//! Copies of other runs and other people beside those of a run.

use super::*;

/// Two runs share the copies of one target. One cannot register its name, and undoes only what it
/// made: nothing.
#[tokio::test(start_paused = true)]
async fn a_failed_run_leaves_the_copies_of_another_run() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let good = begun(&sandbox, &distribute(&AT_HOME)).await;
    let mut request = request(&AT_HOME);
    request["Name"] = json!("taken");
    let bad = begun(&sandbox, &json!({ "Distribute": request })).await;
    sandbox.edit(|aws| {
        let theirs = Snapshot::new(HOME, "snap-0fffffffffffffff1", 8);
        let mapping = BlockDeviceMapping::ebs("/dev/xvda", Ebs::snapshot(&theirs.snapshot_id));
        let image = Image::new(HOME, "ami-0fffffffffffffff1", "taken").mapping(mapping);
        aws.add_snapshot(ONE, theirs).expect("fits");
        aws.add_image(ONE, image).expect("fits");
    });
    tokio::time::sleep(Duration::from_mins(20)).await;
    let failed = to_the_end(&sandbox, &bad).await;
    assert_eq!(
        target(&failed, AT_HOME[0])["Cause"],
        "NameTaken",
        "{failed}"
    );
    let reply = to_the_end(&sandbox, &good).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopySnapshot"), 2, "they were made again");
    assert_closed(&sandbox);
}

/// Backups and people copy our copies with their tags. A snapshot without the tag by which copies
/// are found is not the run's.
#[tokio::test(start_paused = true)]
async fn a_failed_run_leaves_snapshots_that_others_tagged_like_a_copy() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    let next = begun(&sandbox, &distribute(&AT_HOME)).await;
    let theirs = "snap-0fffffffffffffff1";
    sandbox.edit(|aws| {
        let tags = [
            (
                "amiferry:run",
                next["State"]["Run"].as_str().expect("a run"),
            ),
            ("amiferry:source-image", AMI),
        ];
        let like_ours = tags
            .iter()
            .fold(Snapshot::new(HOME, theirs, 8), |snapshot, (key, value)| {
                snapshot.tag(key, value)
            });
        aws.add_snapshot(ONE, like_ours).expect("fits");
        assert!(aws.delete_image(AMI));
    });
    let reply = to_the_end(&sandbox, &next).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let left = sandbox.snapshots(ONE, HOME);
    let left: Vec<&str> = left.iter().map(|s| s.snapshot_id.as_str()).collect();
    assert_eq!(left, [theirs]);
}

/// CopySnapshot has no token, so the outcome of an unanswered call is looked up, not requested
/// again.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_is_lost_for_good_is_found_and_not_repeated() {
    for fault in [Fault::ResetAfter, Fault::HangAfter] {
        let sandbox = Sandbox::new(slow_world(&AT_HOME));
        let lost = AtomicBool::new(false);
        sandbox.set_fault(move |call| {
            if call.operation == "CopySnapshot" && !lost.swap(true, Ordering::SeqCst) {
                return fault.clone();
            }
            Fault::None
        });
        let reply = to_the_end(&sandbox, &distribute(&AT_HOME)).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(calls(&sandbox, "CopySnapshot"), 2);
        assert_whole(&sandbox, &AT_HOME);
    }
}

/// A run whose state is lost made copies in an account that denies every look now. The reply says
/// that they may exist, and where to look.
#[tokio::test(start_paused = true)]
async fn copies_of_an_earlier_attempt_that_cannot_be_listed_are_reported() {
    let sandbox = Sandbox::new(slow_world(&TWO));
    let event = distribute(&TWO);
    begun(&sandbox, &event).await;
    let role = format!("arn:aws:iam::{}:role/AmiCopyRole", TWO[0].0);
    assert!(sandbox.edit(|aws| aws.drop_principal(&role)));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Stuck", "{reply}");
    let result = target(&reply, TWO[0]);
    assert_eq!(result["Cause"], "RoleNotAssumable", "{result}");
    let stuck = &reply["Result"]["Stuck"];
    assert_eq!(stuck.as_array().map(Vec::len), Some(1), "{stuck}");
    assert_eq!(stuck[0]["AccountId"], TWO[0].0);
    assert!(
        stuck[0]["Commands"]
            .to_string()
            .contains("describe-snapshots"),
        "{stuck}"
    );
    assert_eq!(target(&reply, TWO[1])["Status"], "Succeeded");
    assert_closed(&sandbox);
}

/// An image bears our tags, but its snapshots are not under the key: a person made it, or the alias
/// named another key.
#[tokio::test(start_paused = true)]
async fn an_image_under_another_key_does_not_count_as_the_copy() {
    let sandbox = Sandbox::new(world(&TWO));
    let event = distribute(&TWO);
    let reply = to_the_end(&sandbox, &event).await;
    let copies = target(&reply, TWO[0])["Snapshots"].clone();
    let copy = copies[ROOT].as_str().expect("an ID");
    let other = format!(
        "arn:aws:kms:{}:{}:key/99999999-aaaa-bbbb-cccc-000000000009",
        TWO[0].1, TWO[0].0
    );
    assert!(sandbox.edit(|aws| aws.change_snapshot(copy, |s| s.kms_key_arn = Some(other.clone()))));
    // A request with another name is another run, which keeps the earlier image.
    let mut other_words = event.clone();
    other_words["Distribute"]["Tags"] = json!({"stage": "again"});
    let again = to_the_end(&sandbox, &other_words).await;
    let result = target(&again, TWO[0]);
    assert_eq!(result["Cause"], "NotFaithful", "{result}");
    let reason = result["Reason"].as_str().expect("a Reason");
    assert!(
        reason.contains(&format!(
            "{copy} is encrypted with {other} instead of {}",
            key_arn(TWO[0])
        )),
        "{reason}"
    );
    assert_eq!(sandbox.images(TWO[0].0, TWO[0].1).len(), 1);
    assert_eq!(target(&again, TWO[1])["Status"], "Succeeded");
    assert_closed(&sandbox);
}

/// No state names copies that a killed call had started. The next call looks before it starts any.
#[tokio::test(start_paused = true)]
async fn copies_started_by_a_killed_call_are_found_by_the_next() {
    let sandbox = Sandbox::new(slow_world(&AT_HOME));
    // The source key stays unreachable, so nothing has started when the first call returns.
    sandbox.set_fault(|call| {
        let asks = call.operation == "DescribeKey" && call.account == ONE;
        if asks && call.params.values().any(|value| value == SOURCE_KEY) {
            Fault::Refuse {
                status: 400,
                code: "AccessDeniedException".to_owned(),
                message: "the grant does not count yet".to_owned(),
            }
        } else {
            Fault::None
        }
    });
    let mut event = begun(&sandbox, &distribute(&AT_HOME)).await;
    assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
    sandbox.set_fault(|call| match call.operation.as_str() {
        "CopySnapshot" => Fault::HangAfter,
        _ => Fault::None,
    });
    loop {
        tokio::select! {
            biased;
            () = sandbox.hung() => break,
            reply = call(&sandbox, &event) => {
                let reply = reply.expect("a reply");
                assert_eq!(reply["Status"], "Continue", "{reply}");
                event = json!({"State": reply["State"]});
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    }
    sandbox.clear_fault();
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let made = sandbox
        .ledger()
        .into_iter()
        .filter(|call| call.operation == "CopySnapshot" && !matches!(call.outcome, Some(Err(_))));
    assert_eq!(made.count(), 2, "a copy was begun twice");
    assert_whole(&sandbox, &AT_HOME);
    assert_closed(&sandbox);
}

const NAME: &str = "golden-copied-from-111111111111";

const NAMED: [Place; 2] = [(ONE, "us-east-1"), (ONE, HOME)];

/// Plays a process that registers the image of one target and dies with copies of the other. Then
/// somebody takes the name there. Returns the state from before the source was open.
async fn dead_and_its_name_taken(sandbox: &Sandbox) -> Value {
    sandbox.set_fault(|call| {
        let reads = call.operation == "GetObject";
        let mut values = call.params.values();
        if reads && values.any(|key| key.starts_with("openings/")) {
            refuse(503, "SlowDown")
        } else {
            Fault::None
        }
    });
    let mut short = invocation(sandbox);
    short.deadline = Some(sandbox.now() + Duration::from_secs(30));
    let event = distribute(&NAMED).to_string();
    let begun = function(sandbox).await.handle(&event, &short).await;
    let begun = begun.expect("begins");
    let unopened = json!({"State": begun["State"]});
    let tries = AtomicUsize::new(0);
    sandbox.set_fault(move |call| match call.operation.as_str() {
        "RegisterImage" if call.region == "us-east-1" => {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..5 => refuse(503, "RequestLimitExceeded"),
                _ => Fault::HangBefore,
            }
        }
        _ => Fault::None,
    });
    assert!(killed(sandbox, &unopened).await.is_some(), "it dies");
    sandbox.clear_fault();
    let theirs = Image::new("us-east-1", "ami-0fffffffffffffff1", NAME);
    sandbox
        .edit(|aws| aws.add_image(ONE, theirs))
        .expect("fits");
    unopened
}

/// The next process gives the target up at its first look; it may die in turn, at any of its calls.
#[tokio::test(start_paused = true)]
async fn copies_of_a_dead_process_are_undone_where_the_name_was_taken_since() {
    for n in (0..).step_by(9) {
        let sandbox = Sandbox::new(slow_world(&NAMED));
        let unopened = dead_and_its_name_taken(&sandbox).await;
        hang(&sandbox, n, Fault::HangAfter);
        let died = killed(&sandbox, &unopened).await.is_some();
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &unopened).await;
        assert_eq!(reply["Status"], "PartiallySucceeded", "call {n}: {reply}");
        assert_eq!(sandbox.snapshots(ONE, "us-east-1"), [], "call {n}: {reply}");
        assert_whole(&sandbox, &NAMED[1..]);
        assert_closed(&sandbox);
        if !died {
            return;
        }
    }
}
