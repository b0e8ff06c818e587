//! Cases from seeds: each on a paused clock and a runtime of its own, watched from outside for one
//! that never ends.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;

use super::log::Log;
use super::tells_no_secret;

/// The longest time that a run may take by its own clock: a copy's limit, and the time to clean up.
const LONGEST: Duration = Duration::from_hours(60);
/// The longest time that a run may take by the wall's clock.
const PATIENCE: Duration = Duration::from_mins(1);

pub type Rng = fastrand::Rng;
/// Plays one case. Returns its outcome in a word or two, or the fault found.
pub type One = for<'a> fn(&'a mut Rng) -> LocalBoxFuture<'a, Result<String, String>>;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Plays `bounded` cases, or as many as the environment says; `name` selects the test.
pub fn play(name: &'static str, bounded: u64, one: One) {
    let only = setting("AMIFERRY_FUZZ_SEED");
    let count = only.map_or_else(|| setting("AMIFERRY_FUZZ_COUNT").unwrap_or(bounded), |_| 1);
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    let began = Instant::now();
    let outcomes = play_all(&seeds, one);
    let (mut at_work, mut counts) = (BTreeMap::new(), BTreeMap::<String, u64>::new());
    let mut failures = Vec::new();
    loop {
        match outcomes.recv_timeout(PATIENCE) {
            Ok((seed, None)) => drop(at_work.insert(seed, Instant::now())),
            Ok((seed, Some(result))) => {
                at_work.remove(&seed);
                match result {
                    Ok(word) => *counts.entry(word).or_default() += 1,
                    Err(said) => failures.push(format!("{said}\n{}", again(name, seed))),
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some((seed, _)) = at_work.iter().find(|(_, begun)| begun.elapsed() > PATIENCE) {
            panic!("a case is at work for {PATIENCE:?}\n{}", again(name, *seed));
        }
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(word, n)| format!("{word} {n}"))
        .collect();
    println!(
        "{name}: {count} cases in {:.1} s: {}",
        began.elapsed().as_secs_f64(),
        counts.join(", ")
    );
    let shown = failures
        .iter()
        .take(5)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n\n");
    assert!(
        failures.is_empty(),
        "{} of {count} failed:\n{shown}",
        failures.len()
    );
}

/// A seed, and the outcome of its case once that has ended.
type Outcome = (u64, Option<Result<String, String>>);

/// Plays the cases on all processors. Each case reports when it begins and when it ends.
fn play_all(seeds: &std::ops::Range<u64>, one: One) -> mpsc::Receiver<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (tell, outcomes) = mpsc::channel();
    for thread in 0..threads {
        let (tell, seeds) = (tell.clone(), seeds.clone());
        std::thread::spawn(move || {
            for seed in seeds.filter(|seed| seed % threads == thread) {
                let sent = tell.send((seed, None));
                if sent
                    .and_then(|()| tell.send((seed, Some(played(seed, one)))))
                    .is_err()
                {
                    return;
                }
            }
        });
    }
    outcomes
}

fn again(name: &str, seed: u64) -> String {
    format!(
        "Again: AMIFERRY_FUZZ_SEED={seed} cargo test --test behaviour hostile::{name} \
         -- --nocapture"
    )
}

fn played(seed: u64, one: One) -> Result<String, String> {
    // The SDK draws random numbers too, such as the jitter of its retries.
    fastrand::seed(seed);
    let log = Log::default();
    let _listening = log.listen();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    let mut rng = Rng::with_seed(seed);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(LONGEST, one(&mut rng)).await })
    }));
    match ended {
        Ok(Ok(result)) => {
            let word = result?;
            tells_no_secret("the log", &log.text())?;
            Ok(word)
        }
        Ok(Err(_)) => Err(format!("does not end in {LONGEST:?}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}
