//! Metrics in CloudWatch's embedded metric format: one line of the log, from which CloudWatch makes
//! them. So nothing is called, and nothing waits.
//!
//! Source: CloudWatch user guide, embedded metric format.

use serde_json::{Map, Value, json};

use super::{Status, succeeded};
use crate::state::{State, TargetPhase};

/// The function that measures, and the namespace of its metrics.
#[derive(Debug, Clone, Copy)]
pub struct Meter<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The name of the function: the only dimension, so that each metric is one series.
    pub function: &'a str,
}

/// The facts about the openings that a sweep has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Openings {
    /// Attempts of copying runs that hold a source open.
    pub open: usize,
    /// Seconds since the oldest of them began.
    pub oldest: i64,
    /// Attempts that the sweep closed.
    pub closed: usize,
    /// Closings that it verified.
    pub verified: usize,
    /// Closings that failed.
    pub stuck: usize,
}

impl Meter<'_> {
    /// Returns the line about a run that has ended (`now` in Unix seconds).
    pub fn of_run(&self, state: &State, now: i64) -> String {
        let stuck = |phase: &TargetPhase| matches!(phase, TargetPhase::Stuck { .. });
        let all = state.targets.len();
        let good = state.targets.iter().filter(|t| succeeded(t)).count();
        let left = state.targets.iter().filter(|t| stuck(&t.phase)).count();
        let status = Status::of(state);
        let measured = [
            ("TargetsSucceeded", "Count", json!(good)),
            ("TargetsFailed", "Count", json!(all - good - left)),
            ("TargetsStuck", "Count", json!(left)),
            (
                "RunsStuck",
                "Count",
                json!(u8::from(status == Status::Stuck)),
            ),
            (
                "RunSeconds",
                "Seconds",
                json!(now.saturating_sub(state.started)),
            ),
        ];
        let facts = json!({
            "RunId": state.run,
            "SourceImageId": state.source.image_id,
            "Status": status.as_str(),
        });
        self.line(&measured, facts, now)
    }

    /// Returns the line about a sweep.
    pub fn of_sweep(&self, seen: Openings, now: i64) -> String {
        let measured = [
            ("Sweeps", "Count", json!(1)),
            ("Openings", "Count", json!(seen.open)),
            ("OldestOpeningSeconds", "Seconds", json!(seen.oldest)),
            ("ClosedBySweep", "Count", json!(seen.closed)),
            ("ClosingsVerified", "Count", json!(seen.verified)),
            ("ClosingsStuck", "Count", json!(seen.stuck)),
        ];
        self.line(&measured, json!({}), now)
    }

    fn line(&self, measured: &[(&str, &str, Value)], facts: Value, now: i64) -> String {
        let metrics: Vec<Value> = measured
            .iter()
            .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
            .collect();
        let mut line = match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        };
        line.insert("FunctionName".to_owned(), json!(self.function));
        for (name, _, value) in measured {
            line.insert((*name).to_owned(), value.clone());
        }
        let directive = json!({
            "Namespace": self.namespace,
            "Dimensions": [["FunctionName"]],
            "Metrics": metrics,
        });
        let about = json!({
            "Timestamp": now.saturating_mul(1000),
            "CloudWatchMetrics": [directive],
        });
        line.insert("_aws".to_owned(), about);
        Value::Object(line).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const METER: Meter<'_> = Meter {
        namespace: "amiferry",
        function: "golden",
    };

    #[test]
    fn every_metric_of_a_line_has_its_value_and_the_functions_name() {
        let seen = Openings {
            open: 2,
            oldest: 7200,
            ..Openings::default()
        };
        let line = METER.of_sweep(seen, NOW);
        assert!(!line.contains('\n'), "{line}");
        let line: Value = serde_json::from_str(&line).unwrap();
        let about = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(line["_aws"]["Timestamp"], NOW * 1000);
        assert_eq!(about["Namespace"], "amiferry");
        assert_eq!(line[about["Dimensions"][0][0].as_str().unwrap()], "golden");
        let metrics = about["Metrics"].as_array().unwrap();
        assert_eq!(metrics.len(), 6);
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap();
            assert!(line[name].is_number(), "{name}");
        }
        assert_eq!(line["OldestOpeningSeconds"], 7200);
    }

    #[test]
    fn a_run_counts_each_target_once() {
        let mut state = crate::state::tests::full(3, 2);
        state.started = NOW - 90;
        state.targets[0].phase = TargetPhase::Succeeded;
        state.targets[1].phase = TargetPhase::Failed;
        state.targets[2].phase = TargetPhase::Stuck {
            why: "said".to_owned(),
            left: Vec::new(),
        };
        let line: Value = serde_json::from_str(&METER.of_run(&state, NOW)).unwrap();
        let count = |name: &str| line[name].as_i64().unwrap();
        let targets = ["TargetsSucceeded", "TargetsFailed", "TargetsStuck"];
        assert_eq!(targets.map(count), [1, 1, 1]);
        assert_eq!((count("RunsStuck"), count("RunSeconds")), (1, 90));
        assert_eq!(line["Status"], "Stuck");
    }
}
