//! Staging runs that are killed, meet a fault, or are delivered twice.

use super::*;

async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    for n in 0.. {
        let sandbox = Sandbox::new(staged_world(1, &TWO).copy_mib_per_second(1024.0));
        hang(&sandbox, n, fault.clone());
        let Some(last) = killed(&sandbox, &wish(&TWO)).await else {
            assert!(n > 40, "{n}");
            return;
        };
        sandbox.clear_fault();
        let reply = to_the_end(&sandbox, &again(&last)).await;
        assert_eq!(reply["Status"], "Succeeded", "cut at call {n}: {reply}");
        assert_whole(&sandbox, &TWO);
        assert_unstaged(&sandbox, &format!("cut at call {n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_after_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangAfter, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_before_any_call_resumes_from_its_last_state() {
    cut_everywhere(Fault::HangBefore, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_killed_after_any_call_succeeds_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| wish(&TWO)).await;
}

#[tokio::test(start_paused = true)]
async fn a_staging_run_with_a_fault_at_any_call_succeeds() {
    let faults = [
        refuse(503, "RequestLimitExceeded"),
        Fault::ResetBefore,
        Fault::ResetAfter,
    ];
    for fault in faults {
        for n in 0.. {
            let sandbox = Sandbox::new(staged_world(1, &TWO));
            hang(&sandbox, n, fault.clone());
            let reply = to_the_end(&sandbox, &wish(&TWO)).await;
            assert_eq!(
                reply["Status"], "Succeeded",
                "{fault:?} at call {n}: {reply}"
            );
            assert_whole(&sandbox, &TWO);
            assert_unstaged(&sandbox, &format!("{fault:?} at call {n}"));
            if n > sandbox.ledger().len() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_staging_event_delivered_twice_at_once_leaves_no_staged_copy() {
    for seed in 1..20_u64 {
        let sandbox = Sandbox::new(staged_world(2, &TWO));
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        sandbox.set_fault(move |_| {
            Fault::Delay(Duration::from_millis(random.lock().unwrap().u64(0..900)))
        });
        let event = wish(&TWO);
        let (one, other) = tokio::join!(to_the_end(&sandbox, &event), to_the_end(&sandbox, &event));
        assert_eq!(
            (&one["Status"], &other["Status"]),
            (&json!("Succeeded"), &json!("Succeeded")),
            "seed {seed}: {one} {other}"
        );
        assert_whole(&sandbox, &TWO);
        assert_unstaged(&sandbox, &format!("seed {seed}"));
    }
}
