//! Schedules of faults made from seeds: a world, requests, ways of driving them, faults at any
//! call, and other people's acts. Some runs go on at once, some are killed. After each schedule the
//! promises are checked against the world.
//!
//! `make test` plays a bounded number. `make chaos` plays many and writes the table of
//! docs/reliability.md. `make chaos HARD=1` plays schedules in which nearly every call fails for
//! ever. A failure prints its seed; `AMIFERRY_CHAOS_SEED=<seed>` plays that schedule alone. Seeds
//! from 200,000 on may draw late reads (`late`).

mod drive;
mod hands;
mod late;
mod promises;
mod report;
pub mod schedule;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amiferry_sandbox::Sandbox;
use futures::future::join_all;
use serde_json::Value;

use report::Report;
use schedule::Schedule;

use crate::support::print_calls;

/// The number of schedules in `make test`.
const BOUNDED: u64 = 60;
/// The longest time of any run: a copy's limit, and the time to clean up.
const LONGEST: Duration = Duration::from_hours(60);

/// Plays one schedule on a paused clock of its own.
fn play(schedule: &Schedule) -> Result<Report, String> {
    fastrand::seed(schedule.seed);
    let alone = setting("AMIFERRY_CHAOS_SEED").is_some();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let sandbox = Sandbox::new(schedule.world());
        let before = promises::Before::of(&sandbox);
        let report = schedule.befall(&sandbox);
        let driving = join_all(
            schedule
                .runs
                .iter()
                .map(|run| drive::to_its_end(&sandbox, run)),
        );
        let meddling = schedule.meddle(&sandbox);
        let ended = tokio::time::timeout(LONGEST, async { tokio::join!(driving, meddling).0 });
        let ended = ended.await;
        if alone {
            print_calls(&sandbox);
        }
        let replies: Vec<Value> = match ended {
            Ok(replies) => replies.into_iter().collect::<Result<_, _>>()?,
            Err(_) => return Err(format!("a run did not end in {LONGEST:?}")),
        };
        if alone {
            for reply in &replies {
                println!("{reply:#}");
            }
        }
        sandbox.clear_fault();
        if schedule.wants.share {
            promises::shared(&sandbox, schedule, &replies)?;
            drive::take_back(&sandbox, schedule).await?;
        }
        // With late reads, only the verification can find some openings.
        if !schedule.shows_late() {
            promises::check(&sandbox, schedule, &before, &replies)?;
        }
        let verified = drive::verify(&sandbox, schedule, &replies).await;
        if alone {
            print_calls(&sandbox);
        }
        verified?;
        promises::check(&sandbox, schedule, &before, &replies)
            .map_err(|said| format!("after its verification: {said}"))?;
        let mut report = report.lock().map_err(|e| e.to_string())?.clone();
        report.ended(schedule, &replies, &sandbox);
        Ok(report)
    })
}

/// Plays a schedule; the error of a failure says how to play it again.
fn played(schedule: &Schedule) -> Result<Report, String> {
    let played = std::panic::AssertUnwindSafe(|| play(schedule));
    let result = std::panic::catch_unwind(played).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    result.map_err(|said| {
        format!(
            "{said}\n{schedule:?}\nAgain: AMIFERRY_CHAOS_HARD={} AMIFERRY_CHAOS_SEED={} \
             cargo test --test behaviour chaos",
            u8::from(schedule.hard),
            schedule.seed
        )
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_promises_hold_under_every_schedule() {
    let only = setting("AMIFERRY_CHAOS_SEED");
    let first = only.or(setting("AMIFERRY_CHAOS_FIRST")).unwrap_or(0);
    let count = only.map_or_else(|| setting("AMIFERRY_CHAOS_COUNT").unwrap_or(BOUNDED), |_| 1);
    // Schedules of the same seeds in which nearly every call fails for ever.
    let hard = setting("AMIFERRY_CHAOS_HARD") == Some(1);
    let of = if hard { Schedule::hard } else { Schedule::of };
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let (mut whole, mut failures) = (Report::default(), Vec::new());
    std::thread::scope(|scope| {
        let playing: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::SeqCst));
                    let seeds = seeds.take_while(|seed| *seed < first + count);
                    // Printed at once: nobody waits for the end of a long run.
                    let outcome = seeds
                        .map(|seed| played(&of(seed)).inspect_err(|said| println!("{said}\n")));
                    outcome.collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in playing {
            for result in thread.join().expect("a thread") {
                match result {
                    Ok(report) => whole.add(&report),
                    Err(failure) => failures.push(failure),
                }
            }
        }
    });
    whole.failed(failures.len());
    whole.took(began.elapsed());
    println!("{whole}");
    if let Ok(path) = std::env::var("AMIFERRY_CHAOS_REPORT") {
        whole
            .write_into(&path, first, count)
            .expect("the report is written");
    }
    assert!(
        failures.is_empty(),
        "{} of {count} failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Each of these schedules found a defect (docs/reliability.md).
#[test]
fn schedules_that_once_failed_keep_the_promises() {
    let as_drawn = [
        9, 101, 1007, 1303, 50261, 61710, 62138, 80010, 80226, 80691, 300_200, 300_388, 300_548,
        303_171, 304_998, 401_747, 402_868,
    ]
    .map(Schedule::of);
    let hard = [70001, 70125, 70242].map(Schedule::hard);
    for schedule in as_drawn.iter().chain(&hard) {
        if let Err(said) = played(schedule) {
            panic!("{said}");
        }
    }
}

/// A seed plays a failure again only if it always gives the same schedule. Two calls at once race
/// for the objects of the ledger, so their number of calls may differ.
#[test]
fn the_same_seed_gives_the_same_schedule() {
    for seed in 0..200 {
        let drawn = || format!("{:?}", Schedule::of(seed));
        assert_eq!(drawn(), drawn());
    }
    let alone = |schedule: &Schedule| {
        schedule.runs.len() == 1 && schedule.runs[0].way != schedule::Way::Doubled
    };
    for schedule in (0..).map(Schedule::of).filter(alone).take(4) {
        let play = || play(&schedule).expect("holds");
        let (one, two) = (play(), play());
        assert_eq!(one, two, "seed {}", schedule.seed);
    }
}
