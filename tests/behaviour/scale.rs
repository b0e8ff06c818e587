//! How long distributions of many targets take, and what they cost, beside the least that AWS
//! allows. All times are those of the sandbox's clock, so the figures are exact and the same on
//! every machine.
//!
//! `AMIFERRY_FIGURES=10000` plays all sizes of up to so many targets and writes them into
//! bench/figures.json. Without it the smallest sizes are played, and compared with that file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Limits, Sandbox, Snapshot, World};
use serde_json::{Value, json};

use crate::support::*;
use crate::tables::shown;

mod chart;
mod drivers;
mod least;
mod others;

use drivers::{Driver, Meter};
use others::Schedule;

/// Every call takes so long.
const LATENCY: Duration = Duration::from_millis(30);
/// EC2 copies each snapshot at this rate, and begins after `START`.
const MIB_PER_SECOND: f64 = 60.0;
const START: Duration = Duration::from_secs(5);
/// The time in which a grant or a permission spreads.
const SPREAD: Duration = Duration::from_secs(2);
/// The calls of a distribution that must follow each other: source, session, target, ledger,
/// opening; copy, its end, image, verification; ledger, closing, ledger.
const CHAIN: u32 = 12;
/// KMS takes so many grants at once, and so many in each second after that.
const GRANTS: u32 = 50;
/// Sizes of the snapshots of an image in GiB, the first ones first.
const SIZES: [u32; 8] = [8, 100, 16, 50, 200, 500, 1000, 2048];
const REGIONS: [&str; 2] = [HOME, "us-east-1"];

/// Targets and snapshots of the runs in bench/figures.json.
const WRITTEN: [(usize, usize); 7] = [
    (1, 1),
    (1, 2),
    (1, 8),
    (10, 2),
    (100, 2),
    (1000, 2),
    (10_000, 2),
];

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn places(targets: usize) -> Vec<Place> {
    let account = |n: usize| leaked((600_000_000_000_u64 + n as u64).to_string());
    (0..targets)
        .map(|n| (account(n / REGIONS.len()), REGIONS[n % REGIONS.len()]))
        .collect()
}

fn snapshot(n: usize) -> String {
    format!("snap-0123456789abcde{n:02x}")
}

fn device(n: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(n).expect("few"));
    match n {
        0 => "/dev/xvda".to_owned(),
        _ => format!("/dev/sd{letter}"),
    }
}

/// Returns a producer whose image has so many snapshots.
fn producer_of(snapshots: usize) -> Account {
    let mut source = producer();
    source.snapshots.clear();
    source.images.clear();
    let mut image = image();
    image.block_device_mappings.clear();
    for (n, size) in SIZES.iter().take(snapshots).enumerate() {
        let id = snapshot(n);
        source = source.snapshot(Snapshot::new(HOME, &id, *size).key(SOURCE_KEY));
        let ebs = Ebs::snapshot(&id).gp3(*size, 3000, 125);
        image = image.mapping(BlockDeviceMapping::ebs(&device(n), ebs));
    }
    source.image(image)
}

fn world_of(targets: usize, snapshots: usize) -> World {
    timed(world_with(producer_of(snapshots), &places(targets)))
}

/// Gives a world the rates, delays and limits of AWS.
fn timed(world: World) -> World {
    let mut world = world
        .copy_mib_per_second(MIB_PER_SECOND)
        .copy_start(START)
        .latency(LATENCY)
        .grant_delay(SPREAD)
        .permission_delay(SPREAD)
        .read_delay(Duration::from_secs(1));
    world.limits = Limits {
        throttling: true,
        ..Limits::default()
    };
    world
}

/// Returns the time of a copy of so many GiB.
fn copying(gib: u32) -> Duration {
    START + Duration::from_secs_f64(f64::from(gib) * 1024.0 / MIB_PER_SECOND)
}

/// Returns the seconds that the distribution takes if nothing but AWS takes any: the longest chain
/// of calls and copies, where KMS takes the grants of all accounts one after the other.
fn critical_path(targets: usize, snapshots: usize) -> f64 {
    let largest = SIZES.iter().take(snapshots).max().expect("a size");
    let copy = copying(*largest).as_secs_f64();
    let accounts = u32::try_from(targets.div_ceil(REGIONS.len())).expect("few");
    let grants = f64::from(accounts.saturating_sub(GRANTS)) / f64::from(GRANTS);
    // Grants are made before the copies, and revoked after them.
    (LATENCY * CHAIN + SPREAD).as_secs_f64() + copy + 2.0 * grants
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small number"))
}

/// Plays a distribution and returns its figures.
async fn played(targets: usize, snapshots: usize, driver: Driver) -> Value {
    let sandbox = Sandbox::new(world_of(targets, snapshots));
    let job = distribute(&places(targets));
    let meter = Meter::default();
    let begun = tokio::time::Instant::now();
    let reply = driver.drive(&sandbox, &job, &meter).await;
    let wall = begun.elapsed().as_secs_f64();
    assert_eq!(reply["Status"], "Succeeded", "{targets} x {snapshots}");
    let ledger = sandbox.ledger();
    let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &ledger {
        *operations.entry(&call.operation).or_default() += 1;
    }
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for call in &ledger {
        if let Some(Err(code)) = &call.outcome {
            *refused
                .entry(format!("{} {code}", call.operation))
                .or_default() += 1;
        }
    }
    let again = driver.drive(&sandbox, &job, &Meter::default()).await;
    assert_eq!(again["Status"], "Succeeded", "{targets} x {snapshots}");
    let repeated = sandbox.ledger().len() - ledger.len();
    let rounded = |value: f64, digits: i32| {
        let factor = 10_f64.powi(digits);
        (value * factor).round() / factor
    };
    let each = |count: usize| rounded(number(count) / number(targets), 2);
    let bytes = match driver {
        Driver::Direct => meter.largest.get() / targets,
        Driver::Machine => meter.largest.get(),
    };
    let billed = meter.billed.get().as_secs_f64();
    // One handler waits for all copies of a direct call, one for those of each child.
    let waiting = match driver {
        Driver::Direct => 1.0,
        Driver::Machine => number(targets),
    };
    json!({
        "targets": targets,
        "snapshots": snapshots,
        "driver": driver.name(),
        "wall_seconds": rounded(wall, 1),
        "critical_path_seconds": rounded(critical_path(targets, snapshots), 1),
        "wall_over_critical_path": rounded(wall / critical_path(targets, snapshots), 3),
        "calls_per_target": each(ledger.len()),
        "calls_of_a_repeat_per_target": each(repeated),
        "calls": operations,
        "refused": refused,
        "bytes_of_state_per_target": bytes,
        "invocations_per_target": each(meter.invocations.get()),
        "billed_seconds_per_target": rounded(billed / number(targets), 2),
        "waiting_handler_over_billed": rounded(wall * waiting / billed, 1),
        "transitions_per_target": each(meter.transitions.get()),
    })
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/figures.json")
}

/// AWS's prices in USD, us-west-2: a transition of a standard workflow, an invocation, a second of
/// a function of 256 MiB on arm64, and a thousand requests that write or read objects.
const TRANSITION: f64 = 0.000_025;
const INVOCATION: f64 = 0.000_000_2;
const SECOND: f64 = 0.25 * 0.000_013_333_4;
const WRITES: f64 = 0.005;
const READS: f64 = 0.000_4;

/// Returns what a run costs for each target, apart from what EC2 and KMS charge for copies.
fn cost(row: &Value) -> Value {
    let figure = |name: &str| row[name].as_f64().expect("a number");
    let targets = figure("targets");
    let calls = |name: &str| row["calls"][name].as_f64().unwrap_or_default() / targets;
    let requests = calls("PutObject") * WRITES / 1000.0 + calls("GetObject") * READS / 1000.0;
    let parts = [
        (
            "transitions_usd",
            figure("transitions_per_target") * TRANSITION,
        ),
        (
            "invocations_usd",
            figure("invocations_per_target") * INVOCATION,
        ),
        ("compute_usd", figure("billed_seconds_per_target") * SECOND),
        ("ledger_usd", requests),
    ];
    let mut told = json!({});
    for key in ["targets", "snapshots", "driver"] {
        told[key] = row[key].clone();
    }
    let micro = |usd: f64| (usd * 1e7).round() / 1e7;
    for (name, usd) in parts {
        told[name] = json!(micro(usd));
    }
    told["usd_per_target"] = json!(micro(parts.iter().map(|(_, usd)| usd).sum()));
    told
}

/// The targets of the schedules that are no runs of this function.
const TARGETS_OF_OTHERS: usize = 10;
/// A second of the machine that runs a script: t4g.small, us-west-2.
const MACHINE_SECOND: f64 = 0.0168 / 3600.0;

/// Returns what other ways to carry an image cost for each target.
async fn others() -> Vec<Value> {
    let mut rows = Vec::new();
    for (schedule, second) in [
        (Schedule::Script, MACHINE_SECOND),
        (Schedule::Waiting, SECOND),
    ] {
        let taken = others::played(schedule, TARGETS_OF_OTHERS, 2).await;
        let each = |total: f64| (total / number(TARGETS_OF_OTHERS) * 1e7).round() / 1e7;
        let busy = taken.busy.as_secs_f64();
        rows.push(json!({
            "targets": TARGETS_OF_OTHERS,
            "snapshots": 2,
            "driver": schedule.name(),
            "wall_seconds": taken.wall.as_secs_f64().round(),
            "billed_seconds_per_target": each(busy).round(),
            "calls_per_target": each(number(taken.calls)),
            "usd_per_target": each(busy * second),
        }));
    }
    rows
}

fn all_committed() -> Value {
    let text = std::fs::read_to_string(file()).expect("bench/figures.json");
    serde_json::from_str(&text).expect("JSON")
}

fn committed() -> Vec<Value> {
    all_committed()["scale"].as_array().expect("rows").clone()
}

/// Returns the row of the same size and driver.
fn of_same_run<'a>(rows: &'a [Value], row: &Value) -> Option<&'a Value> {
    let keys = ["targets", "snapshots", "driver"];
    rows.iter()
        .find(|one| keys.iter().all(|key| one[key] == row[key]))
}

#[test]
fn the_page_of_performance_has_the_figures() {
    let mut table = "| targets × snapshots | driver | wall ÷ limit | calls | repeat | bytes of \
                     `State` | waiting ÷ billed | USD |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in committed() {
        let cells = [
            format!("{} × {}", row["targets"], row["snapshots"]),
            row["driver"].as_str().expect("a word").to_owned(),
            row["wall_over_critical_path"].to_string(),
            row["calls_per_target"].to_string(),
            row["calls_of_a_repeat_per_target"].to_string(),
            row["bytes_of_state_per_target"].to_string(),
            row["waiting_handler_over_billed"].to_string(),
            format!("{:.5}", cost(&row)["usd_per_target"].as_f64().expect("USD")),
        ];
        writeln!(table, "| {} |", cells.join(" | ")).expect("text");
    }
    shown("docs/performance.md", "figures of scale", &table);
}

/// Returns the committed row of a size.
fn committed_row(targets: usize, snapshots: usize, driver: Driver) -> Value {
    let wanted = json!({
        "targets": targets,
        "snapshots": snapshots,
        "driver": driver.name(),
    });
    of_same_run(&committed(), &wanted).expect("a row").clone()
}

/// Each operation of a run has its row, and no run makes fewer calls than the least.
#[test]
fn the_page_of_performance_counts_calls_beside_the_least() {
    let (targets, snapshots) = (10, 2);
    let rows = [Driver::Direct, Driver::Machine].map(|d| committed_row(targets, snapshots, d));
    let all = least::least(targets, targets / REGIONS.len(), snapshots);
    let mut table =
        "| operation | what for | least | direct | machine |\n|---|---|---|---|---|\n".to_owned();
    for one in &all {
        let made = [&rows[0], &rows[1]].map(|row| least::made(row, one.operation));
        assert!(
            made.iter().all(|made| *made >= one.calls),
            "{}",
            one.operation
        );
        writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            one.operation, one.what, one.calls, made[0], made[1]
        )
        .expect("text");
    }
    for row in &rows {
        let calls = row["calls"].as_object().expect("operations");
        let known = |name: &String| all.iter().any(|one| one.operation == name);
        let strange: Vec<_> = calls.keys().filter(|name| !known(name)).collect();
        assert!(strange.is_empty(), "{strange:?} have no row");
    }
    let total: usize = all.iter().map(|one| one.calls).sum();
    let made = [&rows[0], &rows[1]].map(|row| {
        let operations = all.iter().map(|one| least::made(row, one.operation));
        operations.sum::<usize>()
    });
    writeln!(table, "| all | | {total} | {} | {} |", made[0], made[1]).expect("text");
    shown("docs/performance.md", "calls beside the least", &table);
}

#[test]
fn the_page_of_performance_has_the_other_ways() {
    let figures = all_committed();
    let mut table =
        "| way | time, s | billed, s | calls | USD |\n|---|---|---|---|---|\n".to_owned();
    let others = figures["cost"].as_array().expect("rows").iter();
    let others = others.filter(|row| row.get("wall_seconds").is_some());
    let ours = [Driver::Direct, Driver::Machine].map(|driver| {
        let row = committed_row(TARGETS_OF_OTHERS, 2, driver);
        let usd = cost(&row)["usd_per_target"].clone();
        (row, usd)
    });
    let ours = ours.iter().map(|(row, usd)| (row, usd));
    for (row, usd) in ours.chain(others.map(|row| (row, &row["usd_per_target"]))) {
        writeln!(
            table,
            "| {} | {:.0} | {:.1} | {:.1} | {:.5} |",
            row["driver"].as_str().expect("a word"),
            row["wall_seconds"].as_f64().expect("seconds"),
            row["billed_seconds_per_target"].as_f64().expect("seconds"),
            row["calls_per_target"].as_f64().expect("calls"),
            usd.as_f64().expect("USD"),
        )
        .expect("text");
    }
    shown("docs/performance.md", "other ways", &table);
}

#[test]
fn the_page_of_performance_has_the_start() {
    let start = &all_committed()["start"];
    let mut table = "| | ms | MiB |\n|---|---|---|\n".to_owned();
    for (name, key) in [("function", "function"), ("boto3 handler", "boto3")] {
        let row = &start[key];
        writeln!(
            table,
            "| {name} | {} | {} |",
            row["milliseconds"], row["mib"]
        )
        .expect("text");
    }
    let (fast, small) = (&start["times_as_fast"], &start["times_as_small"]);
    writeln!(table, "| ratio | {fast} | {small} |").expect("text");
    shown("docs/performance.md", "start", &table);
}

#[tokio::test(start_paused = true)]
async fn no_figure_is_worse_than_the_committed_one() {
    let most = std::env::var("AMIFERRY_FIGURES").ok();
    let most = most.map(|most| most.parse::<usize>().expect("a number of targets"));
    let sizes = match most {
        Some(most) => WRITTEN
            .iter()
            .filter(|(t, _)| *t <= most)
            .copied()
            .collect(),
        None => vec![(1, 1), (10, 2)],
    };
    let mut rows = Vec::new();
    for (targets, snapshots) in sizes {
        for driver in [Driver::Direct, Driver::Machine] {
            let row = played(targets, snapshots, driver).await;
            println!("{row}");
            rows.push(row);
        }
    }
    if let Some(most) = most {
        let larger = |row: &Value| row["targets"].as_u64() > Some(most as u64);
        rows.extend(committed().into_iter().filter(larger));
        let mut costs: Vec<Value> = rows.iter().map(cost).collect();
        costs.extend(others().await);
        let mut figures = all_committed();
        for row in &mut rows {
            // `make bench` measures the memory of processes.
            if let Some(former) = of_same_run(&committed(), row) {
                row["peak_mib"] = former["peak_mib"].clone();
            }
        }
        figures["scale"] = json!(rows);
        figures["cost"] = json!(costs);
        figures["chart"] = chart::of_a_run().await;
        let text = serde_json::to_string_pretty(&figures).expect("JSON");
        std::fs::write(file(), text + "\n").expect("written");
        return;
    }
    let committed = committed();
    for row in rows {
        let former = of_same_run(&committed, &row).expect("a committed row");
        for figure in [
            "wall_over_critical_path",
            "calls_per_target",
            "calls_of_a_repeat_per_target",
            "bytes_of_state_per_target",
        ] {
            let (now, then) = (row[figure].as_f64(), former[figure].as_f64());
            assert!(now <= then, "{figure} is {now:?}, was {then:?}: {row}");
        }
    }
}
