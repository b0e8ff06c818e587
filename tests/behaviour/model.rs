//! Runs among other people's acts, checked against a reference that knows nothing of `src`.
//! Scenarios are made from seeds and played on a paused clock. They are compared with the reference
//! before every call to AWS, after every act, and at the end.
//!
//! `make test` plays a bounded number; `AMIFERRY_MODEL_CASES=5000` asks for more,
//! `AMIFERRY_MODEL_FIRST` for others. A failure prints its seed and the smallest scenario that
//! still fails. `AMIFERRY_MODEL_SEED=<seed>` plays that one alone, and lists its calls.

mod acts;
mod others;
mod reference;
mod stage;

use amiferry_sandbox::Sandbox;

use acts::Scenario;
use stage::Stage;

use crate::support::print_calls;

/// The number of scenarios in `make test`.
const BOUNDED: u64 = 40;
/// The number of smaller scenarios that are tried when one fails.
const MOST_TRIALS: usize = 400;

fn play(scenario: &Scenario) -> Result<(), String> {
    play_and(scenario, |_| ())
}

/// Plays a scenario, and passes the final world to `look`.
fn play_and(scenario: &Scenario, look: impl FnOnce(&Sandbox)) -> Result<(), String> {
    fastrand::seed(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    let playing = || {
        runtime.block_on(async {
            let stage = Stage::of(scenario).await;
            let sandbox = stage.sandbox.clone();
            let held = Box::pin(stage.play(scenario)).await;
            look(&sandbox);
            held
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(playing)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Returns the smallest scenario that still fails, and its failure.
fn least(mut scenario: Scenario, mut said: String) -> (Scenario, String) {
    let mut trials = 0;
    loop {
        let mut smaller = scenario.smaller().into_iter();
        let found = smaller.find_map(|less| {
            trials += 1;
            (trials <= MOST_TRIALS).then(|| play(&less).err().map(|said| (less, said)))?
        });
        match found {
            Some(less) => (scenario, said) = less,
            None => return (scenario, said),
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn failure(seed: u64) -> Option<String> {
    let scenario = Scenario::of(seed);
    let said = play(&scenario).err()?;
    eprintln!("seed {seed}: {said}");
    let (scenario, said) = least(scenario, said);
    if setting("AMIFERRY_MODEL_SEED").is_some() {
        drop(play_and(&scenario, print_calls));
    }
    let acts: Vec<String> = scenario
        .acts
        .iter()
        .map(|act| format!("  {act:?}"))
        .collect();
    Some(format!(
        "{said}\ncopies at {} MiB/s, tags {} s late:\n{}\nAgain: AMIFERRY_MODEL_SEED={seed} \
         cargo test --workspace --test behaviour model",
        scenario.rate,
        scenario.tags_late,
        acts.join("\n")
    ))
}

#[test]
fn runs_among_other_peoples_acts_agree_with_the_reference() {
    let only = setting("AMIFERRY_MODEL_SEED");
    let first = only.or(setting("AMIFERRY_MODEL_FIRST")).unwrap_or(0);
    let count = only.map_or_else(|| setting("AMIFERRY_MODEL_CASES").unwrap_or(BOUNDED), |_| 1);
    let began = std::time::Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let failures: Vec<String> = std::thread::scope(|scope| {
        let playing: Vec<_> = (0..threads)
            .map(|thread| {
                let seeds = (first..first + count).filter(move |seed| seed % threads == thread);
                scope.spawn(move || seeds.filter_map(failure).take(3).collect::<Vec<_>>())
            })
            .collect();
        playing
            .into_iter()
            .flat_map(|thread| thread.join().expect("a thread"))
            .collect()
    });
    let stopped = if failures.is_empty() {
        ""
    } else {
        ", not all of them played"
    };
    println!("{count} scenarios in {:.1?}{stopped}", began.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Each of these scenarios found a defect (docs/reliability.md).
#[test]
fn scenarios_that_once_failed_agree_with_the_reference() {
    let failures: Vec<String> = [259, 1291, 2111, 4154]
        .into_iter()
        .filter_map(failure)
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
