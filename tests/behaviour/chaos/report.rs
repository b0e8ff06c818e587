//! Counts of what the schedules tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use amiferry_sandbox::Sandbox;
use serde_json::Value;

use super::schedule::Schedule;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    schedules: usize,
    failed: usize,
    calls: usize,
    kills: usize,
    runs: BTreeMap<String, usize>,
    wants: BTreeMap<String, usize>,
    /// The number of schedules in which several runs were at work at once.
    together: usize,
    hands: BTreeMap<String, usize>,
    statuses: BTreeMap<String, usize>,
    /// The number of faults, by kind and operation.
    faults: BTreeMap<(&'static str, String), usize>,
    took: Duration,
}

impl Report {
    pub fn fault(&mut self, kind: &'static str, operation: &str) {
        *self.faults.entry((kind, operation.to_owned())).or_default() += 1;
    }

    pub fn ended(&mut self, schedule: &Schedule, replies: &[Value], sandbox: &Sandbox) {
        self.schedules += 1;
        self.calls += sandbox.ledger().len();
        self.together += usize::from(schedule.runs.len() > 1);
        for run in &schedule.runs {
            self.kills += run.killed.len();
            *self.runs.entry(format!("{:?}", run.way)).or_default() += 1;
        }
        *self.wants.entry(schedule.wants.described()).or_default() += 1;
        for (_, hand) in &schedule.hands {
            *self.hands.entry(format!("{hand:?}")).or_default() += 1;
        }
        for reply in replies {
            let status = reply["Status"].as_str().unwrap_or_default().to_owned();
            *self.statuses.entry(status).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: &Self) {
        fn sum<K: Ord + Clone>(ours: &mut BTreeMap<K, usize>, theirs: &BTreeMap<K, usize>) {
            for (key, count) in theirs {
                *ours.entry(key.clone()).or_default() += count;
            }
        }
        self.schedules += other.schedules;
        self.calls += other.calls;
        self.kills += other.kills;
        self.together += other.together;
        sum(&mut self.runs, &other.runs);
        sum(&mut self.wants, &other.wants);
        sum(&mut self.hands, &other.hands);
        sum(&mut self.statuses, &other.statuses);
        sum(&mut self.faults, &other.faults);
    }

    pub fn failed(&mut self, count: usize) {
        self.failed = count;
    }

    pub fn took(&mut self, time: Duration) {
        self.took = time;
    }

    /// Replaces the text between the two marks of the document.
    pub fn write_into(&self, path: &str, first: u64, count: u64) -> std::io::Result<()> {
        const BEGIN: &str = "<!-- written by make chaos -->\n";
        const END: &str = "<!-- end -->\n";
        let text = std::fs::read_to_string(path)?;
        let (head, rest) = text.split_once(BEGIN).unwrap_or((text.as_str(), END));
        let tail = rest.split_once(END).map_or("", |(_, tail)| tail);
        let last = first + count.saturating_sub(1);
        let body = format!("Seeds {first} to {last}. {self}");
        std::fs::write(path, format!("{head}{BEGIN}{body}{END}{tail}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |counts: &BTreeMap<String, usize>| {
            let words: Vec<String> = counts
                .iter()
                .map(|(word, n)| format!("{word} {n}"))
                .collect();
            words.join(", ")
        };
        let seconds = self.took.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = (self.schedules + self.failed) as f64 / seconds;
        writeln!(
            f,
            "{} schedules held and {} failed, {} AWS calls, {} invocations killed; \
             several runs at once in {}; {rate:.1} schedules a second.\n",
            self.schedules, self.failed, self.calls, self.kills, self.together
        )?;
        writeln!(f, "- Driven by: {}", line(&self.runs))?;
        writeln!(f, "- Asked for: {}", line(&self.wants))?;
        writeln!(f, "- Ended: {}", line(&self.statuses))?;
        writeln!(f, "- Other hands: {}\n", line(&self.hands))?;
        let kinds: BTreeSet<&str> = self.faults.keys().map(|(kind, _)| *kind).collect();
        let operations: BTreeSet<&String> =
            self.faults.keys().map(|(_, operation)| operation).collect();
        writeln!(
            f,
            "| operation | {} |",
            kinds.iter().copied().collect::<Vec<_>>().join(" | ")
        )?;
        writeln!(f, "|---|{}", "---:|".repeat(kinds.len()))?;
        for operation in operations {
            write!(f, "| {operation} |")?;
            for kind in &kinds {
                let count = self
                    .faults
                    .get(&(*kind, operation.clone()))
                    .copied()
                    .unwrap_or(0);
                write!(f, " {count} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
