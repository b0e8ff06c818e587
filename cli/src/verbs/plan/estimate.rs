//! The time and the cost of a plan, by assumptions that are shown and can be changed: AWS promises
//! no rate of a copy, and prices differ by Region and contract.

use amiferry::source::{Device, Source, SourceSnapshot};
use serde_json::{Value, json};

use super::route::Route;
use crate::arguments::Assumptions;

const MIB: f64 = 1024.0 * 1024.0;
const MIB_IN_GIB: f64 = 1024.0;
/// Minutes of a run beside its copies: looking, opening, registering, verifying and closing.
const MINUTES_BESIDE: f64 = 2.0;

/// The data of one copy of an image.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    gib: f64,
    largest: f64,
    exact: bool,
}

impl Size {
    /// Reads the sizes of an image's snapshots; `None` where EC2 shows neither data nor volume.
    pub fn of(source: &Source) -> Option<Self> {
        let mut size = Self {
            gib: 0.0,
            largest: 0.0,
            exact: true,
        };
        for snapshot in &source.snapshots {
            let (gib, exact) = gib_of(source, snapshot)?;
            size.gib += gib;
            size.largest = size.largest.max(gib);
            size.exact &= exact;
        }
        Some(size)
    }
}

/// Returns the GiB of a snapshot, and whether EC2 shows them. A volume may be larger than its
/// snapshot's data, so its size is an upper bound.
fn gib_of(source: &Source, snapshot: &SourceSnapshot) -> Option<(f64, bool)> {
    if let Some(bytes) = snapshot.full_bytes {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        return Some((bytes as f64 / MIB / MIB_IN_GIB, true));
    }
    let mut devices = source.image.mappings.iter().map(|mapping| &mapping.device);
    devices.find_map(|device| match device {
        Device::Ebs {
            snapshot: Some(id),
            size: Some(size),
            ..
        } if *id == snapshot.id => Some((f64::from(*size), false)),
        _ => None,
    })
}

/// Returns the estimate of the copies of a route. `minutes` are those that the request has EC2 end
/// each copy in.
pub fn estimate(size: Size, route: &Route, minutes: Option<u16>, assumed: Assumptions) -> Value {
    let count = |number: usize| u32::try_from(number).map_or(f64::INFINITY, f64::from);
    let copies = route.copies;
    let (all, moved) = (
        size.gib * count(copies),
        size.gib * count(route.crossings()),
    );
    let copying = match minutes {
        Some(minutes) => f64::from(minutes),
        None => size.largest * MIB_IN_GIB / assumed.copy_rate / 60.0,
    };
    // A staged copy comes before those of its Region.
    let copying = if route.is_staged() {
        2.0 * copying
    } else {
        copying
    };
    json!({
        "GiB": tenths(all),
        "GiBIsUpperBound": !size.exact,
        "GiBBetweenRegions": tenths(moved),
        "Minutes": if copies == 0 { 0.0 } else { (copying + MINUTES_BESIDE).ceil() },
        "TransferUSD": cents(moved * assumed.transfer_price),
        "StorageUSDPerMonth": cents(all * assumed.storage_price),
        "Assumptions": {
            "CopyRateMiBPerSecond": minutes.is_none().then_some(assumed.copy_rate),
            "CopyCompletionMinutes": minutes,
            "TransferUSDPerGiB": assumed.transfer_price,
            "StorageUSDPerGiBMonth": assumed.storage_price,
        },
    })
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn cents(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Returns the estimate for a person, in lines.
pub fn lines(estimate: &Value) -> Vec<String> {
    let number = |key: &str| estimate[key].as_f64().unwrap_or_default();
    if number("Minutes") == 0.0 {
        return Vec::new();
    }
    let assumed = &estimate["Assumptions"];
    let given = |key: &str| assumed[key].as_f64().unwrap_or_default();
    let most = if estimate["GiBIsUpperBound"] == true {
        "at most "
    } else {
        "about "
    };
    let (rate, more) = match assumed["CopyCompletionMinutes"].as_u64() {
        Some(minutes) => (
            format!("EC2 ends the copies in {minutes} min"),
            ", without the fee of time-based copies",
        ),
        None => (
            format!(
                "{} MiB/s for each snapshot (--copy-rate)",
                given("CopyRateMiBPerSecond")
            ),
            "",
        ),
    };
    let mut lines = vec![
        format!("Time: {most}{}, if {rate}", duration(number("Minutes"))),
        format!(
            "Cost: {most}{:.2} USD to carry {} GiB between Regions, then {:.2} USD a month to \
             store {} GiB{more}",
            number("TransferUSD"),
            number("GiBBetweenRegions"),
            number("StorageUSDPerMonth"),
            number("GiB"),
        ),
        format!(
            "Assumed: {} USD a GiB between Regions (--transfer-price), {} USD a GiB and month \
             (--storage-price)",
            given("TransferUSDPerGiB"),
            given("StorageUSDPerGiBMonth"),
        ),
    ];
    lines.extend(other_way(estimate));
    lines
}

/// Returns what the other way between Regions would take.
fn other_way(estimate: &Value) -> Option<String> {
    let (begin, other) = match (&estimate["Staged"], &estimate["Direct"]) {
        (Value::Null, Value::Null) => return None,
        (Value::Null, direct) => ("Without StagingKmsKeyIds".to_owned(), direct),
        (staged, _) => {
            let regions = staged["Regions"].as_array().into_iter().flatten();
            let regions: Vec<&str> = regions.filter_map(Value::as_str).collect();
            (
                format!("With StagingKmsKeyIds for {}", regions.join(", ")),
                staged,
            )
        }
    };
    let number = |key: &str| other[key].as_f64().unwrap_or_default();
    Some(format!(
        "{begin}: {:.2} USD to carry {} GiB between Regions, in {}",
        number("TransferUSD"),
        number("GiBBetweenRegions"),
        duration(number("Minutes")),
    ))
}

fn duration(minutes: f64) -> String {
    if minutes < 90.0 {
        format!("{minutes} min")
    } else {
        format!("{} h {} min", (minutes / 60.0).floor(), minutes % 60.0)
    }
}
