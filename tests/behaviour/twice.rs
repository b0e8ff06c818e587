//! The same event delivered twice, at the same time: one AMI for each target, no snapshot beside it, nothing left shared, under
//! many interleavings.

use std::sync::Mutex;
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::Value;

use crate::support::*;

/// A small generator of numbers for delays: the same seed, the same interleaving.
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
async fn the_same_event_twice_at_the_same_time() {
    for seed in 0..40 {
        together(seed, 400, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_event_three_times_with_calls_slower_than_the_copies() {
    for seed in 100..115 {
        together(seed, 15_000, 3).await;
    }
}
