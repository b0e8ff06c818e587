//! The same event delivered twice at the same time, under many interleavings: one AMI for each
//! target, no surplus copies, and nothing stays open.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

/// A small generator of delays: the same seed gives the same interleaving.
struct Delays(Mutex<u64>);

impl Delays {
    fn next(&self) -> u64 {
        let mut x = self.0.lock().unwrap();
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        *x
    }
}

async fn together(seed: u64, longest: u64, count: usize) -> Vec<Value> {
    let sandbox = Sandbox::new(world(&TWO));
    let delays = Delays(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    sandbox.set_fault(move |_| Fault::Delay(Duration::from_millis(delays.next() % longest)));
    let event = distribute(&TWO);
    let replies = futures::future::join_all((0..count).map(|_| to_the_end(&sandbox, &event))).await;
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
    for reply in &replies {
        assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
        assert_eq!(
            reply["Result"]["Targets"][0]["ImageId"], replies[0]["Result"]["Targets"][0]["ImageId"],
            "seed {seed}"
        );
    }
    replies
}

#[tokio::test(start_paused = true)]
async fn an_event_delivered_twice_at_once_makes_one_image_per_target() {
    for seed in 0..40 {
        together(seed, 400, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_delivered_three_times_at_once_with_slow_calls_makes_one_image_per_target() {
    for seed in 100..115 {
        together(seed, 15_000, 3).await;
    }
}

/// Plays different requests for one image and the same accounts at once. They share the copies, no
/// run closes the source under another, and the last one closes it. `tags_late` is the time until
/// tags show.
async fn different_together(seed: u64, tags_late: u64) {
    let sandbox = Sandbox::new(slow_world(&FOUR).tag_delay(Duration::from_secs(tags_late)));
    sandbox.edit(|aws| [ROOT, DATA].map(|id| assert!(aws.share_snapshot(id, "999999999999"))));
    let delays = Delays(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    let first_delay = delays.next() % 60_000;
    sandbox.set_fault(move |_| Fault::Delay(Duration::from_millis(delays.next() % 700)));
    let wish = |places: &[Place], stage: &str| {
        let mut request = request(places);
        request["Tags"] = json!({"stage": stage});
        json!({"Distribute": request})
    };
    // Both requests name one account, each in another Region. Every other seed gives them a target
    // in common as well.
    let shared = if seed.is_multiple_of(2) {
        FOUR[0]
    } else {
        FOUR[1]
    };
    let (one, other) = (
        wish(&[FOUR[0], FOUR[2]], "one"),
        wish(
            &BTreeSet::from([FOUR[1], FOUR[3], shared])
                .into_iter()
                .collect::<Vec<_>>(),
            "other",
        ),
    );
    let later = async {
        tokio::time::sleep(Duration::from_millis(first_delay)).await;
        to_the_end(&sandbox, &other).await
    };
    let (first, second) = tokio::join!(to_the_end(&sandbox, &one), later);
    for reply in [&first, &second] {
        assert_eq!(reply["Status"], "Succeeded", "seed {seed}: {reply}");
    }
    assert_whole(&sandbox, &FOUR);
    assert_closed_but(&sandbox, &["999999999999"]);
    if shared == FOUR[1] {
        let copies = calls(&sandbox, "CopySnapshot");
        assert_eq!(copies, 8, "seed {seed}: the source was closed under a copy");
    }
}

#[tokio::test(start_paused = true)]
async fn different_requests_for_one_image_at_once_share_copies_and_close_last() {
    for seed in 0..24 {
        Box::pin(different_together(seed, 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn different_requests_for_one_image_at_once_share_copies_while_tags_show_late() {
    for seed in 0..12 {
        Box::pin(different_together(seed, seed % 5)).await;
    }
}

/// Two processes advance the same state. One dies right after a call took effect, and reports
/// nothing of what it began. With snapshots that show late, the other ends before it can see them.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_beside_another_on_the_same_state_leaves_no_duplicate() {
    let place = [TWO[1]];
    for n in 0..30 {
        let sandbox = Sandbox::new(slow_world(&place).read_delay(Duration::from_secs(6)));
        sandbox.set_fault(|call| match call.operation.as_str() {
            "CopySnapshot" => Fault::Delay(Duration::from_secs(20)),
            _ => Fault::None,
        });
        let mut short = invocation(&sandbox);
        short.deadline = Some(sandbox.now() + Duration::from_secs(20));
        let function = function(&sandbox).await;
        let first = distribute(&place).to_string();
        let begun = function.handle(&first, &short);
        let state = json!({"State": begun.await.expect("a reply")["State"]});
        sandbox.clear_fault();
        let before = sandbox.ledger().len();
        // The dying process is the first, and only its calls count.
        crate::resume::hang(&sandbox, n, Fault::HangAfter);
        let dying = async {
            let invocation = invocation(&sandbox);
            let (function, text) = (crate::support::function(&sandbox).await, state.to_string());
            tokio::select! {
                biased;
                () = sandbox.hung() => {}
                _ = function.handle(&text, &invocation) => {}
            }
        };
        let other = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            to_the_end(&sandbox, &state).await
        };
        let ((), reply) = tokio::join!(dying, other);
        assert_eq!(reply["Status"], "Succeeded", "call {n}: {reply}");
        assert_whole(&sandbox, &place);
        assert_closed(&sandbox);
        assert!(sandbox.ledger().len() > before + 10);
    }
}

/// EC2 protects only the snapshot of an image's root device from deletion, and the image shows a
/// minute late.
#[tokio::test(start_paused = true)]
async fn an_undoing_process_keeps_the_copies_of_an_image_that_shows_late() {
    let late = LateReads {
        listings: Duration::from_mins(1),
        ..LateReads::default()
    };
    let mut world = slow_world(&TWO[..1]).late_reads(late);
    // The root device is not the first of the mappings.
    world.accounts[0].images[0].block_device_mappings.reverse();
    let sandbox = Sandbox::new(world);
    sandbox.set_fault(|call| match call.operation.as_str() {
        "RegisterImage" => Fault::HangAfter,
        _ => Fault::None,
    });
    let (mut event, mut state) = (distribute(&TWO[..1]), Value::Null);
    loop {
        let called = tokio::select! {
            biased;
            () = sandbox.hung() => break,
            reply = call(&sandbox, &event) => reply.expect("a reply"),
        };
        state = called["State"].clone();
        event = json!({"State": state});
        let wait = called["WaitSeconds"].as_u64().expect("the run continues");
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
    sandbox.clear_fault();
    state["Targets"][0]["Phase"] = json!("Undoing");
    state["Targets"][0]["Failure"] = json!({"Cause": "Throttled", "Reason": "too many requests"});
    state["Targets"][0]
        .as_object_mut()
        .unwrap()
        .remove("ImageId");
    to_the_end(&sandbox, &json!({"State": state})).await;
    assert_whole(&sandbox, &TWO[..1]);
    assert_closed(&sandbox);
}
