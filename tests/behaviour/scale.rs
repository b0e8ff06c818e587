//! How long distributions of many targets take, and what they cost, beside the least that AWS
//! allows. All times are those of the sandbox's clock, so the figures are exact and the same on
//! every machine.
//!
//! `AMIFERRY_FIGURES=1` plays all sizes and writes them into bench/figures.json. Without it the
//! smaller sizes are played, and compared with that file.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Limits, Sandbox, Snapshot, World};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::*;
use crate::tables::shown;

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
/// The time after which an event tells of the end of a copy.
const EVENT_AFTER: Duration = Duration::from_secs(1);
/// The places of the machine's Map.
const MACHINE_CONCURRENCY: usize = 10_000;
const REGIONS: [&str; 2] = [HOME, "us-east-1"];

/// The driver of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// A caller of the function that passes the `State` on, such as the command line.
    Direct,
    /// The state machine, with a child for each target.
    Machine,
}

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Machine => "machine",
        }
    }
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn places(targets: usize) -> Vec<Place> {
    let account = |n: usize| leaked((600_000_000_000_u64 + n as u64).to_string());
    (0..targets)
        .map(|n| (account(n / REGIONS.len()), REGIONS[n % REGIONS.len()]))
        .collect()
}

/// Returns a producer whose image has so many snapshots.
fn producer_of(snapshots: usize) -> Account {
    let mut source = producer();
    source.snapshots.clear();
    source.images.clear();
    let mut image = image();
    image.block_device_mappings.clear();
    for (n, size) in SIZES.iter().take(snapshots).enumerate() {
        let id = format!("snap-0123456789abcde{n:02x}");
        source = source.snapshot(Snapshot::new(HOME, &id, *size).key(SOURCE_KEY));
        let device = match n {
            0 => "/dev/xvda".to_owned(),
            n => format!(
                "/dev/sd{}",
                char::from(b'a' + u8::try_from(n).expect("few"))
            ),
        };
        let ebs = Ebs::snapshot(&id).gp3(*size, 3000, 125);
        image = image.mapping(BlockDeviceMapping::ebs(&device, ebs));
    }
    source.image(image)
}

fn world_of(targets: usize, snapshots: usize) -> World {
    let limits = Limits {
        throttling: true,
        ..Limits::default()
    };
    let mut world = world_with(producer_of(snapshots), &places(targets))
        .copy_mib_per_second(MIB_PER_SECOND)
        .copy_start(START)
        .latency(LATENCY)
        .grant_delay(SPREAD)
        .permission_delay(SPREAD)
        .read_delay(Duration::from_secs(1));
    world.limits = limits;
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

/// The costs of a run beside its calls to AWS.
#[derive(Default)]
struct Meter {
    /// Bytes of the largest state that a caller had to keep.
    largest: Cell<usize>,
    invocations: Cell<usize>,
    /// The time of all invocations.
    billed: Cell<Duration>,
    /// Transitions of the state machine.
    transitions: Cell<usize>,
}

impl Meter {
    fn see(&self, state: &Value) {
        self.largest
            .set(self.largest.get().max(state.to_string().len()));
    }

    /// Counts so many states that an execution enters.
    fn enter(&self, states: usize) {
        self.transitions.set(self.transitions.get() + states);
    }

    /// Calls the function.
    async fn call(&self, sandbox: &Sandbox, event: &Value) -> Value {
        let begun = tokio::time::Instant::now();
        let reply = call(sandbox, event).await.expect("a reply");
        self.billed.set(self.billed.get() + begun.elapsed());
        self.invocations.set(self.invocations.get() + 1);
        reply
    }
}

async fn wait(sandbox: &Sandbox, reply: &Value, wakes: Option<Place>) {
    let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
    let Some((account, region)) = wakes else {
        return tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    // EventBridge tells of a copy's end a moment later.
    let snapshots = sandbox.snapshots(account, region);
    let pending = snapshots.iter().filter(|one| one.state == "pending");
    let ends = pending.map(|one| one.start_time + copying(one.volume_size) + EVENT_AFTER);
    let left = ends.filter_map(|end| end.duration_since(sandbox.now()).ok());
    let left = left.min().unwrap_or(Duration::MAX);
    tokio::time::sleep(left.min(Duration::from_secs(seconds))).await;
}

async fn direct(sandbox: &Sandbox, job: &Value, meter: &Meter) -> Value {
    let mut event = job.clone();
    loop {
        let reply = meter.call(sandbox, &event).await;
        if reply["Status"] != "Continue" {
            return reply;
        }
        meter.see(&reply["State"]);
        wait(sandbox, &reply, None).await;
        // Nobody else has this state, as with the command line.
        event = json!({"State": reply["State"], "Retries": 0});
    }
}

/// Returns data that a reply has, or has left in the bucket.
fn carried(sandbox: &Sandbox, reply: &Value, name: &str) -> Value {
    let at = &reply[format!("{name}At")];
    match at["Key"].as_str() {
        None => reply[name].clone(),
        Some(key) => {
            let objects = sandbox.objects(BUCKET);
            let body = objects.get(key).expect("an object");
            serde_json::from_slice(body).expect("JSON")
        }
    }
}

/// Plays an execution as statemachine/distribute.asl.json has it.
async fn machine(sandbox: &Sandbox, job: &Value, meter: &Meter) -> Value {
    let mut last = json!({});
    let opened = loop {
        let event = json!({"Open": job, "Execution": "scale", "Last": last});
        last = meter.call(sandbox, &event).await;
        meter.enter(2);
        if last["Status"] != "Continue" {
            break last;
        }
        meter.enter(1);
        wait(sandbox, &last, None).await;
    };
    let parts = carried(sandbox, &opened, "Parts");
    let places = Semaphore::new(MACHINE_CONCURRENCY);
    let children = parts.as_array().expect("parts").iter().map(async |part| {
        let _place = places.acquire().await.expect("open");
        let mut part = part.clone();
        let delay = part["Delay"].as_u64().expect("seconds");
        tokio::time::sleep(Duration::from_secs(delay)).await;
        meter.enter(1);
        loop {
            let event = json!({"State": part["State"], "Retries": 0});
            let reply = meter.call(sandbox, &event).await;
            meter.see(&reply["State"]);
            meter.enter(2);
            if reply["Status"] != "Continue" {
                // Forget, Failed? and Finished.
                meter.enter(3);
                return json!({"State": reply["State"]});
            }
            meter.enter(1);
            let target = &reply["State"]["Targets"][0];
            let word = |key: &str| leaked(target[key].as_str().expect("a word").to_owned());
            wait(sandbox, &reply, Some((word("AccountId"), word("Region")))).await;
            part = reply;
        }
    });
    let mut parts = json!(join_all(children).await);
    let mut last = opened;
    loop {
        let event = json!({"Conclude": job, "Execution": "scale", "Last": last, "Parts": parts});
        let reply = meter.call(sandbox, &event).await;
        meter.enter(2);
        if reply["Status"] != "Continue" {
            // Wrap, Copy, Notify, Announce, Succeeded? and Succeeded.
            meter.enter(6);
            return reply;
        }
        meter.enter(2);
        wait(sandbox, &reply, None).await;
        (last, parts) = (reply, json!([]));
    }
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
    let reply = match driver {
        Driver::Direct => direct(&sandbox, &job, &meter).await,
        Driver::Machine => machine(&sandbox, &job, &meter).await,
    };
    let wall = begun.elapsed().as_secs_f64();
    assert_eq!(reply["Status"], "Succeeded", "{targets} x {snapshots}");
    let ledger = sandbox.ledger();
    let mut operations: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &ledger {
        *operations.entry(&call.operation).or_default() += 1;
    }
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
        "calls": operations,
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

fn committed() -> Vec<Value> {
    let text = std::fs::read_to_string(file()).expect("bench/figures.json");
    let committed: Value = serde_json::from_str(&text).expect("JSON");
    committed["scale"].as_array().expect("rows").clone()
}

#[test]
fn the_page_of_performance_has_the_figures() {
    let mut table = "| targets × snapshots | driver | wall ÷ limit | calls | bytes of `State` | \
                     waiting ÷ billed | USD |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in committed() {
        let cells = [
            format!("{} × {}", row["targets"], row["snapshots"]),
            row["driver"].as_str().expect("a word").to_owned(),
            row["wall_over_critical_path"].to_string(),
            row["calls_per_target"].to_string(),
            row["bytes_of_state_per_target"].to_string(),
            row["waiting_handler_over_billed"].to_string(),
            format!("{:.5}", cost(&row)["usd_per_target"].as_f64().expect("USD")),
        ];
        writeln!(table, "| {} |", cells.join(" | ")).expect("text");
    }
    shown("docs/performance.md", "figures of scale", &table);
}

#[tokio::test(start_paused = true)]
async fn no_figure_is_worse_than_the_committed_one() {
    let writes = std::env::var_os("AMIFERRY_FIGURES").is_some();
    let sizes: &[(usize, usize)] = if writes {
        &[(1, 1), (1, 2), (1, 8), (10, 2), (100, 2), (1000, 2)]
    } else {
        &[(1, 1), (10, 2)]
    };
    let mut rows = Vec::new();
    for (targets, snapshots) in sizes {
        for driver in [Driver::Direct, Driver::Machine] {
            let row = played(*targets, *snapshots, driver).await;
            println!("{row}");
            rows.push(row);
        }
    }
    if writes {
        let costs: Vec<Value> = rows.iter().map(cost).collect();
        let figures = json!({"scale": rows, "cost": costs});
        let text = serde_json::to_string_pretty(&figures).expect("JSON");
        std::fs::write(file(), text + "\n").expect("written");
        return;
    }
    let committed = committed();
    for row in rows {
        let same = |one: &&Value| {
            ["targets", "snapshots", "driver"]
                .iter()
                .all(|key| one[key] == row[key])
        };
        let former = committed.iter().find(same).expect("a committed row");
        for figure in [
            "wall_over_critical_path",
            "calls_per_target",
            "bytes_of_state_per_target",
        ] {
            let (now, then) = (row[figure].as_f64(), former[figure].as_f64());
            assert!(now <= then, "{figure} is {now:?}, was {then:?}: {row}");
        }
    }
}
