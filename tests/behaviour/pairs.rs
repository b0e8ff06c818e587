//! Two faults in one run, at every pair of its calls. A run survives any single fault (`faults`,
//! `resume`); here the second fault meets the remains of the first.
//!
//! `make test` plays every fourth pair of calls, with kinds of fault taken in turn.
//! `AMIFERRY_PAIRS=each` plays each pair, and `AMIFERRY_PAIRS=all` each with every pair of kinds.
//! `make chaos` plays each pair.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amiferry_sandbox::{Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

const PLACE: [Place; 1] = [("333333333333", "us-east-1")];

/// The fault of a call, and whether the process dies of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Throttled,
    InternalError,
    ResetBefore,
    ResetAfter,
    NoAnswerAfter,
    KilledBefore,
    KilledAfter,
}

const KINDS: [Kind; 7] = [
    Kind::Throttled,
    Kind::InternalError,
    Kind::ResetBefore,
    Kind::ResetAfter,
    Kind::NoAnswerAfter,
    Kind::KilledBefore,
    Kind::KilledAfter,
];

impl Kind {
    fn fault(self) -> Fault {
        let refuse = |status, code: &str| Fault::Refuse {
            status,
            code: code.to_owned(),
            message: "as the test wants it".to_owned(),
        };
        match self {
            Self::Throttled => refuse(503, "RequestLimitExceeded"),
            Self::InternalError => refuse(500, "InternalError"),
            Self::ResetBefore => Fault::ResetBefore,
            Self::ResetAfter => Fault::ResetAfter,
            Self::NoAnswerAfter | Self::KilledAfter => Fault::HangAfter,
            Self::KilledBefore => Fault::HangBefore,
        }
    }

    fn kills(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }
}

/// The choice of pairs to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Some,
    Each,
    /// Each pair of calls, with every pair of kinds.
    All,
}

/// A pair of calls, counted from 0 over the whole run, with their faults.
type Pair = [(usize, Kind); 2];

/// Plays a run with these two faults. Returns `None` if it ended before the second. After a kill
/// the caller continues with its last state.
async fn play(pair: Pair) -> Option<()> {
    let sandbox = Sandbox::new(world(&PLACE));
    sandbox.edit(|aws| aws.share_snapshot(ROOT, "222222222222"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    sandbox.set_fault(move |_| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        let struck = pair.iter().find(|(at, _)| *at == n);
        struck.map_or(Fault::None, |(_, kind)| kind.fault())
    });
    let mut event = distribute(&PLACE);
    let mut hangs = 0;
    let reply = loop {
        let function = function(&sandbox).await;
        let (text, invocation) = (event.to_string(), invocation(&sandbox));
        let mut working = Box::pin(function.handle(&text, &invocation));
        // A hanging call kills the process or, without a kill, is given up by the function.
        let reply = loop {
            tokio::select! {
                biased;
                () = sandbox.hung() => {
                    let hanging: Vec<Kind> = pair.iter().map(|(_, kind)| *kind)
                        .filter(|kind| matches!(kind.fault(), Fault::HangAfter | Fault::HangBefore))
                        .collect();
                    let kind = hanging.get(hangs).copied();
                    hangs += 1;
                    if kind.is_some_and(Kind::kills) {
                        break None;
                    }
                }
                reply = &mut working => break Some(reply),
            }
        };
        match reply {
            None => tokio::time::sleep(Duration::from_secs(5)).await,
            Some(Ok(reply)) if reply["Status"] == "Continue" => {
                let wait = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
                tokio::time::sleep(Duration::from_secs(wait)).await;
                event = json!({"State": reply["State"]});
            }
            Some(Ok(reply)) => break reply,
            Some(Err(error)) => {
                let passing = matches!(error.error_type(), "Throttled" | "Internal");
                assert!(passing, "{pair:?}: {error}");
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    };
    if count.load(Ordering::SeqCst) <= pair[1].0 {
        return None;
    }
    holds(&sandbox, pair, &reply);
    Some(())
}

fn holds(sandbox: &Sandbox, pair: Pair, reply: &Value) {
    assert_eq!(reply["Status"], "Succeeded", "{pair:?}: {reply}");
    assert_whole(sandbox, &PLACE);
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        let before: &[&str] = if snapshot.snapshot_id == ROOT {
            &["222222222222"]
        } else {
            &[]
        };
        let permitted = snapshot.create_volume_permissions.iter();
        assert!(permitted.eq(before), "{pair:?}: {snapshot:?}");
        let marked = snapshot.tags.keys().any(|k| k.starts_with("amiferry:"));
        assert!(!marked, "{pair:?}: {snapshot:?}");
    }
    assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new(), "{pair:?}");
}

/// Plays the pairs with this first call, each on its own clock. Returns their number.
fn with_first(first: usize, which: Which) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut played = 0;
    for second in first + 1.. {
        // The kinds take turns, so that every two of them meet many times.
        let turn = first * 31 + second;
        if which == Which::Some && !turn.is_multiple_of(4) {
            continue;
        }
        let (one, other) = (turn / 4 % KINDS.len(), turn / 28 % KINDS.len());
        let kinds: Vec<(usize, usize)> = (0..KINDS.len())
            .flat_map(|a| (0..KINDS.len()).map(move |b| (a, b)))
            .filter(|pair| which == Which::All || *pair == (one, other))
            .collect();
        for (a, b) in kinds {
            let pair = [(first, KINDS[a]), (second, KINDS[b])];
            if runtime.block_on(play(pair)).is_none() {
                return played;
            }
            played += 1;
        }
    }
    played
}

#[test]
fn a_run_with_two_faults_at_any_pair_of_calls_keeps_the_promises() {
    let which = match std::env::var("AMIFERRY_PAIRS").as_deref() {
        Ok("all") => Which::All,
        Ok("each") => Which::Each,
        _ => Which::Some,
    };
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let played: usize = std::thread::scope(|scope| {
        let playing: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut played = 0;
                    loop {
                        let first = next.fetch_add(1, Ordering::SeqCst);
                        match with_first(first, which) {
                            0 => return played,
                            more => played += more,
                        }
                    }
                })
            })
            .collect();
        playing
            .into_iter()
            .map(|thread| thread.join().expect("all hold"))
            .sum()
    });
    println!("pairs of faults tried: {played}");
    assert!(played > 150, "{played}");
}
